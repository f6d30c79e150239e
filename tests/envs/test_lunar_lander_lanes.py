"""Lanes: functions of many landers, called as functions of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs.lunar_lander.lanes import of_one_lane


def counted(traces: list[tuple[int, ...]], like=lambda x, y: (x, y)):
    """A function of one lane that writes down the shapes it is traced for."""

    def function(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        traces.append(x.shape)
        return x * y, y + jnp.sum(x, axis=0)

    return of_one_lane(function, like)


def test_lanes_are_the_last_axis_whatever_stands_around():
    """Nested `vmap`s, mapped axes behind others, and what is not mapped."""
    lane = counted([])
    x = jnp.arange(24.0).reshape(2, 3, 4)
    y = jnp.arange(2.0)
    nested = jax.vmap(jax.vmap(lane, in_axes=(1, None)), in_axes=(0, 0))
    products, sums = nested(x, y)
    np.testing.assert_array_equal(products, np.swapaxes(x * y[:, None, None], 1, 2))
    np.testing.assert_array_equal(sums, y[:, None] + np.sum(x, axis=1))
    product, total = lane(x[0, :, 0], y[1])
    np.testing.assert_array_equal(product, x[0, :, 0])
    assert total == 1 + 0 + 4 + 8


def test_it_is_traced_for_the_lanes_that_there_are_and_for_no_other():
    """Not under each `vmap` anew, nor for shapes, nor for the parts of a program."""
    traces: list[tuple[int, ...]] = []
    lane = counted(traces)

    def both(x: jax.Array, y: jax.Array) -> jax.Array:
        def body(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            return lane(carry, y)[0], None

        like = jax.eval_shape(body, x, None)[0]
        assert like.shape == x.shape
        return jax.lax.scan(body, lane(x, y)[0], None, length=3)[0]

    nested = jax.vmap(jax.vmap(both))
    jax.jit(nested).lower(jnp.ones((5, 4, 3)), jnp.ones((5, 4)))
    assert traces == [(3, 20)]


def test_a_result_that_is_not_as_told_is_refused():
    """Else XLA would find it out, in words of its own."""
    lane = counted([], like=lambda x, y: (x, x))
    with pytest.raises(TypeError, match="like"):
        lane(jnp.ones(3), jnp.ones(()))


def test_no_derivative_goes_through():
    """Whoever differentiates a rollout gets 0, as sampling is a constant."""
    lane = counted([])
    slope = jax.grad(lambda y: lane(jnp.ones(3), y)[1])(jnp.ones(()))
    assert slope == 0
