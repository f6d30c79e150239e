"""A trained run on tasks that it has not seen: which tasks, and what is earned."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.build.environment import tasks_beyond
from dmaml_jax.build.learner import build
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_csv
from dmaml_jax.learners.trial_ppo import TrialOptions
from dmaml_jax.runs.loading import Loaded, frozen
from dmaml_jax.statistics import crossed_bootstrap
from dmaml_jax.tasks.written import beyond, is_listed, parse_vary
from dmaml_jax.training.adaptation import adaptation
from dmaml_jax.training.devices import bytes_of, free_memory
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.types import MetaLearner, Problem

Returns = dict[tuple[str, str], np.ndarray]
"""By policy and kind of tasks, `[seeds, tasks, steps + 1]`."""


def task_sets(
    run: Loaded,
    *,
    num_tasks: int,
    draw: int = 0,
    out_of_range: tuple[str, ...] = ("auto",),
) -> dict[str, Any]:
    """Tasks that training did not use, by their kind, stacked on axis 0.

    Of a list the held-out part, of anything else fresh draws; and out-of-range ones.

    Args:
        run: the run whose kind of tasks is drawn.
        num_tasks: the number of tasks of each kind.
        draw: the number of the draw; another number gives other tasks.
        out_of_range: `NAME=…` items of tasks beyond training's; ("auto",) takes those
            next to its ranges, ("none",) takes no such tasks.

    Raises:
        UsageError: the out-of-range tasks cannot be had in this environment.
    """
    key_inside, key_beyond = jax.random.split(seed_keys(draw).tasks)
    keys = jax.random.split(key_inside, num_tasks)
    inside = jax.vmap(run.tasks.sample_held_out)(keys)
    sets = {_kind(run.config, run.env): inside}
    try:
        items = _beyond(run, out_of_range)
        if not items:
            return sets
        tasks = tasks_beyond(run.env, run.config, items)
    except UsageError as error:
        if out_of_range != ("auto",):
            raise
        print(f"note: no out-of-range tasks: {error}")
        return sets
    keys = jax.random.split(key_beyond, num_tasks)
    return {**sets, "out-of-range": jax.vmap(tasks.sample)(keys)}


def _kind(config: TrainConfig, env: Any = None) -> str:
    """What the tasks are that are drawn like training's, in a word.

    Of lists without a held-out part every task is one that training has seen, and so it
    is of an environment's own law with a finite number of tasks.
    """
    if config.tasks.held_out:
        return "held-out"
    if law := getattr(env, "task_law", None):
        return "training" if law.finite else "fresh"
    laws = parse_vary(config.tasks.vary).values()
    return "training" if all(is_listed(law) for law in laws) else "fresh"


def without_frozen(run: Loaded, returns: Returns) -> tuple[Loaded, Returns]:
    """The seeds that trained to the end, and their returns.

    Raises:
        UsageError: there is none.
    """
    lost = frozen(run)
    alive = [lane for lane, seed in enumerate(run.seeds) if seed not in lost]
    if not alive:
        raise UsageError(
            f"{run.folder}: every seed was frozen in training, so there is nothing to "
            "evaluate: train it anew with smaller step sizes."
        )
    kept = {key: table[alive] for key, table in returns.items()}
    return run._replace(seeds=[run.seeds[lane] for lane in alive]), kept


def measure(
    run: Loaded,
    states: dict[str, Any],
    sets: dict[str, Any],
    *,
    num_steps: int,
    num_trajectories: int,
    num_episodes: int,
    adapt: Callable[..., Any] | None = None,
) -> Returns:
    """Returns after 0 … n steps, of all seeds and tasks in one compiled call.

    As many of them are measured side by side as the device has memory for.

    Args:
        run: the run whose learner adapts.
        states: the states to adapt, stacked over the run's seeds, by policy.
        sets: the tasks by their kind, as `task_sets` returns them.
        num_steps: n, the number of adaptation steps.
        num_trajectories: the number of trajectories that each step learns from.
        num_episodes: the number of other episodes that measure each policy.
        adapt: `(problem, key, state, task, num_steps) -> (path, curve)`, in place of
            what the run's learner does with a new task.
    """
    collecting, learner = built_for(run, num_trajectories)
    if adapt is not None:
        learner = learner._replace(adapt=partial(adapt, collecting))
    problem, _ = built_for(run, num_episodes)
    tasks = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *sets.values())
    keys = jax.vmap(seed_keys)(jnp.asarray(run.seeds, jnp.uint32)).evaluation

    def of_all(states: Any, seeds_at_once: int, tasks_at_once: int) -> jax.Array:
        of_seed = adaptation(
            learner, problem, num_steps=num_steps, tasks_at_once=tasks_at_once
        )

        def one(each: Any) -> jax.Array:
            key, state = each
            return of_seed(key, state, tasks)

        width = seeds_at_once if seeds_at_once > 1 else None
        return jax.lax.map(one, (keys, states), batch_size=width)

    first = next(iter(states.values()))
    evaluated = _that_fits(
        of_all, first, len(run.seeds), len(jax.tree.leaves(tasks)[0])
    )
    returns = {}
    for policy, state in states.items():
        whole = np.asarray(evaluated(state))
        parts = np.split(whole, len(sets), axis=1)
        returns |= {
            (policy, name): part for name, part in zip(sets, parts, strict=True)
        }
    return returns


def _that_fits(of_all: Any, states: Any, num_seeds: int, num_tasks: int) -> Any:
    """The compiled evaluation, with as much of it side by side as memory allows.

    First fewer seeds are taken at once, then fewer tasks. On a CPU a seed is taken at a
    time from the first: what its tasks need stays in the cache.
    """
    on_cpu = jax.default_backend() == "cpu"
    seeds, tasks = 1 if on_cpu else num_seeds, num_tasks
    while True:
        function = jax.jit(of_all, static_argnums=(1, 2))
        compiled = function.lower(states, seeds, tasks).compile()
        need, room = bytes_of(compiled), free_memory(jax.devices()[0])
        if need <= room or (seeds, tasks) == (1, 1):
            return compiled
        if seeds > 1:
            seeds = max(1, min(seeds - 1, seeds * room // need))
        else:
            tasks = max(1, min(tasks - 1, tasks * room // need))


def summarise(returns: Returns) -> list[dict[str, Any]]:
    """Means over seeds and tasks with 95 % intervals, a row per policy and set."""
    rows = []
    for (policy, name), table in returns.items():
        steps = range(table.shape[2])
        gains = table - table[:, :, :1]
        rows.append(
            {
                "policy": policy,
                "set": name,
                "num_tasks": table.shape[1],
                "num_seeds": table.shape[0],
                "returns": [_interval(table[:, :, step]) for step in steps],
                "gains": [_interval(gains[:, :, step]) for step in steps],
                # What is no longer finite is worse than before, too.
                "negative_shares": [
                    float((~(gains[:, :, step] >= 0)).mean()) for step in steps
                ],
                "not_finite": [
                    int(np.isnan(table[:, :, step]).sum()) for step in steps
                ],
                "gain": _interval(gains[:, :, -1]),
                "negative_share": float((~(gains[:, :, -1] >= 0)).mean()),
            }
        )
    return rows


def varied(run: Loaded) -> list[str]:
    """The parameters that differ from task to task and are one number in each."""
    if law := getattr(run.env, "task_law", None):
        middle = jax.eval_shape(run.tasks.mean)
        return [name for name in law.draws if not getattr(middle, name).shape]
    return [name for names in parse_vary(run.config.tasks.vary) for name in names]


def values_of(tasks: Any, parameters: list[str]) -> dict[str, np.ndarray]:
    """The values of some parameters, by name, `[tasks]`."""
    return {name: np.asarray(getattr(tasks, name)) for name in parameters}


def _beyond(run: Loaded, items: tuple[str, ...]) -> tuple[str, ...]:
    """The items of out-of-range tasks; none where there are to be none."""
    if items == ("auto",):
        if getattr(run.env, "task_law", None):
            return ()
        return beyond(run.config.tasks.vary, getattr(run.env, "positive", ()))
    return () if items == ("none",) else items


def built_for(run: Loaded, num_trajectories: int) -> tuple[Problem, MetaLearner]:
    """The problem and the learner of a run, with other sizes of a collection.

    Args:
        run: the trained run, whose environment, tasks and policy stay.
        num_trajectories: K, the number of trajectories in a collection.
    """
    values: dict[str, Any] = {"num_trajectories": num_trajectories}
    if isinstance(run.config.learner, TrialOptions):
        # Nothing is trained here, so nothing has to be cut into as many parts.
        values["num_minibatches"] = 1
    config = run.config.replace(**values)
    return build(config, env=run.env, tasks=run.tasks, policy=run.policy)


def _interval(table: np.ndarray) -> dict[str, float | None]:
    interval = crossed_bootstrap(table)
    names = ("mean", "low", "high")
    return {
        name: float(x) if np.isfinite(x) else None
        for name, x in zip(names, interval, strict=True)
    }


def write_table(
    path: Path,
    run: Loaded,
    returns: Returns,
    sets: dict[str, Any],
    parameters: list[str],
) -> None:
    """Write a row per policy, task and seed, with the epoch of the run at its end.

    Args:
        path: the CSV file to write.
        run: the run whose seeds were measured.
        returns: the returns, as `measure` returns them.
        sets: the tasks by their kind, as `task_sets` returns them.
        parameters: the names of the parameters that get a column.
    """
    steps = next(iter(returns.values())).shape[2]
    columns = [f"return_{step}" for step in range(steps)]
    heads = ["policy", "set", "task", "seed", *parameters, *columns, "epoch"]
    rows: list[list[Any]] = [heads]
    for (policy, name), table in returns.items():
        values = values_of(sets[name], parameters)
        for task in range(table.shape[1]):
            own = [str(values[parameter][task]) for parameter in parameters]
            for lane, seed in enumerate(run.seeds):
                cells = [str(x) for x in table[lane, task]]
                rows.append([policy, name, task, seed, *own, *cells, run.epoch])
    write_csv(path, rows)
