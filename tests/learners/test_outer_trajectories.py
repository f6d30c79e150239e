"""Further trajectories in MAML's outer step: what they change, and what they cost."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, quadratic

from dmaml_jax import make_train_step
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.maml import maml
from dmaml_jax.types import OuterRule, Problem

ALPHA, K = 0.2, 3
TASKS = np.array([[0.4, -0.1, 0.9], [-1.0, 0.3, 0.2]])


def sampled() -> Problem:
    """The quadratic with K trajectories, each of which shows a target of its own."""

    def collect(key: jax.Array, params: Any, task: jax.Array, num: int = K) -> Any:
        mine = jnp.zeros((num, 3)) if params is None else jnp.tile(params, (num, 1))
        noise = jax.random.normal(key, (num, 3))
        return {"target": task + 0.3 * noise, "params": mine}

    def loss(params: jax.Array, data: Any) -> jax.Array:
        away = params - data["target"].mean(axis=0)
        return 0.5 * away @ HESSIAN @ away

    return quadratic()._replace(
        collect=collect,
        inner_loss=loss,
        outer_loss=loss,
        kl=lambda p, data: 0.5 * jnp.mean(jnp.sum((p - data["params"]) ** 2, axis=1)),
        performance=lambda data: jnp.mean(data["target"]),
        num_steps=lambda data: jnp.int32(len(data["target"])),
    )


def stepped(learner: Any) -> Any:
    state = learner.init(jax.random.key(0))
    return learner.step(jax.random.key(1), state, jnp.asarray(TASKS))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("num_inner_steps", [1, 2])
def test_the_outer_gradient_is_taken_on_all_of_them(num_inner_steps, first_order):
    """Closed form: C H (θ' − t̄), with t̄ the mean of K and four more targets."""
    problem, more = sampled(), 4
    make = partial(
        maml, problem, inner_lr=ALPHA, num_inner_steps=num_inner_steps,
        first_order=first_order, meta_optimizer=optax.sgd(0.1),
    )  # fmt: skip
    _, info = stepped(make(outer_trajectories=more))
    key_collections, _ = jax.random.split(jax.random.key(1))
    keys = jax.random.split(key_collections, (len(TASKS), num_inner_steps + 2))
    gradients, performances = [], []
    contraction = np.eye(3) - ALPHA * HESSIAN
    for task, own in zip(TASKS, keys, strict=True):
        theta = np.asarray(START)
        for key in own[:num_inner_steps]:
            target = np.asarray(problem.collect(key, None, task)["target"]).mean(axis=0)
            theta = theta - ALPHA * HESSIAN @ (theta - target)
        seen = np.concatenate(
            [
                problem.collect(own[-2], None, task)["target"],
                problem.collect(own[-1], None, task, more)["target"],
            ]
        )
        assert len(seen) == K + more
        last = HESSIAN @ (theta - seen.mean(axis=0))
        power = np.linalg.matrix_power(contraction, num_inner_steps)
        gradients.append(last if first_order else power @ last)
        performances.append(seen.mean())
    np.testing.assert_allclose(
        info.meta_gradient, np.mean(gradients, axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(info.return_after, np.mean(performances), rtol=1e-12)
    assert int(info.num_steps) == len(TASKS) * ((num_inner_steps + 1) * K + more)


def test_without_them_nothing_changes():
    """Zero is MAML to the bit: keys, gradient and cost."""
    make = partial(maml, sampled(), inner_lr=ALPHA, meta_optimizer=optax.sgd(0.1))
    for a, b in zip(
        jax.tree.leaves(stepped(make())),
        jax.tree.leaves(stepped(make(outer_trajectories=0))),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_an_outer_rule_asks_the_objective_on_all_of_them():
    """On stored data at the same θ the loss is the epoch's, and the divergence 0."""
    found = {}

    def apply(gradient: Any, memory: Any, params: Any, objective: Any) -> Any:
        del gradient
        found["there"] = objective.evaluate(params)
        found["away"] = objective.evaluate(params + 0.1)
        return params, memory, {}

    learner = maml(
        sampled(), inner_lr=ALPHA, outer_trajectories=2,
        meta_optimizer=OuterRule(lambda params: (), apply),
    )  # fmt: skip
    _, info = stepped(learner)
    np.testing.assert_allclose(found["there"].loss, info.loss, rtol=1e-12)
    np.testing.assert_allclose(found["there"].kl, 0, atol=1e-15)
    # θ' moves by (I − αH) 0.1, whatever the data are.
    moved = (np.eye(3) - ALPHA * HESSIAN) @ np.full(3, 0.1)
    np.testing.assert_allclose(found["away"].kl, 0.5 * moved @ moved, rtol=1e-12)


@pytest.mark.slow
def test_they_cost_what_a_pre_step_costs():
    """K/M of them: as many environment steps as Directed-MAML, where nobody ends."""
    small = dict(horizon=3, num_tasks=2, num_trajectories=4, hidden_sizes=(4,))
    steps = {}
    for algo, more in (("maml", {"outer_trajectories": 2}), ("directed-maml", {})):
        init, step = make_train_step("cartpole", algo, **small, **more)
        _, info = step(jax.random.key(1), init(jax.random.key(0)))
        steps[algo] = int(info.num_steps)
    assert steps["maml"] == steps["directed-maml"] == 3 * (2 * 2 + 1) * 4


def test_other_learners_refuse_them():
    with pytest.raises(UsageError, match="belongs to --algo maml or fomaml"):
        make_train_step("cartpole", "reptile", outer_trajectories=2)
