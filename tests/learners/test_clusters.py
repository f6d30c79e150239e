"""k-means on planted clusters, and silhouettes against a plain loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.learners import clusters

# Compiled whole: one operation after the other takes longer.
squared_distances = jax.jit(clusters.squared_distances)
silhouette, k_means, matched = (
    partial(jax.jit, static_argnums=2)(f)
    for f in (clusters.silhouette, clusters.k_means, clusters.matched)
)
shuffled = jax.jit(clusters.shuffled)


def planted(seed: int, sizes=(12, 9, 1), width: float = 0.5) -> tuple:
    """Points of 50 dimensions around far centres, in a random order; their labels."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = random.normal(size=(len(sizes), 50))
    return centres[labels] + width / 7 * random.normal(size=(len(labels), 50)), labels


def same_partition(one, other) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one[:, None] == one, other[:, None] == other)


def test_squared_distances() -> None:
    points, _ = planted(0)
    expected = np.sum((points[:, None] - points) ** 2, axis=2)
    np.testing.assert_allclose(squared_distances(points), expected, atol=1e-12)


def test_planted_clusters_are_found_exactly_one_task_alone_too() -> None:
    for seed in range(20):
        points, labels = planted(seed)
        found = k_means(jax.random.key(seed), squared_distances(points), 3)
        assert found.dtype == jnp.int32 and same_partition(found, labels)


def test_no_partition_of_a_few_points_is_better() -> None:
    """Against every one of them: 3 clusters of 7 points in the plane."""
    points = np.random.default_rng(5).normal(size=(7, 2))
    every = np.stack(np.meshgrid(*[np.arange(3)] * 7), axis=-1).reshape(-1, 7)

    def spread(labels: np.ndarray) -> np.ndarray:
        total = np.zeros(len(labels))
        for name in range(3):
            own = (labels == name)[..., None]
            count = np.maximum(own.sum(axis=1), 1)
            mean = (own * points).sum(axis=1) / count
            total += (own * (points - mean[:, None]) ** 2).sum(axis=(1, 2))
        return total

    best = spread(every).min()
    found = k_means(jax.random.key(0), squared_distances(points), 3)
    np.testing.assert_allclose(spread(np.asarray(found)[None])[0], best, rtol=1e-12)


def silhouette_by_hand(points: np.ndarray, labels: np.ndarray) -> float:
    found = []
    for i, (point, label) in enumerate(zip(points, labels, strict=True)):
        away = np.linalg.norm(points - point, axis=1)
        own = (labels == label) & (np.arange(len(points)) != i)
        if not own.any():
            found.append(0.0)
            continue
        a = away[own].mean()
        b = min(away[labels == c].mean() for c in set(labels.tolist()) - {label})
        found.append((b - a) / max(a, b))
    return float(np.mean(found))


@pytest.mark.parametrize("width", [0.5, 20.0])
def test_silhouettes_are_those_of_a_plain_loop(width: float) -> None:
    points, labels = planted(3, width=width)
    # A fourth category is empty, and changes nothing.
    for num in (3, 4):
        found = silhouette(squared_distances(points), jnp.asarray(labels), num)
        expected = silhouette_by_hand(points, labels)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_shuffled_points_have_no_clusters_left() -> None:
    points, labels = planted(4)
    squares = squared_distances(points)
    null = shuffled(jax.random.key(1), jnp.asarray(points))
    np.testing.assert_array_equal(np.sort(null, axis=0), np.sort(points, axis=0))
    apart = squared_distances(null)
    found = silhouette(apart, k_means(jax.random.key(2), apart, 3), 3)
    assert silhouette(squares, jnp.asarray(labels), 3) > 0.7 > 0.3 > found


def test_points_that_are_all_alike_are_no_trap() -> None:
    squares = squared_distances(jnp.ones((22, 50)))
    labels = k_means(jax.random.key(0), squares, 3)
    assert len(set(labels.tolist())) == 1
    assert silhouette(squares, labels, 3) == 0


def test_names_are_kept() -> None:
    old = jnp.array([0, 0, 0, 1, 1, 2, 2], jnp.int32)
    new = jnp.array([2, 2, 0, 0, 0, 1, 1], jnp.int32)
    np.testing.assert_array_equal(matched(new, old, 3), [0, 0, 1, 1, 1, 2, 2])
    # From one category of all: any names will do, but they stay apart.
    first = matched(new, jnp.zeros(7, jnp.int32), 3)
    assert same_partition(first, new) and sorted(set(first.tolist())) == [0, 1, 2]
