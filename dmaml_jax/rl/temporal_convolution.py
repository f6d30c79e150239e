"""SNAIL (Mishra et al. 2018, arXiv 1707.03141): temporal convolutions and attention.

    linear(32) → TC(T, 32) → TC(T, 32) → attention(32, 32) → linear

A TC block is ⌈log₂ T⌉ dense blocks with the dilations 1, 2, 4, …; a dense block with
dilation R and D filters appends D features to what it gets,

    tanh(W_f [x_{t−R}, x_t] + b_f) · σ(W_g [x_{t−R}, x_t] + b_g),

where x is 0 before the start, and the attention appends what the past has to say,

    Σ_{s ≤ t} softmax_s(q_t · k_s / √K) v_s,

its own position among it. The paper prints dilations from 2, with which no convolution
would ever see the step before; those here begin with 1, so that a block sees T steps.

In a rollout each dense block keeps its last R inputs, and the attention its last T keys
and values. What is older than T steps is forgotten, so a life may outlast a trial.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.rl.memory_policies import Network, affine, dense
from dmaml_jax.types import Params


class Caches(NamedTuple):
    """What the step-by-step form keeps.

    Attributes:
        num_inputs: how many inputs there were, int32.
        inputs: the last R inputs of each dense block, `[R, …]`; input t is at t mod R.
        keys: the last T keys; that of t is at t mod T, `[T, K]`.
        values: the last T values, `[T, V]`.
    """

    num_inputs: jax.Array
    inputs: tuple[jax.Array, ...]
    keys: jax.Array
    values: jax.Array


def snail(
    num_outputs: int,
    length: int,
    filters: int = 32,
    precision: str = "highest",
) -> Network:
    """SNAIL's network for trials of at most `length` steps.

    Args:
        num_outputs: the number of outputs.
        length: T, how many steps the attention looks back.
        filters: the width of the first layer, of the dense blocks, of the keys and of
            the values.
        precision: the precision of the matrix products, such as "highest".

    Returns:
        The network, whose memory is a `Caches`.
    """
    depth = max(1, math.ceil(math.log2(length)))
    dilations = [2**i for i in range(depth)] * 2
    widths = [filters * (1 + block) for block in range(len(dilations) + 1)]

    def init(key: jax.Array, num_inputs: int) -> Params:
        key_first, key_blocks, key_attention, key_head = jax.random.split(key, 4)
        keys = jax.random.split(key_blocks, len(dilations))
        names = ("query", "key", "value")
        attention = zip(names, jax.random.split(key_attention, 3), strict=True)
        return {
            "first": dense(key_first, num_inputs, filters),
            "blocks": [
                dense(own, 2 * width, 2 * filters)
                for own, width in zip(keys, widths, strict=False)
            ],
            "attention": {name: dense(k, widths[-1], filters) for name, k in attention},
            "head": dense(key_head, widths[-1] + filters, num_outputs, 0.01),
        }

    def memory() -> Caches:
        dtype = jnp.result_type(float)
        inputs = [
            jnp.zeros((dilation, width), dtype)
            for dilation, width in zip(dilations, widths, strict=False)
        ]
        empty = jnp.zeros((length, filters), dtype)
        return Caches(jnp.int32(0), tuple(inputs), empty, empty)

    append = partial(_appended, precision=precision)

    def step(params: Params, caches: Caches, x: jax.Array) -> tuple[Caches, jax.Array]:
        t, kept = caches.num_inputs, []
        x = affine(params["first"], x, precision)
        for layer, cache in zip(params["blocks"], caches.inputs, strict=True):
            at = t % cache.shape[0]
            kept.append(cache.at[at].set(x))
            x = append(layer, cache[at], x)
        query, key, value = _attended(params["attention"], x, precision)
        keys = caches.keys.at[t % length].set(key)
        values = caches.values.at[t % length].set(value)
        filled = jnp.arange(length, dtype=jnp.int32) <= t
        read = _read(query, keys, values, filled, precision)
        output = affine(params["head"], jnp.concatenate([x, read]), precision)
        return Caches(t + 1, tuple(kept), keys, values), output

    def unroll(params: Params, xs: jax.Array) -> jax.Array:
        xs = affine(params["first"], xs, precision)
        for layer, dilation in zip(params["blocks"], dilations, strict=True):
            shifted = jnp.pad(xs, ((dilation, 0), (0, 0)))[: xs.shape[0]]
            xs = append(layer, shifted, xs)
        queries, keys, values = _attended(params["attention"], xs, precision)
        steps = jnp.arange(xs.shape[0])
        behind = steps[:, None] - steps
        seen = (behind >= 0) & (behind < length)
        read = _read(queries, keys, values, seen, precision)
        together = jnp.concatenate([xs, read], axis=-1)
        return affine(params["head"], together, precision)

    return Network(init, memory, step, unroll)


def _appended(
    layer: Params, before: jax.Array, x: jax.Array, precision: str
) -> jax.Array:
    """What a dense block makes of x_t and x_{t−R}: its input, with D more features."""
    both = affine(layer, jnp.concatenate([before, x], axis=-1), precision)
    content, gate = jnp.split(both, 2, axis=-1)
    return jnp.concatenate([x, jnp.tanh(content) * jax.nn.sigmoid(gate)], axis=-1)


def _attended(params: Params, x: jax.Array, precision: str) -> tuple[jax.Array, ...]:
    names = ("query", "key", "value")
    return tuple(affine(params[name], x, precision) for name in names)


def _read(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    seen: jax.Array,
    precision: str,
) -> jax.Array:
    """Values weighed by how their keys match, of the positions that may be seen."""
    products = jnp.dot(queries, keys.T, precision=precision)
    # Minus infinity is an exact 0 after the exponential: a position that is not seen
    # changes no bit. One position is always seen, so no row is without weight.
    scores = jnp.where(seen, products / math.sqrt(keys.shape[-1]), -jnp.inf)
    return jnp.dot(jax.nn.softmax(scores), values, precision=precision)
