"""What surrounds a process: settings of JAX, the locale, the home folder, caches.

Each of them works, or is told in one sentence with exit code 2.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "jax"
TINY = (
    "train --num-tasks 2 --num-trajectories 3 --horizon 30 --hidden-sizes 8 "
    "--cpu-devices 1 --epochs 2 --out"
).split()
NO_LOCALE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def done(
    *arguments: str, cwd: Path, code: str = "", without: tuple[str, ...] = (), **given
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with variables of its own.

    Args:
        *arguments: after the program's name.
        cwd: where it runs.
        code: Python that is run before it.
        without: variables that are not set.
        **given: variables that are.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    start = f"import sys; {code or 'pass'}; from dmaml_jax.cli import main; "
    return subprocess.run(
        [sys.executable, "-c", f"{start}sys.exit(main())", *arguments],
        cwd=cwd,
        env={**kept, "JAX_COMPILATION_CACHE_DIR": str(CACHE), **given},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (TINY, {"JAX_PLATFORMS": "cuda"}, "JAX_PLATFORMS is 'cuda', and JAX finds no"),
        (TINY, {"JAX_PLATFORMS": "none"}, "JAX_PLATFORMS is 'none', and JAX finds no"),
        (TINY, {"JAX_DISABLE_JIT": "1"}, "JAX_DISABLE_JIT is set"),
        (TINY, {"JAX_ENABLE_X64": "maybe"}, "JAX does not take JAX_ENABLE_X64=maybe"),
        (
            ["envs", "point"],
            {"JAX_NUM_CPU_DEVICES": "two"},
            "JAX does not take JAX_NUM_CPU_DEVICES=two",
        ),
        (TINY, NO_LOCALE, "is not text in this locale"),
    ],
)
def test_what_cannot_work_is_one_sentence(arguments, given, words, tmp_path) -> None:
    out = [*arguments, "ü"] if arguments is TINY else arguments
    ended = done(*out, cwd=tmp_path, **given)
    (sentence,) = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert sentence.startswith("error: ") and words in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_debugging_aids_and_an_ascii_terminal_change_nothing(tmp_path: Path) -> None:
    aids = {
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_DEBUG_NANS": "1",
        "JAX_TRANSFER_GUARD": "disallow",
        "PYTHONIOENCODING": "ascii",
    }
    plain = done(*TINY, "plain", cwd=tmp_path)
    aided = done(*TINY, "ü", cwd=tmp_path, **aids)
    assert (plain.returncode, plain.stderr) == (aided.returncode, aided.stderr)
    assert aided.returncode == 0 and "run folder: \\xfc" in aided.stdout
    rows = [
        [
            line.split(",")
            for line in (tmp_path / name / "metrics.csv").read_text().splitlines()
        ]
        for name in ("plain", "ü")
    ]
    for one, two in zip(*rows, strict=True):
        assert one[:3] + one[4:] == two[:3] + two[4:]
    # What reads runs needs no device, and shows any name.
    (tmp_path / "ü").rename(tmp_path / "_$x_{$ü")
    for command in ("compare", "report"):
        both = ("plain", "_$x_{$ü", "--out", ".")
        shown = done(command, *both, cwd=tmp_path, JAX_PLATFORMS="cuda", **aids)
        assert (shown.returncode, shown.stderr) == (0, ""), shown
        assert "_$x_{$\\xfc" in shown.stdout


@pytest.mark.parametrize(
    ("code", "without", "given", "words"),
    [
        (
            "import pwd; pwd.getpwuid = lambda number: {}[number]",
            ("HOME", "XDG_CACHE_HOME"),
            {"JAX_COMPILATION_CACHE_DIR": ""},
            "the user's cache folder cannot be written",
        ),
        ("", (), {"JAX_COMPILATION_CACHE_DIR": "file"}, "file cannot be written"),
        (
            "",
            (),
            {"JAX_COMPILATION_CACHE_DIR": "", "XDG_CACHE_HOME": "file"},
            "file/dmaml_jax cannot be written",
        ),
    ],
)
def test_without_a_cache_it_is_said_and_goes_on(
    code, without, given, words, tmp_path: Path
) -> None:
    """As far as the first wrong value, which is what it ends with."""
    (tmp_path / "file").touch()
    arguments = ("estimators", "--horizon", "1", "--out", "file")
    ended = done(*arguments, cwd=tmp_path, code=code, without=without, **given)
    # Matplotlib tells of its own folder too.
    lines = ended.stderr.splitlines()
    note, error = (line for line in lines if line.startswith(("note: ", "error: ")))
    assert "Traceback" not in ended.stderr
    assert note.startswith("note: compiled programs are not kept") and words in note
    assert error.startswith("error: ") and "cannot be written" in error
    assert ended.returncode == 2


@pytest.mark.slow
def test_a_resumed_run_keeps_how_its_numbers_were_made(tmp_path: Path) -> None:
    """Random numbers and precision are the run's, whatever is set when it goes on."""
    other = {
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_DEFAULT_MATMUL_PRECISION": "float32",
    }
    whole = [*TINY[:-2], "4", "--out"]
    assert TINY[-3:] == ["--epochs", "2", "--out"]
    assert done(*whole, "whole", cwd=tmp_path, **other).returncode == 0
    assert done(*TINY, "parts", cwd=tmp_path, **other).returncode == 0
    ended = done("train", "--resume", "parts", "--epochs", "4", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert done(*whole, "default", cwd=tmp_path).returncode == 0
    rows = {
        name: [
            [*cells[:3], *cells[4:]]
            for line in (tmp_path / name / "metrics.csv").read_text().splitlines()
            for cells in [line.split(",")]
        ]
        for name in ("whole", "parts", "default")
    }
    assert len(rows["whole"]) == 5 and rows["parts"] == rows["whole"]
    assert rows["default"] != rows["whole"]
    program = json.loads((tmp_path / "parts" / "config.json").read_text())["program"]
    assert program["threefry_partitionable"] is False
    assert program["default_matmul_precision"] == "float32"


def test_closed_streams_cost_nothing(tmp_path: Path) -> None:
    shell = ["sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "-m", "dmaml_jax"]
    assert subprocess.run([*shell, "envs"], cwd=tmp_path, timeout=60).returncode == 0
