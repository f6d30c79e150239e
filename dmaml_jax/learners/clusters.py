"""Clusters of a few points in a space of many dimensions: k-means and its silhouette.

Everything is in terms of the points' squared distances `[B, B]`: a point's distance
from the mean of others follows from them, so that no centre is ever formed. Nothing
here calls LAPACK, so that it may run on any device and under any vmap.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

_RESTARTS = 16
_ITERATIONS = 30


def squared_distances(points: jax.Array) -> jax.Array:
    """‖x_i − x_j‖² of points `[B, P]`, `[B, B]`."""
    away = points - jnp.mean(points, axis=0)  # products of large numbers would cancel
    gram = jnp.einsum("ip,jp->ij", away, away, precision="highest")
    squares = jnp.diagonal(gram)
    found = squares[:, None] + squares[None, :] - 2 * gram
    return jnp.where(jnp.eye(len(points), dtype=bool), 0, jnp.maximum(found, 0))


def k_means(key: jax.Array, squares: jax.Array, num: int) -> jax.Array:
    """Labels 0 … k − 1 that make the squared distances from the clusters' means least.

    Lloyd's iterations from 16 starts, each drawn as k-means++ draws it (Arthur and
    Vassilvitskii 2007); the best of them. A cluster may be empty where there are not as
    many different points.

    Args:
        key: the random key of the starts.
        squares: squared distances of the points, `[B, B]`.
        num: k, the number of clusters.

    Returns:
        Labels, int32 `[B]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> points = jnp.array([[0.0], [9.0], [0.1], [9.2]])
        >>> labels = k_means(jax.random.key(0), squared_distances(points), 2)
        >>> print((labels == labels[0]).tolist())
        [True, False, True, False]
    """
    chex.assert_shape(squares, (len(squares), len(squares)))

    def once(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def improve(_: Any, labels: jax.Array) -> jax.Array:
            return jnp.argmin(_from_means(squares, labels, num), axis=1).astype(
                jnp.int32
            )

        labels = jax.lax.fori_loop(0, _ITERATIONS, improve, _start(key, squares, num))
        away = _from_means(squares, labels, num)
        return labels, jnp.sum(jnp.take_along_axis(away, labels[:, None], axis=1))

    found, spreads = jax.vmap(once)(jax.random.split(key, _RESTARTS))
    return found[jnp.argmin(spreads)]


def silhouette(squares: jax.Array, labels: jax.Array, num: int) -> jax.Array:
    """The mean silhouette of a clustering (Rousseeuw 1987), from −1 to 1.

    A point's is (b − a) / max(a, b), a its mean distance from the others of its
    cluster, b the least of those from another cluster. It is 0 for a point alone in its
    cluster, and for all of them where there is one cluster only.

    Args:
        squares: squared distances of the points, `[B, B]`.
        labels: the number of each point's cluster, from 0 to k − 1, `[B]`.
        num: k, the number of clusters.
    """
    chex.assert_shape(squares, (*labels.shape, *labels.shape))
    distances = jnp.sqrt(squares)
    members = jax.nn.one_hot(labels, num, dtype=squares.dtype)
    counts = jnp.sum(members, axis=0)
    sums = jnp.einsum("ij,jc->ic", distances, members, precision="highest")
    own = members > 0
    others = jnp.where(own | (counts == 0), jnp.inf, sums / jnp.maximum(counts, 1))
    b = jnp.min(others, axis=1)
    size = counts[labels]
    a = jnp.sum(jnp.where(own, sums, 0), axis=1) / jnp.maximum(size - 1, 1)
    longest = jnp.maximum(a, b)
    told = (size > 1) & jnp.isfinite(b) & (longest > 0)
    return jnp.mean(jnp.where(told, (b - a) / jnp.where(told, longest, 1), 0))


def shuffled(key: jax.Array, points: jax.Array) -> jax.Array:
    """The points with every coordinate dealt out anew among them.

    Each coordinate keeps its values and the clusters are gone: what a silhouette is
    held against, as k-means finds clusters in anything.
    """
    keys = jax.random.split(key, points.shape[1])
    return jax.vmap(jax.random.permutation, in_axes=(0, 1), out_axes=1)(keys, points)


def matched(new: jax.Array, old: jax.Array, num: int) -> jax.Array:
    """The same clustering, its labels chosen to agree with another one's.

    Pairs of clusters are matched one after the other, those that share most points
    first.

    Args:
        new: the labels that are to be renamed, `[B]`.
        old: labels `[B]` of the same points.
        num: k, the number of clusters.

    Returns:
        `new` with its labels permuted.
    """
    chex.assert_equal_shape([new, old])
    ones = (jax.nn.one_hot(labels, num, dtype=jnp.int32) for labels in (new, old))
    shared = jnp.einsum("ic,id->cd", *ones)

    def match(_: Any, carry: tuple[jax.Array, jax.Array]):
        left, names = carry
        one, other = jnp.divmod(jnp.argmax(left).astype(jnp.int32), num)
        left = left.at[one, :].set(-1).at[:, other].set(-1)
        return left, names.at[one].set(other)

    names = jnp.zeros(num, jnp.int32)
    return jax.lax.fori_loop(0, num, match, (shared, names))[1][new]


def _from_means(squares: jax.Array, labels: jax.Array, num: int) -> jax.Array:
    """Squared distances from the clusters' means, `[B, k]`; infinite from empty ones.

    ‖x_i − μ_c‖² = mean_j ‖x_i − x_j‖² − ½ mean_jl ‖x_j − x_l‖², j and l in the cluster.
    """
    members = jax.nn.one_hot(labels, num, dtype=squares.dtype)
    counts = jnp.sum(members, axis=0)
    shares = members / jnp.maximum(counts, 1)
    to_members = jnp.einsum("ij,jc->ic", squares, shares, precision="highest")
    within = jnp.sum(shares * to_members, axis=0)
    return jnp.where(counts > 0, to_members - within / 2, jnp.inf)


def _start(key: jax.Array, squares: jax.Array, num: int) -> jax.Array:
    """Labels by the nearest of k points, each drawn in proportion to its distance²."""
    key_first, *keys = jax.random.split(key, num)
    chosen = jax.random.randint(key_first, (), 0, len(squares), jnp.int32)
    centres = [chosen]
    for each in keys:
        nearest = jnp.min(squares[jnp.stack(centres)], axis=0)
        # Where all points are centres already, the logarithms are all the same.
        centres.append(jax.random.categorical(each, jnp.log(nearest)).astype(jnp.int32))
    return jnp.argmin(squares[jnp.stack(centres)], axis=0).astype(jnp.int32)
