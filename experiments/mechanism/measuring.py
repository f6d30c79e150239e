"""Gradients of the same θ on fresh data, and the angles between them.

Means of noisy vectors have too short a cosine. With the data in two independent halves
A and B, E[x_A · y_B] is x · y free of noise, so that

    cos(x, y) ≈ ½ (x_A·y_B + x_B·y_A) / √(x_A·x_B  y_A·y_B)

estimates the cosine of the expectations; it may leave [−1, 1]. The halves' own cosine,
cos(x_A, x_B), is the ceiling that no other vector can pass on that many data.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.engine.measured import read_rows, write_rows
from experiments.engine.paper import table_i

ANGLES = "angles.csv"
SEEDS = range(1, 6)
KINDS = ("meta", "second order", "medium", "random", "mixture")
_QUICK = {"horizon": 10, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}


class Place(NamedTuple):
    """Where the angles are measured.

    Attributes:
        env: the environment's name.
        values: of MAML's run beyond the environment's preset.
        epochs: after how many of them θ is looked at, in order.
        batches: how many independent batches of M tasks there are at each θ.
    """

    env: str
    values: Mapping[str, Any]
    epochs: tuple[int, ...]
    batches: int


PLACES = {
    "CartPole": Place("cartpole", table_i("maml"), (0, 10, 25, 50, 100, 200), 64),
    "point navigation": Place("point", {}, (0, 10, 25, 50, 100), 16),
}


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure what the table lacks, a place and a seed at a time.

    Args:
        folder: of the study's tables.
        quick: whether toy sizes are measured, of two seeds.
        raw: the folder of raw runs, of which it needs none.
    """
    del raw
    rows = read_rows(folder / ANGLES)
    for name, place in PLACES.items():
        if quick and place.env != "point":  # where toy gradients are not all 0
            continue
        if quick:
            place = Place(place.env, {**place.values, **_QUICK}, (0, 2), 4)
        done = {int(row["seed"]) for row in rows if row["place"] == name}
        seeds = [seed for seed in SEEDS[: 2 if quick else None] if seed not in done]
        if not seeds:
            continue
        gradients, thetas = _compiled(place), _trained(place, seeds)
        for lane, seed in enumerate(seeds):
            for epoch, theta in thetas:
                own = {"place": name, "seed": seed, "epoch": epoch}
                found = angles(gradients(seed, epoch, _lane(theta, lane)))
                rows += [{**own, **each} for each in found]
            write_rows(folder / ANGLES, rows)


def angles(found: np.ndarray) -> list[dict[str, Any]]:
    """Cosines with the meta-gradient and with its second-order part, kind by kind.

    Args:
        found: gradients of `KINDS`, `[batches, kinds, parameters]`.

    Returns:
        A row for each kind: `ceiling`, the cosine of its own two halves; `length`, the
        noise-free length over the meta-gradient's; and the cosines with the
        meta-gradient and the second-order part, noise-free and (`plain`) of the means.
    """
    half = len(found) // 2
    one, other = found[:half].mean(axis=0), found[half : 2 * half].mean(axis=0)
    products = one @ other.T
    shared = (products + products.T) / 2
    sizes = np.diag(shared)
    roots = np.sqrt([_positive(size) for size in sizes])
    whole = found.mean(axis=0)
    plain = whole @ whole.T
    lengths = np.sqrt(np.diag(plain))
    rows = []
    for index, kind in enumerate(KINDS):
        ends = _positive(np.linalg.norm(one[index]) * np.linalg.norm(other[index]))
        row: dict[str, Any] = {"kind": kind, "ceiling": sizes[index] / ends}
        row["length"] = roots[index] / roots[0]
        for name, against in (("meta", 0), ("second_order", 1)):
            scale = roots[index] * roots[against]
            row[f"cos_{name}"] = shared[index, against] / scale
            sides = _positive(lengths[index] * lengths[against])
            row[f"plain_{name}"] = plain[index, against] / sides
        rows.append(row)
    return rows


def _positive(number: float) -> float:
    """A number that has a root and divides; NaN where noise has left none."""
    return number if number > 0 else np.nan


def _configuration(place: Place, seeds: int) -> Any:
    from dmaml_jax.build import configuration

    return configuration(place.env, "maml", seeds=seeds, **place.values)


def _trained(place: Place, seeds: list[int]) -> list[tuple[int, Any]]:
    """MAML's θ of all seeds after so many epochs, by epoch."""
    from dmaml_jax.build.learner import build
    from dmaml_jax.training.chunk import train_step
    from dmaml_jax.training.program import Program

    config = _configuration(place, len(seeds))
    gaps = np.diff(place.epochs)
    program = Program(
        *train_step(*build(config), config.sampling.num_tasks),
        seeds=seeds,
        chunk_epochs=int(gaps.max()),
    )
    program.compile()
    found = [(place.epochs[0], program.params())]
    for first, number in zip(place.epochs, gaps, strict=False):
        program.run(int(first), int(number))
        found.append((int(first + number), program.params()))
    return found


def _lane(theta: Any, lane: int) -> Any:
    import jax

    return jax.tree.map(lambda leaf: leaf[lane], theta)


def _compiled(place: Place) -> Any:
    """`(seed, epoch, θ) -> ` gradients `[batches, kinds, parameters]`."""
    import jax
    import jax.numpy as jnp

    from dmaml_jax.build.learner import build
    from dmaml_jax.learners.base import loss_on_data
    from dmaml_jax.training.keys import seed_keys

    config = _configuration(place, 1)
    problem, maml = build(config)
    _, fomaml = build(config.replace(algo="fomaml"))

    def flat(tree: Any) -> Any:
        return jax.flatten_util.ravel_pytree(tree)[0]

    def of_task(theta: Any, key: Any, task: Any) -> Any:
        """The gradient that a pre-step on the task descends."""
        data = problem.collect(key, theta, task)
        return jax.grad(lambda params: loss_on_data(problem, params, data))(theta)

    def of_batch(theta: Any, random_task: Any, key: Any) -> Any:
        key_tasks, key_step, key_medium, key_random, key_mixture = jax.random.split(
            key, 5
        )
        tasks = problem.sample_tasks(key_tasks, config.sampling.num_tasks)
        state = maml.init(key_step)._replace(params=theta)
        meta, first_order = (
            flat(learner.step(key_step, state, tasks)[1].meta_gradient)
            for learner in (maml, fomaml)
        )
        medium = flat(of_task(theta, key_medium, problem.medium_task()))
        keys = jax.random.split(key_mixture, config.sampling.num_tasks)
        each = jax.vmap(lambda *own: flat(of_task(theta, *own)))(keys, tasks)
        # Another random task in each batch would be the mixture in the mean of them.
        random = flat(of_task(theta, key_random, random_task))
        return jnp.stack([meta, meta - first_order, medium, random, each.mean(axis=0)])

    @jax.jit
    def all_of(theta: Any, key: Any, key_task: Any) -> Any:
        random_task = _lane(problem.sample_tasks(key_task, 1), 0)
        keys = jax.random.split(key, place.batches)
        return jax.lax.map(partial(of_batch, theta, random_task), keys)

    def gradients(seed: int, epoch: int, theta: Any) -> np.ndarray:
        keys = seed_keys(seed)
        key = jax.random.fold_in(keys.evaluation, epoch)
        return np.asarray(all_of(theta, key, keys.tasks), np.float64)

    return gradients
