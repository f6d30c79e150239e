"""How a network's outputs become the parameters of a distribution of actions."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.options import is_traced
from dmaml_jax.rl.action_distributions import Normal, categorical, diagonal_normal
from dmaml_jax.types import Distribution


class Head(NamedTuple):
    """How a network's outputs become the parameters of a distribution.

    Attributes:
        num_outputs: how many outputs the network must have.
        distribution: what they are the parameters of.
        init: `() -> ` parameters of the head itself, beside the network's; or None.
        read: `(head's parameters, outputs) -> ` the distribution's parameters.
        shown: `(sample) -> ` a vector as long as the outputs that stands for an action.
    """

    num_outputs: int
    distribution: Distribution
    init: Callable[[], Any] | None
    read: Callable[[Any, jax.Array], Any]
    shown: Callable[[jax.Array], jax.Array]


def categorical_head(num_actions: int) -> Head:
    """The outputs are logits of so many choices; a choice is shown as a one-hot one."""

    def shown(action: jax.Array) -> jax.Array:
        return jax.nn.one_hot(action, num_actions, dtype=jnp.result_type(float))

    return Head(num_actions, categorical(), None, lambda _, outputs: outputs, shown)


def normal_head(
    num_actions: int,
    distribution: Distribution | None = None,
    *,
    initial_std: Any = 1.0,
    min_std: Any = 0.0,
) -> Head:
    """The outputs are means; an action is shown as the environment gets it.

    Args:
        num_actions: the length A of an action.
        distribution: a distribution with `Normal` parameters; `diagonal_normal()` by
            default.
        initial_std: σ at first; log σ is the head's own parameter.
        min_std: the least σ, below which log σ has no gradient.
    """
    family = distribution or diagonal_normal()

    def init() -> jax.Array:
        return jnp.full((num_actions,), jnp.log(jnp.asarray(initial_std, float)))

    def read(log_std: jax.Array, outputs: jax.Array) -> Normal:
        if is_traced(min_std):
            # The logarithm of 0 is no bound.
            log_std = jnp.maximum(log_std, jnp.log(min_std).astype(log_std.dtype))
        elif min_std > 0:
            log_std = jnp.maximum(log_std, math.log(min_std))
        return Normal(outputs, jnp.broadcast_to(log_std, outputs.shape))

    return Head(num_actions, family, init, read, family.action)
