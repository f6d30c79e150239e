"""A whole run in this process: the folder, its rows, the table, a failing seed."""

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.runs import folder as records
from dmaml_jax.runs import training as run
from dmaml_jax.runs.metrics import read_metrics
from dmaml_jax.runs.stored import read_config, read_record
from dmaml_jax.training.program import Program

pytestmark = pytest.mark.float32
TINY = {
    "horizon": 10,
    "num_tasks": 2,
    "num_trajectories": 2,
    "hidden_sizes": (4,),
    "epochs": 7,
    "chunk_epochs": 3,
    "cpu_devices": 1,
    "threshold": 9.0,
}
HEADER = (
    "epoch,seed,env_steps,seconds,return_before,return_after,return_medium,loss,"
    "meta_grad_norm,cos_medium_meta"
)


def config(**values) -> TrainConfig:
    return configuration(**{**TINY, **values})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.train(config(seeds=3, seed=5), None) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("cartpole-directed-maml-")
    names = {path.name for path in folder.iterdir()}
    assert {name for name in names if not name.startswith(".")} == {
        "config.json",
        "metrics.csv",
        "params.npz",
        "curves.png",
        "checkpoints",
    }

    lines = (folder / "metrics.csv").read_text().splitlines()
    assert lines[0] == HEADER
    table = rows(folder)
    assert [(int(r["epoch"]), int(r["seed"])) for r in table] == [
        (epoch, seed) for epoch in range(1, 8) for seed in (5, 6, 7)
    ]
    assert all(cell != "" for row in table for cell in row.values())
    steps = np.array([int(r["env_steps"]) for r in table]).reshape(7, 3)
    # Five collections of two trajectories, each alive for 1 to 10 steps.
    per_epoch = np.diff(steps, axis=0, prepend=0)
    assert (per_epoch >= 5 * 2).all() and (per_epoch <= 5 * 2 * 10).all()
    seconds = np.array([float(r["seconds"]) for r in table]).reshape(7, 3)
    assert (np.diff(seconds[:, 0]) >= 0).all()

    kept = json.loads((folder / "config.json").read_text())
    assert kept["values"]["learner"]["inner_lr"] == 0.001
    assert kept["objective"].startswith("(II)") and "biased" in kept["objective"]
    assert kept["program"]["platform"] == "cpu"
    assert kept["program"]["matmul_precision"] == "highest"
    assert kept["versions"]["jax"]
    params = np.load(folder / "params.npz")
    assert params["seed"].tolist() == [5, 6, 7]
    assert params["Dense_0/kernel"].shape == (3, 4, 4)
    png = (folder / "curves.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 5000

    printed = capsys.readouterr().out
    assert printed.count(kept["objective"]) == 1
    assert "epochs to 9" in printed and "s compiling" in printed
    assert "params.npz" in printed


def test_the_same_configuration_gives_the_same_bits(tmp_path: Path) -> None:
    run.train(config(seeds=2), "first")
    again = read_config("first/config.json")
    assert again == config(seeds=2)
    run.train(again, "second")
    for a, b in zip(rows(Path("first")), rows(Path("second")), strict=True):
        assert {**a, "seconds": ""} == {**b, "seconds": ""}
    first, second = np.load("first/params.npz"), np.load("second/params.npz")
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_columns_that_a_learner_has_no_value_for_are_empty() -> None:
    run.train(config(algo="maml"), "maml")
    for row in rows(Path("maml")):
        assert row["return_medium"] == row["cos_medium_meta"] == ""
        assert row["loss"] != ""


@pytest.mark.slow
def test_one_compiled_function_is_called_once_per_chunk(monkeypatch) -> None:
    calls = []
    original = Program.run

    def counted(self, first_epoch, num_epochs, *more):
        calls.append((first_epoch, num_epochs, id(self._compiled)))
        return original(self, first_epoch, num_epochs, *more)

    monkeypatch.setattr(Program, "run", counted)
    run.train(config(), "counted")
    assert [call[:2] for call in calls] == [(0, 3), (3, 3), (6, 1)]
    assert len({call[2] for call in calls}) == 1


def test_no_seed_left_alive(capsys: pytest.CaptureFixture[str]) -> None:
    """A step size that overflows: said with epoch and seed, everything kept."""
    overflowing = config(
        epochs=30,
        seeds=2,
        outer_optimizer="sgd",
        outer_lr=3e38,
        baseline="none",
        normalize_advantages=False,
    )
    assert run.train(overflowing, "dead") == 1
    printed = "".join(capsys.readouterr())
    table = rows(Path("dead"))
    for seed in (1, 2):
        frozen = next(
            w for w in printed.splitlines() if w.startswith(f"seed {seed} is")
        )
        epoch = int(frozen.split("from epoch ")[1].split()[0])
        later = [r for r in table if int(r["seed"]) == seed and int(r["epoch"]) > epoch]
        assert later, "the chunk goes on after the failure"
        for row in later:
            assert all(v == "" for k, v in row.items() if k not in ("epoch", "seed"))
        at = next(
            r for r in table if r["seed"] == str(seed) and r["epoch"] == str(epoch)
        )
        assert at["env_steps"] != ""
    assert "No seed is left alive" in printed
    assert all(np.isfinite(v).all() for v in np.load("dead/params.npz").values())
    assert Path("dead/curves.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_at_the_end_of_its_chunk(number, monkeypatch, capsys):
    original = Program.run

    def interrupted(self, first_epoch, num_epochs, *more):
        metrics = original(self, first_epoch, num_epochs, *more)
        if first_epoch == 3:
            signal.raise_signal(number)
        return metrics

    monkeypatch.setattr(Program, "run", interrupted)
    before = signal.getsignal(number)
    assert run.train(config(epochs=30), "stopped") == 128 + number
    assert signal.getsignal(number) is before
    assert [int(r["epoch"]) for r in rows(Path("stopped"))] == [1, 2, 3, 4, 5, 6]
    assert "stopped after epoch 6 of 30" in capsys.readouterr().out
    assert Path("stopped/params.npz").exists() and Path("stopped/curves.png").exists()


def test_folder_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfit characters become hyphens; a taken name gets a counter."""
    names = [records.create_run_folder(None, "gymnax:A/B c", {}).name for _ in range(3)]
    assert all(name.startswith("gymnax-A-B-c-") for name in names)
    assert len(set(names)) == 3
    assert not [p for p in Path("runs").iterdir() if p.name.startswith(".")]


def test_a_folder_with_other_things_in_it_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    folder = records.create_run_folder("out", "x", {"values": {}})
    assert (folder / "notes.txt").read_text() == "mine"
    assert read_record(folder)["values"] == {}


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.csv", "params.npz", "checkpoints"]
)
def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("precious")
    with pytest.raises(UsageError, match="holds another run"):
        records.create_run_folder("out", "x", {})
    assert (tmp_path / "out" / name).read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        records.create_run_folder("file/run", "x", {})
    with pytest.raises(UsageError, match="cannot be written"):
        records.create_run_folder("file", "x", {})


def test_metrics_cut_short_are_read_as_far_as_they_are_whole() -> None:
    run.train(config(seeds=2), "cut")
    whole = read_metrics("cut")
    assert whole["loss"].shape == (7, 2)
    text = Path("cut/metrics.csv").read_text()
    Path("cut/metrics.csv").write_text(text[:-70])
    cut = read_metrics("cut")
    assert cut["loss"].shape == (6, 2)
    np.testing.assert_array_equal(cut["loss"], whole["loss"][:6])
