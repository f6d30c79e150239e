"""Vectors and rotations of the plane, whose components are arrays of any one shape."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander.numerics import cos_sin

Scalar = float | jax.Array


class Vector(struct.PyTreeNode):
    """A point, direction or force; as a rotation, (cos, sin) of its angle."""

    x: Any
    y: Any

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other: "Vector") -> "Vector":
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: Scalar) -> "Vector":
        return Vector(self.x * factor, self.y * factor)

    def __neg__(self) -> "Vector":
        return Vector(-self.x, -self.y)


def dot(a: Vector, b: Vector) -> jax.Array:
    """A · b."""
    return a.x * b.x + a.y * b.y


def cross(a: Vector, b: Vector) -> jax.Array:
    """A × b, the component out of the plane."""
    return a.x * b.y - a.y * b.x


def swept(spin: Scalar, lever: Vector) -> Vector:
    """ω × r: the velocity that a rotation gives to a point at r."""
    return Vector(-lever.y * spin, lever.x * spin)


def right_of(direction: Vector) -> Vector:
    """The direction turned clockwise by a right angle."""
    return Vector(direction.y, -direction.x)


def length(a: Vector) -> jax.Array:
    """|a|."""
    return jnp.sqrt(dot(a, a))


def unit(a: Vector) -> Vector:
    """The direction of a; zero stays zero, not a number."""
    size = length(a)
    return a * (1 / jnp.where(size > 0, size, 1))


def rotation(angle: Scalar) -> Vector:
    """The rotation by an angle in rad."""
    cos, sin = cos_sin(jnp.asarray(angle))
    return Vector(cos, sin)


def turn(q: Vector, v: Vector) -> Vector:
    """V turned by q: from a body's frame into the world's."""
    return Vector(q.x * v.x - q.y * v.y, q.y * v.x + q.x * v.y)


def turn_back(q: Vector, v: Vector) -> Vector:
    """V turned back by q: from the world's frame into a body's."""
    return Vector(q.x * v.x + q.y * v.y, q.x * v.y - q.y * v.x)


def where(condition: jax.Array, a: Any, b: Any) -> Any:
    """`jnp.where` over all leaves of two trees of one structure."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def row(tree: Any, *index: int) -> Any:
    """The tree of one row of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def stacked(*trees: Any) -> Any:
    """The tree whose leaves have the given trees as rows."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
