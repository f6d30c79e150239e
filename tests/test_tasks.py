"""Task distributions: their box, their mean, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control import cartpole as gymnax_cartpole

from dmaml_jax.envs import CartPole
from dmaml_jax.tasks import uniform

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
