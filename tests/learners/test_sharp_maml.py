"""Sharp-MAML against closed forms on the quadratic, and its weights on stored data."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import (
    HESSIAN,
    START,
    TABULAR,
    noisy,
    numpy_gradient,
    quadratic,
    small_mdp,
    tabular,
    two_mdps,
)

from dmaml_jax.learners.inner_loop import inner_slope
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.sharp_maml import sharp_maml, uphill, uphill_slope
from dmaml_jax.learners.task_axis import collection_keys
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate

ALPHA, BETA, RHO = 0.3, 0.1, 0.4
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0]])
VARIANTS = [
    {"sharpness": "low"},
    {"sharpness": "up", "uphill_data": "fresh"},
    {"sharpness": "up", "uphill_data": "stored"},
    {"sharpness": "both", "uphill_data": "fresh"},
    {"sharpness": "both", "uphill_data": "stored"},
]


@cache
def program(sharpness, uphill_data="fresh"):
    """An epoch of two tasks, from any θ, with any ρ and noise of the targets."""

    @jax.jit
    def epoch(start, tasks, rho, noise):
        learner = sharp_maml(
            noisy(quadratic(), noise),
            inner_lr=ALPHA,
            meta_optimizer=optax.sgd(BETA),
            sharpness=sharpness,
            rho=rho,
            uphill_data=uphill_data,
        )
        state = learner.init(jax.random.key(0))._replace(params=start)
        return learner.step(jax.random.key(1), state, tasks)

    return epoch


def one_epoch(options, start=START, tasks=TARGETS, *, rho=RHO, noise=0.0):
    return program(**options)(jnp.asarray(start), jnp.asarray(tasks), rho, noise)


def unit(vector):
    return vector / np.linalg.norm(vector)


def low_gradient(params, target, rho):
    """∇ of L(θ − α ∇L(θ + ρ g/‖g‖)) with g = H (θ − t), by hand."""
    slope = numpy_gradient(params, target)
    adapted = params - ALPHA * numpy_gradient(params + rho * unit(slope), target)
    norm = np.linalg.norm(slope)
    turned = (np.eye(3) - np.outer(slope, slope) / norm**2) / norm @ HESSIAN
    through = np.eye(3) - ALPHA * HESSIAN @ (np.eye(3) + rho * turned)
    return through.T @ numpy_gradient(adapted, target)


def meta_gradient(params, rho):
    return np.mean([low_gradient(params, t, rho) for t in TARGETS], axis=0)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_closed_forms_on_the_quadratic(options) -> None:
    """Without noise, fresh and stored data are the same."""
    inner = 0.0 if options["sharpness"] == "up" else RHO
    expected = meta_gradient(START, inner)
    if options["sharpness"] != "low":
        above = START + RHO * unit(expected)
        here, expected = expected, meta_gradient(above, inner)
    state, info = one_epoch(options)
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)
    # Applied at θ, not where it was taken.
    np.testing.assert_allclose(state.params, START - BETA * expected, rtol=1e-10)
    assert np.abs(expected - meta_gradient(START, 0.0)).max() > 1e-2
    rounds = 2 if options.get("uphill_data") == "fresh" else 1
    assert int(info.num_steps) == rounds * 2 * len(TARGETS)
    if options["sharpness"] != "low":
        cosine = unit(here) @ unit(expected)
        np.testing.assert_allclose(info.extras["cos_uphill"], cosine, rtol=1e-10)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_rho_zero_is_maml(options) -> None:
    """On the same random numbers: those of the gradient that is followed."""
    base = maml(noisy(quadratic()), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA))
    state = base.init(jax.random.key(0))
    after, info = base.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    mine, own = one_epoch(options, rho=0.0, noise=0.1)
    np.testing.assert_allclose(own.meta_gradient, info.meta_gradient, rtol=1e-12)
    np.testing.assert_allclose(mine.params, after.params, rtol=1e-12)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_where_there_is_no_gradient_there_is_no_step_uphill(options) -> None:
    """At a task's own optimum g and ∇h are 0, and nothing is NaN."""
    state, info = one_epoch(options, TARGETS[0], TARGETS[[0, 0]])
    np.testing.assert_array_equal(info.meta_gradient, np.zeros(3))
    np.testing.assert_array_equal(state.params, TARGETS[0])
    slopes = jax.jacobian(lambda g: uphill(g, RHO))(jnp.zeros(3))
    np.testing.assert_array_equal(slopes, np.zeros((3, 3)))


