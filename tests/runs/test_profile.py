"""A profiled run is the same run, with a trace and a table beside it."""

import csv
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from dmaml_jax import cli
from dmaml_jax.build import configuration
from dmaml_jax.learners.parts import PARTS
from dmaml_jax.runs import training
from dmaml_jax.runs.metrics import read_metrics
from dmaml_jax.training import devices

pytestmark = pytest.mark.float32

SMALL = {
    "horizon": 20,
    "num_tasks": 2,
    "num_trajectories": 3,
    "hidden_sizes": (8,),
    "epochs": 8,
    "chunk_epochs": 4,
    "cpu_devices": 1,
}


@pytest.fixture(autouse=True)
def named_anew() -> Iterator[None]:
    """Programs of a cache that was filled before their parts had names do not count."""
    name = "jax_compilation_cache_include_metadata_in_key"
    before = getattr(jax.config, name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


@pytest.mark.slow
def test_a_profiled_run_is_the_same_run(tmp_path: Path, capsys) -> None:
    config = configuration(**SMALL)
    for name in ("plain", "traced"):
        folder, profile = str(tmp_path / name), name == "traced"
        assert training.train(config, folder, profile=profile) == 0
    one, other = (read_metrics(tmp_path / name) for name in ("plain", "traced"))
    for name in one:
        assert name == "seconds" or (one[name] == other[name]).all()
    traced = tmp_path / "traced"
    assert list(traced.glob("profile/plugins/profile/*/perfetto_trace.json.gz"))
    with open(traced / "profile.csv", newline="") as file:
        table = {
            row["what"].strip(): float(row["value"]) for row in csv.DictReader(file)
        }
    parts = [table[name.replace("_", " ")] for name in PARTS]
    assert min(parts) > 0
    whole = sum(parts) + table["other"] + table["host"]
    assert whole == pytest.approx(table["an epoch"], rel=1e-9)
    # Two collections of two tasks by three, of eight hidden units, a step or more each.
    assert table["FLOP of matrix products"] > 2 * 12 * (4 * 8 + 8 * 2)
    assert table["roofline at that intensity"] <= table["a large matrix product"]
    assert "second order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--epochs 2", "--profile takes 3 epochs"),
        ("--dry-run", "leave one of them out"),
        ("--distributed", "--profile looks at one process"),
    ],
)
def test_what_cannot_be_profiled_is_said(
    flags: str, words: str, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)
    assert cli.main(["train", "--profile", *flags.split()]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())
