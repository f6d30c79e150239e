"""The moon: eleven vertices, ten edges of two metres, and a flat pad in the middle."""

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.vectors import Vector


class Edge(struct.PyTreeNode):
    """One edge of the ground, from left to right."""

    start: Vector
    end: Vector


def smoothed(heights: jax.Array) -> jax.Array:
    """The ground's vertices from twelve random heights.

    y_i = 0.33 (h_{i−1} + h_i + h_{i+1}) with h_{−1} = h_11, after the five heights
    around the pad are set to its own. 0.33 is not a third: the pad lies at 3.3 m.

    Args:
        heights: m, uniform on (0, H/2), `[12]`.

    Returns:
        Heights of the vertices at x = 0, 2, …, 20 m, `[11]`.
    """
    middle = c.NUM_VERTICES // 2
    heights = heights.at[middle - 2 : middle + 3].set(c.PAD_HEIGHT)
    neighbours = jnp.roll(heights, 1) + heights + jnp.roll(heights, -1)
    return 0.33 * neighbours[: c.NUM_VERTICES]


def edge(terrain: jax.Array, index: jax.Array) -> Edge:
    """The edge of one number, chosen without a gather."""
    vertices = jnp.arange(c.NUM_VERTICES)
    zero = jnp.zeros((), terrain.dtype)

    def height(vertex: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(vertices == vertex, terrain, zero))

    x = index.astype(terrain.dtype) * c.EDGE_WIDTH
    return Edge(Vector(x, height(index)), Vector(x + c.EDGE_WIDTH, height(index + 1)))


def edges_below(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two edges that a body with its centre at x can touch, the even one first.

    They cover x ± 1 m, and a body is no wider.
    """
    left = jnp.floor((x - c.EDGE_WIDTH / 2) / c.EDGE_WIDTH).astype(jnp.int32)
    left = jnp.clip(left, 0, c.NUM_EDGES - 2)
    even = left + left % 2
    return even, 2 * left + 1 - even
