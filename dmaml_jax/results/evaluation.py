"""The evaluate command: a trained run on tasks that it has not seen."""

import csv
import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.build.environment import named_tasks, solver_of
from dmaml_jax.build.learner import build
from dmaml_jax.commands.options import Evaluate
from dmaml_jax.config.presets import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.pictures.plots import draw_evaluation
from dmaml_jax.results.references import initial_states, states_of_medium_task
from dmaml_jax.runs.folder import (
    circumstances,
    shown,
    write_json,
)
from dmaml_jax.runs.loading import Loaded, load
from dmaml_jax.statistics import crossed_bootstrap
from dmaml_jax.tasks.written import beyond, parse_vary
from dmaml_jax.training.adaptation import adaptation
from dmaml_jax.training.program import (
    evaluation_key,
    task_key,
)

Returns = dict[tuple[str, str], np.ndarray]
"""By policy and kind of tasks, `[seeds, tasks, steps + 1]`."""


def evaluate(options: Evaluate) -> int:
    """Adapt to unseen tasks, measure, and write table, summary and picture.

    Args:
        options: of the command.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: no such run, or values that do not fit it.
    """
    solver = options.solver
    run = load(options.run)
    if solver == "default":
        solver = "exact" if solver_of(run.config.env) else None
    if solver is not None:
        run = load(options.run, solver=solver)
    out = Path(options.out or run.folder).expanduser()
    sets = task_sets(run, options)
    out.mkdir(parents=True, exist_ok=True)
    states = {"meta": run.states}
    if options.baselines:
        states["random"] = initial_states(run)
        states["medium"] = states_of_medium_task(run)
    print(
        f"adapting {run.config.algo} on {run.config.env} to "
        f"{len(sets) * options.tasks} tasks; compiling ...",
        flush=True,
    )
    returns = measure(run, states, sets, options)
    parameters = _varied(run.config)
    summary = {
        "command": _command(options),
        "options": dataclasses.asdict(options),
        "environment": run.config.env,
        "epoch": run.epoch,
        "parameters": parameters,
        **circumstances(),
        "rows": summarise(returns),
    }
    _write_table(out / "evaluation.csv", run, returns, sets, parameters)
    write_json(out / "evaluation.json", summary)
    draw_evaluation(
        returns,
        {name: _values(tasks, parameters) for name, tasks in sets.items()},
        out / "evaluation.png",
        title=f"{run.config.algo} on {run.config.env}",
    )
    _print(summary, run, options)
    print(f"in {shown(out)}: evaluation.csv, evaluation.json, evaluation.png")
    return 0


def task_sets(run: Loaded, options: Evaluate) -> dict[str, Any]:
    """Tasks that training did not use, by their kind, stacked on axis 0.

    Of a list the held-out part, of anything else fresh draws; and out-of-range ones.

    Raises:
        UsageError: the out-of-range tasks cannot be had in this environment.
    """
    key_inside, key_beyond = jax.random.split(task_key(options.task_seed))
    keys = jax.random.split(key_inside, options.tasks)
    inside = jax.vmap(run.tasks.sample_held_out)(keys)
    sets = {"held-out" if run.config.held_out else "fresh": inside}
    outside = options.out_of_range
    if outside == ("none",):
        return sets
    try:
        if outside == ("auto",):
            outside = beyond(run.config.vary, getattr(run.env, "positive", ()))
        if not outside:
            return sets
        config = dataclasses.replace(run.config, vary=outside, held_out=0.0)
        tasks = named_tasks(run.env, config)
    except UsageError as error:
        if options.out_of_range == ("auto",):
            print(f"note: no out-of-range tasks: {error}")
            return sets
        message = str(error).replace("--vary", "--out-of-range")
        raise UsageError(message) from None
    keys = jax.random.split(key_beyond, options.tasks)
    return {**sets, "out-of-range": jax.vmap(tasks.sample)(keys)}


