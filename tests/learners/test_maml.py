"""MAML and FOMAML against closed forms, finite differences and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import (
    HESSIAN,
    START,
    central_difference,
    noisy,
    numpy_gradient,
    quadratic,
)

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.learners.derivatives import gradient
from dmaml_jax.learners.inner_loop import replayed
from dmaml_jax.learners.maml import maml, meta_loss
from dmaml_jax.learners.task_axis import collection_keys

ALPHA = 0.3
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.2, 0.2, -0.7]])


def meta_gradient(first_order: bool, num_inner_steps: int, pieces: bool) -> np.ndarray:
    learner = maml(
        quadratic(pieces),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(0.1),
        num_inner_steps=num_inner_steps,
        first_order=first_order,
    )
    state = learner.init(jax.random.key(0))
    _, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    return np.asarray(info.meta_gradient)


def task_gradient(problem, sources, params, task, alpha, first_order):
    """One task's share of the meta-gradient."""

    def loss(params):
        return meta_loss(
            problem, params, sources, task, inner_lr=alpha, first_order=first_order
        )[0]

    return jax.grad(loss)(params)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("num_inner_steps", [1, 2, 3])
def test_maml_closed_form(num_inner_steps: int, pieces: bool) -> None:
    """(I − αH)ⁿ H (I − αH)ⁿ (θ − t), the mean over the tasks."""
    contraction = np.eye(3) - ALPHA * HESSIAN
    power = np.linalg.matrix_power(contraction, num_inner_steps)
    expected = np.mean(
        [power @ HESSIAN @ power @ (START - target) for target in TARGETS], axis=0
    )
    np.testing.assert_allclose(
        meta_gradient(False, num_inner_steps, pieces), expected, rtol=1e-10
    )


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("num_inner_steps", [1, 3])
def test_fomaml_closed_form(num_inner_steps: int, pieces: bool) -> None:
    """H (I − αH)ⁿ (θ − t)."""
    contraction = np.eye(3) - ALPHA * HESSIAN
    power = np.linalg.matrix_power(contraction, num_inner_steps)
    expected = np.mean(
        [HESSIAN @ power @ (START - target) for target in TARGETS], axis=0
    )
    np.testing.assert_allclose(
        meta_gradient(True, num_inner_steps, pieces), expected, rtol=1e-10
    )


def test_sgd_outside_subtracts_the_mean_gradient() -> None:
    learner = maml(quadratic(), inner_lr=ALPHA, meta_optimizer=optax.sgd(0.1))
    state = learner.init(jax.random.key(0))
    after, info = learner.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    np.testing.assert_allclose(after.params, START - 0.1 * info.meta_gradient)
    assert int(after.epoch) == 1
    assert int(info.num_steps) == 2 * len(TARGETS)


def test_learning_rate_gradient_is_minus_inner_product() -> None:
    """dθ'/dα = −∇loss(θ), so d loss(θ')/dα = −⟨∇loss(θ), ∇loss(θ')⟩."""
    problem, target = quadratic(), TARGETS[0]
    data = problem.collect(jax.random.key(0), jnp.asarray(START), jnp.asarray(target))
    inner = gradient(problem, problem.inner_loss)

    def adapted_loss(rate: jax.Array) -> jax.Array:
        params = jnp.asarray(START)
        return problem.outer_loss(params - rate * inner(params, data), data)

    before = numpy_gradient(START, target)
    after = numpy_gradient(START - ALPHA * before, target)
    np.testing.assert_allclose(
        jax.grad(adapted_loss)(jnp.asarray(ALPHA)), -before @ after, rtol=1e-12
    )


def test_adapt_shows_the_return_after_every_step() -> None:
    problem = noisy(quadratic())
    learner = maml(problem, inner_lr=ALPHA, meta_optimizer=optax.sgd(0.1))
    state = learner.init(jax.random.key(0))
    task = jnp.asarray(TARGETS[1])
    path, curve = learner.adapt(jax.random.key(5), state, task, 3)
    by_hand, keys = np.asarray(START), jax.random.split(jax.random.key(5), 4)
    returns, expected = [], []
    for key in keys:
        target = problem.collect(key, None, task)["target"]
        returns.append(np.sum(target))
        expected.append(by_hand)
        by_hand = by_hand - ALPHA * numpy_gradient(by_hand, target)
    np.testing.assert_allclose(path, expected, rtol=1e-12)
    shorter, _ = learner.adapt(jax.random.key(5), state, task, 1)
    np.testing.assert_array_equal(shorter, path[:2])
    np.testing.assert_allclose(curve, returns, rtol=1e-12)


