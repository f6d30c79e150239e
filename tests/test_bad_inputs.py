"""Every wrong input of the table is told in a sentence and changes nothing."""

import shlex
import traceback
from pathlib import Path

import bad_inputs
import pytest

from dmaml_jax import cli
from dmaml_jax.build import configuration
from dmaml_jax.errors import UsageError
from dmaml_jax.runs import training
from dmaml_jax.training import devices

pytestmark = pytest.mark.float32


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for the number of the process that last looked."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name != ".lock"
    }


def told(given, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and error of a command line, or of a call of the library."""
    if callable(given):
        with pytest.raises((UsageError, ValueError)) as raised:
            given()
        return 2, f"error: {raised.value}\n"
    capsys.readouterr()
    try:
        code = cli.main(shlex.split(given.replace("~", "'~'")))
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().err


def test_every_wrong_input_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # JAX runs already in this process, and cannot be set up again.
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)
    small = configuration(
        algo="maml", seeds=2, epochs=4, horizon=5, num_tasks=2, num_trajectories=2,
        hidden_sizes=(4,), cpu_devices=1, checkpoint_every=2, chunk_epochs=2,
    )  # fmt: skip
    made = tmp_path.parent / f"{tmp_path.name}-run"
    assert training.train(small, str(made), verbosity="quiet") == 0
    bad_inputs.prepared(tmp_path, made)
    monkeypatch.setattr(
        "dmaml_jax.training.program.Program.compile",
        lambda self: pytest.fail("compiled before the input was found wrong"),
    )
    assert len(bad_inputs.ROWS) >= 100
    before, tracebacks, wrong = contents(tmp_path), 0, []
    for index, (given, what, words) in enumerate(bad_inputs.ROWS):
        row = given if isinstance(given, str) else f"library call {index}"
        try:
            code, said = told(given, capsys)
        except BaseException:
            tracebacks += 1
            wrong.append(f"{row} ({what}): {traceback.format_exc()[-900:]}")
            continue
        whole = said.startswith("error: ") and said.count("\n") == 1
        if code != 2 or not whole or not all(word in said for word in words):
            wrong.append(f"{row} ({what}): code {code}, {words} in {said!r}")
    after = contents(tmp_path)
    changed = [
        name for name in {*before, *after} if before.get(name) != after.get(name)
    ]
    assert (tracebacks, sorted(changed), wrong) == (0, [], []), "\n".join(wrong)
