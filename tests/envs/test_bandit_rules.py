"""Rules for bandits: what they choose, and what they earn against exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from dmaml_jax.envs import bandit_rules as rules
from dmaml_jax.envs.bandit_optimum import (
    bayes_optimum,
    greedy_value,
    stay_or_shift_value,
)

KEY = jax.random.key(0)


def seen(failures=(1, 0, 2), last_arm=1, last_reward=1):
    """Three arms that have succeeded 3, 1 and 0 times."""
    dtype = jnp.result_type(float)
    counts = [jnp.array(each, dtype) for each in ((3, 1, 0), failures)]
    return rules.Seen(*counts, jnp.int32(last_arm), jnp.array(last_reward, dtype))


def shares(rule, num=3000, **different):
    """How often each arm is chosen."""
    before = seen(**different)
    arms = jax.jit(jax.vmap(lambda key: rule(key, before)))(jax.random.split(KEY, num))
    return np.bincount(np.asarray(arms), minlength=3) / num


def near(found, expected, num=3000):
    expected = np.asarray(expected)
    errors = 4 * np.sqrt(expected * (1 - expected) / num)
    assert np.all(abs(found - expected) <= errors), (found, expected)


def test_greedy_divides_ties_evenly():
    """Means 4/6, 2/3 and 1/4: the first two are alike."""
    near(shares(rules.greedy), [0.5, 0.5, 0])
    near(shares(rules.epsilon_greedy(0.3)), [0.45, 0.45, 0.1])
    near(shares(rules.uniform), [1 / 3] * 3)


def test_thompson_chooses_an_arm_as_often_as_it_is_the_best():
    counts = zip([4, 2, 1], [2, 1, 3], strict=True)
    laws = [stats.beta(wins, losses) for wins, losses in counts]

    def chance(arm):
        others = [law for index, law in enumerate(laws) if index != arm]
        density = laws[arm].pdf
        return integrate.quad(
            lambda p: density(p) * np.prod([law.cdf(p) for law in others]), 0, 1
        )[0]

    near(shares(rules.thompson), [chance(arm) for arm in range(3)])


def test_ucb1_adds_its_width():
    """Pulls 4, 1 and 2 after 7 in all: the wider bound decides between equal means."""
    near(shares(rules.ucb1(0.3)), [0, 1, 0])
    widths = np.sqrt(2 * np.log(8) / np.array([6, 3, 4]))
    means = np.array([4 / 6, 2 / 3, 1 / 4])
    crossing = (means[1] - means[2]) / (widths[2] - widths[1])
    assert crossing < 0  # the second stays ahead of the third for every scale
    near(shares(rules.ucb1(0.0)), [0.5, 0.5, 0])
    fewer = (1, 5, 0)
    widths = np.sqrt(2 * np.log(11) / np.array([6, 8, 2]))
    means = np.array([4 / 6, 2 / 8, 1 / 2])
    crossing = (means[0] - means[2]) / (widths[2] - widths[0])
    near(shares(rules.ucb1(0.99 * crossing), failures=fewer), [1, 0, 0])
    near(shares(rules.ucb1(1.01 * crossing), failures=fewer), [0, 0, 1])


def test_a_win_stays_and_a_loss_shifts_to_any_other():
    near(shares(rules.stay_or_shift), [0, 1, 0])
    near(shares(rules.stay_or_shift, last_reward=0), [0.5, 0, 0.5])
    first = {"last_arm": -1, "last_reward": 0}
    near(shares(rules.stay_or_shift, **first), [1 / 3] * 3)


@pytest.mark.float32
@pytest.mark.parametrize(
    ("rule", "arms", "pulls", "value"),
    [
        (rules.uniform, 3, 8, 4.0),
        (rules.greedy, 3, 8, greedy_value(3, 8)),
        (rules.stay_or_shift, 3, 8, stay_or_shift_value(3, 8)),
    ],
    ids=("uniform", "greedy", "stay-or-shift"),
)
def test_returns_are_the_exact_ones(rule, arms, pulls, value):
    returns = np.asarray(rules.play(KEY, rule, arms, pulls, 8000))
    assert abs(returns.mean() - value) < 4 * returns.std() / np.sqrt(len(returns))
    assert returns.min() >= 0 and returns.max() <= pulls
    assert returns.mean() < bayes_optimum(arms, pulls) + 0.1


# Means and standard errors of other simulations, 10,000 to 40,000 bandits each.
KNOWN = {
    (rules.thompson, 2, 10): (5.737, 0.013),
    (rules.thompson, 5, 10): (5.826, 0.010),
    (rules.thompson, 5, 20): (12.748, 0.018),
    (rules.greedy, 5, 10): (6.631, 0.011),
    (rules.greedy, 5, 20): (14.109, 0.0),
}


@pytest.mark.slow
@pytest.mark.float32
def test_returns_are_those_of_other_simulations():
    for (rule, arms, pulls), (value, error) in KNOWN.items():
        returns = np.asarray(rules.play(KEY, rule, arms, pulls, 40_000))
        own = returns.std() / np.sqrt(len(returns))
        assert abs(returns.mean() - value) < 4 * np.hypot(own, error), (arms, pulls)
