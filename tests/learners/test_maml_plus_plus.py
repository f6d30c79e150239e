"""MAML++ against closed forms on the quadratic: step losses, order, rates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, numpy_gradient, quadratic

from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.maml_plus_plus import (
    maml_plus_plus,
    uniform_to_last,
    zero_to_one,
)

ALPHA, BETA = 0.3, 0.1
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.2, 0.2, -0.7]])


def learner_and_state(epoch: int = 0, **options):
    """MAML++ on the quadratic, as if so many epochs were done."""
    learner = maml_plus_plus(
        quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA), **options
    )
    state = learner.init(jax.random.key(0))
    return learner, state._replace(epoch=jnp.int32(epoch))


def one_epoch(**options):
    learner, state = learner_and_state(**options)
    return learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))[1]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_second_order_comes_in_by_its_share(share: float) -> None:
    """(I − wαH)ⁿ in the pullback; 0 is FOMAML's gradient and 1 MAML's."""
    info = one_epoch(num_inner_steps=2, second_order_epochs=10, epoch=int(10 * share))
    forward = np.linalg.matrix_power(np.eye(3) - ALPHA * HESSIAN, 2)
    back = np.linalg.matrix_power(np.eye(3) - share * ALPHA * HESSIAN, 2)
    expected = np.mean(
        [back @ HESSIAN @ forward @ (START - target) for target in TARGETS], axis=0
    )
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)
    if share in (0.0, 1.0):
        base = maml(
            quadratic(),
            inner_lr=ALPHA,
            meta_optimizer=optax.sgd(0.1),
            num_inner_steps=2,
            first_order=share == 0.0,
        )
        state = base.init(jax.random.key(0))
        _, plain = base.step(jax.random.key(1), state, jnp.asarray(TARGETS))
        np.testing.assert_allclose(info.meta_gradient, plain.meta_gradient, rtol=1e-12)


def test_losses_of_every_step_weighed() -> None:
    """Σ_j w_j (I − αH)ʲ H (I − αH)ʲ (θ − t)."""
    weights = np.asarray(uniform_to_last(3, 10)(jnp.int32(4)))
    np.testing.assert_allclose(weights, [0.2, 0.2, 0.6])
    info = one_epoch(num_inner_steps=3, multi_step_epochs=10, epoch=4)
    powers = [np.linalg.matrix_power(np.eye(3) - ALPHA * HESSIAN, j) for j in (1, 2, 3)]
    matrix = sum(w * p @ HESSIAN @ p for w, p in zip(weights, powers, strict=True))
    expected = np.mean([matrix @ (START - target) for target in TARGETS], axis=0)
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)
    assert int(info.num_steps) == 4 * len(TARGETS)


def test_annealing_schedules_at_their_ends() -> None:
    weights, share = uniform_to_last(4, 10), zero_to_one(10)
    np.testing.assert_allclose(weights(jnp.int32(0)), np.full(4, 0.25))
    np.testing.assert_allclose(weights(jnp.int32(5)), [0.125, 0.125, 0.125, 0.625])
    for epoch in (10, 99):
        np.testing.assert_allclose(weights(jnp.int32(epoch)), [0, 0, 0, 1], atol=1e-15)
        assert share(jnp.int32(epoch)) == 1
    assert share(jnp.int32(0)) == 0 and share(jnp.int32(5)) == 0.5
    assert zero_to_one(0)(jnp.int32(0)) == 1
    np.testing.assert_allclose(uniform_to_last(2, 0)(jnp.int32(0)), [0, 1])


def test_a_rate_per_layer_and_step() -> None:
    """One layer, three steps: −⟨g_j, (∂θ_N/∂θ_{j+1})ᵀ ∇loss(θ_N)⟩."""
    learner, state = learner_and_state(num_inner_steps=3)
    after, _ = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    found = (np.asarray(state.rates) - np.asarray(after.rates)) / BETA
    contraction = np.eye(3) - ALPHA * HESSIAN
    expected = []
    for target in TARGETS:
        points = [START]
        for _ in range(3):
            points.append(points[-1] - ALPHA * numpy_gradient(points[-1], target))
        last = numpy_gradient(points[3], target)
        expected.append(
            [
                -numpy_gradient(points[j], target)
                @ np.linalg.matrix_power(contraction, 2 - j)
                @ last
                for j in range(3)
            ]
        )
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-10)


def test_fixed_rates_stay_and_leave_theta_s_gradient_as_it_is() -> None:
    learner, state = learner_and_state(num_inner_steps=2, rates="fixed")
    after, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    np.testing.assert_array_equal(after.rates, state.rates)
    free = one_epoch(num_inner_steps=2)
    np.testing.assert_allclose(info.meta_gradient, free.meta_gradient, rtol=1e-12)


def test_more_steps_than_were_learned_go_on_with_the_last_rate() -> None:
    learner, state = learner_and_state(num_inner_steps=2)
    state = state._replace(rates=jnp.array([0.4, 0.1]))
    path, curve = learner.adapt(jax.random.key(1), state, jnp.asarray(TARGETS[0]), 3)
    expected = START
    for rate in (0.4, 0.1, 0.1):
        expected = expected - rate * numpy_gradient(expected, TARGETS[0])
    np.testing.assert_allclose(path[-1], expected, rtol=1e-12)
    assert curve.shape == (4,)
