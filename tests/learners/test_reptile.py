"""Reptile against its definition, the textbook's form and a hand-written epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import START, noisy, numpy_gradient, quadratic

from dmaml_jax.learners.reptile import reptile

ALPHA = 0.3
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.2, 0.2, -0.7]])


def by_hand(targets: np.ndarray, num_inner_steps: int) -> np.ndarray:
    """θ'_i − θ of every task after plain steps on the quadratic."""
    moves = []
    for target in targets:
        params = START
        for _ in range(num_inner_steps):
            params = params - ALPHA * numpy_gradient(params, target)
        moves.append(params - START)
    return np.array(moves)


@pytest.mark.parametrize("num_inner_steps", [2, 5])
def test_the_update_is_the_textbook_s(num_inner_steps: int) -> None:
    """Plain descent with β = ε α N moves θ by ε times the mean of θ'_i − θ."""
    epsilon = 0.4
    learner = reptile(
        quadratic(),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(epsilon * ALPHA * num_inner_steps),
        num_inner_steps=num_inner_steps,
    )
    state = learner.init(jax.random.key(0))
    after, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    moves = by_hand(TARGETS, num_inner_steps)
    np.testing.assert_allclose(
        after.params, START + epsilon * moves.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        info.meta_gradient, -moves.mean(axis=0) / (ALPHA * num_inner_steps), rtol=1e-12
    )
    assert int(after.epoch) == 1


def test_only_the_inner_steps_are_counted() -> None:
    learner = reptile(
        quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(0.1), num_inner_steps=3
    )
    state = learner.init(jax.random.key(0))
    _, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    assert int(info.num_steps) == 3 * len(TARGETS)


def test_every_step_has_fresh_data_and_the_return_after_its_own() -> None:
    problem = noisy(quadratic())
    learner = reptile(problem, inner_lr=ALPHA, meta_optimizer=optax.sgd(1.0))
    state = learner.init(jax.random.key(0))
    after, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS[:1]))
    key_collections, _ = jax.random.split(jax.random.key(1))
    keys = jax.random.split(key_collections, (1, 3))[0]
    seen = [
        np.asarray(problem.collect(key, None, jnp.asarray(TARGETS[0]))["target"])
        for key in keys
    ]
    first = numpy_gradient(START, seen[0])
    second = numpy_gradient(START - ALPHA * first, seen[1])
    np.testing.assert_allclose(after.params, START - (first + second) / 2, rtol=1e-12)
    assert float(info.return_before) == pytest.approx(seen[0].sum())
    assert float(info.return_after) == pytest.approx(seen[2].sum())


def test_alpha_zero_is_the_plain_gradient_and_not_nan() -> None:
    learner = reptile(quadratic(), inner_lr=0.0, meta_optimizer=optax.sgd(0.1))
    state = learner.init(jax.random.key(0))
    _, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    expected = np.mean([numpy_gradient(START, target) for target in TARGETS], axis=0)
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-12)
