"""Vectors and rotations of the plane, whose components are arrays of any one shape."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander.numerics import cos_sin

Scalar = float | jax.Array
Tree = TypeVar("Tree")


class Vector(struct.PyTreeNode):
    """A point, direction or force; as a rotation, (cos, sin) of its angle."""

    x: jax.Array
    y: jax.Array

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other: "Vector") -> "Vector":
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: Scalar | np.ndarray) -> "Vector":
        return Vector(self.x * factor, self.y * factor)

    def __neg__(self) -> "Vector":
        return Vector(-self.x, -self.y)

    def __getitem__(self, index: Any) -> "Vector":
        return Vector(self.x[index], self.y[index])


def dot(a: Vector, b: Vector) -> jax.Array:
    """The scalar product of two vectors."""
    return a.x * b.x + a.y * b.y


def cross(a: Vector, b: Vector) -> jax.Array:
    """The vector product of two vectors, which points out of the plane."""
    return a.x * b.y - a.y * b.x


def swept(spin: Scalar, lever: Vector) -> Vector:
    """The velocity ω × r that a rotation gives to a point at r."""
    return Vector(-lever.y * spin, lever.x * spin)


def right_of(direction: Vector) -> Vector:
    """The direction turned clockwise by a right angle."""
    return Vector(direction.y, -direction.x)


def left_of(direction: Vector) -> Vector:
    """The direction turned counterclockwise by a right angle."""
    return Vector(-direction.y, direction.x)


def length(a: Vector) -> jax.Array:
    """The length of a vector."""
    return jnp.sqrt(dot(a, a))


def unit(a: Vector) -> Vector:
    """The direction of a vector; zero stays zero and does not become NaN."""
    size = length(a)
    return a * (1 / jnp.where(size > 0, size, 1))


def rotation(angle: Scalar) -> Vector:
    """The rotation by an angle in rad."""
    cos, sin = cos_sin(jnp.asarray(angle))
    return Vector(cos, sin)


def turn(q: Vector, v: Vector) -> Vector:
    """The vector v turned by q: from a body's frame into the world's."""
    return Vector(q.x * v.x - q.y * v.y, q.y * v.x + q.x * v.y)


def turn_back(q: Vector, v: Vector) -> Vector:
    """The vector v turned back by q: from the world's frame into a body's."""
    return Vector(q.x * v.x + q.y * v.y, q.x * v.y - q.y * v.x)


def where(condition: jax.Array, a: Tree, b: Tree) -> Tree:
    """`jnp.where` over all leaves of two trees of one structure."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def row(tree: Tree, *index: int) -> Tree:
    """The tree of one row of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def stacked(*trees: Tree) -> Tree:
    """The tree whose leaves have the given trees as rows."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def fixed(x: Any, y: Any) -> Vector:
    """A vector of constants, numbers or arrays of NumPy."""
    return Vector(x, y)


def rows(values: Any, like: jax.Array) -> jax.Array:
    """Constants of several bodies in every lane, `[..., L]`.

    Args:
        values: the constants, `[...]`.
        like: an array of the type and the number of lanes wanted, `[..., L]`.
    """
    values = np.asarray(values, like.dtype)
    return jnp.broadcast_to(values[..., None], (*values.shape, like.shape[-1]))


def over(tree: Tree, like: jax.Array) -> Tree:
    """Rows with axes put in behind the first one, as many as `like` needs.

    Args:
        tree: a tree of arrays `[k, …]` whose rows have no more axes than `like`.
        like: what the rows are to be combined with.
    """

    def widened(leaf: Any) -> Any:
        between = (1,) * (like.ndim - leaf.ndim + 1)
        return leaf.reshape(leaf.shape[0], *between, *leaf.shape[1:])

    return jax.tree.map(widened, tree)


def numbers(count: int, like: jax.Array) -> np.ndarray:
    """0, 1, …, each as a row that goes with `like`, `[count, 1, …, 1]`."""
    return np.arange(count, dtype=np.int32).reshape(count, *(1,) * like.ndim)


def nth(tree: Tree, index: jax.Array) -> Tree:
    """The rows of one number in every lane, chosen without a gather."""

    def chosen(leaf: Any) -> jax.Array:
        there = numbers(leaf.shape[0], index).astype(index.dtype) == index
        return jnp.sum(jnp.where(there, leaf, 0), axis=0, dtype=leaf.dtype)

    return jax.tree.map(chosen, over(tree, index))


def first_least(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The least of the rows' values, and the number of the first row that has it."""
    least = jnp.min(values, axis=0)
    count = values.shape[0]
    every = jnp.where(values == least, numbers(count, least), count - 1)
    return least, jnp.min(every, axis=0)
