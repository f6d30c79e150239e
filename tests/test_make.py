"""What make hands on to the command line."""

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            ["train", "OUT=a b", "VARY=x=1 y=2"],
            ["train", "--out", "a b", "--vary", "x=1", "y=2"],
        ),
        (
            ["train", "CONFIG=it's a/run", "SEEDS=3"],
            ["train", "--config", "it's a/run", "--seeds", "3"],
        ),
        (
            ["resume", "RUN=a b", "OUT=$$c d", "EPOCHS=9"],
            ["train", "--resume", "a b", "--epochs", "9", "--out", "$c d"],
        ),
    ],
)
def test_a_path_with_spaces_is_one_value(target, expected) -> None:
    """Other values of several words stay several."""
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "-o", ".venv/.ready", *target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words == [".venv/bin/dmaml-jax", *expected]
