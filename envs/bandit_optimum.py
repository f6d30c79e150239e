"""Bernoulli bandits solved exactly: the Bayes optimum, and what simple rules earn.

All of it is for one bandit that is pulled n times, and whose arms have unknown
probabilities uniform on [0, 1], as the law of tasks of `Bandit` draws them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

Arm = tuple[int, int]
"""Successes and failures of an arm so far."""
Ties = Literal["uniform", "least-pulled"]
Choice = Callable[[Sequence[Arm], Sequence[int], Sequence[float]], float]
"""From distinct arms, the number of arms like each, and the worth of pulling each, to
the worth of choosing between them."""


def bayes_optimum(num_arms: int, num_pulls: int, discount: float = 1.0) -> float:
    r"""The greatest expected return of n pulls that any policy has.

    With s and f the successes and failures of an arm, its next pull pays 1 with
    probability p = (s + 1) / (s + f + 2). Over the arms' counts x and for m pulls left,

    V_m(x) = max_a [p_a (1 + γ V_{m−1}(x with a's success)) + (1 − p_a) γ
    V_{m−1}(x with a's failure)].

    Arms are alike before they are pulled, so x is a multiset: 50 arms and 10 pulls are
    no more states than 10 arms and 10 pulls.

    Args:
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls.
        discount: γ, where the first pull counts in full.

    Returns:
        The expected sum of (discounted) rewards.

    Example:
        >>> print(f"{12 * bayes_optimum(2, 2):.6f}")
        13.000000
    """
    return _value(num_arms, num_pulls, discount, lambda arms, number, worth: max(worth))


def bayes_rewards(num_arms: int, num_pulls: int) -> tuple[float, ...]:
    """What each of n pulls earns on average under a policy that is Bayes-optimal.

    Early pulls earn less than they could, because the best policy explores with them.
    Another policy of the same total may divide it otherwise.

    Args:
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls.

    Returns:
        The expected reward of each pull; they add up to `bayes_optimum`.

    Example:
        >>> print([f"{12 * reward:.6f}" for reward in bayes_rewards(2, 2)])
        ['6.000000', '7.000000']
    """

    @cache
    def value(pulled: tuple[Arm, ...], left: int) -> tuple[float, tuple[float, ...]]:
        if not left:
            return 0.0, ()
        arms = set(pulled)
        if len(pulled) < num_arms:
            arms.add((0, 0))
        best: tuple[float, tuple[float, ...]] = (-1.0, ())
        for arm in sorted(arms):
            (chance, won), (rest, lost) = _outcomes(pulled, arm)
            (if_won, after_won), (if_lost, after_lost) = (
                value(won, left - 1),
                value(lost, left - 1),
            )
            total = chance * (1 + if_won) + rest * if_lost
            if total > best[0]:
                later = zip(after_won, after_lost, strict=True)
                mixed = (chance * one + rest * other for one, other in later)
                best = total, (chance, *mixed)
        return best

    return value((), num_pulls)[1]


def greedy_value(
    num_arms: int, num_pulls: int, discount: float = 1.0, *, ties: Ties = "uniform"
) -> float:
    """The expected return of always pulling an arm of the greatest posterior mean.

    Args:
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls.
        discount: γ, where the first pull counts in full.
        ties: what decides between arms of the same mean: each of them is equally
            likely, or each of those with the fewest pulls.

    Returns:
        The expected sum of (discounted) rewards, by the programme of `bayes_optimum`.
    """

    def choice(
        arms: Sequence[Arm], number: Sequence[int], worth: Sequence[float]
    ) -> float:
        means = list(map(_mean, arms))
        best = [index for index, mean in enumerate(means) if mean == max(means)]
        if ties == "least-pulled":
            least = min(sum(arms[index]) for index in best)
            best = [index for index in best if sum(arms[index]) == least]
        total = sum(number[index] * worth[index] for index in best)
        return total / sum(number[index] for index in best)

    return _value(num_arms, num_pulls, discount, choice)


def stay_or_shift_value(num_arms: int, num_pulls: int, discount: float = 1.0) -> float:
    """The expected return of win-stay-lose-shift.

    The first arm is any; an arm that has paid is pulled again, and one that has not is
    left for another, each of the others equally likely.

    Args:
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls.
        discount: γ, where the first pull counts in full.

    Returns:
        The expected sum of (discounted) rewards.
    """

    @cache
    def value(arm: Arm, others: tuple[Arm, ...], left: int) -> float:
        if not left:
            return 0.0
        wins, losses = arm
        chance, lost = _mean(arm), (wins, losses + 1)
        stays = 1 + discount * value((wins + 1, losses), others, left - 1)
        shifts = 0.0
        for other, number in Counter(others).items():
            rest = _without(others, other)
            shifted = value(other, tuple(sorted((*rest, lost))), left - 1)
            shifts += number / len(others) * shifted
        return chance * stays + (1 - chance) * discount * shifts

    return value((0, 0), ((0, 0),) * (num_arms - 1), num_pulls)


def best_after_uniform(num_arms: int, num_pulls: int) -> float:
    """The greatest expected reward of a pull after n pulls of arms taken at random.

    A policy without a memory that starts from equal probabilities explores like this,
    so it is what one step of a gradient learner on n pulls can reach at best.

    Args:
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls before; each of any arm, equally likely.

    Returns:
        The expectation of the greatest posterior mean.
    """

    @cache
    def value(pulled: tuple[Arm, ...], left: int) -> float:
        alike = Counter(pulled)
        if len(pulled) < num_arms:
            alike[(0, 0)] = num_arms - len(pulled)
        if not left:
            return max(map(_mean, alike))
        total = 0.0
        for arm, number in alike.items():
            for chance, after in _outcomes(pulled, arm):
                total += number / num_arms * chance * value(after, left - 1)
        return total

    return value((), num_pulls)


def _outcomes(
    pulled: tuple[Arm, ...], arm: Arm
) -> tuple[tuple[float, tuple[Arm, ...]], ...]:
    """Success and failure of an arm: their probabilities, and the arms after each."""
    rest = _without(pulled, arm) if arm != (0, 0) else pulled
    wins, losses = arm
    won = tuple(sorted((*rest, (wins + 1, losses))))
    lost = tuple(sorted((*rest, (wins, losses + 1))))
    return (_mean(arm), won), (1 - _mean(arm), lost)


def _value(num_arms: int, num_pulls: int, discount: float, choice: Choice) -> float:
    """The expected return where `choice` weighs the arms of every state."""

    @cache
    def value(pulled: tuple[Arm, ...], left: int) -> float:
        if not left:
            return 0.0
        alike = Counter(pulled)
        if len(pulled) < num_arms:
            alike[(0, 0)] = num_arms - len(pulled)
        worth = []
        for arm in alike:
            (chance, won), (rest, lost) = _outcomes(pulled, arm)
            paid = 1 + discount * value(won, left - 1)
            worth.append(chance * paid + rest * discount * value(lost, left - 1))
        return choice(tuple(alike), tuple(alike.values()), worth)

    return value((), num_pulls)


def _mean(arm: Arm) -> float:
    """The posterior mean of an arm's probability; equal ratios are equal numbers."""
    wins, losses = arm
    return (wins + 1) / (wins + losses + 2)


def _without(arms: tuple[Arm, ...], arm: Arm) -> tuple[Arm, ...]:
    """The arms but one of these."""
    index = arms.index(arm)
    return arms[:index] + arms[index + 1 :]
