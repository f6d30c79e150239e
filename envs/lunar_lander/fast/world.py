"""One step of the fast solver's world: equal to Box2D's in distribution only.

Poses are Box2D's; velocities come from `reduced`; contacts are those of the feet's
bottom corners alone. It is **not** conformant step by step: peaks of the terrain under
a foot, a leg's upper corners, the hull's impulses and a second impact in a step are
left out.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, created, moved, shapes
from dmaml_jax.envs.lunar_lander.exact.solver import fallen_asleep
from dmaml_jax.envs.lunar_lander.exact.world import accelerated
from dmaml_jax.envs.lunar_lander.fast.contacts import Ground, ground_below, hull_gap
from dmaml_jax.envs.lunar_lander.fast.impact import impact_time, stopped
from dmaml_jax.envs.lunar_lander.fast.position import joints_placed, placed
from dmaml_jax.envs.lunar_lander.fast.standing import flag_after, kept, stood
from dmaml_jax.envs.lunar_lander.fast.velocity import Given, velocities
from dmaml_jax.envs.lunar_lander.joints import Joint, relaxed
from dmaml_jax.envs.lunar_lander.lanes import where_needed
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import Scalar, Vector, row

BOTH_LEGS = (c.FIRST_LEG, c.SECOND_LEG)


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
    feet, touches, flags = _seen(world, body, grounds, one)
    given = Given(
        start=accelerated(bodies, shape, force, torque, gravity),
        joints=world.joints,
        feet=feet,
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
    end, satisfied = _positioned(end, joints, feet, alive, stands, one)
    end, sleep_times, asleep = fallen_asleep(end, world.sleep_times, satisfied)
    end, touches, flags = _halted(
        bodies, end, grounds, touches, flags, alive & ~asleep, terrain, one
    )
    ground = ground_below(terrain, row(end, c.HULL), one)
    reached = hull_gap(row(end, c.HULL), row(shape, c.HULL), ground)
    return FastWorld(
        bodies=end,
        joints=joints,
        normals=jnp.stack([kept(each, "normal") for each in feet]),
        tangents=jnp.stack([kept(each, "tangent") for each in feet]),
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
    bodies, _ = placed(bodies, joints, ((), ()), one)
    bodies, sleep_times, _ = fallen_asleep(bodies, world.sleep_times, jnp.array(False))
    return world.replace(bodies=bodies, joints=joints, sleep_times=sleep_times)


def _seen(
    world: FastWorld, body: list[Body], grounds: list[Ground], one: Any
) -> tuple[Any, jax.Array, jax.Array]:
    """The feet on the ground, which edges each leg touches, and everybody's flags."""
    feet, touching, flags = [], [], [world.flags[c.HULL]]
    for leg in BOTH_LEGS:
        impulses = world.normals[leg - 1], world.tangents[leg - 1]
        foot, touches = stood(body[leg], grounds[leg], *impulses, one)
        flags.append(flag_after(world.flags[leg], world.touching[leg - 1], touches))
        feet.append(foot)
        touching.append(jnp.stack(touches))
    return tuple(feet), jnp.stack(touching), jnp.stack(flags)


def _positioned(
    bodies: Body,
    joints: Joint,
    feet: Any,
    alive: jax.Array,
    stands: jax.Array,
    one: Any,
) -> tuple[Body, jax.Array]:
    """Poses after the position iterations; in the air one is nearly always enough."""
    first, well = joints_placed(bodies, joints, shapes(bodies.angle.dtype, one))
    return where_needed(
        lambda _, well, *__: ~well,
        lambda first, well, *_: (first, well),
        lambda _, __, *standing: placed(*standing),
    )(first, (well & ~stands) | ~alive, bodies, joints, feet, one)


def _halted(
    start: Body,
    end: Body,
    grounds: list[Ground],
    touches: jax.Array,
    flags: jax.Array,
    may: jax.Array,
    terrain: jax.Array,
    one: Any,
) -> tuple[Body, jax.Array, jax.Array]:
    """Bodies, touched edges and flags after the impacts of legs, where any may be."""
    times = [
        impact_time(row(start, leg), row(end, leg), grounds[leg], one)
        for leg in BOTH_LEGS
    ]
    return where_needed(
        lambda impacts, *_: jnp.any(impacts < 1),
        lambda impacts, start, end, touches, flags, *_: (end, touches, flags),
        stopped,
    )(jnp.where(may, jnp.stack(times), 1), start, end, touches, flags, terrain, one)