def measure(
    run: Loaded, states: dict[str, Any], sets: dict[str, Any], options: Evaluate
) -> Returns:
    """Returns after 0 … n steps, of all seeds and tasks in one compiled call.

    Args:
        run: whose learner adapts.
        states: of its seeds, by the name of a policy.
        sets: tasks, as `task_sets` returns them.
        options: of the command.
    """
    shots = options.shots or run.config.num_trajectories
    _, learner = _built(run, num_trajectories=shots)
    problem, _ = _built(run, num_trajectories=options.episodes)
    of_seed = adaptation(learner, problem, num_steps=options.steps)
    tasks = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *sets.values())
    keys = jax.vmap(evaluation_key)(jnp.asarray(run.seeds, jnp.uint32))

    @jax.jit
    def of_all(states: Any) -> jax.Array:
        def one(each: Any) -> jax.Array:
            key, state = each
            return of_seed(key, state, tasks)

        if jax.default_backend() == "cpu":
            # One after another: what a seed's tasks need stays in the cache.
            return jax.lax.map(one, (keys, states))
        return jax.vmap(one)((keys, states))

    returns = {}
    for policy, state in states.items():
        whole = np.asarray(of_all(state))
        parts = np.split(whole, len(sets), axis=1)
        returns |= {
            (policy, name): part for name, part in zip(sets, parts, strict=True)
        }
    return returns


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
                "negative_shares": [
                    float((gains[:, :, step] < 0).mean()) for step in steps
                ],
                "gain": _interval(gains[:, :, -1]),
                "negative_share": float((gains[:, :, -1] < 0).mean()),
            }
        )
    return rows


def _built(run: Loaded, **values: Any) -> Any:
    config = dataclasses.replace(run.config, **values)
    return build(config, env=run.env, tasks=run.tasks, policy=run.policy)


def _varied(config: TrainConfig) -> list[str]:
    return [name for names in parse_vary(config.vary) for name in names]


def _values(tasks: Any, parameters: list[str]) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(tasks, name)) for name in parameters}


def _interval(table: np.ndarray) -> dict[str, float | None]:
    interval = crossed_bootstrap(table)
    names = ("mean", "low", "high")
    return {
        name: float(x) if np.isfinite(x) else None
        for name, x in zip(names, interval, strict=True)
    }


def _write_table(
    path: Path,
    run: Loaded,
    returns: Returns,
    sets: dict[str, Any],
    parameters: list[str],
) -> None:
    """A row per policy, task and seed."""
    steps = next(iter(returns.values())).shape[2]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"return_{step}" for step in range(steps)]
    writer.writerow(["policy", "set", "task", "seed", *parameters, *columns])
    for (policy, name), table in returns.items():
        values = _values(sets[name], parameters)
        for task in range(table.shape[1]):
            own = [str(values[parameter][task]) for parameter in parameters]
            for lane, seed in enumerate(run.seeds):
                cells = [str(x) for x in table[lane, task]]
                writer.writerow([policy, name, task, seed, *own, *cells])
    aside = path.with_name(f".{path.name}")
    aside.write_text(text.getvalue())
    os.replace(aside, path)


def _command(options: Evaluate) -> str:
    words = ["dmaml-jax evaluate", options.run]
    for field in dataclasses.fields(options)[1:]:
        value = getattr(options, field.name)
        if value == field.default or field.name == "out":
            continue
        flag = "--" + field.name.replace("_", "-")
        given = value if isinstance(value, tuple) else () if value is True else (value,)
        words += [flag, *map(str, given)]
    return " ".join(words)


def _print(summary: dict[str, Any], run: Loaded, options: Evaluate) -> None:
    shots = options.shots or run.config.num_trajectories
    seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) > 1 else ''}"
    print(
        f"{run.config.algo} on {run.config.env} after {run.epoch} epochs, {seeds}, "
        f"{options.tasks} tasks of each kind, {shots} trajectories a step,\n"
        f"{options.episodes} other episodes to measure; mean [95 % interval over seeds "
        "and tasks]"
    )
    for row in summary["rows"]:
        print(f"\n{_POLICIES[row['policy']]}, {row['set']} tasks")
        print(f"{'steps':>7}  {'return':>26}  {'gain':>26}  {'worse than before':>18}")
        for step, value in enumerate(row["returns"]):
            gain = _text(row["gains"][step]) if step else ""
            worse = f"{row['negative_shares'][step]:.0%} of tasks" if step else ""
            print(f"{step:>7}  {_text(value):>26}  {gain:>26}  {worse:>18}")


_POLICIES = {
    "meta": "meta-learned start",
    "random": "random start",
    "medium": "trained on the medium task alone",
}


def _text(interval: dict[str, float | None]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:.1f}"
    return f"{interval['mean']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"
