"""Adaptation measured, against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.training.adaptation import adaptation
from dmaml_jax.training.keys import seed_keys

STEPS = 2


def test_it_is_the_plain_loop_with_common_random_numbers():
    sizes = {"horizon": 12, "num_trajectories": 4, "hidden_sizes": (5,)}
    config = configuration("intersection", "maml", inner_lr=0.5, **sizes)
    problem, learner = build(config)
    measure, _ = build(config.replace(num_trajectories=6))
    state = learner.init(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 3)
    key = seed_keys(7).evaluation
    run = jax.jit(adaptation(learner, measure, num_steps=STEPS))
    returns = run(key, state, tasks)
    assert returns.shape == (3, STEPS + 1)
    for lane, own in enumerate(jax.random.split(key, 3)):
        key_adapt, key_measure = jax.random.split(own)
        task = jax.tree.map(lambda leaf, lane=lane: leaf[lane], tasks)
        keys = jax.random.split(key_adapt, STEPS + 1)
        params = state.params
        for step in range(STEPS + 1):
            data = measure.collect(key_measure, params, task)
            np.testing.assert_allclose(
                returns[lane, step], jnp.mean(data.rewards.sum(axis=1)), rtol=1e-9
            )
            data = problem.collect(keys[step], params, task)
            data = problem.advantages(params, data)
            gradient = jax.grad(problem.inner_loss)(params, data)
            params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)
    assert len(np.unique(np.asarray(returns))) == 9


def test_its_key_is_none_of_training_s():
    keys = [*seed_keys(3), jax.random.key(3)]
    epochs = [jax.random.fold_in(seed_keys(3)[1], epoch) for epoch in range(50)]
    raw = {tuple(np.asarray(jax.random.key_data(key))) for key in keys + epochs}
    assert len(raw) == len(keys + epochs)


@pytest.mark.slow
def test_a_summary_of_one_s_own():
    """Observations of every task before and after its step, as they were collected."""
    config = configuration(
        "point", "maml", horizon=5, num_trajectories=2, hidden_sizes=(3,), inner_lr=1.0
    )
    problem, learner = build(config)
    state = learner.init(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 2)
    run = adaptation(learner, problem, num_steps=1, summary=lambda data: data.obs)
    found = jax.jit(run)(jax.random.key(2), state, tasks)
    assert found.shape == (2, 2, 2, 6, 2)
    for lane, own in enumerate(jax.random.split(jax.random.key(2), 2)):
        key_adapt, key_measure = jax.random.split(own)
        task = jax.tree.map(lambda leaf, lane=lane: leaf[lane], tasks)
        path, _ = learner.adapt(key_adapt, state, task, 1)
        for step in range(2):
            params = jax.tree.map(lambda leaf, step=step: leaf[step], path)
            obs = problem.collect(key_measure, params, task).obs
            np.testing.assert_allclose(found[lane, step], obs, rtol=1e-9, atol=1e-12)
    # Adaptation shows in them, and so do the tasks' own random numbers.
    np.testing.assert_array_equal(found[:, :, :, 0], np.zeros((2, 2, 2, 2)))
    assert (np.abs(found[:, 0] - found[:, 1]).max(axis=(1, 2, 3)) > 1e-3).all()
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_what_is_no_longer_finite_earns_nothing_that_counts() -> None:
    """Steps so long that parameters overflow: NaN from there on, not action 0's."""
    sizes = {"horizon": 12, "num_trajectories": 3, "hidden_sizes": (5,)}
    config = configuration(algo="fomaml", method="ac", inner_lr=1e200, **sizes)
    problem, learner = build(config)
    state = learner.init(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 2)
    measured = jax.jit(adaptation(learner, problem, num_steps=4))
    returns = np.asarray(measured(jax.random.key(2), state, tasks))
    assert np.isfinite(returns[:, 0]).all()
    assert np.isnan(returns[:, -1]).all()
