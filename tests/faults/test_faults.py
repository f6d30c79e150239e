"""Runs that are killed, starved of disk or damaged, and what becomes of them."""

import csv
import errno
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dmaml_jax.build.program import program_of
from dmaml_jax.runs import metrics
from dmaml_jax.runs import training as run
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.metrics import whole_epochs

sys.path.insert(0, str(Path(__file__).parent))
from child import CONFIG

pytestmark = pytest.mark.float32
CHILD = Path(__file__).parent / "child.py"
SEEDS = range(1, 3)
# Each kind's own count: calls, appends, checkpoints, milliseconds.
POINTS = {
    "checkpoint": [1, 2, 4, 7, 11, 16, 22, 29, 37, 46],
    "append": [1, 2, 3, 1, 2, 4, 1, 3, 2, 5],
    "between": [1, 2, 3, 1, 2, 4, 5, 1, 3, 2],
    "random": [5, 20, 45, 80, 120, 170, 230, 300, 380, 470],
}


def child(
    folder: Path, kind: str, number: int, *options: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), str(folder), kind, str(number), *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "whole"
    assert run.train(CONFIG, str(folder), verbosity="quiet") == 0
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def assert_same(folder: Path, other: Path) -> None:
    assert rows(folder) == rows(other)
    first, second = (np.load(f / "params.npz") for f in (folder, other))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    states = [Checkpoints(f).latest(like(f)) for f in (folder, other)]
    assert states[0] is not None and states[1] is not None
    assert states[0][0] == states[1][0] == CONFIG.run.epochs
    for a, b in zip(*(jax.tree.leaves(state) for _, state in states), strict=True):
        np.testing.assert_array_equal(a, b)


def like(folder: Path) -> object:
    return program_of(CONFIG).shapes()


def killed(folder: Path, kind: str, numbers: list[int]) -> int:
    """Kill a run at each of these points in turn; how often it was killed."""
    kills = 0
    for number in numbers:
        go_on = ["--go-on"] if (folder / "config.json").exists() else []
        ended = child(folder, kind, number, *go_on)
        assert ended.returncode in (-signal.SIGKILL, 0), ended.stderr
        kills += ended.returncode == -signal.SIGKILL
        # What is there is whole, and the metrics reach every checkpoint.
        found = Checkpoints(folder).latest(like(folder))
        if found is not None:
            assert found[0] <= whole_epochs(folder, SEEDS)
    return kills


def resume(folder: Path) -> int:
    return run.resume(CONFIG, str(folder), None, verbosity="quiet")


@pytest.mark.parametrize(
    "kind", [pytest.param("checkpoint", marks=pytest.mark.slow), "append"]
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    kind: str, uninterrupted: Path, tmp_path: Path
) -> None:
    """One kill of two kinds; the slow test has ten of each of four."""
    folder = tmp_path / "run"
    assert killed(folder, kind, [POINTS[kind][3]]) == 1
    assert resume(folder) == 0
    assert_same(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", POINTS)
def test_ten_kills(kind: str, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert killed(folder, kind, POINTS[kind]) == 10
    assert resume(folder) == 0
    assert_same(folder, uninterrupted)


@pytest.mark.slow
def test_no_room_for_a_checkpoint(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = child(folder, "room", 20_000)
    assert ended.returncode == 1
    assert (
        "the checkpoint of epoch 2 cannot be written (File too large)" in ended.stderr
    )
    assert "Traceback" not in ended.stderr
    assert Checkpoints(folder).epochs() == []
    assert resume(folder) == 0
    assert_same(folder, uninterrupted)


def test_a_disk_that_fills_up_within_a_row(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    appends = 0

    class Full:
        def __init__(self, *arguments, **options) -> None:
            self.file = open(*arguments, **options)

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            self.file.close()

        def write(self, content) -> int:
            nonlocal appends
            appends += 1
            if appends == 6:
                return self.file.write(content[:100])
            if appends == 7:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(content)

    with monkeypatch.context() as patched:
        patched.setattr(metrics, "open", Full, raising=False)
        with pytest.raises(OSError, match="No space left"):
            run.train(CONFIG, str(folder), verbosity="quiet")
    assert not (folder / "metrics.csv").read_text().endswith("\n")
    assert resume(folder) == 0
    assert_same(folder, uninterrupted)
