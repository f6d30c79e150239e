"""One step of the fast solver's world: equal to Box2D's in distribution only.

Poses are Box2D's; velocities come from `reduced`; contacts are those of the feet's
bottom corners alone. It is **not** conformant step by step: two edges under one foot,
peaks of the terrain under a foot, a leg's upper corners and the hull's impulses are
left out.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, created, moved, shapes
from dmaml_jax.envs.lunar_lander.feet import (
    SIDES,
    Ground,
    corner,
    ground_below,
    hull_gap,
    is_over_even,
    is_valley,
    leg_rotation,
    leg_touches,
    line,
)
from dmaml_jax.envs.lunar_lander.joints import Joint, relaxed, settings
from dmaml_jax.envs.lunar_lander.landing import impact_time, stopped
from dmaml_jax.envs.lunar_lander.lanes import where_needed
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.reduced import Foot
from dmaml_jax.envs.lunar_lander.solver import LEGS, fallen_asleep
from dmaml_jax.envs.lunar_lander.sweeps import Given, velocities
from dmaml_jax.envs.lunar_lander.vectors import (
    Scalar,
    Vector,
    cross,
    dot,
    row,
    stacked,
    where,
)
from dmaml_jax.envs.lunar_lander.world import accelerated

POSITION_PASSES = 3


class FastWorld(struct.PyTreeNode):
    """All that one step leaves to the next; rows are hull, first and second leg.

    Attributes:
        bodies: poses and velocities, `[3]`.
        joints: impulses and limits, `[2]`.
        normals: impulses of each leg's bottom corners with the even and the odd edge:
            left even, left odd, right even, right odd, N s, `[2, 4]`.
        tangents: likewise, of friction.
        touching: of each leg, whether it touches the even and the odd edge, `[2, 2]`.
        sleep_times: how long each body has been at rest, s, `[3]`.
        flags: whether each body counts as touching the ground, `[3]`.
        over: whether the hull has touched the ground.
        awake: whether the lander has not yet come to rest.
    """

    bodies: Body
    joints: Joint
    normals: Any
    tangents: Any
    touching: Any
    sleep_times: Any
    flags: Any
    over: Any
    awake: Any


def new_world(terrain: jax.Array) -> FastWorld:
    """The lander as Gymnasium creates it, before the reset's own step."""
    dtype = terrain.dtype
    return FastWorld(
        bodies=created(dtype),
        joints=relaxed(dtype),
        normals=jnp.zeros((2, 4), dtype),
        tangents=jnp.zeros((2, 4), dtype),
        touching=jnp.zeros((2, 2), bool),
        sleep_times=jnp.zeros(3, dtype),
        flags=jnp.zeros(3, bool),
        over=jnp.array(False),
        awake=jnp.array(True),
    )


def stepped(
    world: FastWorld,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
    *,
    hull_contacts: bool,
    one: Any,
) -> FastWorld:
    """The world 0.02 s later; arguments as `world.stepped`'s, hull contacts unused."""
    shape = shapes(terrain.dtype, one)
    alive = world.awake & ~world.over
    bodies = materialise(world.bodies, one)
    body = [row(bodies, i) for i in range(3)]
    grounds = [ground_below(terrain, each, one) for each in body]
    over = world.over | (
        hull_gap(body[c.HULL], row(shape, c.HULL), grounds[c.HULL]) <= 2 * c.SKIN
    )
    feet, touching, flags = {}, [], [world.flags[c.HULL]]
    for leg in (c.FIRST_LEG, c.SECOND_LEG):
        feet[leg], touches = _stood(world, body[leg], grounds[leg], leg, one)
        flags.append(_flag(world.flags[leg], world.touching[leg - 1], touches))
        touching.append(touches)
    given = Given(
        start=accelerated(bodies, shape, force, torque, gravity),
        joints=world.joints,
        feet=(feet[c.FIRST_LEG], feet[c.SECOND_LEG]),
        max_motor=max_motor,
        one=one,
    )
    given = materialise(given, one)
    stands = jnp.any(jnp.stack([foot.touches for pair in given.feet for foot in pair]))
    moving, joints, feet = where_needed(
        lambda stands, _: stands,
        lambda _, given: velocities(given, on_ground=False),
        lambda _, given: velocities(given, on_ground=True),
    )(stands, given)
    end = jax.vmap(moved, (0, None))(moving, c.TIME_STEP)
    first, well = _joints_placed(end, joints, shape)
    end, satisfied = where_needed(
        lambda _, well, *__: ~well,
        lambda first, well, *_: (first, well),
        lambda _, __, *standing: _placed(*standing),
    )(first, (well & ~stands) | ~alive, end, joints, feet, one)
    end, sleep_times, asleep = fallen_asleep(end, world.sleep_times, satisfied)

    impacts = jnp.stack(
        [
            impact_time(body[leg], row(end, leg), grounds[leg], one)
            for leg in (c.FIRST_LEG, c.SECOND_LEG)
        ]
    )
    impacts = jnp.where(alive & ~asleep, impacts, 1)
    touches = jnp.stack([jnp.stack(pair) for pair in touching])
    end, touches, flags = where_needed(
        lambda impacts, *_: jnp.any(impacts < 1),
        lambda impacts, start, end, touches, flags, *_: (end, touches, flags),
        stopped,
    )(impacts, bodies, end, touches, jnp.stack(flags), terrain, one)
    ground = ground_below(terrain, row(end, c.HULL), one)
    reached = hull_gap(row(end, c.HULL), row(shape, c.HULL), ground)
    return FastWorld(
        bodies=end,
        joints=joints,
        normals=jnp.stack([_kept(each, "normal") for each in feet]),
        tangents=jnp.stack([_kept(each, "tangent") for each in feet]),
        touching=touches,
        sleep_times=sleep_times,
        flags=flags,
        over=over | (reached < c.IMPACT_TARGET),
        awake=~asleep,
    )


