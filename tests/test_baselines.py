"""The leave-one-out baseline against a loop."""

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.baselines import leave_one_out_time_mean

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
