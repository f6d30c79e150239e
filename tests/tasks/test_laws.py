"""Distributions of one parameter: quantiles, means, medium values, splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dmaml_jax.tasks.laws import (
    any_of,
    between,
    log_between,
    normal_between,
    one_of,
    probabilities,
    split,
)

SHARES = jnp.linspace(0, 1, 100_001)[:-1] + 0.5e-5


def values(law):
    return np.asarray(jax.vmap(law.quantile)(SHARES))


@pytest.mark.parametrize(
    ("law", "scipy"),
    [
        (between(5.0, 15.0), stats.uniform(5, 10)),
        (log_between(0.5, 8.0), stats.loguniform(0.5, 8)),
        (normal_between(10.0, 2.0, 5.0, 15.0), stats.truncnorm(-2.5, 2.5, 10, 2)),
        (normal_between(0.0, 1.0, 4.0, 5.0), stats.truncnorm(4, 5, 0, 1)),
        (normal_between(0.0, 1.0, -5.0, -4.0), stats.truncnorm(-5, -4, 0, 1)),
    ],
)
def test_continuous_laws_are_scipy_s(law, scipy):
    np.testing.assert_allclose(values(law), scipy.ppf(SHARES), rtol=1e-6)
    np.testing.assert_allclose(law.mean, scipy.mean(), rtol=1e-6)
    assert law.medium == law.mean and law.held_out is law.quantile
    assert law.quantile(jnp.float64(0.0)) >= law.low
    assert law.quantile(jnp.float64(1.0)) <= law.high


def test_a_list_is_drawn_evenly_and_its_medium_is_on_it():
    law = one_of([10, 1, 2, 3])
    drawn, counts = np.unique(values(law), return_counts=True)
    np.testing.assert_array_equal(drawn, [1, 2, 3, 10])
    np.testing.assert_array_equal(counts, 25_000)
    assert (law.mean, law.medium, law.low, law.high) == (4.0, 2.0, 1.0, 10.0)
    assert law.whole and not one_of([1, 2.5]).whole
    # No other member is nearer to all on average.
    distances = np.abs(drawn[:, None] - drawn).mean(axis=1)
    assert distances[list(drawn).index(law.medium)] == distances.min()


def test_the_held_out_part_is_fixed_and_disjoint():
    numbers = [float(n) for n in range(20)]
    law, again = one_of(numbers, held_out=0.25), one_of(numbers[::-1], held_out=0.25)
    kept = set(values(law).tolist())
    other = set(np.asarray(jax.vmap(law.held_out)(SHARES)).tolist())
    assert len(kept) == 15 and len(other) == 5 and not kept & other
    assert kept == set(values(again).tolist())
    assert law.medium in kept
    assert kept != set(values(one_of(numbers, held_out=0.25, seed=1)).tolist())
    train, test = split(7, 0.01, 0)
    assert len(train) == 6 and len(test) == 1  # a share above 0 holds something out
    assert len(split(7, 0.0, 0)[1]) == 0


def test_a_mixture_has_its_parts_shares_and_a_medoid_for_its_medium():
    law = any_of([between(0.0, 1.0), between(10.0, 12.0)], [3.0, 1.0])
    drawn = values(law)
    low = drawn[drawn < 5]
    np.testing.assert_allclose(len(low) / len(drawn), 0.75, atol=2e-5)
    np.testing.assert_allclose(low.mean(), 0.5, atol=1e-4)
    np.testing.assert_allclose(drawn[drawn > 5].mean(), 11, atol=1e-3)
    np.testing.assert_allclose(law.mean, 0.75 * 0.5 + 0.25 * 11)
    assert law.medium == 0.5  # no value is near the mean of 3.125
    assert (law.low, law.high) == (0.0, 12.0) and not law.whole
    middles = [between(float(i), float(i)) for i in range(5)]
    assert any_of(middles).medium == 2.0
    assert any_of(middles, [1, 1, 1, 1, 10]).medium == 4.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: between(2.0, 1.0), "2:1, but it must be LOW:HIGH"),
        (lambda: between(float("nan"), 1.0), "finite"),
        (lambda: log_between(0.0, 1.0), "above 0"),
        (lambda: normal_between(0.0, 0.0, 0.0, 1.0), "deviation must be above 0"),
        (lambda: normal_between(0.0, 1.0, 8.0, 9.0), "more than 5 deviations"),
        (lambda: normal_between(10.0, 1e7, 5.0, 15.0), "hardly varies"),
        (lambda: normal_between(10.0, 1e17, 5.0, 15.0), "hardly varies"),
        (lambda: one_of([]), "at least one value"),
        (lambda: one_of([1.0, 1.0]), "twice"),
        (lambda: one_of([1.0, float("inf")]), "finite"),
        (lambda: one_of([1.0, 2.0], held_out=0.9), "nothing to train on"),
        (lambda: one_of([1.0, 2.0], held_out=1.0), "from 0 below 1"),
        (lambda: any_of([]), "at least one part"),
        (lambda: probabilities(2, [1.0, 0.0]), "2 positive numbers"),
        (lambda: probabilities(2, [1.0]), "2 positive numbers"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
