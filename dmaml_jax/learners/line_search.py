"""The backtracking line search of a trust region, inside of a compiled program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.natural_gradient import dot, plus
from dmaml_jax.types import Evaluation, PyTree

# On a quadratic the full step meets the bound to rounding only.
_ROUNDING = 1e-6


class Found(NamedTuple):
    """Where a line search has ended.

    Attributes:
        params: the new parameters, or the old ones where none was accepted.
        kl: the KL at those parameters, 0 where no step was accepted.
        length: the Euclidean length of the step.
        accepted: whether a step was taken.
    """

    params: PyTree
    kl: jax.Array
    length: jax.Array
    accepted: jax.Array


class _Search(NamedTuple):
    """Where a line search stands."""

    tried: jax.Array
    before: jax.Array
    share: jax.Array
    kl: jax.Array
    accepted: jax.Array


def line_search(
    evaluate: Callable[[PyTree], Evaluation],
    params: PyTree,
    step: PyTree,
    *,
    kl_bound: Any,
    backtracking: Any,
    max_backtracks: int,
) -> Found:
    """The first of θ + c^j s, j = 0 …, with a lower loss and a KL within the bound.

    Args:
        evaluate: `(θ) -> Evaluation`, with the loss and the KL at any θ.
        params: θ, at which the KL is 0.
        step: s, the whole step, a pytree like θ.
        kl_bound: δ; what is accepted may exceed it by its rounding, a millionth.
        backtracking: c, by which the step is shortened after each refusal, below 1.
        max_backtracks: the largest j, after which the search gives up.
    """

    def at(share: jax.Array) -> PyTree:
        return plus(params, share, step)

    def goes_on(search: _Search) -> jax.Array:
        return ~search.accepted & (search.tried <= max_backtracks + 1)

    def look(search: _Search) -> _Search:
        """First at θ itself, so that a program holds the objective once."""
        first = search.tried == 0
        whole = jnp.minimum(search.tried, 1).astype(search.share.dtype)
        shorter = jnp.asarray(backtracking, whole.dtype) * search.share
        share = jnp.where(search.tried < 2, whole, shorter)
        loss, kl = evaluate(at(share))[:2]
        assert kl is not None
        loss, kl = loss.astype(share.dtype), kl.astype(share.dtype)
        fits = (loss < search.before) & (kl <= kl_bound * (1 + _ROUNDING))
        return _Search(
            search.tried + 1,
            jnp.where(first, loss, search.before),
            share,
            kl,
            ~first & fits,
        )

    zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype)
    start = _Search(jnp.int32(0), zero, zero, zero, jnp.array(False))
    end = jax.lax.while_loop(goes_on, look, start)
    share = jnp.where(end.accepted, end.share, 0)
    # Not θ + 0 s: a step that is not finite must leave θ as it is.
    moved = jax.tree.map(
        lambda new, old: jnp.where(end.accepted, new, old), at(share), params
    )
    length = jnp.where(end.accepted, share * jnp.sqrt(dot(step, step)), 0)
    return Found(moved, jnp.where(end.accepted, end.kl, 0), length, end.accepted)
