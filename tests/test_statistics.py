"""Statistics of learning curves against literal values."""

import math

import numpy as np
import pytest

from dmaml_jax.statistics import (
    at_threshold,
    crossed_bootstrap,
    curve_intervals,
    ema,
    epochs_to_threshold,
    interquartile_mean,
    median_with_never,
    paired_difference,
    paired_ratio,
    probability_of_improvement,
    stratified_bootstrap,
)


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


def test_steps_to_threshold_count_the_never_reached():
    curves = np.array([[0.0, 0.0, 5.0], [1.0, 5.0, 0.0]])
    steps = np.array([[100.0, 110.0, 120.0], [200.0, 210.0, 220.0]])
    reached = at_threshold(curves, steps, 2.0)
    np.testing.assert_array_equal(reached, [np.inf, 210.0, 120.0])
    assert median_with_never(reached) == 210.0
    assert median_with_never(np.array([4.0, 2.0])) == 3.0
    assert median_with_never(np.array([4.0, 2.0, np.inf, np.inf])) == np.inf


def test_a_bootstrap_of_few_runs_against_all_of_its_resamples():
    # Of three runs 0, 0, 9 the mean is 3 k where k ~ Binomial(3, 1/3): P(k = 0) = 8/27
    # and P(k = 3) = 1/27 are both above 2.5 %.
    interval = stratified_bootstrap(np.array([0.0, 0.0, 9.0]), np.mean)
    assert interval == (3.0, 0.0, 9.0)
    # In two strata with one value each there is nothing to resample from.
    alike = stratified_bootstrap(np.array([[1.0, 5.0], [1.0, 5.0]]), np.mean)
    assert alike == (3.0, 3.0, 3.0)


def test_strata_keep_their_weight():
    # Resampled together, the mean could be 0 or 10; stratum by stratum it cannot.
    table = np.array([[0.0, 10.0], [1.0, 10.0], [0.0, 9.0], [1.0, 9.0]])
    interval = stratified_bootstrap(table, np.mean)
    assert interval.value == 5.0
    assert 4.5 <= interval.low < 5 < interval.high <= 5.5


def test_a_bootstrap_of_a_normal_sample_is_the_textbook_interval():
    values = np.random.default_rng(0).normal(size=400)
    interval = stratified_bootstrap(values, np.mean)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(interval.low, values.mean() - half, atol=0.01)
    np.testing.assert_allclose(interval.high, values.mean() + half, atol=0.01)


def test_single_runs_and_frozen_ones():
    value, low, high = stratified_bootstrap(np.array([np.nan, 3.0]))
    assert value == 3.0 and np.isnan(low) and np.isnan(high)
    assert np.isnan(stratified_bootstrap(np.array([np.nan])).value)


def test_the_crossed_bootstrap_sees_seeds_and_tasks():
    tasks = np.array([0.0, 1.0, 2.0, 3.0])
    by_task = crossed_bootstrap(np.tile(tasks, (5, 1)))
    assert by_task == crossed_bootstrap(tasks[None])  # nothing differs between seeds
    assert by_task.value == 1.5 and by_task.low < 1.0 and by_task.high > 2.0
    both = crossed_bootstrap(tasks + 10 * np.arange(5.0)[:, None])
    assert both.high - both.low > by_task.high - by_task.low + 5
    left_out = crossed_bootstrap(np.array([tasks, [np.nan] * 4]))
    assert left_out.value == 1.5
    # One value that is none takes neither its seed nor its task with it.
    holed = np.tile(tasks, (3, 1))
    holed[0, 3] = np.nan
    interval = crossed_bootstrap(holed)
    np.testing.assert_allclose(interval.value, 15 / 11)
    assert interval.low < interval.value < interval.high
    assert np.isnan(crossed_bootstrap(np.full((2, 2), np.nan)).value)


