"""One step of the exact solver's world: Box2D's own, in its order (`b2World.cpp`)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import (
    Body,
    accelerated,
    across,
    created,
    fallen_asleep,
    moved,
    shapes,
)
from dmaml_jax.envs.lunar_lander.exact import broadphase, continuous, solver
from dmaml_jax.envs.lunar_lander.exact.broadphase import Pairs
from dmaml_jax.envs.lunar_lander.exact.contacts import (
    Contact,
    manifold,
    no_contact,
    updated,
)
from dmaml_jax.envs.lunar_lander.exact.solver import Constraints
from dmaml_jax.envs.lunar_lander.joints import Joint, relaxed
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import edge, edges_below
from dmaml_jax.envs.lunar_lander.vectors import Scalar, Vector, where


class World(struct.PyTreeNode):
    """All that one step leaves to the next; rows are hull, first and second leg.

    Attributes:
        bodies: the bodies' poses and velocities, `[3]`.
        joints: the joints' impulses and limits, `[2]`.
        contacts: the contacts with the even and the odd edge below each body, `[3, 2]`.
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
    bodies, shape = created(dtype), across(shapes(dtype), 0)
    edges = jnp.stack(edges_below(bodies.centre.x))
    return World(
        bodies=bodies,
        joints=relaxed(dtype),
        contacts=_turned(no_contact(edges, dtype)),
        pairs=broadphase.created(bodies, shape, terrain),
        sleep_times=jnp.zeros(3, dtype),
        flags=jnp.zeros(3, bool),
        over=jnp.array(False),
        awake=jnp.array(True),
    )


def _turned(contacts: Contact) -> Contact:
    """The edges before the bodies, or the other way round."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), contacts)


def stepped(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: jax.Array,
    *,
    hull_contacts: bool,
) -> World:
    """The world 0.02 s later.

    Args:
        world: the world after the engines have pushed the hull, `[…, L]`.
        terrain: heights of the ground's vertices, m, `[11, L]`.
        force: the force on the hull's centre, N, `[L]`.
        torque: the torque on the hull, N m, `[L]`.
        gravity: the acceleration downwards, m/s², `[L]`.
        max_motor: the greatest angular impulse of a leg's motor, N m s a step, `[L]`.
        hull_contacts: whether the hull's contacts are solved, or only seen.
    """
    alive = world.awake & ~world.over  # what is at its end is not solved any more
    start = keep(world.bodies)
    world, given = collided(world.replace(bodies=start), terrain, max_motor)
    bodies = keep(accelerated(start, force, torque, gravity))
    stands = solver.touches(given.found, hull_contacts=hull_contacts)
    bodies, joints, contacts = solver.velocities(
        stands, bodies, given, hull_contacts=hull_contacts
    )
    bodies, satisfied = solver.positions(
        alive,
        stands,
        keep(moved(bodies, c.TIME_STEP)),
        given.replace(joints=joints),
        hull_contacts=hull_contacts,
    )
    bodies, sleep_times, asleep = keep(
        fallen_asleep(bodies, world.sleep_times, satisfied)
    )
    shape = across(shapes(terrain.dtype))
    pairs = broadphase.swept(world.pairs, start, bodies, shape, terrain)
    way = continuous.begun(start, bodies, contacts, pairs, world.flags)
    way = continuous.completed(
        way, terrain, alive & ~asleep, hull_contacts=hull_contacts
    )
    return World(
        bodies=way.end,
        joints=joints,
        contacts=_turned(way.contacts),
        pairs=way.pairs,
        sleep_times=sleep_times,
        flags=way.flag,
        over=world.over | way.began[c.HULL],
        awake=~asleep,
    )


def launched(
    world: World,
    terrain: jax.Array,
    force: Vector,
    torque: Scalar,
    gravity: Scalar,
    max_motor: jax.Array,
) -> World:
    """The new world 0.02 s later; arguments as `stepped`'s.

    It hangs more than six metres above the highest ground and cannot fall more than two
    in a step: what is left of `stepped` is the joints, and the meeting of edges.
    """
    start = keep(world.bodies)
    given = Constraints(
        joints=world.joints,
        contacts=world.contacts,
        found=None,
        odd_first=None,
        max_motor=max_motor,
    )
    bodies = keep(accelerated(start, force, torque, gravity))
    bodies, joints, _ = solver.velocities_solved(bodies, given, touching=None)
    bodies, _ = solver.positions_solved(
        keep(moved(bodies, c.TIME_STEP)), given.replace(joints=joints), touching=None
    )
    never = jnp.zeros(terrain.shape[1:], bool)
    bodies, sleep_times, _ = fallen_asleep(bodies, world.sleep_times, never)
    shape = across(shapes(terrain.dtype))
    pairs = broadphase.swept(world.pairs, start, bodies, shape, terrain)
    return world.replace(
        bodies=bodies, joints=joints, pairs=pairs, sleep_times=sleep_times
    )


def collided(
    world: World, terrain: jax.Array, max_motor: jax.Array
) -> tuple[World, Constraints]:
    """Look where bodies touch the ground; contacts begin, go on and end.

    Returns:
        The world with its contacts, and what the solver is given, of which the contacts
        have the even and the odd edge as first axis.
    """
    dtype = terrain.dtype
    pairs = broadphase.without_lost(world.pairs, terrain)
    edges = jnp.stack(edges_below(world.bodies.centre.x))
    known = broadphase.is_known(pairs, edges)
    odd_first = broadphase.odd_first(pairs, edges[0], edges[1])
    contacts = _turned(world.contacts)
    touched = contacts.count > 0
    same = contacts.edge == edges
    contacts = where(same, contacts, no_contact(edges, dtype))

    shape, ground = across(shapes(dtype)), keep(edge(terrain, edges))
    found = keep(manifold(world.bodies, shape, ground))
    found = found.replace(count=jnp.where(known, found.count, 0))
    touches = found.count > 0
    begins = touches & ~(touched & same)
    ends = touched & ~(touches & same)
    flags = continuous.last_event(world.flags, begins, ends, odd_first)
    over = world.over | jnp.any(begins[:, c.HULL], axis=0)
    contacts = keep(updated(contacts, found))
    given = Constraints(
        joints=world.joints,
        contacts=contacts,
        found=found,
        odd_first=odd_first,
        max_motor=max_motor,
    )
    return world.replace(pairs=pairs, flags=flags, over=over), given
