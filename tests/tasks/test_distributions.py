"""Task distributions: their box, their mean, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control import cartpole as gymnax_cartpole

from dmaml_jax import envs
from dmaml_jax.envs import CartPole, Point
from dmaml_jax.tasks import laws
from dmaml_jax.tasks.distributions import (
    finite,
    independent,
    mixture,
    on_circle,
    uniform,
)

PARAMS = CartPole().default_params


def test_named_parameters_fill_their_box_independently():
    tasks = uniform(PARAMS, gravity=(5.0, 15.0), length=(0.25, 0.75))
    sampled = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(0), 4000))
    for values, low, high in ((sampled.gravity, 5, 15), (sampled.length, 0.25, 0.75)):
        share = (np.asarray(values) - low) / (high - low)
        assert share.min() >= 0 and share.max() <= 1
        counts = np.histogram(share, bins=10, range=(0, 1))[0]
        np.testing.assert_allclose(counts, 400, atol=4 * 19)  # four deviations
    assert abs(np.corrcoef(sampled.gravity, sampled.length)[0, 1]) < 4 / 4000**0.5


def test_the_medium_task_is_the_middle():
    tasks = uniform(PARAMS, gravity=(5.0, 15.0), length=(0.25, 1.0))
    medium = tasks.mean()
    assert (medium.gravity, medium.length) == (10.0, 0.625)
    assert medium.gravity.dtype == jnp.float64


def test_unnamed_parameters_keep_their_values():
    tasks = uniform(PARAMS, gravity=(5.0, 15.0))
    for task in (tasks.mean(), tasks.sample(jax.random.key(0))):
        assert task.replace(gravity=PARAMS.gravity) == PARAMS


def test_a_range_of_one_point_is_that_point():
    tasks = uniform(PARAMS, tau=(0.03, 0.03))
    assert tasks.sample(jax.random.key(0)).tau == 0.03 == tasks.mean().tau


@pytest.mark.parametrize(
    ("name", "bounds", "message"),
    [
        ("gravitiy", (5.0, 15.0), "no parameter 'gravitiy'.*gravity"),
        ("max_steps_in_episode", (100, 200), "time limit"),
        ("gravity", (15.0, 5.0), "15:5.*LOW <= HIGH"),
        ("gravity", (5.0, float("inf")), "finite"),
        ("gravity", (-float("inf"), 5.0), "finite"),
        ("gravity", (float("nan"), 5.0), "finite"),
    ],
)
def test_refused_ranges(name, bounds, message):
    with pytest.raises(ValueError, match=message):
        uniform(PARAMS, **{name: bounds})


@pytest.mark.parametrize(
    "name", ["masscart", "masspole", "total_mass", "length", "polemass_length"]
)
def test_parameters_with_a_stored_product_are_refused(name):
    params = gymnax_cartpole.CartPole().default_params
    with pytest.raises(ValueError, match=f"{name!r} cannot vary.*stores"):
        uniform(params, **{name: (0.1, 0.2)})


def test_parameters_without_a_stored_product_are_fine_beside_one():
    params = gymnax_cartpole.CartPole().default_params
    assert uniform(params, force_mag=(5.0, 15.0)).mean().force_mag == 10.0
    assert uniform(PARAMS, masspole=(0.1, 0.3)).mean().masspole == 0.2


def sampled(draw, num=4000):
    return jax.vmap(draw)(jax.random.split(jax.random.key(1), num))


def test_laws_vary_independently_and_the_medium_follows_each():
    tasks = independent(
        PARAMS,
        {
            "gravity": laws.one_of([5.0, 7.5, 15.0]),
            "length": laws.log_between(0.25, 1.0),
        },
    )
    drawn = sampled(tasks.sample)
    counts = np.unique(np.asarray(drawn.gravity), return_counts=True)
    np.testing.assert_array_equal(counts[0], [5.0, 7.5, 15.0])
    np.testing.assert_allclose(counts[1], 4000 / 3, atol=4 * 30)
    correlation = np.corrcoef(drawn.gravity, np.log2(drawn.length))[0, 1]
    assert abs(correlation) < 4 / 4000**0.5
    medium = tasks.mean()
    assert medium.gravity == 7.5
    np.testing.assert_allclose(medium.length, 0.75 / np.log(4))
    by_mean = independent(
        PARAMS, {"gravity": laws.one_of([5.0, 7.5, 15.0])}, medium="mean"
    )
    np.testing.assert_allclose(by_mean.mean().gravity, 27.5 / 3)


def test_whole_numbers_stay_whole():
    params = envs.make("gymnax:MemoryChain-bsuite")[0].default_params
    tasks = independent(params, {"memory_length": laws.one_of([2, 4, 9])})
    drawn = sampled(tasks.sample, 300).memory_length
    assert jnp.issubdtype(drawn.dtype, jnp.integer)
    assert set(np.asarray(drawn).tolist()) == {2, 4, 9}
    assert tasks.mean().memory_length == 4
    for law in (laws.between(2.0, 9.0), laws.one_of([2.5, 4.0])):
        with pytest.raises(ValueError, match="not a float"):
            independent(params, {"memory_length": law})
    with pytest.raises(ValueError, match="takes whole numbers"):
        independent(params, {"memory_length": laws.one_of([2, 4])}, medium="mean")


def test_a_finite_list_its_split_and_its_medoid():
    listed = [{"gravity": 5.0 + n, "length": 0.1 * (n + 1)} for n in range(10)]
    listed.append({"gravity": 100.0, "length": 5.0})
    tasks = finite(PARAMS, listed, held_out=0.3)
    train = set(np.asarray(sampled(tasks.sample).gravity).tolist())
    test = set(np.asarray(sampled(tasks.sample_held_out).gravity).tolist())
    assert len(train) == 7 and len(test) == 4 and not train & test
    pairs = {(task["gravity"], task["length"]) for task in listed}
    drawn = sampled(tasks.sample, 50)
    rows = zip(drawn.gravity.tolist(), drawn.length.tolist(), strict=True)
    assert set(rows) <= pairs  # whole tasks, not values mixed
    medium = finite(PARAMS, listed).mean()
    assert (medium.gravity, medium.length) == (10.0, pytest.approx(0.6))
    with pytest.raises(ValueError, match="at least one task"):
        finite(PARAMS, [])
    with pytest.raises(ValueError, match="same parameters"):
        finite(PARAMS, [{"gravity": 5.0}, {"length": 1.0}])
    with pytest.raises(ValueError, match="a task twice"):
        finite(PARAMS, [{"gravity": 5.0}, {"gravity": 5.0}])
    with pytest.raises(ValueError, match="not finite"):
        finite(PARAMS, [{"gravity": float("nan")}])


def test_a_mixture_draws_whole_tasks_of_its_parts():
    parts = [
        uniform(PARAMS, gravity=(5.0, 6.0), length=(0.2, 0.3)),
        uniform(PARAMS, gravity=(14.0, 15.0), length=(0.8, 0.9)),
        uniform(PARAMS, gravity=(6.0, 7.0), length=(0.3, 0.4)),
    ]
    tasks = mixture(parts, [1, 1, 2])
    drawn = sampled(tasks.sample)
    heavy = np.asarray(drawn.gravity) > 10
    np.testing.assert_allclose(heavy.mean(), 0.25, atol=4 * 0.007)
    np.testing.assert_array_equal(heavy, np.asarray(drawn.length) > 0.6)
    # A part's own medium task, not the mean; compiled epochs ask for it too.
    assert tasks.mean().gravity == jax.jit(lambda: tasks.mean())().gravity == 6.5
    lists = [finite(PARAMS, [{"gravity": float(n)} for n in range(1, 9)], held_out=0.5)]
    assert len(set(sampled(mixture(lists).sample_held_out).gravity.tolist())) == 4


def test_a_circle_of_goals():
    params = Point().default_params
    tasks = on_circle(uniform(params, max_step=(0.1, 0.2)), "goal_x", "goal_y", 2.0)
    drawn = sampled(tasks.sample)
    np.testing.assert_allclose(jnp.hypot(drawn.goal_x, drawn.goal_y), 2.0, rtol=1e-12)
    angles = np.sort(np.arctan2(drawn.goal_y, drawn.goal_x)) / (2 * np.pi) + 0.5
    assert np.abs(angles - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / 4000**0.5
    medium = tasks.mean()
    assert (medium.goal_x, medium.goal_y) == (0.0, 0.0)
    assert medium.max_step == pytest.approx(0.15)
    with pytest.raises(ValueError, match="no parameter 'goal_z'"):
        on_circle(tasks, "goal_x", "goal_z", 1.0)


def test_another_range_than_the_training_one_is_another_distribution():
    wide = uniform(PARAMS, gravity=(20.0, 30.0))
    assert jnp.min(sampled(wide.sample, 50).gravity) >= 20


@pytest.mark.float32
def test_whole_numbers_that_do_not_fit_are_refused():
    params = envs.make("gymnax:MemoryChain-bsuite")[0].default_params
    with pytest.raises(ValueError, match="a value lies beyond"):
        independent(params, {"memory_length": laws.one_of([3, 10**10])})
