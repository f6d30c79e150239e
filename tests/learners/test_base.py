"""The seams of learners: stored data gone through again, rules of the outer step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, noisy, numpy_gradient, quadratic

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.base import outer_loss
from dmaml_jax.learners.derivatives import gradient, value_and_gradient
from dmaml_jax.learners.inner_loop import inner_loop, replayed
from dmaml_jax.learners.joint import joint
from dmaml_jax.learners.maml import maml, meta_loss
from dmaml_jax.learners.meta_sgd import meta_sgd
from dmaml_jax.learners.reptile import reptile
from dmaml_jax.learners.sg_mrl import sg_mrl
from dmaml_jax.types import OuterRule

ALPHA, BETA = 0.3, 0.1
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0]])


def test_stored_data_are_gone_through_again_at_other_parameters() -> None:
    """A replay at θ is the first pass; at another θ it is the loss on the same data."""
    problem = noisy(quadratic())
    keys, task = jax.random.split(jax.random.key(3), 3), jnp.asarray(TARGETS[0])

    def loss(problem, sources, params):
        return meta_loss(
            problem, params, sources, task, inner_lr=ALPHA, first_order=False
        )

    start = jnp.asarray(START)
    value, seen = loss(problem, keys, start)
    again, _ = loss(replayed(problem), seen.data, start)
    np.testing.assert_array_equal(again, value)

    other = np.asarray(START) + 0.5
    found, _ = loss(replayed(problem), seen.data, jnp.asarray(other))
    targets = np.asarray(seen.data["target"])
    for target in targets[:2]:
        other = other - ALPHA * numpy_gradient(other, target)
    away = other - targets[2]
    np.testing.assert_allclose(found, 0.5 * away @ HESSIAN @ away, rtol=1e-12)


@pytest.mark.parametrize("learner", [maml, meta_sgd, sg_mrl, joint])
def test_a_rule_may_ask_the_objective_on_the_epoch_s_data(learner) -> None:
    """At θ it is the loss that was descended, with KL 0; a step down lowers it."""
    asked = {}

    def apply(meta_gradient, memory, params, objective):
        here = objective.evaluate(params)
        slopes = objective.gradient(params)
        moved = jax.tree.map(lambda p, g: p - BETA * g, params, meta_gradient)
        there = objective.evaluate(moved)
        asked.update(here=here, slopes=slopes, gradient=meta_gradient, there=there)
        return moved, memory + 1, {"kl": there.kl}

    rule = OuterRule(lambda params: jnp.int32(0), apply)
    algorithm = learner(noisy(quadratic()), inner_lr=ALPHA, meta_optimizer=rule)
    state = algorithm.init(jax.random.key(0))
    after, info = algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    np.testing.assert_allclose(asked["here"].loss, info.loss, rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
        asked["slopes"],
        asked["gradient"],
    )
    assert asked["here"].kl == 0 and asked["there"].kl > 0
    assert asked["there"].loss < asked["here"].loss
    assert int(after.optimizer) == 1
    np.testing.assert_array_equal(info.extras["kl"], asked["there"].kl)


def test_reptile_says_that_it_has_no_objective() -> None:
    rule = OuterRule(
        lambda params: (),
        lambda g, memory, p, objective: (p, objective.evaluate(p), {}),
    )
    algorithm = reptile(quadratic(), inner_lr=ALPHA, meta_optimizer=rule)
    state = algorithm.init(jax.random.key(0))
    with pytest.raises(UsageError, match="Reptile has no objective"):
        algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))


def test_joint_training_is_the_mean_policy_gradient() -> None:
    """H (θ − t), the mean over tasks; no inner step in it, measured or not."""
    for measured in (True, False):
        algorithm = joint(
            quadratic(),
            inner_lr=ALPHA,
            meta_optimizer=optax.sgd(BETA),
            measure_adaptation=measured,
        )
        state = algorithm.init(jax.random.key(0))
        after, info = algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))
        expected = np.mean([numpy_gradient(START, t) for t in TARGETS], axis=0)
        np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-12)
        np.testing.assert_allclose(after.params, START - BETA * expected, rtol=1e-12)
        assert int(info.num_steps) == len(TARGETS)
        path, _ = algorithm.adapt(jax.random.key(2), after, jnp.asarray(TARGETS[0]), 1)
        step = ALPHA * numpy_gradient(np.asarray(after.params), TARGETS[0])
        np.testing.assert_allclose(path[1], after.params - step, rtol=1e-12)


def test_outer_data_and_advantages_are_constants() -> None:
    """The meta-gradient of an actor-critic, put together by hand on stored data.

    The inner step's advantages depend on the value head, the outer step's do not: with
    those left in the derivative the value head would be pulled by its own estimate.
    """
    values = {"horizon": 12, "num_trajectories": 3, "hidden_sizes": (5,)}
    problem, _ = build(configuration(method="ac", algo="maml", **values))
    params = jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape),
        problem.init(jax.random.key(0)),
    )
    task, alpha = problem.medium_task(), 0.05
    keys = jax.random.split(jax.random.key(1), 2)

    @jax.jit
    def ours(params):
        def loss(params):
            return outer_loss(
                problem, inner_loop(problem, keys, params, task, inner_lr=alpha)
            )

        (_, seen), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        return slopes, seen.data

    found, data = ours(params)
    inner, outer = (jax.tree.map(lambda x, j=j: x[j], data) for j in (0, 1))

    @partial(jax.jit, static_argnums=1)
    def by_hand(params, constants):
        def adapted(params):
            filled = problem.advantages(params, inner)
            step = gradient(problem, problem.inner_loss)(params, filled)
            return jax.tree.map(lambda p, g: p - alpha * g, params, step)

        there, pullback = jax.vjp(adapted, params)
        filled = problem.advantages(there, outer)
        _, slopes = value_and_gradient(problem, problem.outer_loss)(there, filled)
        if not constants:
            slopes = jax.grad(
                lambda p: problem.outer_loss(p, problem.advantages(p, outer))
            )(there)
        return pullback(slopes)[0]

    right, wrong = by_hand(params, True), by_hand(params, False)
    flat = [jax.flatten_util.ravel_pytree(tree)[0] for tree in (found, right, wrong)]
    np.testing.assert_allclose(flat[0], flat[1], rtol=1e-9, atol=1e-12)
    assert np.linalg.norm(flat[1] - flat[2]) > 1e-2 * np.linalg.norm(flat[1])
