"""Means over runs, with percentile bootstraps drawn from a fixed seed.

The same numbers give the same interval. After Agarwal et al., Deep Reinforcement
Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from dmaml_jax.statistics.interval import CONFIDENCE, Interval

_RESAMPLES = 2000


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of the seeds, over the last axis (Agarwal et al. 2021).

    Seeds without a value (frozen ones) are left out; NaN where none has one. Of three
    seeds or fewer nothing is cut off: the plain mean.

    Args:
        values: one number for each seed, `[…, seeds]`.

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
        values: one number for each run, `[runs]`, or for each run and stratum,
            `[runs, strata]`.
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
