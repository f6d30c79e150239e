"""One step of the fast solver's world: equal to Box2D's in distribution only.

Poses are Box2D's; velocities come from `reduced`; contacts are those of the feet's
bottom corners alone. It is **not** conformant step by step: peaks of the terrain under
a foot, a leg's upper corners, the hull's impulses and a second impact in a step are
left out.
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander.bodies import (
    Body,
    Pose,
    accelerated,
    created,
    fallen_asleep,
    moved,
)
from dmaml_jax.envs.lunar_lander.fast.contacts import hull_gap, legs_touch
from dmaml_jax.envs.lunar_lander.fast.impact import (
    Legs,
    corner_heights,
    impact_time,
    stopped,
)
from dmaml_jax.envs.lunar_lander.fast.position import Placing, placed
from dmaml_jax.envs.lunar_lander.fast.standing import (
    Feet,
    by_side,
    flags_after,
    remembered,
    stood,
)
from dmaml_jax.envs.lunar_lander.fast.velocity import (
    Given,
    limited,
    velocities,
    ways,
)
from dmaml_jax.envs.lunar_lander.joints import Joint, relaxed
from dmaml_jax.envs.lunar_lander.lanes import where_needed
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import Ground, ground_below
from dmaml_jax.envs.lunar_lander.vectors import Scalar, Vector, rotation


class FastWorld(struct.PyTreeNode):
    """All that one step leaves to the next; rows are hull, first and second leg.

    Attributes:
        bodies: the bodies' poses and velocities, `[3]`.
        joints: the joints' impulses and limits, `[2]`.
        impulses: the impulses along the normal and along the ground, of the left and
            the right bottom corner, with the even and the odd edge, of each leg, N s,
            `[2, 2, 2, 2]`.
        touching: whether the even and the odd edge touches each leg, `[2, 2]`.
        sleep_times: how long each body has been at rest, s, `[3]`.
        flags: whether each body counts as touching the ground, `[3]`.
        grazing: whether the hull is so near to the ground that the next step will find
            it touching.
        over: whether the hull has touched the ground.
        awake: whether the lander has not yet come to rest.
    """

    bodies: Body
    joints: Joint
    impulses: jax.Array
    touching: jax.Array
    sleep_times: jax.Array
    flags: jax.Array
    grazing: jax.Array
    over: jax.Array
    awake: jax.Array


def new_world(terrain: jax.Array) -> FastWorld:
    """The lander as Gymnasium creates it, before the reset's own step."""
    dtype = terrain.dtype
    return FastWorld(
        bodies=created(dtype),
        joints=relaxed(dtype),
        impulses=jnp.zeros((2, 2, 2, 2), dtype),
        touching=jnp.zeros((2, 2), bool),
        sleep_times=jnp.zeros(3, dtype),
        flags=jnp.zeros(3, bool),
        grazing=jnp.array(False),
        over=jnp.array(False),
        awake=jnp.array(True),
    )


def stepped(
    world: FastWorld,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: jax.Array,
    *,
    hull_contacts: bool,
) -> FastWorld:
    """The world 0.02 s later.

    Args:
        world: the world after the engines have pushed the hull, `[…, L]`.
        terrain: heights of the ground's vertices, m, `[11, L]`.
        force: the force on the hull's centre, N, `[L]`.
        torque: the torque on the hull, N m, `[L]`.
        gravity: the acceleration downwards, m/s², `[L]`.
        max_motor: the greatest angular impulse of a leg's motor, N m s a step, `[L]`.
        hull_contacts: without effect here, as the hull's contacts only end the episode.
    """
    alive = world.awake & ~world.over
    start = keep(world.bodies)
    q = keep(rotation(start.angle))
    legs = Pose(start.centre[1:], start.angle[1:])
    ground = keep(ground_below(terrain, legs.centre.x))
    touches = keep(legs_touch(legs.centre, q[1:], ground))
    flags = flags_after(world.flags[1:], by_side(world.touching, ground), touches)
    feet, height = stood(
        legs.centre, q[1:], ground, touches, by_side(world.impulses, ground)
    )
    bodies = accelerated(start, force, torque, gravity)
    given = Given(
        centre=legs.centre,
        ways=ways(q),
        velocity=bodies.velocity,
        spin=bodies.spin,
        joints=limited(world.joints, start.angle),
        feet=feet,
        max_motor=max_motor,
    )
    given = keep(given)
    feet = given.feet
    # What is at its end is not solved any more: it would cost as if it stood.
    stands = keep(alive & jnp.any(feet.touches, axis=(0, 1)))
    solved = where_needed(
        stands,
        velocities(given, on_ground=False),
        functools.partial(velocities, on_ground=True),
        given,
    )
    end = moved(start.replace(velocity=solved.velocity, spin=solved.spin), c.TIME_STEP)
    end, satisfied = _positioned(keep(end), solved.joints, feet, alive, stands)
    end, sleep_times, asleep = keep(fallen_asleep(end, world.sleep_times, satisfied))
    end, touches, flags = _halted(
        legs, end, height, ground, touches, flags, alive & ~asleep
    )
    gap = keep(hull_height(end, terrain))
    feet = feet.replace(impulses=solved.impulses)
    return FastWorld(
        bodies=end,
        joints=solved.joints,
        impulses=by_side(remembered(feet), ground),
        touching=by_side(touches, ground),
        sleep_times=sleep_times,
        flags=jnp.concatenate([world.flags[:1], flags]),
        grazing=gap <= 2 * c.SKIN,
        over=world.over | world.grazing | (gap < c.IMPACT_TARGET),
        awake=~asleep,
    )


