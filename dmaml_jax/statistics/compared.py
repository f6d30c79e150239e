"""One algorithm against another: differences, ratios, and the better one's odds.

These intervals have a closed form and need no resampling.
"""

from typing import Any

import numpy as np
from scipy import optimize, stats

from dmaml_jax.statistics.interval import CONFIDENCE, Interval
from dmaml_jax.statistics.thresholds import median_with_never


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> Interval:
    """P(X > Y) + P(X = Y)/2 for runs x of one algorithm and y of another.

    The Mann-Whitney U statistic over its greatest value. A score that is not a number,
    of a run that was frozen, is below every other.

    Args:
        x: the scores of the runs of X, `[runs of X]`.
        y: the scores of the runs of Y, `[runs of Y]`.

    Returns:
        The probability, and Newcombe's score interval (Statistics in Medicine 2006,
        method 5), which knows how few runs there are: where all of X lie above all of
        Y, resampling would give an interval without a width. NaN where a side is
        empty, and no interval where one has a single run.

    Example:
        >>> found = probability_of_improvement(np.array([1.0, 3.0, 4.0]), np.zeros(3))
        >>> print(f"{found.value} [{found.low:.2f}, {found.high:.2f}]")
        1.0 [0.50, 1.00]
    """
    # A run that is no longer finite is worse than every other.
    x, y = (np.nan_to_num(np.asarray(z, np.float64), nan=-np.inf) for z in (x, y))
    if not (len(x) and len(y)):
        return Interval(np.nan, np.nan, np.nan)

    above, equal = x[:, None] > y, x[:, None] == y
    value = float((above + equal / 2).mean())
    if min(len(x), len(y)) < 2:
        return Interval(value, np.nan, np.nan)
    low = 1 - _newcombe_upper(1 - value, len(x), len(y))
    return Interval(value, low, _newcombe_upper(value, len(x), len(y)))


def _newcombe_upper(value: float, m: int, n: int) -> float:
    """The greatest θ = P(X > Y) that an estimate from m and n runs is not far below.

    θ − value = z √V(θ) with N = (m + n)/2 and

        V(θ) = θ (1 − θ) {1 + (N − 1) [(1 − θ)/(2 − θ) + θ/(1 + θ)]} / mn,

    which is Hanley and McNeil's variance, taken at θ and not at the estimate.
    """
    if value >= 1:
        return 1.0
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))

    def excess(theta: float) -> float:
        shared = (1 - theta) / (2 - theta) + theta / (1 + theta)
        inner = 1 + ((m + n) / 2 - 1) * shared
        return theta - value - z * (theta * (1 - theta) * inner / (m * n)) ** 0.5

    start = max(value, 1e-12) * (1 + 1e-12)
    root: Any = optimize.brentq(excess, start, 1.0)
    return float(root)


def paired_difference(x: np.ndarray, y: np.ndarray) -> Interval:
    """Mean of x − y over matching seeds, with Student's interval of paired values.

    Args:
        x: the values of one algorithm, one for each seed, `[seeds]`.
        y: the other's values for the same seeds, in the same order; a pair in which one
            of the two is missing is left out.

    Returns:
        The mean difference; an empty interval (NaN) with fewer than two pairs.

    Example:
        >>> difference = paired_difference(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
        >>> print(f"{difference.value} [{difference.low:.2f}, {difference.high:.2f}]")
        2.0 [-10.71, 14.71]
    """
    both = np.isfinite(x) & np.isfinite(y)
    differences = np.asarray(x, np.float64)[both] - np.asarray(y, np.float64)[both]
    if not len(differences):
        return Interval(np.nan, np.nan, np.nan)
    value = float(differences.mean())
    if len(differences) < 2:
        return Interval(value, np.nan, np.nan)
    if np.ptp(differences) == 0:
        return Interval(value, value, value)
    ends = stats.ttest_1samp(differences, 0).confidence_interval(CONFIDENCE)
    return Interval(value, float(ends.low), float(ends.high))


def paired_ratio(x: np.ndarray, y: np.ndarray) -> Interval:
    """Median of x / y over matching seeds, with an interval of order statistics.

    Both are costs, in which inf says "never": a pair of which x alone never got there
    counts as an infinite ratio, one of which y alone never did as 0. Pairs of which
    neither did, or one is not a number, tell nothing of a ratio and are left out.

    Args:
        x: the costs of one algorithm, one for each seed, above 0, `[seeds]`.
        y: the other's costs for the same seeds, in the same order, `[seeds]`.

    Returns:
        The median of the ratios, which is infinite where half of them are. Its ends are
        two of the ratios, so far out that the median of the population lies between
        them with a probability of at least 95 %, whatever the ratios' distribution; NaN
        where even the least and the greatest are not far enough, with five pairs or
        fewer.

    Example:
        >>> costs = np.array([2.0, 4.0, 6.0, np.inf, 3.0, 8.0])
        >>> print(paired_ratio(costs, np.full(6, 2.0)))
        Interval(value=2.5, low=1.0, high=inf)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    told = ~(np.isnan(x) | np.isnan(y) | (np.isinf(x) & np.isinf(y)))
    ratios = np.sort(x[told] / y[told])
    if not len(ratios):
        return Interval(np.nan, np.nan, np.nan)
    value = median_with_never(ratios)
    # The number of ratios below the median is binomial with probability one half.
    below = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ratios), 0.5))
    if stats.binom.cdf(below, len(ratios), 0.5) > (1 - CONFIDENCE) / 2:
        below -= 1
    if below < 0:
        return Interval(value, np.nan, np.nan)
    return Interval(value, float(ratios[below]), float(ratios[-1 - below]))
