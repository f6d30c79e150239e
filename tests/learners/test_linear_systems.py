"""Solvers of symmetric systems against NumPy, and what they say of curvature."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.learners.linear_systems import (
    conjugate_gradients,
    least_eigenvalue,
    minimal_residuals,
)

FLOOR = 0.1


def with_eigenvalues(eigenvalues, seed: int = 0) -> np.ndarray:
    """A symmetric matrix in no particular basis."""
    size = len(eigenvalues)
    random = np.random.default_rng(seed).normal(size=(size, size))
    basis, _ = np.linalg.qr(random)
    return basis @ np.diag(eigenvalues) @ basis.T


def right_side(size: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=size)


@partial(jax.jit, static_argnums=2)
def cg(matrix, b, iterations: int, floor: float = FLOOR):
    return conjugate_gradients(
        lambda p: jnp.asarray(matrix) @ p, b, iterations=iterations, floor=floor
    )


@partial(jax.jit, static_argnums=2)
def minres(matrix, b, iterations: int):
    return minimal_residuals(
        lambda p: jnp.asarray(matrix) @ p, b, iterations=iterations
    )


DEFINITE = with_eigenvalues([0.3, 0.7, 1.0, 2.0, 5.0, 9.0])
BENT = with_eigenvalues([-2.0, -0.4, 0.6, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("solver", [cg, minres])
def test_as_many_iterations_as_dimensions_are_exact(solver) -> None:
    b = right_side(6)
    found = solver(DEFINITE, jnp.asarray(b), 6)
    np.testing.assert_allclose(found.x, np.linalg.solve(DEFINITE, b), rtol=1e-10)
    assert found.residual < 1e-12 and found.damping == 0
    # More of them leave it where it is.
    again = solver(DEFINITE, jnp.asarray(b), 20)
    np.testing.assert_allclose(again.x, found.x, rtol=1e-9)
    assert np.isfinite(again.curvature)


@pytest.mark.parametrize("solver", [cg, minres])
@pytest.mark.parametrize("iterations", [1, 3])
def test_the_residual_is_that_of_the_system(solver, iterations: int) -> None:
    b = right_side(6)
    found = solver(DEFINITE, jnp.asarray(b), iterations)
    left = b - DEFINITE @ np.asarray(found.x)
    share = np.linalg.norm(left) / np.linalg.norm(b)
    assert share > 1e-3
    np.testing.assert_allclose(found.residual, share, rtol=1e-9)


def test_the_first_direction_is_the_right_side_and_its_curvature_is_told() -> None:
    b = right_side(6)
    found = cg(DEFINITE, jnp.asarray(b), 1)
    np.testing.assert_allclose(found.curvature, b @ DEFINITE @ b / (b @ b), rtol=1e-12)
    # More directions, lower curvature, and never below the least eigenvalue.
    more = cg(DEFINITE, jnp.asarray(b), 6)
    assert 0.3 <= more.curvature < found.curvature


def test_negative_curvature_is_found_damped_and_told() -> None:
    b = right_side(6)
    found = cg(BENT, jnp.asarray(b), 6)
    assert -2 <= found.curvature < 0
    assert found.damping >= FLOOR - found.curvature
    damped = BENT + float(found.damping) * np.eye(6)
    left = b - damped @ np.asarray(found.x)
    np.testing.assert_allclose(
        found.residual, np.linalg.norm(left) / np.linalg.norm(b), rtol=1e-8, atol=1e-12
    )
    # What it found lies on b's own side: downhill stays downhill.
    assert found.x @ b > 0


def test_a_direction_at_the_floor_is_not_damped() -> None:
    b = jnp.array([0.0, 1.0])
    matrix = np.diag([-3.0, 0.5])
    assert cg(matrix, b, 2, 0.5).damping == 0
    found = cg(matrix, b, 2, 0.8)
    np.testing.assert_allclose(found.damping, 0.3, rtol=1e-12)
    np.testing.assert_allclose(found.x, [0, 1 / 0.8], rtol=1e-12)


def test_minres_solves_a_bent_system_and_knows_its_least_eigenvalue() -> None:
    b = right_side(6)
    found = minres(BENT, jnp.asarray(b), 6)
    np.testing.assert_allclose(found.x, np.linalg.solve(BENT, b), rtol=1e-8)
    np.testing.assert_allclose(found.curvature, -2, rtol=1e-8)
    assert found.damping == 0 and found.residual < 1e-10
    fewer = minres(BENT, jnp.asarray(b), 3)
    assert -2 < fewer.curvature < 1 and fewer.residual > found.residual


@pytest.mark.parametrize("solver", [cg, minres])
def test_nothing_on_the_right_side_gives_nothing(solver) -> None:
    found = solver(BENT, jnp.zeros(6), 4)
    np.testing.assert_array_equal(found.x, np.zeros(6))
    assert found.residual == 0 and found.damping == 0 and found.curvature == jnp.inf


@pytest.mark.parametrize("solver", [cg, minres])
def test_an_eigenvector_is_solved_in_a_step(solver) -> None:
    values, vectors = np.linalg.eigh(DEFINITE)
    found = solver(DEFINITE, jnp.asarray(vectors[:, 2]), 5)
    np.testing.assert_allclose(found.x, vectors[:, 2] / values[2], atol=1e-9)
    np.testing.assert_allclose(found.curvature, values[2], rtol=1e-9)


@pytest.mark.parametrize("solver", [cg, minres])
def test_lanes_of_a_vmap_are_each_its_own(solver) -> None:
    """One definite, one bent, one without a right side: damped or not, each alone."""
    matrices = jnp.stack([DEFINITE, BENT, BENT])
    sides = jnp.stack([right_side(6), right_side(6), np.zeros(6)])
    together = jax.vmap(lambda m, b: solver(m, b, 4))(matrices, sides)
    for lane in range(3):
        alone = solver(matrices[lane], sides[lane], 4)
        one = jax.tree.map(lambda leaf, i=lane: leaf[i], together)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), one, alone
        )


def test_the_least_eigenvalue_of_tridiagonal_matrices() -> None:
    random = np.random.default_rng(3)
    find = jax.jit(least_eigenvalue)
    for _ in range(20):
        diagonal, beside = random.normal(size=5), random.normal(size=4)
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        expected = np.linalg.eigvalsh(matrix)[0]
        np.testing.assert_allclose(find(diagonal, beside), expected, atol=1e-12)
    no_row = find(np.array([3.0, np.inf, np.inf]), np.zeros(2))
    np.testing.assert_allclose(no_row, 3.0, rtol=1e-12)


@pytest.mark.float32
def test_float32_stays_float32() -> None:
    b = jnp.asarray(right_side(6), jnp.float32)
    for solver in (cg, minres):
        found = solver(DEFINITE.astype(np.float32), b, 6)
        expected = np.linalg.solve(DEFINITE, right_side(6))
        np.testing.assert_allclose(found.x, expected, rtol=2e-3)
        assert {leaf.dtype for leaf in found} == {jnp.dtype("float32")}
