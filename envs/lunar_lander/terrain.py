"""The moon: eleven vertices, ten edges of two metres, and a flat pad in the middle."""

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    left_of,
    nth,
    numbers,
    unit,
)


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
    """The edges of some numbers.

    Args:
        terrain: heights of the vertices, m, `[11, …]`.
        index: the numbers of the edges, from the left and from 0.
    """
    x = index.astype(terrain.dtype) * c.EDGE_WIDTH
    return Edge(
        Vector(x, nth(terrain, index)),
        Vector(x + c.EDGE_WIDTH, nth(terrain, index + 1)),
    )


def edges_below(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two edges that a body with its centre at x can touch, the even one first.

    They cover x ± 1 m, and a body is no wider.
    """
    left = jnp.floor((x - c.EDGE_WIDTH / 2) / c.EDGE_WIDTH).astype(jnp.int32)
    left = jnp.clip(left, 0, c.NUM_EDGES - 2)
    even = left + left % 2
    return even, 2 * left + 1 - even


class Ground(struct.PyTreeNode):
    """The two neighbouring edges below a body, which cover x ± 1 m: no body is wider.

    Attributes:
        vertices: where the left edge begins, where both meet, and where the right one
            ends, `[3, …, L]`.
        ups: the normals of the left and of the right edge, `[2, …, L]`.
        left_is_odd: whether the number of the left edge is odd, `[…, L]`.
    """

    vertices: Vector
    ups: Vector
    left_is_odd: jax.Array


def ground_below(terrain: jax.Array, x: jax.Array) -> Ground:
    """The ground below bodies at x.

    Args:
        terrain: heights of the vertices, m, `[11, L]`.
        x: where the bodies' centres are, m, `[…, L]`.
    """
    left = jnp.floor((x - c.EDGE_WIDTH / 2) / c.EDGE_WIDTH)
    left = jnp.clip(left, 0, c.NUM_EDGES - 2)
    index = left + numbers(3, left).astype(left.dtype)
    vertices = Vector(index * c.EDGE_WIDTH, nth(terrain, index))
    ups = left_of(unit(vertices[1:] - vertices[:-1]))
    odd = left - 2 * jnp.floor(left / 2) == 1
    return Ground(vertices, ups, odd)
