"""The GPU's report, on a CPU and of sizes that compile in seconds."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu import __main__ as report
from benchmarks.gpu import page, parts, profiled, programs
from benchmarks.gpu.layout import laid_out
from benchmarks.gpu.plan import DONE, Part, carry_out
from benchmarks.gpu.sizes import SMALL
from problems import quadratic

from dmaml_jax.build import learner as building
from dmaml_jax.training.chunk import train_step

pytestmark = pytest.mark.float32
ROOT = Path(__file__).parents[2]
VALUES = tuple(SMALL.values.items())
# Landers take a minute to compile: CartPole stands in for them.
TINY = dataclasses.replace(
    SMALL,
    seeds=(1,),
    many=1,
    most=1,
    landers=("cartpole",),
    lander="cartpole",
    lander_seeds=(1, 2),
)


def test_everything_is_measured_and_what_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With quadratics in place of environments, whose programs compile at once."""

    def broken(*args: Any) -> None:
        raise ValueError("no such figure\nand more")

    def learner_of(what: programs.What) -> tuple[Any, Any, Any]:
        config = what.config()
        learner = building.learner_of(config, quadratic())
        return quadratic(), *train_step(quadratic(), learner, config.sampling.num_tasks)

    monkeypatch.setattr(programs, "learner_of", learner_of)
    monkeypatch.setattr(parts.precision, "on_the_same_data", broken)
    given = argparse.Namespace(budget=600, out=tmp_path, commit="abc", profile=True)
    record = report.measured(given, TINY, {"GPU tests": "not run"})
    status = {name: part["status"] for name, part in record["parts"].items()}
    assert status.pop("precision") == "failed: ValueError: no such figure"
    assert set(status.values()) == {DONE}
    text = (tmp_path / "gpu.md").read_text()
    for name, part in record["parts"].items():
        assert part["data"] and f"## {name[0].upper()}{name[1:]}\n" in text
    assert "- precision: failed: ValueError: no such figure" in text
    assert "- commit: abc" in text
    assert "why" not in json.dumps(record["parts"]["lander epochs"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]
    written = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert written.keys() == record["parts"].keys()
    (row,) = written["precision"]["data"]["rows"]
    assert row["difference"][1] == 0 < row["noise"][1]  # TF32 is a GPU's alone
    assert [point[0] for point in written["curve"]["data"]["points"]] == [1, 2, 3, 4]


@pytest.mark.slow
def test_nobody_terminates_in_a_full_epoch() -> None:
    """(1 + 2M)·K·H steps of each seed, and the time is that of one epoch."""
    program = programs.Epochs(programs.What(full=True, values=VALUES), 2)
    program.prepare(program.lower().compile())
    took, metrics = program.run(0, 2)
    assert metrics["env_steps"].tolist() == [[(1 + 2 * 2) * 2 * 10] * 2] * 2
    program.warm_up()
    sample = program()
    assert sample.env_steps == 2 * (1 + 2 * 2) * 2 * 10
    assert 0 < sample.seconds < took * 10


def test_a_part_that_fails_and_the_end_of_the_budget() -> None:
    """The rest goes on; a part is stopped between two results, later ones are named."""
    record: dict[str, Any] = {}
    written = []

    def failing(until: float) -> Iterator[int]:
        yield 1
        raise MemoryError("out of\nmemory")

    def waiting(until: float) -> Iterator[int]:
        for count in range(100):
            time.sleep(0.05)
            yield count

    def compiling(until: float) -> Iterator[float]:
        yield until

    end = time.monotonic() + 2.2
    plan = [
        Part("wave", 1, compiling, compiles=True),
        Part("failing", 0.5, failing),
        Part("waiting", 0.25, waiting),
        Part("other wave", 1, compiling, compiles=True),
        Part("last", 1, waiting),
    ]
    carry_out(plan, end, record, lambda: written.append(json.dumps(record)))
    # A wave leaves room for the parts that it compiles for.
    assert record["wave"]["data"] == pytest.approx(end - 0.75)
    assert record["failing"]["status"] == "failed: MemoryError: out of"
    assert record["failing"]["data"] == 1
    assert record["waiting"]["status"] == "cut short: the budget ended"
    assert 0 < record["waiting"]["data"] < 60
    assert time.monotonic() < end + 1
    for name in ("other wave", "last"):
        assert record[name]["status"].startswith("not measured")
    # Whoever kills the run finds what it had reached, and what not.
    assert '"last": {"status": "not measured' in written[0]


def test_seeds_at_twice_the_time() -> None:
    """Between two points by a straight line of logarithms."""
    assert page.seeds_at_twice([(1, 1.0), (16, 1.0), (64, 4.0)]) == pytest.approx(32)
    assert page.seeds_at_twice([(1, 1.0), (64, 1.5)]) == 64
    assert page.seeds_at_twice([(4, 1.0), (16, 1.5)]) is None


def test_kernels_are_those_of_streams() -> None:
    """A GPU's plane tells the same time several times over; its streams count."""

    class Named:
        def __init__(self, name: str, **values: Any) -> None:
            self.name = name
            self.__dict__.update(values)

    event = Named("fusion", duration_ns=2e9)
    lines = [Named("Stream #7", events=[event] * 2), Named("XLA Ops", events=[event])]
    planes = [Named("/host:CPU", lines=lines), Named("/device:GPU:0", lines=lines)]
    assert profiled._durations(Named("", planes=planes)) == {"fusion": (2, 4.0)}


def test_a_program_that_does_not_fit_is_a_line_of_its_table() -> None:
    def fails(program: Any) -> dict[str, Any]:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory | 3 GiB\nstack")

    class Ready:
        def why_not(self) -> None:
            return None

    why = parts._tried(Ready(), fails)["why"]
    assert why == "RuntimeError: RESOURCE_EXHAUSTED: Out of memory / 3 GiB"


@pytest.mark.skipif(report.has_nvidia(), reason="a GPU is here")
def test_without_a_gpu_it_says_what_it_would_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.gpu", "--out", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("no GPU here") and done.stdout.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_the_layout_is_the_installed_package(tmp_path: Path) -> None:
    """For an interpreter of one's own: envs within the package, its data with it."""
    laid_out(tmp_path / "site", None)
    before = os.environ.get("PYTHONPATH", "")
    code = "import dmaml_jax.envs.lunar_lander as lander; print(lander.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{before}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "site")
    assert (tmp_path / "site/dmaml_jax/report/assets/page.js").is_file()
