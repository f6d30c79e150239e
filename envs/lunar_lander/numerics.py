"""Arithmetic that XLA on a CPU does badly: shared values, sines and cosines."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")


def keep(tree: Tree) -> Tree:
    """The same values, which XLA on a CPU computes once and keeps.

    XLA's fusion on a CPU copies every cheap operation into each of its consumers, so a
    long step with shared intermediates explodes in code and in run time. A division
    counts as expensive and is never copied, and a division by 1 is exact. The floats of
    a tree are divided so, and its truth values as 0 and 1. On other devices nothing is
    done.

    Args:
        tree: a tree of arrays whose last axis is the lanes.
    """
    if jax.default_backend() != "cpu":
        return tree
    leaves, structure = jax.tree.flatten(tree)
    kinds = [x.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    dtype = kinds[0] if kinds else jnp.float32
    floats = [i for i, x in enumerate(leaves) if x.dtype in (dtype, bool)]
    rows = [leaves[i].astype(dtype).reshape(-1, *leaves[i].shape[-1:]) for i in floats]
    # One kernel for all leaves: each has a cost of its own to compile and to run.
    packed = jnp.concatenate(rows) if len(rows) > 1 else rows[0]
    # XLA would leave a division by 1 out. It does not see that a value held between 1
    # and 1 is 1; should it learn to, the step grows long and its test fails.
    one = np.ones((), dtype)
    packed = packed / jax.lax.clamp(one, packed, one)
    begin = 0
    for i, part in zip(floats, rows, strict=True):
        end = begin + part.shape[0]
        leaf = packed[begin:end].reshape(leaves[i].shape)
        leaves[i] = leaf > 0.5 if leaves[i].dtype == bool else leaf
        begin = end
    return jax.tree.unflatten(structure, leaves)


# Coefficients of least greatest error on ±π/2, in powers of the angle's square.
_SIN = (-0.16666657, 0.0083330171, -0.00019806601, 2.6000242e-06)
_COS = (-0.5, 0.041666656, -0.0013888569, 2.4769291e-05, -2.6193547e-07)


def cos_sin(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of an angle together.

    In float32 they are polynomials on ±π/2, within 1.4e-7 for angles up to ±30 rad:
    on a CPU XLA's own functions take more than ten times as long.
    """
    if angle.dtype != jnp.float32:
        return jnp.cos(angle), jnp.sin(angle)
    half_turns = jnp.round(angle * np.float32(1 / np.pi))
    # π in two parts, so that the first product is exact.
    rest = angle - half_turns * np.float32(3.140625)
    rest = rest - half_turns * np.float32(np.pi - 3.140625)
    square = rest * rest
    sine, cosine = _polynomial(_SIN, square), _polynomial(_COS, square)
    half = half_turns * np.float32(0.5)
    sign = 1 - 4 * jnp.abs(half - jnp.round(half))
    return (cosine * square + 1) * sign, (sine * square * rest + rest) * sign


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        value = value * x + coefficient
    return value
