"""Bandits solved exactly: closed forms, a literal enumeration, and known values."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from dmaml_jax.envs.bandit_optimum import (
    bayes_optimum,
    bayes_rewards,
    best_after_uniform,
    greedy_value,
    stay_or_shift_value,
)


def test_two_arms_and_two_pulls_by_hand() -> None:
    """The first pull earns 1/2; its arm is kept after a success, of mean 2/3."""
    assert bayes_optimum(2, 2) == pytest.approx(1 / 2 + (2 / 3 + 1 / 2) / 2)
    assert bayes_optimum(2, 2, 0.9) == pytest.approx(1 / 2 + 0.9 * (2 / 3 + 1 / 2) / 2)
    assert bayes_optimum(3, 1) == greedy_value(3, 1) == stay_or_shift_value(3, 1) == 0.5


def literal(counts: list[list[int]], left: int, discount: float) -> float:
    """The optimum of labelled arms, without merging any states."""
    if not left:
        return 0.0
    worth = []
    for arm, (wins, losses) in enumerate(counts):
        chance, value = (wins + 1) / (wins + losses + 2), 0.0
        for paid, share in ((1, chance), (0, 1 - chance)):
            after = [list(each) for each in counts]
            after[arm][1 - paid] += 1
            value += share * (paid + discount * literal(after, left - 1, discount))
        worth.append(value)
    return max(worth)


@pytest.mark.parametrize(("arms", "pulls", "discount"), [(2, 6, 1.0), (3, 4, 0.7)])
def test_merging_arms_that_are_alike_changes_nothing(arms, pulls, discount) -> None:
    start = [[0, 0] for _ in range(arms)]
    expected = literal(start, pulls, discount)
    assert bayes_optimum(arms, pulls, discount) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("arms", "pulls", "discount", "value"),
    [
        (2, 10, 1, 6.02179),
        (2, 10, 0.99, 5.74921),
        (5, 10, 1, 6.65999),
        (5, 10, 0.99, 6.34945),
        (10, 10, 1, 6.71395),
        (50, 10, 1, 6.71395),
        (3, 20, 1, 13.46583),
        pytest.param(5, 20, 1, 14.28734, marks=pytest.mark.slow),
    ],
)
def test_known_optima(arms, pulls, discount, value) -> None:
    assert bayes_optimum(arms, pulls, discount) == pytest.approx(value, abs=6e-6)


@pytest.mark.parametrize(
    ("arms", "pulls", "ties", "value"),
    [
        (2, 10, "uniform", 6.006),
        (2, 10, "least-pulled", 6.020),
        pytest.param(5, 20, "uniform", 14.109, marks=pytest.mark.slow),
        pytest.param(5, 20, "least-pulled", 14.196, marks=pytest.mark.slow),
    ],
)
def test_greedy_depends_on_how_ties_are_decided(arms, pulls, ties, value) -> None:
    assert greedy_value(arms, pulls, ties=ties) == pytest.approx(value, abs=6e-4)


def stay_or_shift(num_pulls: int) -> Fraction:
    """Win-stay-lose-shift with two arms, summed over all outcomes by hand.

    The outcomes fix the arms, and s successes and f failures of an arm have probability
    s! f! / (s + f + 1)!, the integral of p^s (1 − p)^f over [0, 1].
    """
    factorial = [1]
    for number in range(1, num_pulls + 2):
        factorial.append(factorial[-1] * number)
    total = Fraction(0)
    for outcomes in itertools.product((0, 1), repeat=num_pulls):
        counts, arm = [[0, 0], [0, 0]], 0
        for paid in outcomes:
            counts[arm][paid] += 1
            arm = arm if paid else 1 - arm
        chance = Fraction(1)
        for losses, wins in counts:
            chance *= Fraction(
                factorial[wins] * factorial[losses], factorial[wins + losses + 1]
            )
        total += chance * sum(outcomes)
    return total


def test_win_stay_lose_shift_is_the_sum_over_all_outcomes() -> None:
    for pulls in (1, 2, 5, 10):
        expected = float(stay_or_shift(pulls))
        assert stay_or_shift_value(2, pulls) == pytest.approx(expected, rel=1e-12)
    assert stay_or_shift_value(2, 10) == pytest.approx(5.80, abs=0.005)
    first = stay_or_shift_value(4, 2, 0.5)
    assert first == pytest.approx(0.5 + 0.5 * (0.5 * 2 / 3 + 0.5 * 0.5))


def test_the_best_pull_after_pulls_at_random() -> None:
    """One pull of two arms by hand, and 200,000 simulated bandits of five arms."""
    assert best_after_uniform(3, 0) == 0.5
    assert best_after_uniform(2, 1) == pytest.approx((2 / 3 + 1 / 2) / 2)
    random, num = np.random.default_rng(0), 200_000
    chances = random.random((num, 5))
    pulls = random.multinomial(6, [0.2] * 5, size=num)
    means = (random.binomial(pulls, chances) + 1) / (pulls + 2)
    found = means.max(axis=1)
    error = 4 * found.std() / np.sqrt(num)
    assert best_after_uniform(5, 6) == pytest.approx(found.mean(), abs=error)


def test_what_each_pull_of_the_optimum_earns() -> None:
    """By hand, and in sum; the last pull explores nothing and so earns most."""
    assert bayes_rewards(2, 2) == pytest.approx((1 / 2, 7 / 12))
    for arms, pulls in ((2, 9), (4, 7)):
        rewards = bayes_rewards(arms, pulls)
        assert len(rewards) == pulls
        assert sum(rewards) == pytest.approx(bayes_optimum(arms, pulls), rel=1e-12)
        assert rewards[0] == 0.5
        assert rewards[-1] == max(rewards)


def test_no_rule_is_better_than_the_optimum() -> None:
    for arms, pulls in ((2, 7), (4, 8)):
        best = bayes_optimum(arms, pulls)
        assert pulls / 2 < stay_or_shift_value(arms, pulls) < best
        assert greedy_value(arms, pulls) <= best
        assert greedy_value(arms, pulls, ties="least-pulled") <= best