def launched(
    world: FastWorld,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
    *,
    one: Any,
) -> FastWorld:
    """The new world 0.02 s later, in the air; arguments as `stepped`'s."""
    shape = shapes(terrain.dtype, one)
    start = materialise(world.bodies, one)
    bodies = accelerated(start, shape, force, torque, gravity)
    given = materialise(Given(bodies, world.joints, ((), ()), max_motor, one), one)
    bodies, joints, _ = velocities(given, on_ground=False)
    bodies = jax.vmap(moved, (0, None))(bodies, c.TIME_STEP)
    bodies, _ = _placed(bodies, joints, ((), ()), one)
    bodies, sleep_times, _ = fallen_asleep(bodies, world.sleep_times, jnp.array(False))
    return world.replace(bodies=bodies, joints=joints, sleep_times=sleep_times)


def _flag(flag: jax.Array, before: jax.Array, now: list[jax.Array]) -> jax.Array:
    """A flag is cleared by any contact that ends, else set by any that begins."""
    ends = (before[0] & ~now[0]) | (before[1] & ~now[1])
    begins = (~before[0] & now[0]) | (~before[1] & now[1])
    return (flag | begins) & ~ends


def _stood(
    world: FastWorld, leg: Body, ground: Ground, number: int, one: Any
) -> tuple[tuple[Foot, ...], list[jax.Array]]:
    """Where a foot stands on the ground, and which edges the leg touches.

    Each bottom corner stands on the edge under it; in a valley the one that is nearer
    to the other edge may stand on that as well, or the foot would find no hold.
    """
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
        feet.append(
            _foot(world, number, on_ground, base, up, SIDES[i], slot, places[i], gap)
        )
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
    feet.append(_foot(world, number, on_ground, base, up, side, slot, place, gap))
    return tuple(feet), touches


def _foot(
    world: FastWorld,
    number: int,
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
        old = jnp.sum(jnp.where(jnp.arange(4) == slot, impulses[number - 1], 0))
        return jnp.where(touches, old, 0)

    return Foot(
        touches=touches,
        base=base,
        up=up,
        side=jnp.asarray(side, gap.dtype),
        slot=slot,
        point=place - up * (gap * 0.5),
        normal=remembered(world.normals),
        tangent=remembered(world.tangents),
    )


def _kept(feet: tuple[Foot, ...], name: str) -> jax.Array:
    """The impulses of a foot, `[4]`: by corner and by even and odd edge."""
    slots = jnp.arange(4)
    return sum(
        jnp.where(slots == foot.slot, getattr(foot, name), 0) for foot in feet
    ) + jnp.zeros(4, feet[0].normal.dtype)


def _joints_placed(bodies: Body, joints: Joint, shape: Shape) -> tuple[Body, jax.Array]:
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


def _placed(bodies: Body, joints: Joint, feet: Any, one: Any) -> tuple[Body, jax.Array]:
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
        bodies, well = _joints_placed(stacked(*body), joints, shape)
        return bodies, well & (deepest >= -3 * c.LINEAR_SLOP), passes + 1

    def unsatisfied(carry: Any) -> jax.Array:
        return ~carry[1] & (carry[2] < POSITION_PASSES)

    begin = (bodies, jnp.array(False), jnp.int32(0))
    bodies, well, _ = jax.lax.while_loop(unsatisfied, iteration, begin)
    return bodies, well
