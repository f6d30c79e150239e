"""Baselines: leave-one-out against a loop, linear features against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.rl.baselines import leave_one_out_time_mean, linear_features

RETURNS = np.random.default_rng(0).normal(size=(4, 6))
ALIVE = np.arange(6) < np.array([[6], [2], [4], [1]])


def test_mean_of_the_others_still_alive():
    expected = np.zeros((4, 6))
    for k in range(4):
        for t in range(6):
            others = [RETURNS[j, t] for j in range(4) if j != k and ALIVE[j, t]]
            expected[k, t] = np.mean(others) if others else 0.0
    baseline = leave_one_out_time_mean(jnp.asarray(RETURNS), jnp.asarray(ALIVE))
    np.testing.assert_allclose(baseline, expected, rtol=1e-12, atol=1e-14)
    assert expected[0, 4] == 0 and expected[1, 4] != 0  # with and without others


def test_one_trajectory_has_no_baseline():
    one = leave_one_out_time_mean(jnp.asarray(RETURNS[:1]), jnp.asarray(ALIVE[:1]))
    np.testing.assert_array_equal(one, np.zeros((1, 6)))


def test_a_baseline_depends_on_the_others_only():
    jacobian = jax.jacobian(leave_one_out_time_mean)(
        jnp.asarray(RETURNS), jnp.asarray(ALIVE)
    )
    for k in range(4):
        np.testing.assert_array_equal(jacobian[k, :, k, :], 0)
    np.testing.assert_allclose(jacobian[1, 0, :, 0], [1 / 3, 0, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(jacobian[1, 3, :, 3], [0.5, 0, 0.5, 0])


def ragged(seed=0, lengths=(9, 4, 7, 1)):
    """Returns, alive mask and observations of four episodes."""
    rng = np.random.default_rng(seed)
    alive = np.arange(9) < np.array(lengths)[:, None]
    returns = 5 + rng.normal(size=alive.shape) * alive
    return returns * alive, alive, rng.normal(size=(4, 10, 3))


def by_numpy(returns, alive, obs, ridge):
    """The same least squares by a dense solve over the living steps alone."""
    time = np.broadcast_to(np.arange(9) / 100, alive.shape)[..., None]
    states = obs[:, :-1]
    features = np.concatenate(
        [states, states**2, time, time**2, time**3, np.ones_like(time)], axis=2
    )[alive]
    scale = np.sqrt(np.mean(features**2, axis=0))
    features = features / np.where(scale > 0, scale, 1)
    gram = features.T @ features / len(features) + ridge * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ returns[alive] / len(features))
    found = np.zeros(alive.shape)
    found[alive] = features @ weights
    return found


@pytest.mark.parametrize("lengths", [(9, 9, 9, 9), (9, 4, 7, 1)])
@pytest.mark.parametrize("ridge", [1e-5, 1e-2])
def test_linear_features_are_numpy_s_least_squares(lengths, ridge):
    """What lies after the end does not count, whatever is written there."""
    returns, alive, obs = ragged(lengths=lengths)
    found = linear_features(*map(jnp.asarray, (returns, alive, obs)), ridge)
    expected = by_numpy(returns, alive, obs, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    obs = np.where(np.pad(alive, ((0, 0), (0, 1)))[..., None], obs, 99.0)
    again = linear_features(*map(jnp.asarray, (returns, alive, obs)), ridge)
    np.testing.assert_allclose(again, found, rtol=1e-12, atol=1e-12)


def test_linear_features_are_batched_over_tasks_and_fit_what_is_linear():
    batches = [ragged(seed) for seed in (1, 2)]
    stacked = [jnp.stack(column) for column in zip(*batches, strict=True)]
    both = jax.vmap(linear_features)(*stacked)
    for row, batch in zip(both, batches, strict=True):
        np.testing.assert_allclose(
            row, linear_features(*map(jnp.asarray, batch)), rtol=1e-9, atol=1e-10
        )
    _, alive, obs = batches[0]
    linear = (3 + obs[:, :-1, 0] - 2 * obs[:, :-1, 1] ** 2) * alive
    found = linear_features(jnp.asarray(linear), jnp.asarray(alive), jnp.asarray(obs))
    np.testing.assert_allclose(found, linear, atol=1e-3)


@pytest.mark.float32
def test_linear_features_in_float32():
    returns, alive, obs = ragged()
    found = linear_features(*map(jnp.asarray, (returns, alive, obs)))
    expected = by_numpy(returns, alive, obs, 1e-5)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=0.02)
