"""Figure 1 of the paper as numbers: from the meta-optimum to the optima of tasks.

All runs of a seed begin at the same θ₀. MAML is trained on the tasks, and a policy
gradient (FOMAML at α = 0) on one task alone: on the medium task, and on each of some
tasks of ρ. Where training ends is what is called an optimum here; as an environment may
have many, a second run of MAML from the same θ₀ on other data tells how far two answers
to the same question are from each other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.engine.measured import read_rows, write_rows
from experiments.engine.paper import table_i

DISTANCES = "distances.csv"
START, AGAIN, MEDIUM = "the first θ", "MAML, other data", "medium task"
SEEDS = range(1, 6)
TASKS = 8
OTHER_DATA = 1000  # added to a seed: the key of its epochs, and not of its θ₀
_QUICK = {"horizon": 10, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}


class Place(NamedTuple):
    """Where optima are looked for.

    Attributes:
        env: the environment's name.
        values: of all runs beyond the environment's preset.
        epochs: how many there are.
    """

    env: str
    values: Mapping[str, Any]
    epochs: int


PLACES = {
    "CartPole, gravity": Place("cartpole", table_i("maml"), 150),
    "CartPole, a force of either sign": Place(
        "cartpole",
        {**table_i("maml"), "inner_lr": 0.1, "vary": ("force_mag=-20:-2|2:20",)},
        150,
    ),
    "point navigation": Place("point", {}, 100),
}


def measure(folder: Path, quick: bool) -> None:
    """Measure what the table lacks, a place at a time.

    Args:
        folder: of the study's tables.
        quick: whether toy sizes are measured, of two seeds.
    """
    rows = read_rows(folder / DISTANCES)
    done = {row["place"] for row in rows}
    for name, place in PLACES.items():
        if name in done or (quick and place.env != "point"):
            continue
        seeds = list(SEEDS)
        if quick:
            place = Place(place.env, {**place.values, **_QUICK}, 2)
            seeds = seeds[:2]
        found = _distances(place, seeds, 2 if quick else TASKS)
        rows += [{"place": name, **each} for each in found]
        write_rows(folder / DISTANCES, rows)


def _distances(place: Place, seeds: Sequence[int], num_tasks: int) -> list[dict]:
    """A row for each seed and other end: from MAML's end to it, in θ and in KL."""
    import jax
    import jax.numpy as jnp

    from dmaml_jax.build import configuration
    from dmaml_jax.build.learner import build
    from dmaml_jax.training.keys import seed_keys

    config = configuration(place.env, "maml", **place.values)
    problem, maml = build(config)
    _, plain = build(config.replace(algo="fomaml", inner_lr=0.0))
    num = config.sampling.num_tasks
    numbers = jnp.asarray(seeds)

    def first(seed: Any) -> Any:
        return problem.init(seed_keys(seed).init)

    @jax.jit
    @jax.vmap
    def meta(seed: Any, data: Any) -> Any:
        return _trained(problem, maml, num, place.epochs, seed, data)

    @jax.jit
    def alone(tasks: Any) -> Any:
        """The ends of policy gradients on each task alone, `[tasks, seeds]`."""

        def on(task: Any) -> Any:
            own = _with_one_task(problem, task)
            return jax.vmap(
                lambda seed: _trained(own, plain, num, place.epochs, seed, seed)
            )(numbers)

        return jax.lax.map(on, tasks)

    @jax.jit
    @jax.vmap
    def far(seed: Any, one: Any, other: Any) -> tuple[Any, Any]:
        """How far apart two ends of a seed are, in θ and where the first one goes."""
        keys = seed_keys(seed)
        tasks = problem.sample_tasks(keys.tasks, num)
        each = jax.random.split(keys.evaluation, num)
        data = jax.vmap(problem.collect, in_axes=(0, None, 0))(each, one, tasks)
        assert problem.kl is not None
        kl = jax.vmap(problem.kl, in_axes=(None, 0))(other, data).mean()
        flat = [jax.flatten_util.ravel_pytree(theta)[0] for theta in (one, other)]
        return jnp.linalg.norm(flat[0] - flat[1]), kl

    drawn = problem.sample_tasks(seed_keys(0).tasks, num_tasks)
    tasks = jax.tree.map(
        lambda one, some: jnp.concatenate([jnp.asarray(one)[None], some]),
        problem.medium_task(),
        drawn,
    )
    found = alone(tasks)
    best = meta(numbers, numbers)
    names = [MEDIUM, *(f"task {number + 1}" for number in range(num_tasks))]
    ends = {
        START: jax.vmap(first)(numbers),
        AGAIN: meta(numbers, numbers + OTHER_DATA),
        **{name: _lane(found, index) for index, name in enumerate(names)},
    }
    rows = []
    for name, end in ends.items():
        norms, kls = (np.asarray(column) for column in far(numbers, best, end))
        rows += [
            {"seed": seed, "to": name, "parameters": float(norm), "kl": float(kl)}
            for seed, norm, kl in zip(seeds, norms, kls, strict=True)
        ]
    return rows


def _with_one_task(problem: Any, task: Any) -> Any:
    """The problem that has no other task than this one."""
    import jax
    import jax.numpy as jnp

    def sample_tasks(key: Any, num: int) -> Any:
        del key
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf))), task
        )

    return problem._replace(sample_tasks=sample_tasks)


def _trained(
    problem: Any, learner: Any, num_tasks: int, epochs: int, seed: Any, data: Any
) -> Any:
    """Where training ends: it begins at a seed's θ₀ and meets another one's data."""
    import jax

    from dmaml_jax.training.chunk import train_step
    from dmaml_jax.training.keys import seed_keys

    init, step = train_step(problem, learner, num_tasks)

    def epoch(state: Any, number: Any) -> tuple[Any, None]:
        key = jax.random.fold_in(seed_keys(data).epochs, number)
        return step(key, state)[0], None

    start = init(seed_keys(seed).init)
    return jax.lax.scan(epoch, start, jax.numpy.arange(epochs))[0].params


def _lane(tree: Any, index: int) -> Any:
    import jax

    return jax.tree.map(lambda leaf: leaf[index], tree)
