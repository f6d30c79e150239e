"""A gated recurrent unit (Cho et al. 2014) as a network of sequences."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dmaml_jax.rl.memory_policies import Network, affine, dense
from dmaml_jax.types import Params


def gru(
    num_outputs: int,
    memory_size: int = 64,
    hidden_sizes: Sequence[int] = (),
    precision: str = "highest",
) -> Network:
    r"""Layers with tanh, a GRU, and an output layer that starts close to 0.

    r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), c = tanh(W_c x + r (U_c h + b)),
    h ← (1 − z) c + z h,

    with a bias in each product with x. It is `flax.linen.GRUCell`, with the gates' six
    products as two: what does not depend on h is one product for the whole sequence.

    Args:
        num_outputs: the number of outputs.
        memory_size: the length of h.
        hidden_sizes: the widths of layers between the input and the GRU.
        precision: the precision of the matrix products, such as "highest".

    Returns:
        The network, whose memory is h, 0 at first, `[memory_size]`.
    """

    def init(key: jax.Array, num_inputs: int) -> Params:
        key_layers, key_gates, key_recurrent, key_head = jax.random.split(key, 4)
        widths = [num_inputs, *hidden_sizes]
        keys = jax.random.split(key_layers, len(widths))
        dtype = jnp.result_type(float)
        gates = [
            orthogonal(own, memory_size, dtype)
            for own in jax.random.split(key_recurrent, 3)
        ]
        return {
            "layers": [
                dense(own, *pair)
                for own, pair in zip(keys, pairwise(widths), strict=False)
            ],
            "gates": dense(key_gates, widths[-1], 3 * memory_size),
            "recurrent": {
                "kernel": jnp.concatenate(gates, axis=1),
                "bias": jnp.zeros(memory_size, dtype),
            },
            "head": dense(key_head, memory_size, num_outputs, 0.01),
        }

    def gates_of(params: Params, x: jax.Array) -> jax.Array:
        for layer in params["layers"]:
            x = jnp.tanh(affine(layer, x, precision))
        return affine(params["gates"], x, precision)

    advance = partial(gru_step, precision=precision)

    def step(
        params: Params, memory: jax.Array, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        memory = advance(params["recurrent"], memory, gates_of(params, x))
        return memory, affine(params["head"], memory, precision)

    def unroll(params: Params, xs: jax.Array) -> jax.Array:
        def one(h: jax.Array, gates: jax.Array) -> tuple[jax.Array, jax.Array]:
            h = advance(params["recurrent"], h, gates)
            return h, h

        _, states = jax.lax.scan(one, memory(), gates_of(params, xs))
        return affine(params["head"], states, precision)

    def memory() -> jax.Array:
        return jnp.zeros(memory_size, jnp.result_type(float))

    return Network(init, memory, step, unroll)


def gru_step(
    recurrent: Params, h: jax.Array, gates: jax.Array, precision: str = "highest"
) -> jax.Array:
    """The next h from the last one and the input's part of the gates.

    Args:
        recurrent: U_r, U_z and U_c side by side, `[H, 3 H]`, and the bias b, `[H]`.
        h: the last state, `[H]`.
        gates: the products with x for r, z and c, one after the other, `[3 H]`.
        precision: the precision of the matrix product, such as "highest".
    """
    own = jnp.split(jnp.dot(h, recurrent["kernel"], precision=precision), 3)
    given = jnp.split(gates, 3)
    reset, update = (jax.nn.sigmoid(given[i] + own[i]) for i in range(2))
    candidate = jnp.tanh(given[2] + reset * (own[2] + recurrent["bias"]))
    return (1 - update) * candidate + update * h


def orthogonal(key: jax.Array, size: int, dtype: DTypeLike) -> jax.Array:
    """A random orthogonal matrix, uniform over all of them, `[size, size]`.

    Rows of normal numbers are made orthogonal one after the other (Gram and Schmidt,
    twice each, after which rounding leaves nothing). It is what a QR decomposition with
    a positive diagonal gives. LAPACK is not asked for one, because programs of two
    devices that did so were seen to hang on a CPU of two cores (jaxlib 0.10.2).

    Args:
        key: the random key of the normal numbers.
        size: the number of rows and of columns.
        dtype: the type of the matrix's entries.
    """
    product = partial(jnp.dot, precision="highest")
    normal = jax.random.normal(key, (size, size), dtype)

    def add(found: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        row = normal[index]
        for _ in range(2):
            row = row - product(product(found, row), found)
        return found.at[index].set(row / jnp.linalg.norm(row)), None

    return jax.lax.scan(add, jnp.zeros_like(normal), jnp.arange(size))[0]
