"""Returns before and after gradient steps on fresh tasks, from three starts.

MAML's θ is trained with each α. Beside it stand two policies that were not trained to
be adapted, and take the same steps: `joint`, trained on all tasks at once, and one that
was trained on the medium task alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.declared import Run
from experiments.engine.measured import read_rows, write_rows
from experiments.engine.work import Part, Work

STEPS_TABLE = "steps.csv"
SEEDS = range(1, 6)
STARTS = ("MAML", "joint", "medium task alone")
STEPS, TASKS, EPISODES = 5, 40, 20


class Place(NamedTuple):
    """An environment with its tasks, and the step sizes that are tried there.

    Attributes:
        title: what it is called.
        env: the environment's name.
        epochs: how many there are.
        rates: the α, of which `joint` was trained with the first.
        values: of all runs.
    """

    title: str
    env: str
    epochs: int
    rates: tuple[float, ...]
    values: Mapping[str, Any]


PLACES = {
    "cartpole": Place("CartPole, gravity", "cartpole", 150, (0.001, 0.01, 0.1), {}),
    "length": Place(
        "CartPole, length", "cartpole", 150, (0.001, 0.01, 0.1),
        {"vary": ("length=0.2:2",)},
    ),
    "signs": Place(
        "CartPole, a force of either sign", "cartpole", 300, (0.01, 0.1, 0.3),
        {"vary": ("force_mag=-20:-2|2:20",)},
    ),
    "point": Place("point navigation", "point", 120, (0.03, 0.1, 0.2), {}),
    "intersection": Place("intersection", "intersection", 200, (0.001, 0.01, 0.1), {}),
}  # fmt: skip


def maml(place: str, rate: float) -> Run:
    """MAML's run with an α."""
    own = PLACES[place]
    given = {**own.values, "inner_lr": rate}
    return Run(place, f"MAML, α = {rate:g}", own.env, "maml", own.epochs, SEEDS, given)


def joint(place: str) -> Run:
    """The run of `joint`."""
    own = PLACES[place]
    given = {**own.values, "inner_lr": own.rates[0]}
    return Run(place, "joint", own.env, "joint", own.epochs, SEEDS, given)


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure what the table lacks, of runs that have ended.

    Args:
        folder: of the study's tables.
        quick: whether the runs are toys, of which few tasks are measured.
        raw: the folder of raw runs.
    """
    rows = read_rows(folder / STEPS_TABLE)
    work = Work(raw)
    for name, place in PLACES.items():
        plain = joint(name).quick() if quick else joint(name)
        for rate in place.rates:
            done = {(row["place"], row["alpha"]) for row in rows}
            run = maml(name, rate).quick() if quick else maml(name, rate)
            parts = work.part(run), work.part(plain)
            if (name, f"{rate:g}") in done or None in parts:
                continue
            rows += _measured(name, rate, *parts, quick=quick)
            write_rows(folder / STEPS_TABLE, rows)


def _measured(
    name: str, rate: float, adapted: Part, plain: Part, *, quick: bool
) -> list[dict[str, Any]]:
    """The rows of a place and an α."""
    from dmaml_jax.results import evaluation
    from dmaml_jax.results.references import states_of_medium_task
    from dmaml_jax.runs.loading import load

    steps, tasks, episodes = (2, 3, 3) if quick else (STEPS, TASKS, EPISODES)
    meta = load(adapted.folder)
    flat = load(plain.folder)
    flat = flat._replace(config=flat.config.replace(inner_lr=rate))
    runs = {
        STARTS[0]: (meta, meta.states),
        STARTS[1]: (flat, flat.states),
        STARTS[2]: (flat, states_of_medium_task(flat)),
    }
    sets = evaluation.task_sets(meta, num_tasks=tasks, out_of_range=("none",))
    found = []
    for start, (run, states) in runs.items():
        returns = evaluation.measure(
            run, {start: states}, sets, num_steps=steps,
            num_trajectories=run.config.sampling.num_trajectories,
            num_episodes=episodes,
        )  # fmt: skip
        _, returns = evaluation.without_frozen(run, returns)
        for row in evaluation.summarise(returns):
            told = {"place": name, "alpha": f"{rate:g}", "start": start}
            told |= {"seeds": row["num_seeds"], "tasks": row["num_tasks"]}
            for step in range(steps + 1):
                found.append(
                    {
                        **told, "steps": step,
                        **_interval("return", row["returns"][step]),
                        **_interval("gain", row["gains"][step]),
                        "worse": row["negative_shares"][step],
                    }
                )  # fmt: skip
    return found


def _interval(name: str, kept: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        name: kept["mean"],
        f"{name}_low": kept["low"],
        f"{name}_high": kept["high"],
    }
