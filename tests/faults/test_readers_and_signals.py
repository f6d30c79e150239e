"""Real processes whose readers leave, and that get signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cli import environment

from dmaml_jax.runs.checkpoint import Checkpoints

TINY = (
    "--num-tasks 2 --num-trajectories 3 --horizon 30 --hidden-sizes 8 --cpu-devices 1"
).split()


def started(*arguments: str, **options) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dmaml_jax", *arguments],
        env=environment(),
        text=True,
        **options,
    )


def test_a_reader_that_leaves_costs_nothing(tmp_path: Path) -> None:
    """As `| head -1` does: the run goes on to its end, and says that it did."""
    with started(
        *("train", *TINY, "--epochs", "60", "--out", str(tmp_path / "run")),
        *("--verbosity", "verbose", "--chunk-epochs", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(timeout=300) == 0
        assert run.stderr.read() == ""
    assert (tmp_path / "run" / "params.npz").is_file()
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 61


def test_a_list_whose_reader_leaves_ends_well() -> None:
    with started("envs", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.close()
        assert listing.wait(timeout=60) == 0
        assert listing.stderr.read() == ""


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_first_signal_is_answered_and_what_a_second_promises_is_true(
    tmp_path: Path, number: signal.Signals
) -> None:
    """In the middle of a long chunk."""
    folder = tmp_path / "run"
    # A process whose parent ignores a signal ignores it too, and under nohup that is
    # SIGHUP; one whose parent has a handler begins with the default.
    before = signal.signal(number, lambda *_: None)
    with started(
        *("train", *TINY, "--epochs", "1000000", "--out", str(folder)),
        *("--chunk-epochs", "1000000", "--checkpoint-every", "1000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as run:
        signal.signal(number, before)
        assert run.stderr is not None
        while not Checkpoints(folder).epochs():
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(number)
        said = run.stderr.readline()
        assert said.startswith(f"{number.name}: finishing the chunk of epochs")
        run.send_signal(number)
        rest = run.stderr.read()
        assert run.wait(timeout=60) == 128 + number
    last = Checkpoints(folder).epochs()[-1]
    # The chunk may have ended before the second signal came.
    assert not rest or f"goes on after epoch {last}, the last checkpoint" in rest
