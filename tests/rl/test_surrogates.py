"""Surrogates against literal values."""

import jax
import numpy as np
import pytest

from dmaml_jax.rl.surrogates import dice, loaded_dice, lvc, score_function

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


def test_values_literally():
    """□ is 1: LVC is the sum of advantages, DiCE of rewards, Loaded DiCE 0."""
    total = np.sum(WEIGHTS * ADVANTAGES)
    assert lvc(LOG_PROBS, ADVANTAGES, WEIGHTS) == total
    assert dice(LOG_PROBS, ADVANTAGES, WEIGHTS) == total
    assert loaded_dice(LOG_PROBS, ADVANTAGES, WEIGHTS) == 0


@pytest.mark.parametrize("decay", [0.0, 0.3, 1.0])
def test_gradients_in_the_log_probs_literally(decay):
    """Loaded DiCE's is w A whatever λ is; DiCE's the reward to go."""
    first = jax.grad(loaded_dice)(LOG_PROBS, ADVANTAGES, WEIGHTS, decay=decay)
    np.testing.assert_allclose(first, WEIGHTS * ADVANTAGES, atol=1e-15)
    to_go = np.cumsum((WEIGHTS * ADVANTAGES)[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_allclose(jax.grad(dice)(LOG_PROBS, ADVANTAGES, WEIGHTS), to_go)


def test_loaded_dice_s_second_derivative_is_that_of_its_formula():
    """∂²/∂l_i∂l_j of A_t (□(W_t) − □(W_t − l_t)) for two steps, λ = 0.3."""
    hessian = jax.hessian(loaded_dice)(LOG_PROBS, ADVANTAGES, WEIGHTS, decay=0.3)
    first, second = (WEIGHTS * ADVANTAGES)[0]
    expected = [[first + second * (0.09 - 0.09), 0.3 * second], [0.3 * second, second]]
    np.testing.assert_allclose(hessian[0, :, 0, :], expected, atol=1e-15)