def test_intervals_of_curves_follow_the_living_seeds():
    curves = np.array([[1.0, 1.0, 4.0], [2.0, 2.0, np.nan], [3.0, np.nan, np.nan]])
    mean, low, high = curve_intervals(curves)
    np.testing.assert_array_equal(mean, [2.0, 2.0, 3.0])
    np.testing.assert_array_equal(low[:2], [1.0, 2.0])
    np.testing.assert_array_equal(high[:2], [4.0, 2.0])
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_probability_of_improvement():
    x, y = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    # Of six pairs x is above in 3 > 2, 3 > 0, 1 > 0, 2 > 0, level in 2 = 2.
    interval = probability_of_improvement(x, y)
    np.testing.assert_allclose(interval.value, (4 + 0.5) / 6)
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize(("m", "n"), [(3, 3), (2, 5), (10, 10)])
def test_a_certain_looking_improvement_knows_how_few_runs_there_are(m, n):
    """All of one above all of the other: the end solves u = z √V(u) (Newcombe 2006)."""
    low, high = np.arange(m) + 0.0, np.arange(n) + 100.0
    found = probability_of_improvement(low, high)
    u = found.high
    hanley = (1 - u) / (2 - u) + u / (1 + u)
    variance = u * (1 - u) * (1 + ((m + n) / 2 - 1) * hanley) / (m * n)
    np.testing.assert_allclose(u, 1.959964 * np.sqrt(variance), rtol=1e-6)
    assert (found.value, found.low) == (0.0, 0.0) and u > 1 / (m + n)
    mirrored = probability_of_improvement(high, low)
    np.testing.assert_allclose(mirrored, (1.0, 1 - u, 1.0), rtol=1e-9)


def test_a_frozen_run_is_below_every_other_and_level_with_its_like():
    x, y = np.array([3.0, np.nan]), np.array([0.0, np.nan])
    # 3 > 0, 3 > nan; nan < 0; nan is level with nan.
    assert probability_of_improvement(x, y).value == (2 + 0.5) / 4
    assert probability_of_improvement(np.full(3, np.nan), y).value == 0.25


def test_paired_difference_is_students():
    x, y = np.array([5.0, 6.0, 9.0, np.nan]), np.array([4.0, 4.0, 6.0, 1.0])
    # Differences 1, 2, 3: mean 2, standard error 1/√3, t(0.975, 2) = 4.302653.
    value, low, high = paired_difference(x, y)
    half = 4.302652729911275 / np.sqrt(3)
    np.testing.assert_allclose((value, low, high), (2, 2 - half, 2 + half))
    assert paired_difference(y, y) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("n", [6, 11, 30])
def test_a_paired_ratio_s_interval_covers_the_median_as_often_as_it_says(n):
    """Its ends are the innermost ratios between which 95 % of all sign patterns lie."""
    ratios = np.arange(1.0, n + 1)
    value, low, high = paired_ratio(2 * ratios, np.full(n, 2.0))
    assert value == (n + 1) / 2 and low + high == n + 1

    def covered(end: float) -> float:
        # The median is missed below `end` if fewer than that many ratios are below it.
        return 1 - 2 * sum(math.comb(n, k) for k in range(int(end))) / 2**n

    assert covered(low) >= 0.95 > covered(low + 1)


def test_a_paired_ratio_counts_those_who_never_got_there():
    x = np.array([np.inf, np.inf, 2.0, 2.0, 3.0, 4.0, np.inf, np.nan])
    y = np.array([1.0, 1.0, np.inf, 1.0, 1.0, 1.0, np.inf, 1.0])
    # Ratios 0, 2, 3, 4, inf, inf; the last two pairs tell nothing.
    assert paired_ratio(x, y) == (3.5, 0.0, np.inf)
    value, low, high = paired_ratio(x[:5], y[:5])
    assert value == 3.0 and np.isnan(low) and np.isnan(high)
    assert np.isnan(paired_ratio(x[6:], y[6:]).value)
