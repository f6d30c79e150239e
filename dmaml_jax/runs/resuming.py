"""Going on with a run: its folder, the checkpoint to go on from, and what differs."""

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dmaml_jax.build.program import layout
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_json, writing
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.folder import (
    FILES,
    circumstances,
    json_values,
    rerun_command,
    shown,
)
from dmaml_jax.runs.locks import locked
from dmaml_jax.runs.metrics import whole_epochs
from dmaml_jax.runs.stored import read_record
from dmaml_jax.training.program import Program


def hold(folder: Path, held: ExitStack) -> None:
    """Lock a run folder for as long as the stack is open."""
    held.enter_context(locked(folder))


def opened(run: str, out: str | None, held: ExitStack) -> Path:
    """The folder to go on in, a copy where there is another to go on in; it is held."""
    folder = Path(run).expanduser().resolve()
    if out is not None:
        with locked(folder):
            folder = _copied(folder, Path(out).expanduser().resolve())
    hold(folder, held)
    return folder


def note_resuming(config: TrainConfig, program: Program, folder: Path) -> None:
    """Say what may change the last bits, and write down who goes on."""
    record = read_record(folder)
    for note in _differences(record, layout(config, program)):
        print(note, file=sys.stderr)
    again = [*record.get("resumed", []), circumstances()]
    changed = {"values": json_values(config.nested()), "resumed": again}
    write_json(folder / "config.json", {**record, **changed})


def going_on_from(
    folder: Path, config: TrainConfig, like: Any
) -> tuple[int, Any] | None:
    """The checkpoint from which a run goes on; nothing is changed.

    Args:
        folder: the run folder.
        config: the values of the run.
        like: shapes and types of the program's state.

    Returns:
        Its epoch and its state; None where a run was stopped before its first one.

    Raises:
        UsageError: there are checkpoints, and none of them can be used: a run does not
            begin anew over an old one.
    """
    checkpoints, causes = Checkpoints(folder), list[str]()
    rows = whole_epochs(folder, config.seed_numbers)
    found = checkpoints.latest(like, at_most=rows, say=causes.append)
    written = checkpoints.epochs()
    if found is None and written:
        names = ", ".join(map(str, written))
        if rows < written[0]:
            causes.append(
                f"metrics.csv holds whole rows up to epoch {rows} only (it is missing, "
                "cut short or edited): put a copy of it back."
            )
        raise UsageError(
            f"{shown(folder)} holds checkpoints of epoch {names}, and none can be gone "
            f"on from. {' '.join(causes)} To train the same anew: "
            f"{rerun_command(folder)}"
        )
    for cause in causes:
        print(cause, file=sys.stderr)
    return found


def _differences(record: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Notes on what may change the last bits of a run that is resumed here."""
    notes = []
    versions = [record, *record.get("resumed", [])][-1].get("versions", {})
    for package in ("jax", "jaxlib"):
        before, here = versions.get(package), circumstances()["versions"][package]
        if before != here:
            notes.append(
                f"note: this run was last continued with {package} {before}, and here "
                f"is {here}: its numbers may differ in their last bits."
            )
    before = record.get("program", {})
    changed = [name for name, value in now.items() if before.get(name) != value]
    if changed:
        told = ", ".join(f"{n} {before.get(n)} -> {now[n]}" for n in changed)
        notes.append(
            f"note: the program is laid out differently here ({told}): its numbers "
            "may differ in their last bits."
        )
    return notes


def _copied(folder: Path, out: Path) -> Path:
    """A copy of a run, in a folder that must not hold one; it appears whole."""
    taken = [name for name in FILES if (out / name).exists()]
    if taken or (out.exists() and any(out.iterdir())):
        raise UsageError(f"--out {out} is not empty: give a new folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with writing(out) as aside:
        shutil.copytree(folder, aside, ignore=shutil.ignore_patterns(".*"))
    return out
