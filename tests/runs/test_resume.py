"""A run that was stopped goes on, and ends as one that was not, to the bit."""

import csv
import json
import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.build import configuration, program
from dmaml_jax.cli import main
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.runs import training as run
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.locks import locked
from dmaml_jax.runs.stored import read_config
from dmaml_jax.training import devices
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.program import Program

pytestmark = pytest.mark.float32
TINY = {
    "algo": "directed-meta-sgd",
    "horizon": 10,
    "num_tasks": 2,
    "num_trajectories": 2,
    "hidden_sizes": (4,),
    "epochs": 10,
    "chunk_epochs": 3,
    "checkpoint_every": 4,
    "seeds": 3,
    "cpu_devices": 1,
    "threshold": 9.0,
}


def config(**values) -> TrainConfig:
    return configuration(**{**TINY, **values})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # JAX runs already in this process, and cannot be set up again.
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run.train(config(), str(folder), verbosity="quiet") == 0
    return folder


def rows(folder: Path | str) -> list[dict[str, str]]:
    """metrics.csv without the one column that may differ."""
    with open(Path(folder) / "metrics.csv", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def assert_same_run(folder: Path | str, other: Path | str) -> None:
    assert rows(folder) == rows(other)
    first, second = (np.load(Path(f) / "params.npz") for f in (folder, other))
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    last = [Checkpoints(Path(f)).epochs()[-1] for f in (folder, other)]
    assert last[0] == last[1]


def stop_after(epoch: int, monkeypatch: pytest.MonkeyPatch, out: str, **values) -> None:
    original = Program.run

    def interrupted(self, first_epoch, num_epochs, *more):
        metrics = original(self, first_epoch, num_epochs, *more)
        if first_epoch + num_epochs >= epoch:
            signal.raise_signal(signal.SIGTERM)
        return metrics

    with monkeypatch.context() as patched:
        patched.setattr(Program, "run", interrupted)
        assert run.train(config(**values), out) == 128 + signal.SIGTERM


def resumed(folder: str, **options) -> int:
    return run.resume(read_config(folder), folder, None, **options)


def test_checkpoints_are_due_every_so_many_epochs(uninterrupted: Path) -> None:
    names = sorted(path.name for path in (uninterrupted / "checkpoints").iterdir())
    assert names == ["10", "4", "8"]
    epochs = [row["epoch"] for row in rows(uninterrupted)]
    assert epochs == [str(e) for e in range(1, 11) for _ in range(3)]


def test_a_stopped_run_goes_on_to_the_same_bits(uninterrupted, monkeypatch, capsys):
    stop_after(5, monkeypatch, "stopped")
    said = capsys.readouterr().out
    assert "dmaml-jax train --resume stopped" in said
    assert Checkpoints(Path("stopped")).epochs()[-1] == 7
    assert resumed("stopped") == 0
    assert "going on after epoch 7 of 10" in capsys.readouterr().out
    assert_same_run("stopped", uninterrupted)
    kept = json.loads(Path("stopped/config.json").read_text())
    assert len(kept["resumed"]) == 1 and kept["resumed"][0]["versions"]["jax"]


@pytest.mark.slow
def test_a_replay_is_in_the_checkpoint(monkeypatch) -> None:
    """PEARL learns from what it lived before it was stopped, and writes films after."""
    values = {
        "env": "point",
        "algo": "pearl",
        "bank_tasks": 4,
        "gradient_steps": 3,
        "tasks_per_step": 2,
        "batch_size": 4,
        "context_size": 4,
        "posterior_trajectories": 1,
        "replay_capacity": 60,
        "seeds": 2,
    }
    assert run.train(config(**values), "whole", verbosity="quiet") == 0
    stop_after(5, monkeypatch, "stopped", **values)
    assert resumed("stopped") == 0
    assert_same_run("stopped", "whole")
    assert main(["evaluate", "whole", "--steps", "2", "--tasks", "3"]) == 0
    assert main(["render", "whole", "--fps", "5"]) == 0
    assert main(["report", "whole"]) == 0
    assert main(["compare", "whole", "stopped"]) == 0
    assert main(["export", "whole"]) != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"algo": "promp", "kl_schedule": "adaptive"},
        {"algo": "imaml", "num_inner_steps": 2},
        {"algo": "directed-sharp-maml", "sharpness": "both"},
        {"algo": "maml2", "warm_up_epochs": 3, "sort_every": 4, "bank_tasks": 6},
        {"algo": "maml", "outer_optimizer": "trust-region"},
        {"algo": "sg-mrl", "outer_optimizer": "trust-region", "method": "ac"},
    ],
    ids=lambda values: "-".join(map(str, values.values())),
)
def test_a_run_of_any_learner_goes_all_the_way(values, monkeypatch, capsys) -> None:
    """Stopped, resumed to equal bits, measured, exported, shown and compared."""
    values = {**values, "seeds": 2}
    assert run.train(config(**values), "whole", verbosity="quiet") == 0
    stop_after(5, monkeypatch, "stopped", **values)
    assert resumed("stopped") == 0
    assert_same_run("stopped", "whole")
    capsys.readouterr()
    assert main(["evaluate", "whole", "--steps", "2", "--tasks", "3"]) == 0
    assert main(["export", "whole", "--steps", "1", "--task", "gravity=6"]) == 0
    assert main(["report", "whole"]) == 0
    assert main(["compare", "whole", "stopped"]) == 0


