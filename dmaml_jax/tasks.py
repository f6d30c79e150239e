"""Task distributions: what varies from task to task, and its mean."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.types import Task

# Fields that some environments store although they follow from others: varying an
# ingredient alone would leave them stale, and the dynamics silently wrong.
_STORED_PRODUCTS = {
    "total_mass": ("masscart", "masspole"),
    "polemass_length": ("masspole", "length"),
}


class TaskDistribution(NamedTuple):
    """ρ(𝒯), a distribution over environment parameters.

    Attributes:
        sample: `(key) -> task`, one task ~ ρ.
        mean: `() -> task`, the medium task 𝒯_med at φ_med = E_ρ[φ].
    """

    sample: Callable[[jax.Array], Task]
    mean: Callable[[], Task]


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
    for name, (low, high) in ranges.items():
        _check(env_params, name, low, high)
    dtype = jnp.result_type(float)

    def sample(key: jax.Array) -> Task:
        draws = jax.random.uniform(key, (len(ranges),), dtype)
        values = {
            name: low + (high - low) * draw
            for (name, (low, high)), draw in zip(ranges.items(), draws, strict=True)
        }
        return jax.tree.map(jnp.asarray, env_params.replace(**values))

    def mean() -> Task:
        middle = {
            name: jnp.asarray((low + high) / 2, dtype)
            for name, (low, high) in ranges.items()
        }
        return jax.tree.map(jnp.asarray, env_params.replace(**middle))

    return TaskDistribution(sample, mean)


def _check(env_params: Any, name: str, low: float, high: float) -> None:
    fields = tuple(vars(env_params))
    if name not in fields:
        raise ValueError(
            f"The environment has no parameter {name!r}: choose from "
            f"{', '.join(fields)}."
        )
    if not jnp.issubdtype(jnp.result_type(getattr(env_params, name)), jnp.floating):
        raise ValueError(
            f"Parameter {name!r} is not a float, so it cannot vary continuously: "
            "choose a float parameter."
        )
    if jnp.ndim(getattr(env_params, name)) > 0:
        raise ValueError(
            f"Parameter {name!r} is an array, so one number cannot stand for it: "
            "choose a parameter that is a single number."
        )
    if not -float("inf") < low <= high < float("inf"):
        raise ValueError(
            f"The range of {name!r} is {low:g}:{high:g}, but it must be LOW:HIGH with "
            "finite LOW <= HIGH."
        )
    for product, ingredients in _STORED_PRODUCTS.items():
        if product in fields and name in (product, *ingredients):
            raise ValueError(
                f"Parameter {name!r} cannot vary: this environment stores {product!r}, "
                f"which follows from {' and '.join(ingredients)}, so the two would "
                "disagree; vary another parameter, or use an environment that "
                "derives it."
            )
