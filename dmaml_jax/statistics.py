"""Statistics of learning curves and evaluations, used by every table and picture.

Intervals are percentile bootstraps (scipy's), drawn from a fixed seed, so that the same
numbers give the same interval, but for those with a closed form: paired differences,
paired ratios and the probability of improvement. After Agarwal et al., Deep
Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats

CONFIDENCE = 0.95
_RESAMPLES = 2000


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


def ema(values: np.ndarray, factor: float = 0.9) -> np.ndarray:
    """Exponential moving average along axis 0, as the paper smooths its curves.

    y_0 = x_0, y_t = factor · y_{t−1} + (1 − factor) · x_t; after a NaN it stays NaN, as
    a frozen seed's curve should.

    Args:
        values: `[E, …]`.
        factor: weight of the past.

    Returns:
        The smoothed values, `[E, …]`.

    Example:
        >>> ema(np.array([0.0, 1.0, 1.0]), 0.5)
        array([0.  , 0.5 , 0.75])
    """
    smoothed = np.array(values, dtype=np.float64)
    for t in range(1, len(smoothed)):
        smoothed[t] = factor * smoothed[t - 1] + (1 - factor) * smoothed[t]
    return smoothed


def epochs_to_threshold(smoothed: np.ndarray, threshold: float) -> list[int | None]:
    """First epoch, counted from 1, at which each seed's curve reaches the threshold.

    Args:
        smoothed: `[E, seeds]`.
        threshold: in the unit of the curve.

    Returns:
        Per seed; None where it never does, to be counted and not dropped.

    Example:
        >>> epochs_to_threshold(np.array([[1.0, 1.0], [3.0, 1.0]]), 2.0)
        [2, None]
    """
    curves = np.asarray(smoothed >= threshold).T
    return [int(np.argmax(curve)) + 1 if curve.any() else None for curve in curves]


def at_threshold(
    smoothed: np.ndarray, costs: np.ndarray, threshold: float
) -> np.ndarray:
    """What each seed had spent when its curve first reached the threshold.

    Args:
        smoothed: `[E, seeds]`.
        costs: spent until the end of each epoch (steps, seconds), `[E, seeds]`.
        threshold: in the unit of the curve.

    Returns:
        `[seeds]`; infinite where a curve never gets there.

    Example:
        >>> steps = np.array([[10.0, 10.0], [20.0, 20.0]])
        >>> at_threshold(np.array([[1.0, 1.0], [3.0, 1.0]]), steps, 2.0)
        array([20., inf])
    """
    epochs = epochs_to_threshold(smoothed, threshold)
    return np.array(
        [
            np.inf if epoch is None else costs[epoch - 1, seed]
            for seed, epoch in enumerate(epochs)
        ]
    )


def median_with_never(costs: np.ndarray) -> float:
    """Median of costs in which inf says "never": inf if half or more never got there.

    Example:
        >>> median_with_never(np.array([3.0, np.inf, 1.0]))
        3.0
        >>> median_with_never(np.array([3.0, np.inf]))
        inf
    """
    ordered = np.sort(costs)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(high if np.isinf(high) else (low + high) / 2)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of the seeds, over the last axis (Agarwal et al. 2021).

    Seeds without a value (frozen ones) are left out; NaN where none has one. Of three
    seeds or fewer nothing is cut off: the plain mean.

    Args:
        values: `[…, seeds]`.

    Returns:
        `[…]`.

    Example:
        >>> interquartile_mean(np.array([0.0, 1.0, 3.0, 100.0]))
        array(2.)
    """
    values = np.asarray(values, np.float64)
    if np.isfinite(values).all() and values.shape[-1]:
        return np.asarray(stats.trim_mean(values, 0.25, axis=-1))
    return np.asarray(np.apply_along_axis(_trimmed, -1, values))


def _trimmed(row: np.ndarray) -> float:
    row = row[np.isfinite(row)]
    return float(stats.trim_mean(row, 0.25)) if row.size else float("nan")


