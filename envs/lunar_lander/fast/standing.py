"""Where the fast solver's feet stand, what they remember, and when they touch.

Leading axes are corners (left and right of a leg's frame), edges and legs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.fast.contacts import SIDES, corner
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import Ground
from dmaml_jax.envs.lunar_lander.vectors import Vector, dot, where


class Feet(struct.PyTreeNode):
    """Where a leg can stand: both bottom corners, and in a valley one of them again.

    Attributes:
        touches: whether a corner stands on the ground, `[3, 2, L]`.
        up: the ground's normal there, `[3, 2, L]`.
        side: on which side of the leg the corner is, −1 or 1, `[3, 2, L]`.
        on_left: whether it stands on the left of the two edges, `[3, 2, L]`.
        point: where it touches, `[3, 2, L]`.
        base: the vertex between the two edges, `[2, L]`.
        impulses: along the ground's normal and to the right of it, N s, `[2, 3, 2, L]`.
    """

    touches: jax.Array
    up: Vector
    side: jax.Array
    on_left: jax.Array
    point: Vector
    base: Vector
    impulses: jax.Array


def flags_after(flag: jax.Array, before: jax.Array, now: jax.Array) -> jax.Array:
    """A flag is cleared by any contact that ends, else set by any that begins.

    Args:
        flag: whether each leg counted as touching before, `[2, L]`.
        before: which edges touched each leg, `[2, 2, L]`.
        now: which edges touch it, `[2, 2, L]`.
    """
    begins, ends = jnp.any(now & ~before, axis=0), jnp.any(before & ~now, axis=0)
    return (flag | begins) & ~ends


def by_side(array: jax.Array, ground: Ground) -> jax.Array:
    """What is kept by even and odd edge, `[…, 2, 2, L]`, by left and right edge.

    It is its own inverse.
    """
    return jnp.where(ground.left_is_odd, array[..., ::-1, :, :], array)


def stood(
    centre: Vector,
    q: Vector,
    ground: Ground,
    touching: jax.Array,
    impulses: jax.Array,
) -> tuple[Feet, jax.Array]:
    """Where the feet stand on the ground, and how high their lowest corners are, m.

    Each bottom corner stands on the edge under it; in a valley the one that is nearer
    to the other edge may stand on that as well, or the foot would find no hold.

    Args:
        centre: where the legs' centres are, m, `[2, L]`.
        q: the rotations of the legs, `[2, L]`.
        ground: the two edges below each leg.
        touching: whether the left and the right edge touches each leg, `[2, 2, L]`.
        impulses: last step's normal and tangential impulses by corner and by left and
            right edge, N s, `[2, 2, 2, 2, L]`.
    """
    base = ground.vertices[1]
    places = keep(corner(centre, q, SIDES))
    on_left = places.x < base.x
    left, right = (keep(dot(places - base, ground.ups[i])) for i in range(2))
    gap, other = jnp.where(on_left, left, right), jnp.where(on_left, right, left)
    second = other[1] < other[0]
    third_on_left = ~jnp.where(second, on_left[1], on_left[0])
    third_gap = jnp.minimum(other[0], other[1])
    is_valley = ground.ups.x[0] > ground.ups.x[1]
    third_touched = is_valley & jnp.where(third_on_left, touching[0], touching[1])
    touched = jnp.any(touching, axis=0)

    def with_third(both: jax.Array, third: jax.Array) -> jax.Array:
        return jnp.concatenate([both, third[None]])

    gaps = with_third(gap, third_gap)
    touches = with_third(jnp.broadcast_to(touched, gap.shape), third_touched)
    touches = touches & (gaps <= 2 * c.SKIN)
    on_left = with_third(on_left, third_on_left)
    up = where(on_left, ground.ups[0], ground.ups[1])
    third = where(second, places[1], places[0])
    point = Vector(with_third(places.x, third.x), with_third(places.y, third.y))
    of_third = jnp.where(second, impulses[:, 1], impulses[:, 0])
    impulses = jnp.concatenate([impulses, of_third[:, None]], axis=1)
    remembered = jnp.where(on_left, impulses[:, :, 0], impulses[:, :, 1])
    sides = jnp.broadcast_to(SIDES.astype(gap.dtype), gap.shape)
    feet = Feet(
        touches=touches,
        up=up,
        side=with_third(sides, jnp.where(second, sides[1], sides[0])),
        on_left=on_left,
        point=point - up * (gaps * 0.5),
        base=base,
        impulses=jnp.where(touches, remembered, 0),
    )
    return feet, jnp.minimum(gap[0], gap[1])


def remembered(feet: Feet) -> jax.Array:
    """The feet's impulses by corner and by left and right edge, `[2, 2, 2, 2, L]`."""
    is_left = np.array([True, False]).reshape(2, 1, 1)
    own = feet.on_left[:2, None] == is_left
    is_corner = feet.side[2] == SIDES.astype(feet.side.dtype)
    third = is_corner[:, None] & (feet.on_left[2] == is_left)
    both, once = feet.impulses[:, :2, None], feet.impulses[:, 2, None, None]
    return jnp.where(own, both, jnp.where(third, once, 0))