def launched(
    world: FastWorld,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: jax.Array,
) -> FastWorld:
    """The new world 0.02 s later, in the air; arguments as `stepped`'s."""
    start = world.bodies
    bodies = accelerated(start, force, torque, gravity)
    nothing = jnp.zeros((3, 2, terrain.shape[-1]), terrain.dtype)
    nowhere = Vector(nothing, nothing)
    given = Given(
        centre=start.centre[1:],
        ways=ways(rotation(start.angle)),
        velocity=bodies.velocity,
        spin=bodies.spin,
        joints=limited(world.joints, start.angle),
        feet=Feet(
            touches=jnp.zeros(nothing.shape, bool),
            up=nowhere,
            side=nothing,
            on_left=jnp.zeros(nothing.shape, bool),
            point=nowhere,
            base=nowhere[0],
            impulses=jnp.stack([nothing, nothing]),
        ),
        max_motor=max_motor,
    )
    solved = velocities(keep(given), on_ground=False)
    end = moved(start.replace(velocity=solved.velocity, spin=solved.spin), c.TIME_STEP)
    hull, legs = Pose(end.centre[0], end.angle[0]), Pose(end.centre[1:], end.angle[1:])
    placing = placed(hull, legs, solved.joints.side, None)
    bodies = _with_poses(end, placing)
    never = jnp.zeros(terrain.shape[1:], bool)
    bodies, sleep_times, _ = fallen_asleep(bodies, world.sleep_times, never)
    return world.replace(bodies=bodies, joints=solved.joints, sleep_times=sleep_times)


def hull_height(bodies: Body, terrain: jax.Array) -> jax.Array:
    """The gap between hull and ground, m, `[L]`."""
    hull = Pose(bodies.centre[c.HULL], bodies.angle[c.HULL])
    ground = keep(ground_below(terrain, hull.centre.x))
    return hull_gap(hull.centre, keep(rotation(hull.angle)), ground)


def _with_poses(bodies: Body, placing: Placing) -> Body:
    def joined(hull: jax.Array, legs: jax.Array) -> jax.Array:
        return jnp.concatenate([hull[None], legs])

    pose = jax.tree.map(joined, placing.hull, placing.legs)
    return bodies.replace(centre=pose.centre, angle=pose.angle)


def _positioned(
    bodies: Body,
    joints: Joint,
    feet: Feet,
    alive: jax.Array,
    stands: jax.Array,
) -> tuple[Body, jax.Array]:
    """Poses after the position iterations; in the air one is nearly always enough."""
    hull = Pose(bodies.centre[0], bodies.angle[0])
    legs = Pose(bodies.centre[1:], bodies.angle[1:])
    first = Placing(*joint_solver.placed(joints.side, hull, legs))
    placing = where_needed(
        alive & (stands | ~first.well),
        first,
        placed,
        *(hull, legs, joints.side, feet),
    )
    return _with_poses(bodies, placing), placing.well | ~alive


def _halted(
    start: Pose,
    end: Body,
    before: jax.Array,
    ground: Ground,
    touches: jax.Array,
    flags: jax.Array,
    may: jax.Array,
) -> tuple[Body, jax.Array, jax.Array]:
    """Bodies, touched edges and flags after the impacts of legs, where any may be."""
    body = jax.tree.map(lambda leaf: leaf[1:], end)
    after, _ = corner_heights(body.centre, rotation(body.angle), ground)
    time = impact_time(before, jnp.minimum(after[0], after[1]))
    time = keep(jnp.where(may, time, 1))
    legs = Legs(body, touches, flags)
    legs = where_needed(
        jnp.any(time < 1, axis=0),
        legs,
        stopped,
        *(time, start, legs, ground),
    )

    def joined(all_bodies: jax.Array, legs: jax.Array) -> jax.Array:
        return jnp.concatenate([all_bodies[:1], legs])

    return jax.tree.map(joined, end, legs.body), legs.touching, legs.hit
