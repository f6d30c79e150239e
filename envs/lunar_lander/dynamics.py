"""One step of many landers: engines and wind, the solver's world, and the reward.

Every array has the lanes as its last axis, see `lanes`.
"""

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import engines
from dmaml_jax.envs.lunar_lander.bodies import shapes
from dmaml_jax.envs.lunar_lander.exact import world as exact
from dmaml_jax.envs.lunar_lander.fast import world as fast
from dmaml_jax.envs.lunar_lander.lanes import of_one_lane
from dmaml_jax.envs.lunar_lander.parameters import EnvParams, EnvState
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    fixed,
    length,
    rotation,
    row,
    turn,
)

SOLVERS: dict[str, Any] = {"exact": exact, "fast": fast}


def hull_origin(state: EnvState) -> Vector:
    """The position of the hull's frame, m."""
    bodies = state.world.bodies
    lever = turn(rotation(bodies.angle[c.HULL]), fixed(*c.HULL_CENTRE))
    return bodies.centre[c.HULL] - lever


def observed(state: EnvState) -> jax.Array:
    """Position, velocity, angle, spin, and each leg's touch, in its units, `[8, …]`.

    The position is that of the hull's origin, the velocity its centre of mass's.
    """
    bodies, flags = state.world.bodies, state.world.flags
    position, velocity = hull_origin(state), bodies.velocity[c.HULL]
    half_width, half_height, rate = c.WIDTH / 2, c.HEIGHT / 2, 1 / c.TIME_STEP
    return jnp.stack(
        [
            (position.x - half_width) / half_width,
            (position.y - (c.PAD_HEIGHT + c.LEG_DOWN)) / half_height,
            velocity.x * (half_width / rate),
            velocity.y * (half_height / rate),
            bodies.angle[c.HULL],
            bodies.spin[c.HULL] * (20 / rate),
            flags[c.FIRST_LEG].astype(position.x.dtype),
            flags[c.SECOND_LEG].astype(position.x.dtype),
        ]
    )


@functools.cache
def advancing(solver: str, continuous: bool, hull_contacts: bool) -> Any:
    """`advanced` of one lane, for what is chosen when an environment is made."""
    stepped = functools.partial(SOLVERS[solver].stepped, hull_contacts=hull_contacts)
    return of_one_lane(
        functools.partial(advanced, stepped=stepped, continuous=continuous),
        like=_advanced_like,
    )


@functools.cache
def launching(solver: str, continuous: bool) -> Any:
    """`advanced` of one lane, for the step that belongs to a reset."""
    launched = SOLVERS[solver].launched
    return of_one_lane(
        functools.partial(advanced, stepped=launched, continuous=continuous),
        like=_advanced_like,
    )


def _advanced_like(state: EnvState, *rest: Any) -> tuple[EnvState, jax.Array]:
    """A step's result has the types of the state before it, and of its potential."""
    return state, state.shaping


def advanced(
    state: EnvState,
    action: jax.Array,
    dispersion: jax.Array,
    params: EnvParams,
    force: jax.Array,
    *,
    stepped: Any,
    continuous: bool,
) -> tuple[EnvState, jax.Array]:
    """The states after a step, and the rewards, `[L]`.

    Args:
        state: the states before the step.
        action: ints, `[L]`, or the continuous lander's real numbers, `[2, L]`.
        dispersion: the engines' noise, uniform on ±1, `[2, L]`.
        params: the parameters of the tasks, `[L]`.
        force: the force on the hull's centre, N, `[2, L]`.
        stepped: the function that takes a step of the solver's world.
        continuous: which kind of actions there are.
    """
    dtype = state.terrain.dtype
    thrust = engines.continuous_thrust if continuous else engines.discrete_thrust
    main, side = (power.astype(dtype) for power in thrust(action))
    bodies = state.world.bodies
    hull = engines.fired(
        row(bodies, c.HULL),
        row(shapes(dtype), c.HULL),
        main,
        side,
        dispersion,
        params.main_engine_power,
        params.side_engine_power,
    )
    bodies = jax.tree.map(
        lambda hull, bodies: jnp.concatenate([hull[None], bodies[1:]]), hull, bodies
    )
    flying = ~jnp.any(state.world.flags[c.FIRST_LEG :], axis=0)
    windy = params.enable_wind & flying
    gusts = jnp.where(windy, engines.gust(state.wind_index), 0).astype(dtype)
    world = stepped(
        state.world.replace(bodies=bodies),
        state.terrain,
        Vector(params.wind_power * gusts[0] + force[0], force[1]),
        params.turbulence_power * gusts[1],
        params.gravity,
        c.TIME_STEP * params.leg_spring_torque,
    )
    wind_index = state.wind_index + windy.astype(state.wind_index.dtype)
    state = replace(state, world=world, wind_index=wind_index, time=state.time + 1)
    return _rewarded(state, main, side)


def _rewarded(
    state: EnvState, main: jax.Array, side: jax.Array
) -> tuple[EnvState, jax.Array]:
    x, y, x_dot, y_dot, angle, _, first, second = observed(state)
    shaping = (
        -100 * length(Vector(x, y))
        - 100 * length(Vector(x_dot, y_dot))
        - 100 * jnp.abs(angle)
        + 10 * first
        + 10 * second
    )
    fuel = 0.3 * main + 0.03 * jnp.abs(side)
    reward = shaping - state.shaping - fuel
    reward = jnp.where(state.world.over | (jnp.abs(x) >= 1), -100, reward)
    reward = jnp.where(state.world.awake, reward, 100)
    return replace(state, shaping=shaping), reward
