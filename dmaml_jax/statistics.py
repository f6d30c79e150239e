"""Statistics of learning curves, used by every table and picture."""

import numpy as np
from scipy import stats


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
    return np.asarray(np.apply_along_axis(_trimmed, -1, values))


def _trimmed(row: np.ndarray) -> float:
    row = row[np.isfinite(row)]
    return float(stats.trim_mean(row, 0.25)) if row.size else float("nan")
