"""Studies: what is missing is trained, nothing twice, and a kill changes no table."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from studies_of_tests import TOY, toy_study

from dmaml_jax.statistics import Interval
from experiments.engine.command import run
from experiments.engine.declared import Block, Choice, Run
from experiments.engine.gathering import converged, episodes_of, steadiness
from experiments.engine.measured import RunTable, read_rows
from experiments.engine.numbers import interval, number, quartiles, said
from experiments.engine.results import Results
from experiments.engine.training import batches, config_of
from experiments.engine.work import Work

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "studies_of_tests.py"
CACHE = ROOT / ".pytest_cache" / "jax"
TABLES = ("runs.csv", "seeds.csv", "choices.csv", "curves-toy.csv")


def tables(folder: Path) -> dict[str, bytes]:
    """Those tables that follow from the declaration."""
    return {name: (folder / "results" / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The toy study, trained in a process of its own without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    finished(folder)
    return folder


def started(folder: Path) -> "subprocess.Popen[str]":
    """A process that trains the toy study in a folder."""
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(CACHE)},
    )


def finished(folder: Path) -> None:
    """Train the toy study in a folder to its end."""
    process = started(folder)
    out, _ = process.communicate()
    assert process.returncode == 0, out


@pytest.fixture(autouse=True)
def devices(monkeypatch) -> None:
    """Those of the tests: JAX has started long since."""
    monkeypatch.setattr("dmaml_jax.training.devices.configure", lambda *_: None)


def test_a_study_writes_tables_figures_and_its_page(whole: Path) -> None:
    results = Results(whole / "out" / "results")
    rows = {row["label"]: row for row in results.runs}
    assert list(rows) == ["plain", "large", "tuned"]
    assert [rows[label]["seeds"] for label in rows] == ["4", "4", "2"]
    assert rows["plain"]["episodes_per_epoch"] == str(2 * 2 * 2)
    # Values are those that were chosen, by the candidates' own seeds.
    candidates = [row for row in results.choices if row["run"] == "toy/tuned"]
    best = max(candidates, key=lambda row: float(row["average"]))
    assert best["chosen"] == "1" and best["values"] in rows["tuned"]["values"]
    assert {row["first_seed"] for row in candidates} == {"91"}
    assert {row["seed"] for row in results.seeds} == {"1", "2", "3", "4"}
    page = (whole / "out" / "README.md").read_text()
    average = interval(results.interval("toy/plain", "average"))
    assert f"ends with {average}" in page and "{" not in page
    assert (whole / "out" / "toy.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_that_is_done_trains_nothing(whole: Path, tmp_path, monkeypatch):
    """Nor where the raw runs are gone, as in a fresh clone."""
    shutil.copytree(whole / "out", tmp_path / "out")
    monkeypatch.setattr(
        "experiments.engine.training.sweeping.begin", lambda *_, **__: pytest.fail()
    )
    before = tables(tmp_path / "out")
    for work in (whole / "work", tmp_path / "nothing"):
        assert run(toy_study(), work=work, out=tmp_path / "out") == 0
        assert tables(tmp_path / "out") == before
    code = run(
        toy_study(), work=whole / "work", out=tmp_path / "again", gather_only=True
    )
    assert code == 0 and tables(tmp_path / "again") == before


@pytest.mark.slow
def test_a_study_killed_twice_ends_with_the_same_tables(whole: Path, tmp_path):
    """Once in training, by what nobody can catch, and once between two batches."""
    for marks in (1, 3):
        with started(tmp_path) as process:
            assert process.stdout is not None
            seen = 0
            for line in process.stdout:
                seen += line.startswith(("training ", "going on with "))
                if seen == marks:
                    time.sleep(0.5 * (marks == 1))
                    break
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    finished(tmp_path)
    assert tables(tmp_path / "out") == tables(whole / "out")
    assert (tmp_path / "out/README.md").read_text() == (
        whole / "out/README.md"
    ).read_text()


def test_fewer_seeds_are_told_as_they_are(whole: Path, tmp_path) -> None:
    """A study that asks for more than has ended says of how many its numbers are."""
    shutil.copytree(whole / "out", tmp_path / "out")
    more = toy_study(seeds=range(1, 7))
    code = run(more, work=tmp_path / "work", out=tmp_path / "out", gather_only=True)
    assert code == 0
    # No raw runs are left of the seeds that there were: the rows stay, and say so.
    page = (tmp_path / "out/README.md").read_text()
    assert "| plain | 4 of 6 |" in page


def test_a_run_is_known_by_what_it_declares() -> None:
    """Not by its name, panel or the order of its values; seeds and switch count."""
    one = Run("p", "a", "cartpole", "maml", 3, range(2), {"x": 1, "y": 2.0})
    same = Run("q", "b", "cartpole", "maml", 3, range(2), {"y": 2.0, "x": 1})
    assert one.id == same.id
    others = [
        one.on(range(3)),
        Run("p", "a", "cartpole", "maml", 3, range(2), {"x": 1, "y": 2.0}, switch="s"),
        Run("p", "a", "cartpole", "fomaml", 3, range(2), {"x": 1, "y": 2.0}),
        Run("p", "a", "cartpole", "maml", 3, range(2), {"x": 1}),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5
    parts = [list(own.seeds) for own in one.on(range(5)).chunks(2)]
    assert parts == [[0, 1], [2, 3], [4]]


def test_runs_of_one_program_go_together() -> None:
    """What may be traced shares a batch; what decides a structure has its own."""

    def made(algo: str, seeds=range(3), **values) -> Run:
        label = f"{algo} {values}"
        return Run("p", label, "cartpole", algo, 2, seeds, {**TOY, **values})

    runs = [
        made("maml", inner_lr=0.1),
        made("fomaml"),
        made("maml", inner_lr=0.2),
        made("maml", inner_lr=0.1, seeds=range(3, 6)),
    ]
    found = [[run.label for run in batch] for batch in batches(runs)]
    assert found == [
        ["maml {'inner_lr': 0.1}", "maml {'inner_lr': 0.2}"],
        ["fomaml {}"],
        ["maml {'inner_lr': 0.1}"],
    ]


@pytest.mark.parametrize(
    ("algo", "values", "expected"),
    [
        ("maml", {}, 5 * 10 * 2),
        ("maml", {"outer_trajectories": 2}, 5 * 10 * 2 + 10),
        ("directed-maml", {}, 5 * 10 * 2 + 10),
        ("directed-maml", {"directed_placement": "inner-and-outer"}, 5 * 10 * 2 + 20),
        ("reptile", {}, 5 * 10 * 2),
        ("rl2", {"episodes_per_trial": 3}, 100 * 4 * 3),
        ("snail", {"episodes_per_trial": 3, "num_tasks": 20}, 20 * 4 * 3),
        ("pearl", {"posterior_trajectories": 1, "extra_trajectories": 2}, 8 * (2 + 3)),
    ],
)
def test_episodes_of_an_epoch(algo, values, expected) -> None:
    run = Run("p", "l", "cartpole", algo, 2, range(2), values)
    assert episodes_of(config_of(run).nested()) == expected


def test_steadiness_and_convergence_by_hand() -> None:
    returns = np.array([0.0, 100.0, 200.0, 200.0, 180.0, 200.0])
    smoothed = np.array([0.0, 50.0, 150.0, 190.0, 185.0, 200.0])
    found = steadiness(returns, smoothed, 2)
    assert found == {
        "plateau": 200.0,
        "deviation": np.std([200.0, 200.0, 180.0, 200.0]),
        "worst_drop": 50.0,
        "share_under": 0.25,
    }
    assert set(steadiness(returns, smoothed, 0).values()) == {""}
    assert converged(smoothed) == 4.0  # 190 is 95 % of the way from 0 to 200
    assert converged(np.array([-100.0, -90.0, 0.0, 89.0, 100.0])) == 5.0
    assert np.isnan(converged(np.full(3, np.nan)))


def test_numbers_in_words() -> None:
    assert number(-3.14159) == "−3.1" and number(float("inf")) == "never"
    assert number(12345.6) == "12,346" and number(0.01234) == "0.012"
    assert interval(Interval(1.234, 1.0, np.inf), 2) == "1.23 [1.00, never]"
    assert interval(Interval(5.0, np.nan, np.nan)) == "5.0"
    assert quartiles(np.array([3.0, 1.0, np.inf, 2.0])) == "2.5 [1, never]"
    with pytest.raises(KeyError, match="no page can ask"):
        said(Results(Path("nowhere")), "p/a|nonsense")


def test_a_folder_killed_before_it_began_is_no_batch(tmp_path: Path) -> None:
    work = Work(tmp_path)
    one = Run("p", "a", "cartpole", "maml", 3, range(2))
    place = work.place_for([one])
    assert Work(tmp_path).begun([one]) == [] and Work(tmp_path).part(one) is None
    (place / "config.json").write_text("{}")
    assert Work(tmp_path).begun([one]) == [(place, [one])]
    assert Work(tmp_path).begun([one.on(range(3))]) == []
    (place / "leaderboard.csv").write_text("")
    part = Work(tmp_path).part(one)
    assert part is not None and part.folder == place / "settings" / "001"


def test_what_is_measured_of_runs_is_measured_once(tmp_path: Path) -> None:
    """Of the seeds that have ended, and anew where a run is declared anew."""
    run = Run("p", "a", "cartpole", "maml", 3, range(1, 5))
    raw, path = tmp_path / "raw", tmp_path / "results" / "t.csv"

    def ends(own: Run) -> None:
        place = Work(raw).place_for([own])
        for name in ("config.json", "leaderboard.csv"):
            (place / name).write_text("{}")

    def lacking(own: Run) -> list[Run]:
        table = RunTable(path, "panel", "label")
        found = list(table.lacking([own], False, raw, lambda run: 2))
        for each, part in found:
            assert part.folder.name == "001"
            table.put(each, [{"seed": seed, "x": 1.0} for seed in each.seeds])
        return [each for each, _ in found]

    first, second = run.chunks(2)
    assert lacking(run) == [] and not path.exists()
    ends(first)
    assert lacking(run) == [first] and lacking(run) == []
    ends(second)
    assert lacking(run) == [second] and lacking(run) == []
    assert [row["seed"] for row in read_rows(path)] == ["1", "2", "3", "4"]
    changed = next(dataclasses.replace(run, epochs=4).chunks(2))
    ends(changed)
    assert lacking(dataclasses.replace(run, epochs=4)) == [changed]
    assert {row["id"] for row in read_rows(path)} == {changed.id}


def test_only_keeps_the_blocks_or_runs_with_these_words() -> None:
    study = toy_study()
    assert [block.title for block in study.only("TUN").blocks] == ["tuned"]
    runs = tuple(Run("p", x, "cartpole", "maml", 9, range(9)) for x in ("one", "two"))
    named = toy_study(blocks=(Block("both", runs), Block("twice", runs)))
    assert [block.runs for block in named.only("P/Two").blocks] == [runs[1:]] * 2
    assert [block.runs for block in named.only("twi").blocks] == [runs]
    assert named.only("three").blocks == ()
    block = Block("b", (Run("p", "l", "cartpole", "maml", 9, range(9)),), quick=())
    assert toy_study(blocks=(block,)).quick().blocks == ()


def test_a_quick_run_keeps_its_kind() -> None:
    choice = Choice(tuple({"outer_lr": x} for x in (0.1, 0.2, 0.3)), range(90, 93))
    own = Run("p", "l", "cartpole", "maml", 900, range(30), {"inner_lr": 1.0}, choice)
    small = own.quick()
    assert small.epochs < 10 and len(small.seeds) == 3 and small.choice is not None
    assert len(small.choice.grid) == 2 and small.values["inner_lr"] == 1.0
