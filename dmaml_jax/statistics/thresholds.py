"""Learning curves smoothed, and when they reach a threshold."""

import numpy as np


def ema(values: np.ndarray, factor: float = 0.9) -> np.ndarray:
    """Exponential moving average along axis 0, as the paper smooths its curves.

    y_0 = x_0, y_t = factor · y_{t−1} + (1 − factor) · x_t; after a NaN it stays NaN, as
    a frozen seed's curve should.

    Args:
        values: the curves, with a row for each epoch, `[E, …]`.
        factor: the weight of the past, from 0 to below 1.

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
        smoothed: the smoothed curves, one column for each seed, `[E, seeds]`.
        threshold: the value to be reached, in the unit of the curve.

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
        smoothed: the smoothed curves, one column for each seed, `[E, seeds]`.
        costs: spent until the end of each epoch (steps, seconds), `[E, seeds]`.
        threshold: the value to be reached, in the unit of the curve.

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
