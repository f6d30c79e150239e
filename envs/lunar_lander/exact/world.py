"""One step of the exact solver's world: Box2D's own, in its order (`b2World.cpp`)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, created, moved, shapes
from dmaml_jax.envs.lunar_lander.exact import broadphase, continuous, solver
from dmaml_jax.envs.lunar_lander.exact.broadphase import Pairs
from dmaml_jax.envs.lunar_lander.exact.contacts import (
    Contact,
    Manifold,
    manifold,
    no_contact,
    updated,
)
from dmaml_jax.envs.lunar_lander.exact.solver import Constraints
from dmaml_jax.envs.lunar_lander.joints import Joint, relaxed, settings
from dmaml_jax.envs.lunar_lander.numerics import keep_each
from dmaml_jax.envs.lunar_lander.terrain import edge, edges_below
from dmaml_jax.envs.lunar_lander.vectors import Scalar, Vector, where


class World(struct.PyTreeNode):
    """All that one step leaves to the next; rows are hull, first and second leg.

    Attributes:
        bodies: poses and velocities, `[3]`.
        joints: impulses and limits, `[2]`.
        contacts: with the even and the odd edge below each body, `[3, 2]`.
        pairs: boxes and met edges, `[3]`.
        sleep_times: how long each body has been at rest, s, `[3]`.
        flags: whether each body counts as touching the ground, `[3]`.
        over: whether the hull has touched the ground.
        awake: whether the lander has not yet come to rest.
    """

    bodies: Body
    joints: Joint
    contacts: Contact
    pairs: Pairs
    sleep_times: Any
    flags: Any
    over: Any
    awake: Any


def new_world(terrain: jax.Array) -> World:
    """The lander as Gymnasium creates it, before the reset's own step."""
    dtype = terrain.dtype
    bodies, shape = created(dtype), shapes(dtype)
    edges = jnp.stack(jax.vmap(edges_below)(bodies.centre.x), axis=1)
    return World(
        bodies=bodies,
        joints=relaxed(dtype),
        contacts=no_contact(edges, dtype),
        pairs=jax.vmap(broadphase.created, (0, 0, None))(bodies, shape, terrain),
        sleep_times=jnp.zeros(3, dtype),
        flags=jnp.zeros(3, bool),
        over=jnp.array(False),
        awake=jnp.array(True),
    )


def stepped_lane(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
    *,
    hull_contacts: bool,
) -> World:
    """The world 0.02 s later.

    Args:
        world: with the engines' impulses already in the hull's velocity.
        terrain: heights of the ground's vertices, m, `[11]`.
        force: on the hull's centre, N.
        torque: on the hull, N m.
        gravity: downwards, m/s².
        max_motor: angular impulse of a leg's motor in a step, N m s.
        hull_contacts: whether the hull's contacts are solved, or only seen.
    """
    shape, setting = shapes(terrain.dtype), settings(terrain.dtype)
    alive = world.awake & ~world.over  # what is at its end is not solved any more
    world, found, odd_first = keep_each(collided(world, terrain, shape))
    start = world.bodies
    bodies = keep_each(accelerated(start, shape, force, torque, gravity))
    given = Constraints(
        joints=world.joints,
        contacts=world.contacts,
        found=found,
        odd_first=odd_first,
        shape=shape,
        setting=setting,
        max_motor=max_motor,
    )
    stands = solver.touches(given, hull_contacts=hull_contacts)
    bodies, joints, contacts = solver.velocities(hull_contacts)(stands, bodies, given)
    bodies = jax.vmap(moved, (0, None))(bodies, c.TIME_STEP)
    given = given.replace(joints=joints)
    bodies, satisfied = solver.positions(hull_contacts)(alive, stands, bodies, given)
    bodies, sleep_times, asleep = solver.fallen_asleep(
        bodies, world.sleep_times, satisfied
    )
    pairs = jax.vmap(broadphase.swept, (0, 0, 0, 0, None))(
        world.pairs, start, bodies, shape, terrain
    )
    way = continuous.begun(start, bodies, contacts, pairs, world.flags)
    way = continuous.completed(
        way, shape, terrain, alive & ~asleep, jnp.array([hull_contacts, True, True])
    )
    return World(
        bodies=way.end,
        joints=joints,
        contacts=way.contacts,
        pairs=way.pairs,
        sleep_times=sleep_times,
        flags=way.flag,
        over=world.over | way.began[c.HULL],
        awake=~asleep,
    )


