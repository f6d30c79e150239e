"""What drives the lander: its three engines and the wind."""

import math

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, origin, pushed
from dmaml_jax.envs.lunar_lander.vectors import Scalar, Vector


def discrete_thrust(action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Power of the main engine and, signed, of the side engines (1: to the right).

    Args:
        action: 0 nothing, 1 left, 2 main, 3 right engine.
    """
    main = (action == 2).astype(jnp.result_type(float))
    side = jnp.where(action == 3, 1.0, jnp.where(action == 1, -1.0, 0.0))
    return main, side


def continuous_thrust(action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Power of the main engine and, signed, of the side engines.

    The main engine works from half power on; a side engine from 0.5 on.

    Args:
        action: main engine, and left (< 0) or right (> 0) engine, cut to ±1, `[2]`.
    """
    main, side = jnp.clip(action[0], -1, 1), jnp.clip(action[1], -1, 1)
    main_power = jnp.where(main > 0, (main + 1) * 0.5, 0)
    side_power = jnp.where(jnp.abs(side) > 0.5, side, 0)
    return main_power, side_power


def fired(
    hull: Body,
    shape: Shape,
    main: jax.Array,
    side: jax.Array,
    dispersion: jax.Array,
    main_engine_power: Scalar,
    side_engine_power: Scalar,
) -> Body:
    """The hull after the impulses of the engines; lanes may follow every axis.

    Args:
        hull: the hull before the impulses.
        shape: the shape of the hull.
        main: the power of the main engine, 0 or 0.5 to 1.
        side: the power of the side engines, signed.
        dispersion: two numbers in ±1 that blur where and how the engines push, `[2]`.
        main_engine_power: the engine's power in kg/s; times the lever below in m it is
            an impulse in N s.
        side_engine_power: the engines' power in kg/s; times the lever below in m it is
            an impulse in N s.
    """
    blur = dispersion.astype(hull.angle.dtype) / c.SCALE
    position, q = origin(hull, shape)
    sin, cos = q.y, q.x

    down = c.MAIN_ENGINE_DOWN + 2 * blur[0]
    lever = Vector(sin * down - cos * blur[1], -cos * down - sin * blur[1])
    thrust = -lever * (main_engine_power * main)
    after = pushed(hull, shape, thrust, position + lever)

    out = 3 * blur[1] + jnp.sign(side) * c.SIDE_ENGINE_AWAY
    lever = Vector(sin * blur[0] - cos * out, -cos * blur[0] - sin * out)
    height = Vector(-sin * c.SIDE_ENGINE_HEIGHT_X, cos * c.SIDE_ENGINE_HEIGHT)
    thrust = -lever * (side_engine_power * jnp.abs(side))
    return pushed(after, shape, thrust, position + lever + height)


def gust(index: jax.Array) -> jax.Array:
    """tanh(sin(0.02 i) + sin(0.01 π i)): wind and turbulence at a moment i.

    The index is reduced as an integer first: float32 knows no sine of a large angle.
    """
    turns = jnp.floor_divide(index, 314)
    rest = (index - 314 * turns).astype(jnp.result_type(float))
    # 314 steps of 0.02 are a little less than a whole turn.
    slow = 0.02 * rest - (2 * math.pi - 6.28) * turns.astype(rest.dtype)
    fast = 0.01 * math.pi * jnp.mod(index, 200).astype(rest.dtype)
    return jnp.tanh(jnp.sin(slow) + jnp.sin(fast))
