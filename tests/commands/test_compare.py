"""Runs side by side, from run folders written by hand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dmaml_jax.cli import main
from dmaml_jax.results.curves import on_grid, read_runs, summarise
from dmaml_jax.runs.metrics import COLUMNS
from dmaml_jax.statistics import ema

EPOCHS = 30


def write_run(folder: Path, returns: np.ndarray, first_seed: int = 1, **values) -> Path:
    """A folder as a run leaves it: 100 steps and half a second per epoch."""
    folder.mkdir(parents=True)
    seeds = range(first_seed, first_seed + returns.shape[1])
    values = {"seed": first_seed, "seeds": len(seeds), "threshold": 10.0, **values}
    (folder / "config.json").write_text(json.dumps({"values": values}))
    lines = [",".join(COLUMNS)]
    for epoch, row in enumerate(returns, start=1):
        for seed, value in zip(seeds, row, strict=True):
            if np.isfinite(value):
                cells = [epoch, seed, 100 * epoch, epoch / 2, value, value]
                lines.append(",".join([*map(str, cells), *[""] * 4]))
            else:
                lines.append(f"{epoch},{seed}" + "," * 8)
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rising(speed: float, spread: float, seeds: int = 4) -> np.ndarray:
    noise = spread * np.array([-1.0, 1.0, 0.5, -0.5])[:seeds]
    return speed * np.arange(1, EPOCHS + 1)[:, None] + noise


def test_numbers_of_a_pair(tmp_path: Path) -> None:
    slow = write_run(tmp_path / "slow", rising(1.0, 0.2))
    fast = write_run(tmp_path / "fast", rising(2.0, 0.3))
    runs = read_runs([slow, fast])
    first, second = summarise(runs, 10.0)
    assert first.label == "slow" and first.final_difference is None
    smoothed = ema(rising(1.0, 0.2))
    np.testing.assert_array_equal(runs[0].smoothed, smoothed)
    reached = np.argmax(smoothed >= 10, axis=0) + 1
    assert first.reached == 4
    assert first.to_threshold["epochs"] == np.median(reached)
    assert first.to_threshold["steps"] == 100 * np.median(reached)
    assert first.to_threshold["seconds"] == np.median(reached) / 2
    difference = (ema(rising(2.0, 0.3)) - smoothed)[-1]
    assert second.pairs == 4 and second.final_difference is not None
    np.testing.assert_allclose(second.final_difference.value, difference.mean())
    assert second.final_difference.low < difference.mean()
    # Four seeds above four others: far from certain.
    assert second.improvement == pytest.approx((1.0, 0.5823, 1.0), abs=1e-4)


def test_seeds_that_never_arrive_or_freeze_are_counted(tmp_path: Path) -> None:
    returns = rising(1.0, 0.0)
    returns[:, 0] = 0.0
    returns[20:, 1] = np.nan
    (row,) = summarise(read_runs([write_run(tmp_path / "a", returns)]), 15.0)
    assert (row.seeds, row.alive, row.reached) == (4, 3, 2)
    # Two of four got there: the median lies between a number and never.
    assert row.to_threshold["epochs"] == np.inf
    grid, mean, _, _ = on_grid(read_runs([tmp_path / "a"])[0], "steps")
    assert grid[0] == 100 and grid[-1] == 3000 and np.isfinite(mean).all()


def test_the_command(tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "maml", rising(1.0, 0.2))
    write_run(tmp_path / "same", rising(1.0, -0.2))
    write_run(tmp_path / "other", rising(2.0, 0.3, 2), first_seed=9)
    for x in ("epochs", "steps", "seconds"):
        assert main(["compare", "maml", "same", "other", "--x", x]) == 0
    printed = capsys.readouterr().out
    assert "same against maml (4 matching seeds): the difference" in printed
    assert "is not significant" in printed
    assert "other against maml: fewer than two seeds match" in printed
    assert Path("comparison.png").stat().st_size > 10_000
    with open("comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # Of four seeds the middle two count. In 13 of 256 resamples they are both the least
    # one, drawn three times or more: the interval goes from the least to the greatest.
    ends = np.sort(ema(rising(1.0, 0.2))[-1])
    np.testing.assert_allclose(
        [float(rows[0][name]) for name in ("final", "final_low", "final_high")],
        [ends[1:3].mean(), ends[0], ends[3]],
    )
    assert f"{ends[1:3].mean():.1f} [{ends[0]:.1f}, {ends[3]:.1f}]" in printed
    assert [row["run"] for row in rows] == ["maml", "same", "other"]
    assert [row["seeds"] for row in rows] == ["4", "4", "2"]
    own = np.argmax(ema(rising(1.0, 0.2)) >= 10, axis=0) + 1
    assert float(rows[0]["median_steps_to_threshold"]) == 100 * np.median(own)
    assert rows[0]["final_difference"] == "" and rows[2]["pairs"] == "0"


def test_labels_tell_runs_apart(tmp_path: Path) -> None:
    for name in ("a/run", "b/run"):
        write_run(tmp_path / name, rising(1.0, 0.1))
    labels = [run.label for run in read_runs(["a/run", "b/run", "a/run"])]
    assert labels == ["a/run", "b/run", "a/run (again)"]


def test_what_cannot_be_compared_is_said(tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "cart", rising(1.0, 0.1, 1))
    write_run(tmp_path / "longer", rising(1.0, 0.1)[:20], env="point")
    assert main(["compare", "cart", "longer"]) == 0
    printed = capsys.readouterr().out
    assert "different environments" in printed and "numbers of epochs" in printed
    assert "a single seed has no interval" in printed


def test_what_differs_is_said_before_the_verdict(tmp_path: Path, capsys) -> None:
    """The tasks and the budget, each with both values; what is compared is not."""
    same = {"algo": "maml", "held_out": 0.0}
    write_run(tmp_path / "a", rising(1.0, 0.1), **same)
    write_run(tmp_path / "b", rising(1.0, 0.2), **{**same, "inner_lr": 0.5})
    other = {"vary": ["gravity=5,30"], "horizon": 50, "held_out": 0.5}
    write_run(tmp_path / "c", rising(1.0, 0.3), **{**same, **other})
    write_run(tmp_path / "d", rising(1.0, 0.3), num_trajectories=3, algo="maml")
    write_run(tmp_path / "e", rising(1.0, 0.3), env="point", algo="maml")
    assert main(["compare", "a", "b", "c", "d", "e"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if " a" in line]
    verdicts = [
        line.partition(":")[0]
        for line in said
        if not line.startswith(("note", "wrote"))
    ]
    assert verdicts == [
        "b against a (4 matching seeds)",
        "c and a",
        "c against a (4 matching seeds)",
        "d and a",
        "d against a (4 matching seeds)",
        "e and a",
        "e and a",
    ], said
    assert said[1] == (
        "c and a: their returns do not compare, as the tasks are others: --vary is "
        "gravity=5,30 and gravity=5:15; --held-out is 0.5 and 0.0; --horizon is 50 and "
        "200."
    )
    assert said[3].endswith("or an adaptation: --num-trajectories is 3 and 10.")
    assert "--env is point and cartpole" in said[5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to compare"),
        (["nowhere"], "nowhere cannot be read"),
        (["empty"], "empty holds no finished epoch"),
        (["empty", "--threshold", "nan"], "--threshold is nan"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "empty", np.zeros((0, 2)))
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_two_living_pairs_are_not_told_as_ten(tmp_path: Path, capsys) -> None:
    """Most seeds of one run are frozen: said, and lost in P(better)."""
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(EPOCHS, 10)), 5 + rng.normal(size=(EPOCHS, 10))
    high[3:, 2:] = np.nan
    runs = [write_run(tmp_path / name, x) for name, x in (("a", low), ("b", high))]
    assert main(["compare", *map(str, runs)]) == 0
    said = capsys.readouterr().out
    assert "(10 matching seeds, 2 of them alive in both)" in said
    _, second = summarise(read_runs(runs), None)
    assert second.living_pairs == 2 and second.pairs == 10
    assert second.improvement is not None
    assert second.improvement.value == pytest.approx(0.2)