@pytest.mark.parametrize("sharpness", ["low", "up"])
def test_it_adapts_by_the_inner_steps_that_it_trains(sharpness: str) -> None:
    learner = sharp_maml(
        quadratic(),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        rho=RHO,
        sharpness=sharpness,
    )
    state, task = learner.init(jax.random.key(0)), jnp.asarray(TARGETS[0])
    adapt = jax.jit(learner.adapt, static_argnums=3)
    path, curve = adapt(jax.random.key(1), state, task, 2)
    expected = START
    for _ in range(2):
        up = unit(numpy_gradient(expected, TARGETS[0])) * RHO * (sharpness == "low")
        expected = expected - ALPHA * numpy_gradient(expected + up, TARGETS[0])
    np.testing.assert_allclose(path[-1], expected, rtol=1e-12)
    assert curve.shape == (3,)


def test_uphill_of_its_data_a_slope_weighs_by_ratios() -> None:
    """∇L(θ + ε) is Σ (π/π_old) ∇log π A: without the ratios it is another."""
    problem = tabular(policy_gradient(TABULAR, discount=0.9))
    params = jnp.array([[0.3, -0.4], [-0.2, 0.5]])
    data = problem.collect(jax.random.key(3), params, small_mdp(can_end=True))
    plain = jax.jit(inner_slope(problem))
    above = params + uphill(plain(params, data), RHO)

    def surrogate(new):
        filled = problem.advantages(new, data)
        ratios = jnp.exp(problem.log_probs(new, data) - data.log_probs)
        return -jnp.sum(filled.weights * ratios * filled.advantages)

    found = jax.jit(uphill_slope(problem, RHO))(params, data)
    np.testing.assert_allclose(found, jax.jit(jax.grad(surrogate))(above), rtol=1e-10)
    without = plain(above, data)
    assert np.linalg.norm(found - without) > 1e-2 * np.linalg.norm(without)


def test_both_on_stored_data_follows_the_importance_weighted_loss_uphill() -> None:
    """Of the small MDPs, with LVC: plain derivatives of Σ w (π_θ/π_old) A.

    Ratios stand in all four places: in both slopes of the inner step, at the θ + ε of
    the outer one, and in the outer loss; at θ itself they are 1.
    """
    lvc = policy_gradient(TABULAR, discount=0.9, surrogate=surrogate("lvc"))
    problem, tasks = tabular(lvc), two_mdps()
    theta = jnp.array([[0.3, -0.4], [-0.2, 0.5]])
    learner = sharp_maml(
        problem,
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        sharpness="both",
        rho=RHO,
        uphill_data="stored",
    )

    def loss(params, data, weighed):
        filled = problem.advantages(params, data)
        log_probs = problem.log_probs(params, data)
        new = jnp.where(weighed, jnp.exp(log_probs - data.log_probs), log_probs)
        return -jnp.sum(filled.weights * new * filled.advantages)

    def uphill_of(slope):
        return RHO * slope / jnp.sqrt(jnp.sum(slope**2))

    @jax.jit
    @partial(jax.vmap, in_axes=(None, 0, None))
    def adapted(params, data, weighed):
        slope = partial(jax.grad(loss), data=data, weighed=weighed)
        return params - ALPHA * slope(params + uphill_of(slope(params)))

    @jax.jit
    @jax.grad
    def meta_gradient(params, before, after, weighed):
        losses = jax.vmap(loss, in_axes=(0, 0, None))
        return jnp.mean(losses(adapted(params, before, weighed), after, weighed))

    collect = jax.jit(jax.vmap(problem.collect))
    keys = collection_keys(jax.random.key(1), tasks, 2)
    before = collect(keys[:, 0], jnp.stack([theta] * 2), tasks)
    after = collect(keys[:, 1], adapted(theta, before, True), tasks)
    here = meta_gradient(theta, before, after, True)
    above = theta + uphill_of(here)
    expected = meta_gradient(above, before, after, True)
    unweighed = meta_gradient(above, before, after, False)
    state = learner.init(jax.random.key(0))._replace(params=theta)
    _, info = jax.jit(learner.step)(jax.random.key(1), state, tasks)
    np.testing.assert_allclose(info.meta_gradient, expected, atol=1e-10)
    cosine = np.sum(unit(here) * unit(expected))
    np.testing.assert_allclose(info.extras["cos_uphill"], cosine, rtol=1e-10)
    for other in (here, unweighed):
        assert np.linalg.norm(other - expected) > 1e-2 * np.linalg.norm(expected)