# CartPole with a small policy: the same, with everything in it that training has.


@pytest.fixture(scope="module")
def cartpole():
    """Problem, θ, one task, and fixed inner and outer data with advantages."""
    with jax.enable_x64(True):
        config = configuration(horizon=40, num_trajectories=4, hidden_sizes=(5,))
        problem, _ = build(config)
        params = problem.init(jax.random.key(0))
        # Away from the start's tiny output layer, where the second order is tiny too.
        params = jax.tree.map(
            lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape),
            params,
        )
        task = problem.medium_task()
        collect = jax.jit(
            lambda key: problem.advantages(params, problem.collect(key, params, task))
        )
        return problem, params, collect(jax.random.key(1)), collect(jax.random.key(2))


@pytest.mark.parametrize("num_inner_steps", [1, 2])
def test_finite_differences_of_the_whole_loss(cartpole, num_inner_steps: int) -> None:
    """θ ↦ outer loss after the inner steps, on fixed data with fixed advantages."""
    problem, params, inner_data, outer_data = cartpole
    inner = gradient(problem, problem.inner_loss)

    def loss(params):
        for _ in range(num_inner_steps):
            step = inner(params, inner_data)
            params = jax.tree.map(lambda p, g: p - 0.05 * g, params, step)
        return problem.outer_loss(params, outer_data)

    value = jax.jit(loss)
    gradients = jax.jit(jax.grad(loss))(params)
    for seed in range(3):
        direction = jax.tree.map(
            lambda x, s=seed: jax.random.normal(jax.random.key(s), x.shape), params
        )
        dots = jax.tree.map(lambda g, d: jnp.vdot(g, d), gradients, direction)
        slope = float(sum(jax.tree.leaves(dots)))
        assert slope == pytest.approx(
            central_difference(value, params, direction, 1e-4), rel=1e-6
        )


@pytest.mark.slow
def test_second_order_term_is_the_predicted_one(cartpole) -> None:
    """MAML − FOMAML = −α H ∇loss(θ'), with H from jax.hessian."""
    problem, params, inner_data, outer_data = cartpole
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    alpha = 0.05

    def inner_loss(x):
        return problem.inner_loss(unflatten(x), inner_data)

    hessian = jax.jit(jax.hessian(inner_loss))(flat)
    adapted = flat - alpha * jax.grad(inner_loss)(flat)
    outer = jax.grad(lambda x: problem.outer_loss(unflatten(x), outer_data))(adapted)
    stored = jax.tree.map(lambda *x: jnp.stack(x), inner_data, outer_data)
    # Stored with the advantages that they had at θ.
    given = replayed(problem)._replace(advantages=lambda params, data: data)
    second, first = (
        jax.flatten_util.ravel_pytree(
            task_gradient(given, stored, params, problem.medium_task(), alpha, order)
        )[0]
        for order in (False, True)
    )
    predicted = -alpha * hessian @ outer
    assert float(jnp.linalg.norm(predicted)) > 1e-2 * float(jnp.linalg.norm(outer))
    np.testing.assert_allclose(first, outer, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second - first, predicted, rtol=1e-7, atol=1e-11)


def test_permuting_tasks_with_their_keys_changes_nothing() -> None:
    config = configuration(horizon=20, num_trajectories=3, hidden_sizes=(8,))
    problem, _ = build(config)
    params = problem.init(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 4)
    keys = collection_keys(jax.random.key(2), tasks, 2)

    @jax.jit
    def mean_gradient(keys, tasks):
        gradients = jax.vmap(
            lambda k, t: task_gradient(problem, k, params, t, 0.1, False)
        )(keys, tasks)
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), gradients)

    order = jnp.array([2, 0, 3, 1])
    permuted = mean_gradient(keys[order], jax.tree.map(lambda x: x[order], tasks))
    for a, b in zip(
        jax.tree.leaves(mean_gradient(keys, tasks)),
        jax.tree.leaves(permuted),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)