def test_a_finished_run_says_so(uninterrupted, capsys) -> None:
    before = (uninterrupted / "config.json").read_bytes()
    assert resumed(str(uninterrupted)) == 0
    assert "is finished" in capsys.readouterr().out
    assert (uninterrupted / "config.json").read_bytes() == before


def test_without_a_checkpoint_it_begins_again(uninterrupted, capsys) -> None:
    shutil.copytree(uninterrupted, "early")
    shutil.rmtree("early/checkpoints")
    for name in ("params.npz", "curves.png"):
        Path("early", name).unlink()
    text = Path("early/metrics.csv").read_text()
    Path("early/metrics.csv").write_text(text[: len(text) // 3])
    assert resumed("early") == 0
    assert "going on after epoch 0" in capsys.readouterr().out
    assert_same_run("early", uninterrupted)


@pytest.mark.parametrize(
    "damage", ["flipped", "cut", pytest.param("gone", marks=pytest.mark.slow)]
)
def test_a_damaged_checkpoint_is_passed_over(
    uninterrupted, capsys, damage: str
) -> None:
    shutil.copytree(uninterrupted, "damaged")
    files = [p for p in Path("damaged/checkpoints/10").rglob("*") if p.is_file()]
    victim = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flipped":
        victim.write_bytes(content)
    elif damage == "cut":
        victim.write_bytes(content[: len(content) // 2])
    else:
        victim.unlink()
    # As a run that was killed before it could tell that it was done.
    text = Path("damaged/metrics.csv").read_text().splitlines(keepends=True)
    Path("damaged/metrics.csv").write_text("".join(text[:-1]))
    shutil.copytree("damaged/checkpoints/10", "damaged/checkpoints/9")
    assert resumed("damaged") == 0
    printed = capsys.readouterr()
    assert "The checkpoint of epoch 9 is damaged" in printed.err
    assert "going on after epoch 8" in printed.out
    assert_same_run("damaged", uninterrupted)


@pytest.mark.slow
def test_a_checkpoint_that_the_metrics_do_not_reach_is_not_used(
    uninterrupted, capsys
) -> None:
    shutil.copytree(uninterrupted, "short")
    lines = Path("short/metrics.csv").read_text().splitlines(keepends=True)
    Path("short/metrics.csv").write_text("".join(lines[: 1 + 3 * 7 + 2]) + "8,3,12")
    assert resumed("short") == 0
    printed = capsys.readouterr()
    assert "going on after epoch 4" in printed.out
    assert "Later checkpoints are kept as 8.aside, 10.aside" in printed.err
    assert Path("short/checkpoints/8.aside/state").is_dir()
    assert_same_run("short", uninterrupted)


def contents(folder: str) -> dict[str, bytes]:
    """Every file of a run but the lock, which whoever looks at it writes."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files if path.name != ".lock"}


@pytest.mark.parametrize("damage", ["gone", "mark", "header", "checkpoints"])
def test_a_run_never_begins_anew_over_an_old_one(
    uninterrupted, capsys, damage: str
) -> None:
    """Whole checkpoints without metrics.csv, or the other way round: refused."""
    shutil.copytree(uninterrupted, "old")
    metrics = Path("old/metrics.csv")
    text = metrics.read_text()
    if damage == "gone":
        metrics.unlink()
    elif damage == "mark":
        metrics.write_text("\ufeff" + text)
    elif damage == "header":
        metrics.write_text(text.replace("return_after", "return", 1))
    else:
        for path in Path("old/checkpoints").glob("*/sha256.json"):
            path.write_text("{}")
    before = contents("old")
    assert main(["train", "--resume", "old", "--epochs", "12"]) == 2
    said = capsys.readouterr().err
    assert "old holds checkpoints of epoch 4, 8, 10, and none can be gone on" in said
    assert "dmaml-jax train --config old --out old-again" in said
    assert ("metrics.csv" in said) == (damage != "checkpoints")
    assert contents("old") == before


def test_a_finished_run_whose_last_checkpoint_is_damaged_finishes_again(
    uninterrupted, capsys
) -> None:
    shutil.copytree(uninterrupted, "damaged")
    Path("damaged/checkpoints/10/sha256.json").write_text("{}")
    assert resumed("damaged") == 0
    printed = capsys.readouterr()
    assert "The checkpoint of epoch 10 is damaged" in printed.err
    assert "going on after epoch 8 of 10" in printed.out
    assert_same_run("damaged", uninterrupted)


def test_new_checkpoints_are_not_pruned_for_later_ones_that_were_set_aside(
    uninterrupted,
) -> None:
    shutil.copytree(uninterrupted, "pruned")
    for epoch in (8, 10):
        Path(f"pruned/checkpoints/{epoch}/sha256.json").write_text("{}")
    shorter = read_config("pruned").replace(keep_checkpoints=1)
    assert run.resume(shorter, "pruned", None, verbosity="quiet") == 0
    assert Checkpoints(Path("pruned")).epochs() == [10]
    assert Checkpoints(Path("pruned")).latest(shapes_of("pruned"))[0] == 10


def shapes_of(folder: str):
    return program.program_of(read_config(folder)).shapes()


def test_more_epochs_go_on_and_count_as_one_run(uninterrupted, capsys) -> None:
    assert main(["train", "--resume", str(uninterrupted), "--epochs", "9"]) == 2
    assert "--epochs is 9, but the run has 10" in capsys.readouterr().err
    longer = config(epochs=14)
    assert run.resume(longer, str(uninterrupted), "longer", verbosity="quiet") == 0
    assert capsys.readouterr().out == ""
    assert run.train(config(epochs=14), "at-once", verbosity="quiet") == 0
    assert_same_run("longer", "at-once")
    kept = json.loads(Path("longer/config.json").read_text())
    assert kept["values"]["run"]["epochs"] == 14
    assert len(rows(uninterrupted)) == 30
    with pytest.raises(UsageError, match="is not empty"):
        run.resume(longer, str(uninterrupted), "longer")


def test_a_changed_configuration_is_refused(uninterrupted, capsys) -> None:
    arguments = ["train", "--resume", str(uninterrupted)]
    assert main([*arguments, "--inner-lr", "0.5", "--seeds", "4"]) == 2
    said = capsys.readouterr().err
    assert "--seeds, --inner-lr would change it" in said and said.count("\n") == 1
    shutil.copytree(uninterrupted, "cosine")
    kept = json.loads(Path("cosine/config.json").read_text())
    kept["values"]["learner"]["outer_schedule"] = "cosine"
    Path("cosine/config.json").write_text(json.dumps(kept))
    assert main(["train", "--resume", "cosine", "--epochs", "20"]) == 2
    assert "--outer-schedule cosine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume", "nowhere"], "--resume nowhere cannot be read"),
        (["--resume", ".", "--config", "x"], "leave --config out"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, capsys) -> None:
    assert main(["train", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_second_process_is_refused(uninterrupted) -> None:
    with locked(uninterrupted), pytest.raises(UsageError, match="Another process"):
        run.resume(config(epochs=12), str(uninterrupted), None)


def test_another_version_or_layout_is_said(uninterrupted, capsys) -> None:
    shutil.copytree(uninterrupted, "old")
    kept = json.loads(Path("old/config.json").read_text())
    kept["versions"]["jax"] = "0.4.1"
    kept["program"]["seeds_per_device"] = 7
    Path("old/config.json").write_text(json.dumps(kept))
    shutil.rmtree("old/checkpoints/10")
    assert resumed("old", verbosity="quiet") == 0
    said = capsys.readouterr().err
    assert "with jax 0.4.1" in said and "seeds_per_device 7 -> " in said
    assert_same_run("old", uninterrupted)


def failing_from_epoch_5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss is NaN in the fifth epoch of seeds whose first weight is positive."""

    def failing_step(problem, learner, num_tasks):
        init, step = train_step(problem, learner, num_tasks)

        def failing(key, state):
            new, info = step(key, state)
            first = jax.tree.leaves(state.params)[1].ravel()[0]
            fails = (state.epoch == 4) & (first > 0)
            return new, info._replace(loss=jnp.where(fails, jnp.nan, info.loss))

        return init, failing

    monkeypatch.setattr(program, "train_step", failing_step)


def test_a_seed_that_fails_is_frozen_or_stops_the_run(monkeypatch, capsys) -> None:
    failing_from_epoch_5(monkeypatch)
    values = {"algo": "maml", "seeds": 4}
    stopping = config(**values, on_nan="stop", checkpoint_every=2, keep_checkpoints=9)
    assert run.train(stopping, "stop") == 1
    said = capsys.readouterr()
    assert "no longer finite at epoch 5; the last good checkpoint is" in said.err
    assert "stop/checkpoints/4, of epoch 4" in said.err
    assert Checkpoints(Path("stop")).epochs() == [2, 4]

    assert run.train(config(**values), "freeze") == 0
    said = capsys.readouterr()
    frozen = [line.split()[1] for line in said.err.splitlines() if "is frozen" in line]
    assert 0 < len(frozen) < 4
    for row in rows("freeze"):
        empty = all(row[name] == "" for name in row if name not in ("epoch", "seed"))
        assert empty == (row["seed"] in frozen and int(row["epoch"]) > 5)
    assert said.out.count("frozen at epoch 5") == len(frozen)

    # A seed stays frozen, and its empty rows stay, when the run goes on.
    shutil.copytree("freeze", "again")
    shutil.rmtree("again/checkpoints/10")
    assert resumed("again", verbosity="quiet") == 0
    assert_same_run("again", "freeze")