def stratified_bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] = interquartile_mean,
) -> Interval:
    """A statistic of runs on several tasks, with its interval over the runs.

    The runs of each stratum (task) are resampled by themselves, so that every task
    keeps its weight. Runs with a value that is not finite are left out.

    Args:
        values: `[runs]` or `[runs, strata]`.
        statistic: takes all values along the last axis, `[…, runs · strata] -> […]`.

    Returns:
        The statistic; its interval is empty (NaN) with fewer than two runs.

    Example:
        >>> interval = stratified_bootstrap(np.array([1.0, 2.0, 3.0, 4.0]), np.mean)
        >>> print(interval.value, interval.low, interval.high)
        2.5 1.5 3.5
    """
    values = np.asarray(values, np.float64)
    table = values[:, None] if values.ndim == 1 else values
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) == 0:
        return Interval(np.nan, np.nan, np.nan)
    value = float(_over_last(statistic)(table.ravel()))
    if len(table) < 2:
        return Interval(value, np.nan, np.nan)

    def of_samples(*columns: np.ndarray, axis: int) -> np.ndarray:
        return _over_last(statistic)(np.concatenate(columns, axis=axis))

    low, high = _bootstrap(tuple(table.T), of_samples)
    return Interval(value, low, high)


def crossed_bootstrap(values: np.ndarray) -> Interval:
    """The mean over seeds and tasks, with its interval over the choice of both.

    Seeds and tasks are resampled each by themselves (Owen, The pigeonhole bootstrap,
    2007): every seed meets the same tasks, so their values are not independent. It is
    a little wide rather than narrow. A single seed is taken as it is.

    Args:
        values: `[seeds, tasks]`; single values that are not finite are left out, so
            say beside the mean how many they are.

    Returns:
        The mean; its interval is empty (NaN) with fewer than two tasks.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    num_seeds, num_tasks = values.shape
    if not finite.any():
        return Interval(np.nan, np.nan, np.nan)
    mean = float(values[finite].mean())
    if num_tasks < 2:
        return Interval(mean, np.nan, np.nan)
    generator = np.random.default_rng(0)
    # How often each seed and each task is drawn; the mean is bilinear in the counts.
    seeds = generator.multinomial(
        num_seeds, np.full(num_seeds, 1 / num_seeds), _RESAMPLES
    )
    tasks = generator.multinomial(
        num_tasks, np.full(num_tasks, 1 / num_tasks), _RESAMPLES
    )
    sums = ((seeds @ np.where(finite, values, 0)) * tasks).sum(axis=1)
    shares = ((seeds @ finite) * tasks).sum(axis=1)
    means = sums[shares > 0] / shares[shares > 0]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(mean, float(low), float(high))


def curve_intervals(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interquartile mean over the seeds at every epoch, with its interval.

    Args:
        curves: `[E, seeds]`; seeds without a value at an epoch are left out there.

    Returns:
        `(mean, low, high)`, `[E]` each; ends are NaN with fewer than two seeds.
    """
    curves = np.asarray(curves, np.float64)
    mean = interquartile_mean(curves)
    low, high = np.full((2, len(curves)), np.nan)
    alive = np.isfinite(curves)
    # Seeds freeze one by one: epochs with the same living seeds are resampled together,
    # whole curves at a time.
    for pattern in np.unique(alive, axis=0):
        if pattern.sum() < 2:
            continue
        rows = np.flatnonzero((alive == pattern).all(axis=1))
        generator = np.random.default_rng(0)
        picks = generator.integers(pattern.sum(), size=(_RESAMPLES, pattern.sum()))
        block = curves[np.ix_(rows, np.flatnonzero(pattern))]
        tail = 50 * (1 - CONFIDENCE)
        for row, seeds in zip(rows, block, strict=True):
            sampled = interquartile_mean(seeds[picks])
            low[row], high[row] = np.percentile(sampled, [tail, 100 - tail])
    return mean, low, high


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
        x: `[seeds]`.
        y: of the same seeds in the same order; pairs without two values are left out.

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
        x: `[seeds]`, above 0.
        y: of the same seeds in the same order.

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


def _bootstrap(
    samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray]
) -> tuple[float, float]:
    with warnings.catch_warnings():
        # All values alike: the interval is that value.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        ends = stats.bootstrap(
            samples,
            statistic,
            n_resamples=_RESAMPLES,
            vectorized=True,
            paired=False,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(ends.low), float(ends.high)


def _over_last(
    statistic: Callable[..., np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
    """`np.mean` and its like take an axis; ours mean the last."""
    if statistic in (np.mean, np.median):
        return lambda values: statistic(values, axis=-1)
    return statistic
