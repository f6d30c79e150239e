"""Gates: when the directed pre-step is taken, and when it is left out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.base import cosine
from dmaml_jax.types import Info, Params


class Gate(NamedTuple):
    """A rule that opens or shuts, with what it has to remember.

    Attributes:
        init: `(θ) -> memory`, what the gate remembers before the first epoch.
        is_open: `(memory, pre_gradient) -> ` whether to take this epoch's pre-step.
        update: `(memory, info) -> memory`, with the info of the epoch.
    """

    init: Callable[[Params], Any]
    is_open: Callable[[Any, Params], jax.Array]
    update: Callable[[Any, Info], Any]


def always() -> Gate:
    """Take every pre-step: Algorithm 1."""
    return Gate(
        init=lambda params: (),
        is_open=lambda memory, gradient: jnp.array(True),
        update=lambda memory, info: memory,
    )


class Plateau(NamedTuple):
    """The smoothed return, the best of it, and for how long it has not risen."""

    smoothed: jax.Array
    best: jax.Array
    waited: jax.Array


def until_plateau(patience: int, tolerance: float = 0.01, factor: float = 0.9) -> Gate:
    """Shut for good once the return after adaptation has stopped rising.

    That is when its average (EMA) has not exceeded the best one so far by the
    tolerance, a share of the best one's size, for as many epochs as there is patience.

    Args:
        patience: how many epochs without a rise it takes to shut the gate.
        tolerance: the least rise that counts, as a share of the best average's size.
        factor: the weight of the past in the average, from 0 to below 1.
    """

    def init(params: Params) -> Plateau:
        del params
        return Plateau(jnp.zeros(()), jnp.full((), -jnp.inf), jnp.int32(0))

    def update(memory: Plateau, info: Info) -> Plateau:
        first = jnp.isneginf(memory.best)
        average = factor * memory.smoothed + (1 - factor) * info.return_after
        average = jnp.where(first, info.return_after, average)
        needed = memory.best + tolerance * jnp.abs(memory.best)
        rose = first | (average > needed)
        shut = memory.waited >= patience
        return Plateau(
            smoothed=average,
            best=jnp.where(rose, average, memory.best),
            waited=jnp.where(rose & ~shut, 0, memory.waited + 1),
        )

    return Gate(init, lambda memory, gradient: memory.waited < patience, update)


def unless_opposed() -> Gate:
    """Skip a pre-step whose gradient points against the last meta-gradient."""
    return Gate(
        init=lambda params: jax.tree.map(jnp.zeros_like, params),
        is_open=lambda last, gradient: cosine(gradient, last) >= 0,
        update=lambda last, info: info.meta_gradient,
    )
