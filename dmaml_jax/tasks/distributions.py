"""Task distributions: what varies from task to task, and the task in their middle."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.tasks import laws
from dmaml_jax.tasks.parameters import type_that_varies
from dmaml_jax.types import Task


class TaskDistribution(NamedTuple):
    """ρ(𝒯), a distribution over environment parameters.

    Attributes:
        sample: `(key) -> task`, one task ~ ρ.
        mean: `() -> task`, the medium task 𝒯_med at φ_med = E_ρ[φ]; of lists and
            mixtures a medoid, as the mean may be no task of theirs.
        held_out: `(key) -> task`, one that training does not see: of a finite list the
            held-out part, else a fresh draw. None: as `sample`.
    """

    sample: Callable[[jax.Array], Task]
    mean: Callable[[], Task]
    held_out: Callable[[jax.Array], Task] | None = None

    def sample_held_out(self, key: jax.Array) -> Task:
        """A task for testing; the key must be none that training uses."""
        return (self.held_out or self.sample)(key)


def uniform(env_params: Any, **ranges: tuple[float, float]) -> TaskDistribution:
    r"""Tasks whose named parameters are uniform in a box, independently.

    φ_j ~ U[low_j, high_j], and φ_med,j = (low_j + high_j) / 2.

    Args:
        env_params: the environment's parameters, a flax dataclass; fields that are
            not named keep their values.
        **ranges: field name to (low, high), in the field's unit; low ≤ high.

    Returns:
        The distribution; its tasks are parameters like `env_params`.

    Raises:
        ValueError: no field of that name, a field that is no float, a range that is
            reversed or not finite, or a field whose change would leave a stored
            product of it stale.

    Example:
        >>> from dmaml_jax.envs import CartPole
        >>> tasks = uniform(CartPole().default_params, gravity=(5.0, 15.0))
        >>> print(tasks.mean().gravity)
        10.0
    """
    found = {}
    for name, (low, high) in ranges.items():
        try:
            found[name] = laws.between(low, high)
        except ValueError as error:
            raise ValueError(f"Parameter {name!r}: {error}.") from None
    return independent(env_params, found)


def independent(
    env_params: Any,
    parameters: Mapping[str, laws.Law],
    *,
    medium: Literal["medoid", "mean"] = "medoid",
) -> TaskDistribution:
    """Tasks whose named parameters vary independently, each by its law.

    Args:
        env_params: the environment's parameters; fields not named keep their values.
        parameters: field name to its law (`dmaml_jax.tasks.laws`).
        medium: where the medium task stands. A law's own rule by default: the mean of a
            continuous range, the median of a list or of the parts of a mixture, which
            is one of their values. "mean" takes the mean in any case, even where no
            task is near it.

    Returns:
        The distribution; its tasks are parameters like `env_params`.

    Raises:
        ValueError: no field of that name, one that cannot vary like this or whose
            change would leave a stored product of it stale, or the mean of a field of
            whole numbers.

    Example:
        >>> from dmaml_jax.envs import CartPole
        >>> lengths = laws.one_of([0.25, 0.5, 1.0])
        >>> tasks = independent(CartPole().default_params, {"length": lengths})
        >>> print(tasks.mean().length)
        0.5
    """
    types = {}
    for name, law in parameters.items():
        types[name] = type_that_varies(env_params, name, whole=law.whole)
        if jnp.issubdtype(types[name], jnp.integer):
            most = jnp.iinfo(types[name])
            if not most.min <= law.low <= law.high <= most.max:
                raise ValueError(
                    f"Parameter {name!r} takes whole numbers from {most.min} to "
                    f"{most.max}, and a value lies beyond."
                )
        if medium == "mean" and jnp.issubdtype(types[name], jnp.integer):
            raise ValueError(
                f"Parameter {name!r} takes whole numbers, so its mean may be no value "
                "of it: leave medium='mean' out."
            )

    def task(values: Mapping[str, Any]) -> Task:
        typed = {name: jnp.asarray(values[name], types[name]) for name in values}
        return jax.tree.map(jnp.asarray, env_params.replace(**typed))

    def sampler(quantiles: Mapping[str, laws.Quantile]) -> Callable[[jax.Array], Task]:
        def sample(key: jax.Array) -> Task:
            draws = jax.random.uniform(key, (len(quantiles),), jnp.result_type(float))
            pairs = zip(quantiles.items(), draws, strict=True)
            return task({name: quantile(u) for (name, quantile), u in pairs})

        return sample

    def mean() -> Task:
        return task(
            {
                name: law.mean if medium == "mean" else law.medium
                for name, law in parameters.items()
            }
        )

    return TaskDistribution(
        sampler({name: law.quantile for name, law in parameters.items()}),
        mean,
        sampler({name: law.held_out for name, law in parameters.items()}),
    )


def on_circle(
    tasks: TaskDistribution, first: str, second: str, radius: float
) -> TaskDistribution:
    """`tasks`, with two parameters on a circle around the origin.

    Args:
        tasks: the distribution of the other parameters.
        first: the field that takes the first coordinate.
        second: the field that takes the second coordinate.
        radius: the circle's radius, in the fields' unit.

    Returns:
        The distribution; the medium task is at the circle's centre, its mean.

    Raises:
        ValueError: there is no such field, or one that cannot vary.
    """
    middle = tasks.mean()
    types = [type_that_varies(middle, name, whole=False) for name in (first, second)]

    def place(task: Task, x: Any, y: Any) -> Task:
        values = {first: jnp.asarray(x, types[0]), second: jnp.asarray(y, types[1])}
        return task.replace(**values)

    def around(draw: Callable[[jax.Array], Task]) -> Callable[[jax.Array], Task]:
        def sample(key: jax.Array) -> Task:
            key_task, key_angle = jax.random.split(key)
            share = jax.random.uniform(key_angle, (), jnp.result_type(float))
            angle = 2 * jnp.pi * share
            return place(
                draw(key_task), radius * jnp.cos(angle), radius * jnp.sin(angle)
            )

        return sample

    return TaskDistribution(
        around(tasks.sample),
        lambda: place(tasks.mean(), 0.0, 0.0),
        around(tasks.sample_held_out),
    )


def finite(
    env_params: Any,
    tasks: Sequence[Mapping[str, float]],
    *,
    held_out: float = 0.0,
    seed: int = 0,
) -> TaskDistribution:
    r"""One of a list of tasks, each equally likely.

    The medium task is the list's medoid, argmin_i Σ_k Σ_j |φ_ij − φ_kj| / σ_j with σ_j
    the deviation of parameter j over the list: the mean may be like none of them.

    Args:
        env_params: the environment's parameters; fields not named keep their values.
        tasks: field name to value, the same fields in each.
        held_out: the share of the list that is kept for `TaskDistribution.held_out`.
        seed: the seed of the split, which depends on nothing else.

    Returns:
        The distribution.

    Raises:
        ValueError: an empty list, tasks that name different fields, a field that is
            unknown or cannot vary, a value that is not finite, or a share that leaves
            nothing to train on.
    """
    if not tasks:
        raise ValueError("A list of tasks needs at least one task.")
    names = tuple(tasks[0])
    if any(set(task) != set(names) for task in tasks):
        raise ValueError("Every task of a list must name the same parameters.")
    if len({tuple(task[name] for name in names) for task in tasks}) < len(tasks):
        raise ValueError("A list must not name a task twice.")
    columns = {}
    for name in names:
        column = np.array([task[name] for task in tasks], np.float64)
        if not np.isfinite(column).all():
            raise ValueError(f"Parameter {name!r} has a value that is not finite.")
        whole = bool((column == np.round(column)).all())
        columns[name] = column.astype(type_that_varies(env_params, name, whole=whole))
    train, test = laws.split(len(tasks), held_out, seed)

    def at(index: Any) -> Task:
        values = {name: jnp.asarray(column)[index] for name, column in columns.items()}
        return jax.tree.map(jnp.asarray, env_params.replace(**values))

    def draw(members: np.ndarray) -> Callable[[jax.Array], Task]:
        def sample(key: jax.Array) -> Task:
            return at(
                jnp.asarray(members)[jax.random.randint(key, (), 0, len(members))]
            )

        return sample

    rows = np.stack([column[train] for column in columns.values()], axis=1)
    shares = np.full(len(train), 1 / len(train))
    middle = train[_medoid(rows, shares)]
    return TaskDistribution(
        draw(train), lambda: at(middle), draw(test if len(test) else train)
    )


def mixture(
    parts: Sequence[TaskDistribution], weights: Sequence[float] | None = None
) -> TaskDistribution:
    r"""Tasks of several kinds: one of the parts is drawn, then a task from it.

    The medium task is the medoid of the parts' own medium tasks, as `finite` takes it,
    weighted: the mean of two kinds may be of neither.

    Args:
        parts: distributions over the parameters of one environment.
        weights: their probabilities, up to a factor; equal by default.

    Returns:
        The distribution.

    Raises:
        ValueError: no parts, or weights that are not one positive number for each.
    """
    shares = laws.probabilities(len(parts), weights)

    def sampler(
        draws: Sequence[Callable[[jax.Array], Task]],
    ) -> Callable[[jax.Array], Task]:
        def sample(key: jax.Array) -> Task:
            key_part, key_task = jax.random.split(key)
            part = jax.random.choice(key_part, len(draws), p=jnp.asarray(shares))
            return jax.tree.map(
                lambda *leaves: jnp.stack(leaves)[part],
                *[draw(key_task) for draw in draws],
            )

        return sample

    # Now and not in `mean`, which a compiled epoch calls.
    rows = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part.mean())])
        for part in parts
    ]
    middle = parts[_medoid(np.stack(rows), shares)]

    return TaskDistribution(
        sampler([part.sample for part in parts]),
        middle.mean,
        sampler([part.sample_held_out for part in parts]),
    )


def _medoid(rows: np.ndarray, shares: np.ndarray) -> int:
    """The row with the least weighted distance to all, in deviations of a column."""
    rows = np.asarray(rows, np.float64)
    deviations = rows.std(axis=0)
    scaled = rows / np.where(deviations > 0, deviations, 1)
    distances = np.abs(scaled[:, None] - scaled[None]).sum(axis=2) @ shares
    return int(np.argmin(np.round(distances, 12)))
