"""The fast solver's positions: joints put together, feet pushed out of the ground."""

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints
from dmaml_jax.envs.lunar_lander.bodies import Pose
from dmaml_jax.envs.lunar_lander.fast.contacts import corner
from dmaml_jax.envs.lunar_lander.fast.standing import Feet
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import Vector, cross, dot, rotation, where

POSITION_PASSES = 3


class Placing(struct.PyTreeNode):
    """Poses on their way, and whether they satisfy all constraints, `[L]`."""

    hull: Pose
    legs: Pose
    well: jax.Array


def pushed_out(
    leg: Pose,
    side: jax.Array,
    base: Vector,
    up: Vector,
    baumgarte: float,
    touches: jax.Array | None = None,
) -> tuple[Pose, jax.Array]:
    """Push legs out of the ground at one corner each; also tell the gaps there, m.

    Args:
        leg: the poses of the legs, `[2, L]`.
        side: which corner it is, see `SIDES`.
        base: a point of the edge under it.
        up: the normal of the edge.
        baumgarte: the share of the depth that is corrected.
        touches: which corners are on the ground, all by default.
    """
    place = keep(corner(leg.centre, rotation(leg.angle), side))
    gap = keep(dot(place - base, up) - 2 * c.SKIN)
    arm = keep(cross(place - leg.centre, up))
    depth = jnp.clip(baumgarte * (gap + c.LINEAR_SLOP), -c.MAX_LINEAR_CORRECTION, 0)
    if touches is not None:
        depth, gap = jnp.where(touches, depth, 0), jnp.where(touches, gap, 0)
    inverse_mass = c.INVERSE_MASSES[c.FIRST_LEG]
    inverse_inertia = c.INVERSE_INERTIAS[c.FIRST_LEG]
    push = -depth / (inverse_mass + inverse_inertia * arm * arm)
    centre = leg.centre + up * (push * inverse_mass)
    angle = leg.angle + inverse_inertia * arm * push
    return keep(Pose(centre, angle)), gap


def placed(hull: Pose, legs: Pose, side: jax.Array, feet: Feet | None) -> Placing:
    """Poses after at most three position iterations, and whether they sufficed."""

    def iteration(carry: tuple[Placing, jax.Array]) -> tuple[Placing, jax.Array]:
        before, passes = carry
        hull, legs, well = before.hull, before.legs, jnp.ones_like(before.well)
        for i in range(3 if feet else 0):
            assert feet
            legs, gap = pushed_out(
                legs,
                feet.side[i],
                feet.base,
                feet.up[i],
                c.BAUMGARTE,
                feet.touches[i],
            )
            well &= jnp.min(gap, axis=0) >= -3 * c.LINEAR_SLOP
        hull, legs, fits = joints.placed(side, hull, legs)
        after = where(before.well, before, Placing(hull, legs, well & fits))
        return after, passes + 1

    def unsatisfied(carry: tuple[Placing, jax.Array]) -> jax.Array:
        return jnp.any(~carry[0].well) & (carry[1] < POSITION_PASSES)

    begin = Placing(hull, legs, jnp.zeros(hull.angle.shape, bool))
    return jax.lax.while_loop(unsatisfied, iteration, (begin, jnp.int32(0)))[0]
