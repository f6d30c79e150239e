"""Meta-SGD against closed forms on the quadratic: gradients in θ and in the rates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, numpy_gradient, quadratic

from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.meta_sgd import meta_sgd

ALPHA, BETA = 0.3, 0.1
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0]])


def one_epoch(rates=None, **options):
    """State after one plain outer step, from given rates, and the info."""
    learner = meta_sgd(
        quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA), **options
    )
    state = learner.init(jax.random.key(0))
    if rates is not None:
        state = state._replace(rates=jnp.asarray(rates))
    after, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    rate_gradient = (np.asarray(state.rates) - np.asarray(after.rates)) / BETA
    return after, info, rate_gradient


def test_one_step_s_rate_gradient_needs_no_hessian() -> None:
    """−∇loss(θ) ⊙ ∇loss(θ'), the mean over the tasks, first and second order alike."""
    expected = []
    for target in TARGETS:
        before = numpy_gradient(START, target)
        expected.append(-before * numpy_gradient(START - ALPHA * before, target))
    for first_order in (False, True):
        _, _, gradient = one_epoch(first_order=first_order)
        np.testing.assert_allclose(gradient, np.mean(expected, axis=0), rtol=1e-10)


@pytest.mark.parametrize("first_order", [False, True])
def test_two_steps_rate_gradient(first_order: bool) -> None:
    """Through the second step's gradient too, (I − H diag a) of it."""
    rates = np.array([0.3, 0.1, 0.4])
    expected = []
    for target in TARGETS:
        g0 = numpy_gradient(START, target)
        middle = START - rates * g0
        g1 = numpy_gradient(middle, target)
        last = numpy_gradient(middle - rates * g1, target)
        through = last if first_order else (np.eye(3) - HESSIAN @ np.diag(rates)) @ last
        expected.append(-g1 * last - g0 * through)
    _, _, gradient = one_epoch(rates, num_inner_steps=2, first_order=first_order)
    np.testing.assert_allclose(gradient, np.mean(expected, axis=0), rtol=1e-10)


@pytest.mark.parametrize("num_inner_steps", [1, 2])
@pytest.mark.parametrize("first_order", [False, True])
def test_at_its_start_the_gradient_in_theta_is_maml_s(
    first_order: bool, num_inner_steps: int
) -> None:
    shared = {"first_order": first_order, "num_inner_steps": num_inner_steps}
    base = maml(quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA), **shared)
    _, info = base.step(
        jax.random.key(1), base.init(jax.random.key(0)), jnp.asarray(TARGETS)
    )
    after, mine, _ = one_epoch(rates=None, **shared)
    np.testing.assert_allclose(mine.meta_gradient, info.meta_gradient, rtol=1e-12)
    np.testing.assert_allclose(mine.loss, info.loss, rtol=1e-12)
    assert int(after.epoch) == 1


def test_it_adapts_with_what_it_has_learned() -> None:
    learner = meta_sgd(quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA))
    state = learner.init(jax.random.key(0))
    learned = np.array([0.5, 0.1, -0.2])
    state = state._replace(rates=jnp.asarray(learned))
    task = TARGETS[0]
    path, curve = learner.adapt(jax.random.key(1), state, jnp.asarray(task), 3)
    expected = START
    for _ in range(3):
        expected = expected - learned * numpy_gradient(expected, task)
    np.testing.assert_allclose(path[-1], expected, rtol=1e-12)
    assert curve.shape == (4,)