def launched_lane(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
) -> World:
    """The new world 0.02 s later; arguments as `stepped`'s.

    It hangs more than six metres above the highest ground and cannot fall more than two
    in a step: what is left of `stepped` is the joints, and the meeting of edges.
    """
    shape, setting = shapes(terrain.dtype), settings(terrain.dtype)
    start = keep_each(world.bodies)
    given = Constraints(
        joints=world.joints,
        contacts=world.contacts,
        found=None,
        odd_first=None,
        shape=shape,
        setting=setting,
        max_motor=max_motor,
    )
    bodies = keep_each(accelerated(start, shape, force, torque, gravity))
    bodies, joints, _ = solver.velocities_solved(bodies, given, touching=())
    bodies = jax.vmap(moved, (0, None))(bodies, c.TIME_STEP)
    bodies, _ = solver.positions_solved(
        bodies, given.replace(joints=joints), touching=()
    )
    bodies, sleep_times, _ = solver.fallen_asleep(
        bodies, world.sleep_times, jnp.array(False)
    )
    pairs = jax.vmap(broadphase.swept, (0, 0, 0, 0, None))(
        world.pairs, start, bodies, shape, terrain
    )
    return world.replace(
        bodies=bodies, joints=joints, pairs=pairs, sleep_times=sleep_times
    )


def collided(
    world: World, terrain: jax.Array, shape: Shape
) -> tuple[World, Manifold, jax.Array]:
    """Look where bodies touch the ground; contacts begin, go on and end.

    Returns:
        The world with its contacts, where they are, `[3, 2]`, and of which bodies the
        odd edge comes first, `[3]`.
    """

    def collide(body: Body, contacts: Contact, pairs: Pairs, shape: Shape, flag: Any):
        pairs = broadphase.without_lost(pairs, terrain)
        edges = jnp.stack(edges_below(body.centre.x))
        known = jax.vmap(broadphase.is_known, (None, 0))(pairs, edges)
        odd_first = broadphase.odd_first(pairs, edges[0], edges[1])
        old_touches = contacts.count > 0
        fresh = no_contact(edges, terrain.dtype)
        same = contacts.edge == edges
        contacts = jax.vmap(where)(same, contacts, fresh)

        ground = jax.vmap(edge, (None, 0))(terrain, edges)
        found = jax.vmap(manifold, (None, None, 0))(body, shape, ground)
        found = found.replace(count=jnp.where(known, found.count, 0))
        touches = found.count > 0
        begins = touches & ~(old_touches & same)
        ends = old_touches & ~(touches & same)
        flag = continuous.last_event(flag, begins, ends, odd_first)
        contacts = jax.vmap(updated)(contacts, found)
        return contacts, pairs, flag, jnp.any(begins), found, odd_first

    contacts, pairs, flags, began, found, odd_first = jax.vmap(collide)(
        world.bodies, world.contacts, world.pairs, shape, world.flags
    )
    over = world.over | began[c.HULL]
    world = world.replace(contacts=contacts, pairs=pairs, flags=flags, over=over)
    return world, found, odd_first


def accelerated(
    bodies: Body, shape: Shape, force: Vector, torque: Scalar, gravity: Scalar
) -> Body:
    """Velocities after gravity on all bodies, and force and torque on the hull."""
    is_hull = jnp.arange(3) == c.HULL
    zero = jnp.zeros_like(bodies.angle)
    hull_mass = jnp.where(is_hull, shape.inverse_mass, 0)
    pull = Vector(hull_mass * force.x, hull_mass * force.y - gravity)
    spin = c.TIME_STEP * shape.inverse_inertia * jnp.where(is_hull, torque, zero)
    return bodies.replace(
        velocity=bodies.velocity + pull * c.TIME_STEP, spin=bodies.spin + spin
    )


def stepped(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
    *,
    hull_contacts: bool,
) -> World:
    """`stepped_lane` of many lanes, which are the last axis of every array."""
    step = functools.partial(stepped_lane, hull_contacts=hull_contacts)
    return _every_lane(step)(world, terrain, force, torque, gravity, max_motor)


def launched(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: Scalar,
) -> World:
    """`launched_lane` of many lanes, which are the last axis of every array."""
    return _every_lane(launched_lane)(world, terrain, force, torque, gravity, max_motor)


def _every_lane(step: Callable[..., World]) -> Callable[..., World]:
    return jax.vmap(step, -1, -1)
