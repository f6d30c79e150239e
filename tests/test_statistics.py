"""Statistics of learning curves against literal values."""

import numpy as np

from dmaml_jax.statistics import ema, epochs_to_threshold, interquartile_mean


def test_ema():
    curve = np.array([[1, 0], [0, 10], [0, 20]])
    kept = curve.copy()
    np.testing.assert_allclose(ema(curve), [[1, 0], [0.9, 1], [0.81, 2.9]])
    np.testing.assert_allclose(ema(curve, 0.5), [[1, 0], [0.5, 5], [0.25, 12.5]])
    np.testing.assert_array_equal(curve, kept)


def test_epochs_to_threshold_counts_from_one():
    curves = np.array(
        [[5.0, 0.0, 0.0, 0.0], [0.0, 2.0, 1.9, np.nan], [0.0, 0.0, 1.9, np.nan]]
    )
    assert epochs_to_threshold(curves, 2.0) == [1, 2, None, None]


def test_interquartile_mean_is_the_middle_half():
    values = np.array([9.0, 1.0, 3.0, -100.0, 2.0, 4.0, 100.0, 0.0])
    assert interquartile_mean(values) == (1 + 2 + 3 + 4) / 4


def test_interquartile_mean_leaves_out_seeds_without_a_value():
    nan = np.nan
    values = np.array([[0.0, 1.0, nan, 3.0, 100.0], [nan, 7.0, nan, nan, nan]])
    np.testing.assert_array_equal(interquartile_mean(values), [2.0, 7.0])
    assert np.isnan(interquartile_mean(np.full(3, nan)))
