"""The raw folders of what was trained: where a run's parts are, and which are missing.

A batch is a sweep's folder with a `batch.json` beside its files, which says whose runs
its settings are. All studies share one work folder, so what two of them declare is
trained once. git ignores it; the tables of a study are what is kept.
"""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dmaml_jax.files import write_json
from experiments.engine.declared import HERE, Run

WORK = HERE.parent / "runs" / "studies"
_PLAN, _FINISHED, _SETTINGS = "batch.json", "leaderboard.csv", "settings"


class Part(NamedTuple):
    """Some seeds of a run that were trained.

    Attributes:
        folder: the run folder, as `dmaml-jax train` would have left it.
        share: of the batch's seconds, how many were this part's.
        machine: on what it was trained, in words.
    """

    folder: Path
    share: float
    machine: str


class Work:
    """A work folder as it is when it is looked at."""

    def __init__(self, folder: Path) -> None:
        """Look at a folder, which need not exist."""
        self.folder = folder
        self._finished: dict[str, Part] = {}
        self._unfinished: dict[Path, list[str]] = {}
        for plan in sorted(folder.glob(f"*/{_PLAN}")):
            self._look(plan)

    def _look(self, plan: Path) -> None:
        place = plan.parent
        if not (place / "config.json").exists():  # killed before it began
            return
        told = json.loads(plan.read_text())
        if not (place / _FINISHED).exists():
            self._unfinished[place] = told["runs"]
            return
        total = sum(told["seeds"])
        for number, (own, seeds) in enumerate(
            zip(told["runs"], told["seeds"], strict=True)
        ):
            folder = place / _SETTINGS / f"{number + 1:03d}"
            self._finished[own] = Part(folder, seeds / total, told["machine"])

    def part(self, run: Run) -> Part | None:
        """Where a run, or some of its seeds, was trained; None if it was not."""
        return self._finished.get(run.id)

    def parts(self, run: Run, chunk: int) -> list[tuple[Run, Part]]:
        """All parts of a run that were trained."""
        found = [(own, self.part(own)) for own in run.chunks(chunk)]
        return [(own, part) for own, part in found if part is not None]

    def missing(self, run: Run, chunk: int) -> list[Run]:
        """The parts of a run that were not trained."""
        return [own for own in run.chunks(chunk) if self.part(own) is None]

    def begun(self, wanted: Sequence[Run]) -> list[tuple[Path, list[Run]]]:
        """Batches that were stopped and hold nothing but what is wanted."""
        by_id = {run.id: run for run in wanted}
        return [
            (folder, [by_id[own] for own in ids])
            for folder, ids in self._unfinished.items()
            if set(ids) <= set(by_id)
        ]

    def place_for(self, runs: Sequence[Run]) -> Path:
        """A folder for a new batch, with its plan; its name follows from the runs."""
        ids = [run.id for run in runs]
        digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:8]
        algos = "-".join(dict.fromkeys(run.algo for run in runs))[:40]
        place = self.folder / f"{runs[0].env}-{algos}-{digest}"
        place.mkdir(parents=True, exist_ok=True)
        seeds = [len(run.seeds) for run in runs]
        write_json(place / _PLAN, {"runs": ids, "seeds": seeds, "machine": machine()})
        return place


def machine() -> str:
    """What this process computes on, in words."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{len(jax.devices())} x {device.device_kind}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return f"{_cpu()}, {cores or os.cpu_count()} cores"


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def started(part: Part) -> dict[str, Any]:
    """When, with which versions and at which commit a part was trained."""
    batch = json.loads((part.folder.parents[1] / "config.json").read_text())
    own = json.loads((part.folder / "config.json").read_text())
    return {
        "date": batch["started"][:10],
        "commit": batch["commit"] or "",
        "versions": batch["versions"],
        "values": own["values"],
    }
