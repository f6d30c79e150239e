"""Surrogates against literal values."""

import jax
import numpy as np
import pytest

from dmaml_jax.surrogates import score_function

LOG_PROBS = np.array([[-1.0, -2.0], [-3.0, -4.0]])
ADVANTAGES = np.array([[1.0, -1.0], [2.0, 5.0]])
WEIGHTS = np.array([[0.5, 0.25], [0.5, 0.0]])


def test_score_function_is_the_weighted_sum():
    assert score_function(LOG_PROBS, ADVANTAGES, WEIGHTS) == -0.5 + 0.5 - 3.0


def test_score_function_is_differentiable_in_both_factors():
    """The meta-gradient flows through the advantages into a value head."""
    by_log_prob, by_advantage = jax.grad(score_function, argnums=(0, 1))(
        LOG_PROBS, ADVANTAGES, WEIGHTS
    )
    np.testing.assert_array_equal(by_log_prob, [[0.5, -0.25], [1.0, 0.0]])
    np.testing.assert_array_equal(by_advantage, [[-0.5, -0.5], [-1.5, 0.0]])


def test_shapes_must_agree():
    with pytest.raises(AssertionError):
        score_function(LOG_PROBS, ADVANTAGES[:, :1], WEIGHTS)
