"""A trained run on tasks that it has not seen: the command against a plain loop."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.environment import named_environment, named_tasks
from dmaml_jax.build.learner import build
from dmaml_jax.cli import main
from dmaml_jax.commands import evaluate as command
from dmaml_jax.commands.evaluate import Evaluate, evaluate
from dmaml_jax.errors import UsageError
from dmaml_jax.pictures.plots import draw_evaluation
from dmaml_jax.results import evaluation, scratch
from dmaml_jax.results.evaluation import (
    _kind,
    summarise,
    task_sets,
    values_of,
    varied,
    without_frozen,
)
from dmaml_jax.results.references import initial_states, states_of_medium_task
from dmaml_jax.runs import training as run
from dmaml_jax.runs.loading import Loaded, load
from dmaml_jax.statistics import crossed_bootstrap
from dmaml_jax.training.keys import seed_keys

pytestmark = pytest.mark.float32
CONFIG = configuration(
    algo="directed-maml",
    inner_lr=0.05,
    horizon=12,
    num_tasks=2,
    num_trajectories=3,
    hidden_sizes=(4,),
    epochs=6,
    seeds=2,
    seed=3,
    cpu_devices=1,
    vary=("gravity=5:15", "length=0.25:1"),
    set=("masspole=0.2",),
)
OPTIONS = {"tasks": 3, "steps": 2, "episodes": 5, "shots": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    assert run.train(CONFIG, str(folder), verbosity="quiet") == 0
    return folder


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Path:
    assert evaluate(Evaluate(str(trained), baselines=True, **OPTIONS)) == 0
    return trained


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "evaluation.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_read_back_as_it_was(trained: Path) -> None:
    loaded = load(trained)
    assert loaded.seeds == [3, 4] and loaded.epoch == 6 and loaded.config == CONFIG
    kept = np.load(trained / "params.npz")
    kernel = loaded.states.params["Dense_0"]["kernel"]
    np.testing.assert_array_equal(kernel, kept["Dense_0/kernel"])
    assert loaded.states.epoch.tolist() == [6, 6]


@pytest.mark.slow
def test_the_table_equals_a_slow_plain_loop(evaluated: Path) -> None:
    loaded = load(evaluated)
    problem, _ = build(CONFIG.replace(num_trajectories=2))
    measure, _ = build(CONFIG.replace(num_trajectories=5))
    sets = task_sets(loaded, num_tasks=3)
    assert list(sets) == ["fresh", "out-of-range"]
    tasks = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *sets.values())
    rows = [row for row in table(evaluated) if row["policy"] == "meta"]
    assert len(rows) == 2 * 3 * 2
    for row in rows:
        lane, task = loaded.seeds.index(int(row["seed"])), int(row["task"])
        index = task + 3 * (row["set"] == "out-of-range")
        own = jax.tree.map(lambda leaf, i=index: leaf[i], tasks)
        assert float(row["gravity"]) == own.gravity
        assert float(row["length"]) == own.length
        key = jax.random.split(seed_keys(int(row["seed"])).evaluation, 6)[index]
        key_adapt, key_measure = jax.random.split(key)
        params = jax.tree.map(lambda leaf, i=lane: leaf[i], loaded.states.params)
        for step, key_step in enumerate(jax.random.split(key_adapt, 3)):
            data = measure.collect(key_measure, params, own)
            expected = float(jnp.mean(data.rewards.sum(axis=1)))
            np.testing.assert_allclose(
                float(row[f"return_{step}"]), expected, rtol=1e-5
            )
            data = problem.advantages(params, problem.collect(key_step, params, own))
            gradient = jax.grad(problem.inner_loss)(params, data)
            params = jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient)


@pytest.mark.slow
def test_it_goes_in_parts_where_memory_is_short(
    evaluated: Path, tmp_path, monkeypatch
) -> None:
    """Fewer tasks are taken at once, and the table stays."""
    asked = []

    def little(device) -> int:
        asked.append(device)
        return 1

    monkeypatch.setattr(evaluation, "free_memory", little)
    before = [row for row in table(evaluated) if row["policy"] == "meta"]
    place = shutil.copytree(evaluated, tmp_path / "run")
    assert evaluate(Evaluate(str(place), **OPTIONS)) == 0
    after = table(place)
    assert len(asked) == 2 and len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert list(one) == list(other)
        for name in one:
            if name.startswith("return_"):
                found = float(other[name])
                np.testing.assert_allclose(float(one[name]), found, rtol=1e-5)


def test_tasks_are_unseen_shared_by_seeds_and_next_to_the_range(trained: Path) -> None:
    loaded = load(trained)
    sets = task_sets(loaded, num_tasks=400)
    inside, outside = (np.asarray(tasks.gravity) for tasks in sets.values())
    assert 5 <= inside.min() < 5.2 and 14.8 < inside.max() <= 15
    below, above = outside[outside < 5], outside[outside > 15]
    assert len(below) + len(above) == 400 and 150 < len(below) < 250
    assert below.min() >= 2.5 and above.max() <= 17.5
    for tasks in (*sets.values(), loaded.tasks.mean()):
        assert np.unique(np.asarray(tasks.masspole)) == np.float32(0.2)
    again = task_sets(loaded, num_tasks=400, draw=1)
    assert not np.isin(np.asarray(again["fresh"].gravity), inside).any()
    trainings = [
        jax.vmap(lambda key: loaded.tasks.sample(jax.random.split(key)[0]))(
            jax.vmap(jax.random.fold_in, (None, 0))(seed_keys(seed)[1], jnp.arange(6))
        )
        for seed in loaded.seeds
    ]
    for tasks in trainings:
        assert not np.isin(np.asarray(tasks.gravity), inside).any()


def test_held_out_values_of_a_list_are_what_is_tested(trained: Path) -> None:
    values = ",".join(map(str, range(5, 15)))
    config = CONFIG.replace(vary=(f"gravity={values}",), held_out=0.3)
    loaded = load(trained)
    tasks = named_tasks(loaded.env, config)
    loaded = loaded._replace(config=config, tasks=tasks)
    sets = task_sets(loaded, num_tasks=200)
    assert list(sets) == ["held-out"]  # what is beyond a list is not ours to say
    tested = set(np.asarray(sets["held-out"].gravity).tolist())
    keys = jax.random.split(jax.random.key(0), 300)
    seen = set(np.asarray(jax.vmap(loaded.tasks.sample)(keys).gravity).tolist())
    assert len(tested) == 3 and len(seen) == 7 and not tested & seen


def test_the_summary_is_the_tables(evaluated: Path) -> None:
    summary = json.loads((evaluated / "evaluation.json").read_text())
    assert summary["parameters"] == ["gravity", "length"] and summary["epoch"] == 6
    assert {row["epoch"] for row in table(evaluated)} == {"6"}
    assert summary["command"].startswith(f"dmaml-jax evaluate {evaluated} --tasks 3")
    assert "--baselines" in summary["command"]
    rows = table(evaluated)
    assert len(summary["rows"]) == 8
    for row in summary["rows"]:
        own = [
            r for r in rows if (r["policy"], r["set"]) == (row["policy"], row["set"])
        ]
        returns = np.array([[float(r[f"return_{i}"]) for i in range(3)] for r in own])
        returns = returns.reshape(3, 2, 3).transpose(1, 0, 2)
        for step in range(3):
            expected = crossed_bootstrap(returns[:, :, step])
            found = row["returns"][step]
            np.testing.assert_allclose(
                [found["mean"], found["low"], found["high"]], expected, rtol=1e-6
            )
        gains = returns[:, :, -1] - returns[:, :, 0]
        np.testing.assert_allclose(row["gain"]["mean"], gains.mean(), atol=1e-5)
        assert row["negative_share"] == (gains < 0).mean()
    assert (evaluated / "evaluation.png").stat().st_size > 10_000


def test_shares_and_gains_against_literal_values() -> None:
    returns = np.zeros((1, 4, 2))
    returns[0, :, 1] = [1.0, -1.0, 0.0, 4.0]
    (row,) = summarise({("meta", "fresh"): returns})
    assert row["negative_share"] == 0.25 and row["gain"]["mean"] == 1.0
    assert row["negative_shares"] == [0.0, 0.25]
    assert row["gain"]["low"] < 1 < row["gain"]["high"]


def test_what_it_is_measured_against(evaluated: Path) -> None:
    loaded = load(evaluated)
    init, _ = build(CONFIG)[1].init, None
    for lane, seed in enumerate(loaded.seeds):
        first = init(seed_keys(seed).init).params
        ours = jax.tree.map(lambda leaf, i=lane: leaf[i], initial_states(loaded).params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, first
        )
    kept = (evaluated / "medium-6.npz").stat().st_mtime_ns
    medium = states_of_medium_task(loaded)
    assert (evaluated / "medium-6.npz").stat().st_mtime_ns == kept  # trained once
    differences = jax.tree.map(
        lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()),
        medium.params,
        initial_states(loaded).params,
    )
    # Six steps of Adam at 0.001 from the start.
    assert 1e-4 < max(jax.tree.leaves(differences)) < 7e-3


def test_learning_from_scratch_is_adam_on_each_task_alone(evaluated: Path) -> None:
    """A row of the table against a plain loop, with the step size that earned most."""
    loaded = load(evaluated)
    summary = json.loads((evaluated / "evaluation.json").read_text())
    assert summary["scratch_lr_tried"] == [0.001, 0.003, 0.01, 0.03]
    problem, _ = build(CONFIG.replace(num_trajectories=2))
    measure, _ = build(CONFIG.replace(num_trajectories=5))
    rows = [row for row in table(evaluated) if row["policy"] == "scratch"]
    assert len(rows) == 2 * 3 * 2
    row = rows[2]  # the second task, of the first seed
    sets = task_sets(loaded, num_tasks=3)
    task = jax.tree.map(lambda leaf: leaf[1], sets[row["set"]])
    assert row["seed"] == "3" and float(row["gravity"]) == task.gravity
    key = jax.random.split(seed_keys(3).evaluation, 6)[1]
    key_adapt, key_measure = jax.random.split(key)
    params = jax.tree.map(lambda leaf: leaf[0], initial_states(loaded).params)
    optimizer = optax.adam(summary["scratch_lr"])
    memory = optimizer.init(params)

    @jax.jit
    def moved(params, memory, data):
        data = problem.advantages(params, data)
        slope = jax.grad(problem.outer_loss)(params, data)
        updates, memory = optimizer.update(slope, memory)
        return optax.apply_updates(params, updates), memory

    for step, key_step in enumerate(jax.random.split(key_adapt, 3)):
        data = measure.collect(key_measure, params, task)
        expected = float(jnp.mean(data.rewards.sum(axis=1)))
        np.testing.assert_allclose(float(row[f"return_{step}"]), expected, rtol=1e-5)
        data = problem.collect(key_step, params, task)
        params, memory = moved(params, memory, data)


def test_the_best_step_size_from_scratch_counts(trained: Path, monkeypatch) -> None:
    """By the mean return after the last step; what is no longer finite is worst."""
    loaded, ends = load(trained), {"0.1": 5.0, "0.2": 9.0, "0.4": np.nan}

    def measured(run, states, sets, *, adapt, num_steps) -> dict:
        assert adapt is scratch.learn_alone and num_steps == 2
        assert [float(state.rate[0]) for state in states.values()] == [
            pytest.approx(float(rate)) for rate in ends
        ]
        return {
            (rate, name): np.full((2, 3, 3), ends[rate])
            for rate in states
            for name in sets
        }

    monkeypatch.setattr(scratch, "measure", measured)
    sets = {"fresh": None, "out-of-range": None}
    returns, best = scratch.from_scratch(loaded, sets, (0.1, 0.2, 0.4), num_steps=2)
    assert best == 0.2 and set(returns) == {("scratch", name) for name in sets}
    assert all((table == 9).all() for table in returns.values())


@pytest.mark.parametrize(
    ("solver", "expected"), [("default", "exact"), ("fast", "fast")]
)
def test_a_run_is_loaded_once_with_the_solver_that_measures(
    solver, expected, trained, monkeypatch
) -> None:
    loads = []

    def load_of(folder, *, solver):
        loads.append(solver)
        raise UsageError("enough")

    fast = {"solver": "fast", "conformance": ""}
    monkeypatch.setattr(command, "solver_of", lambda name: fast)
    monkeypatch.setattr(command, "load", load_of)
    with pytest.raises(UsageError, match="enough"):
        evaluate(Evaluate(str(trained), solver=solver))
    assert loads == [expected]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "0"], "--tasks is 0, but it must be a whole number, 1 or more"),
        (["--shots", "-1"], "--shots is -1"),
        (["--solver", "fast"], "--solver fast has no effect on cartpole"),
        (["--out-of-range", "mass=1:2"], "--out-of-range mass: "),
        (["--out-of-range", "gravity"], "--out-of-range gravity cannot be read"),
        (["--out-of-range", "length=-1:0"], "allows only those above 0 for length"),
        (["--shots", "2", "--shots", "3"], "--shots is given twice"),
        (["--scratch-lr", "0.1"], "--scratch-lr belongs to --baselines"),
        (["--baselines", "--scratch-lr", "0.1", "0"], "--scratch-lr is 0, but step"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, trained, capsys, monkeypatch):
    monkeypatch.setattr("dmaml_jax.training.devices.configure", lambda *_: None)
    assert main(["evaluate", str(trained), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_folder_without_a_run(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("dmaml_jax.training.devices.configure", lambda *_: None)
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 2
    assert "cannot be read (No such file" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"values": {}}')
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no checkpoint yet" in capsys.readouterr().err


def test_tasks_of_a_list_without_a_held_out_part_are_training_s() -> None:
    of_list = configuration(vary=("gravity=5,10,15",))
    assert _kind(of_list) == "training"
    assert _kind(configuration(vary=("gravity=5,10,15",), held_out=0.3)) == "held-out"
    both = configuration(vary=("gravity=5,10,15", "length=0.25:1"))
    assert _kind(both) == "fresh"
    assert _kind(configuration(vary=("gravity=5,7|9,11",))) == "training"
    assert _kind(configuration(vary=("gravity=5:7|9,11",))) == "fresh"


@pytest.mark.parametrize(
    ("env", "kind", "parameters"),
    [
        ("bandit:3", "fresh", []),
        ("mdp", "fresh", []),
        ("gridworld", "training", ["goal_x", "goal_y"]),
    ],
)
def test_tasks_of_a_law_are_drawn_by_it_and_have_nothing_beyond(
    env: str, kind: str, parameters: list[str], tmp_path: Path
) -> None:
    config, made = configuration(env), named_environment(env)
    tasks = named_tasks(made, config)
    rest: Any = dict.fromkeys(("policy", "problem", "learner", "states"))
    run = Loaded(tmp_path, config, made, tasks, seeds=[1], epoch=1, **rest)
    (named,) = sets = task_sets(run, num_tasks=6)
    assert named == kind and varied(run) == parameters
    leaf = getattr(sets[kind], made.task_law.draws[0])
    assert leaf.shape[0] == 6 and len(np.unique(np.asarray(leaf))) > 1
    with pytest.raises(UsageError, match="--out-of-range has no effect"):
        task_sets(run, num_tasks=6, out_of_range=("noise=2:3",))
    values = {kind: values_of(sets[kind], parameters)}
    returns = {("meta", kind): np.zeros((1, 6, 3))}
    labels = {"meta": "meta-trained"}
    draw_evaluation(returns, values, tmp_path / "a.png", labels=labels, title="")
    assert (tmp_path / "a.png").stat().st_size > 5_000


def test_an_adaptation_that_diverges_is_worse_and_counted() -> None:
    """Two seeds, three tasks; one of them is no longer finite after a step."""
    returns = np.array([[[1.0, 2.0], [1.0, 0.5], [1.0, np.nan]]] * 2)
    (row,) = summarise({("meta", "fresh"): returns})
    assert row["negative_shares"][1] == pytest.approx(2 / 3)
    assert row["not_finite"] == [0, 2]
    assert row["returns"][1]["mean"] == 1.25


def test_frozen_seeds_are_named_and_left_out(trained: Path) -> None:
    loaded = load(trained)
    frozen_first = loaded._replace(failed_at=(4, *[0] * (len(loaded.seeds) - 1)))
    table = np.arange(len(loaded.seeds))[:, None, None] * np.ones((1, 2, 3))
    run, kept = without_frozen(frozen_first, {("meta", "fresh"): table})
    assert run.seeds == loaded.seeds[1:]
    assert kept["meta", "fresh"].min() == 1
    with pytest.raises(UsageError, match="every seed was frozen"):
        without_frozen(loaded._replace(failed_at=(4,) * len(loaded.seeds)), {})
