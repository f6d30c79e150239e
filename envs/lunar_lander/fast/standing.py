"""Where the fast solver's feet stand, what they remember, and when they touch."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body
from dmaml_jax.envs.lunar_lander.fast.contacts import (
    SIDES,
    Ground,
    corner,
    is_over_even,
    is_valley,
    leg_rotation,
    leg_touches,
    line,
)
from dmaml_jax.envs.lunar_lander.fast.reduced import Foot
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import Vector, dot, where


def flag_after(flag: jax.Array, before: jax.Array, now: list[jax.Array]) -> jax.Array:
    """A flag is cleared by any contact that ends, else set by any that begins."""
    ends = (before[0] & ~now[0]) | (before[1] & ~now[1])
    begins = (~before[0] & now[0]) | (~before[1] & now[1])
    return (flag | begins) & ~ends


def stood(
    leg: Body, ground: Ground, normals: jax.Array, tangents: jax.Array, one: Any
) -> tuple[tuple[Foot, ...], list[jax.Array]]:
    """Where a foot stands on the ground, and which edges the leg touches.

    Each bottom corner stands on the edge under it; in a valley the one that is nearer
    to the other edge may stand on that as well, or the foot would find no hold.

    Args:
        leg: its body.
        ground: below it.
        normals: last step's impulses by corner and edge, N s, `[4]`.
        tangents: likewise.
        one: see `materialise`.
    """
    old = normals, tangents
    q = leg_rotation(leg, one)
    touches = [leg_touches(leg, q, ground, i) for i in range(2)]
    places = materialise([corner(leg, q, side) for side in SIDES], one)
    over_even = [is_over_even(ground, place) for place in places]
    feet, others = [], []
    for i in range(2):
        base, up = materialise(line(ground, over_even[i]), one)
        gap = dot(places[i] - base, up)
        on_ground = (touches[0] | touches[1]) & (gap <= 2 * c.SKIN)
        slot = 2 * i + (~over_even[i]).astype(jnp.int32)
        feet.append(_foot(old, on_ground, base, up, SIDES[i], slot, places[i], gap))
        base, up = materialise(line(ground, ~over_even[i]), one)
        others.append((base, up, dot(places[i] - base, up)))
    second = others[1][2] < others[0][2]
    base, up, gap = where(second, others[1], others[0])
    even = ~jnp.where(second, over_even[1], over_even[0])
    on_ground = (
        is_valley(ground)
        & jnp.where(even, touches[0], touches[1])
        & (gap <= 2 * c.SKIN)
    )
    slot = 2 * second.astype(jnp.int32) + (~even).astype(jnp.int32)
    place, side = where(second, (places[1], SIDES[1]), (places[0], SIDES[0]))
    feet.append(_foot(old, on_ground, base, up, side, slot, place, gap))
    return tuple(feet), touches


def _foot(
    old: tuple[jax.Array, jax.Array],
    touches: jax.Array,
    base: Vector,
    up: Vector,
    side: Any,
    slot: jax.Array,
    place: Vector,
    gap: jax.Array,
) -> Foot:
    """A foot's corner with the impulses that are remembered of it."""

    def remembered(impulses: jax.Array) -> jax.Array:
        own = touches & (jnp.arange(4) == slot)
        return jnp.sum(jnp.where(own, impulses, 0))

    return Foot(
        touches=touches,
        base=base,
        up=up,
        side=jnp.asarray(side, gap.dtype),
        slot=slot,
        point=place - up * (gap * 0.5),
        normal=remembered(old[0]),
        tangent=remembered(old[1]),
    )


def kept(feet: tuple[Foot, ...], name: str) -> jax.Array:
    """The impulses of a foot, `[4]`: by corner and by even and odd edge."""
    slots = jnp.arange(4)
    return sum(
        jnp.where(slots == foot.slot, getattr(foot, name), 0) for foot in feet
    ) + jnp.zeros(4, feet[0].normal.dtype)
