"""The fast solver's positions: joints put together, feet pushed out of the ground."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, shapes
from dmaml_jax.envs.lunar_lander.exact.solver import LEGS
from dmaml_jax.envs.lunar_lander.fast.contacts import corner, leg_rotation
from dmaml_jax.envs.lunar_lander.fast.reduced import Foot
from dmaml_jax.envs.lunar_lander.joints import Joint, settings
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import cross, dot, row, stacked

POSITION_PASSES = 3


def joints_placed(bodies: Body, joints: Joint, shape: Shape) -> tuple[Body, jax.Array]:
    """One position iteration of the joints, and whether both were well."""
    body, setting = [row(bodies, i) for i in range(3)], settings(bodies.angle.dtype)
    well = jnp.array(True)
    for leg in LEGS:
        body[c.HULL], body[leg], fits = joint_solver.position_solved(
            row(joints, leg - 1),
            row(setting, leg - 1),
            body[c.HULL],
            body[leg],
            row(shape, c.HULL),
            row(shape, leg),
        )
        well &= fits
    return stacked(*body), well


def _foot_placed(
    leg: Body, foot: Foot, shape: Shape, baumgarte: float
) -> tuple[Body, jax.Array]:
    """Push a leg out of the ground at one corner; also tell how deep it was."""
    place = corner(leg, leg_rotation(leg, shape.one), foot.side)
    gap = dot(place - foot.base, foot.up) - 2 * c.SKIN
    arm = cross(place - leg.centre, foot.up)
    depth = jnp.clip(baumgarte * (gap + c.LINEAR_SLOP), -c.MAX_LINEAR_CORRECTION, 0)
    mass = shape.inverse_mass + shape.inverse_inertia * arm * arm
    push = materialise(jnp.where(foot.touches, -depth / mass, 0), shape.one)
    leg = leg.replace(
        centre=leg.centre + foot.up * (push * shape.inverse_mass),
        angle=leg.angle + shape.inverse_inertia * arm * push,
    )
    return materialise(leg, shape.one), jnp.where(foot.touches, gap, 0)


def placed(bodies: Body, joints: Joint, feet: Any, one: Any) -> tuple[Body, jax.Array]:
    """Poses after at most three position iterations, and whether they sufficed."""
    shape = shapes(bodies.angle.dtype, one)

    def iteration(carry: Any) -> Any:
        bodies, _, passes = carry
        body, deepest = [row(bodies, i) for i in range(3)], 0.0
        for leg in LEGS:
            for foot in feet[leg - 1]:
                body[leg], gap = _foot_placed(
                    body[leg], foot, row(shape, leg), c.BAUMGARTE
                )
                deepest = jnp.minimum(deepest, gap)
        bodies, well = joints_placed(stacked(*body), joints, shape)
        return bodies, well & (deepest >= -3 * c.LINEAR_SLOP), passes + 1

    def unsatisfied(carry: Any) -> jax.Array:
        return ~carry[1] & (carry[2] < POSITION_PASSES)

    begin = (bodies, jnp.array(False), jnp.int32(0))
    bodies, well, _ = jax.lax.while_loop(unsatisfied, iteration, begin)
    return bodies, well