def test_alpha_zero_is_the_plain_policy_gradient() -> None:
    """With α = 0 the meta-gradient is the mean gradient on the outer data at θ."""
    config = configuration(
        algo="maml",
        inner_lr=0.0,
        horizon=20,
        num_tasks=3,
        num_trajectories=3,
        hidden_sizes=(8,),
    )
    problem, learner = build(config)
    state = learner.init(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 3)
    _, info = jax.jit(learner.step)(jax.random.key(2), state, tasks)
    keys = collection_keys(jax.random.key(2), tasks, 2)

    def plain(key, task):
        data = problem.collect(key, state.params, task)
        data = problem.advantages(state.params, data)
        return jax.grad(problem.outer_loss)(state.params, data)

    gradients = jax.jit(jax.vmap(plain))(keys[:, 1], tasks)
    for a, b in zip(
        jax.tree.leaves(info.meta_gradient), jax.tree.leaves(gradients), strict=True
    ):
        np.testing.assert_allclose(a, b.mean(axis=0), rtol=1e-9, atol=1e-13)
    assert info.return_medium is None


@pytest.mark.slow
def test_three_inner_steps_by_hand_on_cartpole() -> None:
    """An epoch of the public step against a plain loop on the data that it met.

    Poles fall within 40 steps; else all returns were alike, and all gradients 0.

    The loop collects with θ, θ_1, θ_2 and θ_3; the meta-gradient is that of the outer
    loss after three steps on those data, by nothing but `jax.grad`.
    """
    values = {"horizon": 40, "num_tasks": 2, "num_trajectories": 3}
    values |= {"hidden_sizes": (4,), "inner_lr": 0.2, "num_inner_steps": 3}
    values |= {"outer_optimizer": "sgd", "outer_lr": 1e-3}
    init, step = make_train_step("cartpole", "maml", **values)
    state, key = init(jax.random.key(0)), jax.random.key(1)
    after, info = jax.jit(step)(key, state)

    problem, _ = build(configuration("cartpole", "maml", **values))
    key_tasks, key_step = jax.random.split(key)
    tasks = problem.sample_tasks(key_tasks, 2)
    keys = collection_keys(key_step, tasks, 4)

    def moved(params, data):
        slope = jax.grad(problem.inner_loss)(params, problem.advantages(params, data))
        return jax.tree.map(lambda p, g: p - 0.2 * g, params, slope)

    @jax.jit
    def met(params, keys, task):
        """The data of all four collections, one after the other."""
        seen = []
        for key in keys:
            seen.append(problem.collect(key, params, task))
            params = moved(params, seen[-1])
        return seen

    @jax.jit
    @jax.value_and_grad
    def mean_loss(params, all_seen):
        losses = []
        for *inner, outer in all_seen:
            adapted = params
            for data in inner:
                adapted = moved(adapted, data)
            losses.append(
                problem.outer_loss(adapted, problem.advantages(adapted, outer))
            )
        return jnp.mean(jnp.stack(losses))

    lanes = [jax.tree.map(lambda leaf, i=i: leaf[i], tasks) for i in range(2)]
    seen = [met(state.params, keys[i], task) for i, task in enumerate(lanes)]
    loss, gradient = mean_loss(state.params, seen)
    np.testing.assert_allclose(info.loss, loss, rtol=1e-9)
    for a, b in zip(
        jax.tree.leaves(info.meta_gradient), jax.tree.leaves(gradient), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
    alive = [[float(data.alive.sum()) for data in own] for own in seen]
    assert int(info.num_steps) == np.sum(alive)
    # A reward of 1 a step: the first collection and the last, per trajectory.
    ends = np.array(alive)[:, [0, -1]].mean(axis=0) / 3
    np.testing.assert_allclose([info.return_before, info.return_after], ends)
    # The epoch descended it: on the same data the loss falls by about β‖∇‖².
    squared = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient))
    fall = float(loss - mean_loss(after.params, seen)[0])
    assert squared > 1 and fall == pytest.approx(1e-3 * squared, rel=0.1)
