"""Continuous collision: a body that would pass into the ground is stopped on its way.

After the step of all bodies each one is looked at alone: at its first impact with an
edge it is set there, pushed out, its contacts are solved without joints and without
memory, and it goes the rest of its way (`b2World::SolveTOI`).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, hull_or_leg, moved
from dmaml_jax.envs.lunar_lander.exact import broadphase
from dmaml_jax.envs.lunar_lander.exact import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.exact.broadphase import Pairs
from dmaml_jax.envs.lunar_lander.exact.contacts import (
    Contact,
    Manifold,
    manifold,
    updated,
)
from dmaml_jax.envs.lunar_lander.exact.impact import time_of_impact
from dmaml_jax.envs.lunar_lander.exact.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.lanes import repeated, where_needed
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import edge as terrain_edge
from dmaml_jax.envs.lunar_lander.vectors import row, where

# Box2D ends its search for impacts this close to the end of a step.
LAST_FRACTION = 1 - 10 * 2**-23


class Way(struct.PyTreeNode):
    """A body on its way through a step.

    Attributes:
        start: where the rest of the way begins.
        end: where it ends, with the velocities there.
        fraction: the fraction of the step that is behind the body.
        contacts: the contacts with the even and the odd edge, `[2]`.
        pairs: the body's box and the edges that it has met.
        flag: whether the body counts as touching: by the last event of its contacts.
        began: whether any contact began on the way.
        enabled: whether a contact may still stop the body, `[2]`.
        impacts: how many impacts each contact has had, `[2]`.
        done: whether nothing more is in the way.
    """

    start: Body
    end: Body
    fraction: Any
    contacts: Contact
    pairs: Pairs
    flag: Any
    began: Any
    enabled: Any
    impacts: Any
    done: Any


def begun(
    start: Body, end: Body, contacts: Contact, pairs: Pairs, flags: jax.Array
) -> Way:
    """The ways of bodies as if nothing were in them.

    Args:
        start: poses at the beginning of the step, `[…]`.
        end: poses and velocities at its end.
        contacts: the contacts with the even and the odd edge, `[2, …]`.
        pairs: the bodies' boxes and the edges that they have met.
        flags: whether each body counts as touching.
    """
    return Way(
        start=start,
        end=end,
        fraction=jnp.zeros_like(start.angle),
        contacts=contacts,
        pairs=pairs,
        flag=flags,
        began=jnp.zeros_like(flags),
        enabled=jnp.ones(contacts.edge.shape, bool),
        impacts=jnp.zeros_like(contacts.edge),
        done=jnp.zeros_like(flags),
    )


def completed(
    way: Way, terrain: jax.Array, awake: jax.Array, *, hull_contacts: bool
) -> Way:
    """The ways of all three bodies with their impacts.

    Args:
        way: the ways of the bodies, as `begun` returns them, `[3, L]`.
        terrain: heights of the ground's vertices, m, `[11, L]`.
        awake: whether there is anything to do, `[L]`.
        hull_contacts: whether an impact moves the hull, or only counts.
    """

    def flat(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(*leaf.shape[:-2], -1)

    # Every body goes its way alone: from here on they are lanes like others.
    three = (3, awake.shape[-1])
    is_hull = jnp.broadcast_to(np.array([[True], [False], [False]]), three)
    terrain = jnp.broadcast_to(terrain[:, None], (len(terrain), *three))
    ways = jax.tree.map(flat, way.replace(done=way.done | ~awake))
    near = jnp.any(broadphase.is_known(ways.pairs, ways.contacts.edge), axis=0)
    after = where_needed(
        near & ~ways.done,
        ways.replace(done=jnp.ones_like(ways.done)),
        functools.partial(_walked, hull_contacts=hull_contacts),
        *(ways, flat(terrain), flat(is_hull)),
    )
    return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-1], *three), after)


def _walked(
    way: Way, terrain: jax.Array, is_hull: jax.Array, *, hull_contacts: bool
) -> Way:
    """The ways of bodies with their impacts, one after the other."""
    edges = terrain_edge(terrain, way.contacts.edge)
    shape = hull_or_leg(is_hull, terrain.dtype)
    hit = functools.partial(_hit, hull_contacts=hull_contacts)

    def impact(way: Way) -> Way:
        odd_first = broadphase.odd_first(way.pairs, *way.contacts.edge)
        known = broadphase.is_known(way.pairs, way.contacts.edge)
        wanted = known & way.enabled & (way.impacts <= c.MAX_IMPACTS) & ~way.done
        t, found = time_of_impact(way.start, way.end, shape, edges, wanted)
        times = jnp.minimum(way.fraction + (1 - way.fraction) * t, 1)
        times = jnp.where(found, times, 1)
        odd = jnp.where(odd_first, times[1] <= times[0], times[1] < times[0])
        time = jnp.min(times, axis=0)
        missed = way.replace(done=jnp.ones_like(way.done))
        return where_needed(
            time < LAST_FRACTION, missed, hit, *(way, time, odd, terrain, is_hull)
        )

    return repeated(lambda way: ~way.done, impact, way)


def _hit(
    way: Way,
    time: jax.Array,
    odd: jax.Array,
    terrain: jax.Array,
    is_hull: jax.Array,
    *,
    hull_contacts: bool,
) -> Way:
    """Ways after impacts with the odd or the even edge at some times."""
    edges = terrain_edge(terrain, way.contacts.edge)
    shape = keep(hull_or_leg(is_hull, terrain.dtype))
    solved = jnp.ones_like(is_hull) if hull_contacts else ~is_hull
    known = broadphase.is_known(way.pairs, way.contacts.edge)
    ahead = (time - way.fraction) / (1 - way.fraction)
    there = way.end.replace(
        centre=way.start.centre + (way.end.centre - way.start.centre) * ahead,
        angle=way.start.angle + (way.end.angle - way.start.angle) * ahead,
    )
    found = manifold(there, shape, edges)
    touches, touched = found.count > 0, way.contacts.count > 0
    first = jnp.stack([~odd, odd])
    # The root finder may stop short of the edge; then the contact is left alone.
    real = jnp.any(touches & first, axis=0)
    looked_at = first | (known & real)
    begins = looked_at & touches & ~touched
    ends = looked_at & ~touches & touched
    way = way.replace(
        contacts=where(looked_at, updated(way.contacts, found), way.contacts),
        flag=last_event(way.flag, begins, ends, odd),
        began=way.began | jnp.any(begins, axis=0),
        enabled=(way.enabled | looked_at) & (real | ~first),
        impacts=way.impacts + first.astype(way.impacts.dtype),
        done=real & ~solved,
    )
    found = found.replace(count=jnp.where(looked_at, found.count, 0))
    rest = (1 - time) * c.TIME_STEP
    start, end = _stopped(there, found, shape, odd, rest, real & solved)
    pairs = broadphase.swept(way.pairs, start, end, shape, terrain)
    stopped = way.replace(start=start, end=end, fraction=time, pairs=pairs)
    return where(real & solved, stopped, way)


def last_event(
    flag: jax.Array, begins: jax.Array, ends: jax.Array, odd_first: jax.Array
) -> jax.Array:
    """A flag that any begin sets and any end clears, in the order of the contacts."""

    def after(flag: jax.Array, slot: int) -> jax.Array:
        return (flag & ~ends[slot]) | begins[slot]

    return jnp.where(odd_first, after(after(flag, 1), 0), after(after(flag, 0), 1))


def _stopped(
    body: Body,
    found: Manifold,
    shape: Shape,
    odd_first: jax.Array,
    time: jax.Array,
    stop: jax.Array,
) -> tuple[Body, Body]:
    """A body pushed out at its impact, and after the rest of its way."""
    found = jax.tree.map(lambda leaf: jnp.where(odd_first, leaf[::-1], leaf), found)

    def push(carry: Any) -> Any:
        body, _, passes = carry
        body, deepest = contact_positions_solved(body, found, shape, c.IMPACT_BAUMGARTE)
        return body, deepest >= -1.5 * c.LINEAR_SLOP, passes + 1

    def deep(carry: Any) -> jax.Array:
        return stop & ~carry[1] & (carry[2] < c.IMPACT_POSITION_ITERATIONS)

    no, passes = jnp.zeros_like(stop), jnp.zeros(stop.shape, jnp.int32)
    start, _, _ = repeated(deep, push, (body, no, passes))
    both = keep(contact_solver.prepared(found, start, shape))
    rows = [row(both, i) for i in range(2)]
    zero = jnp.zeros_like(body.angle)
    none = contact_solver.Impulses((zero, zero), (zero, zero))

    def solve(carry: Any) -> Any:
        body, impulses, _, passes = carry
        after, solved = body, []
        for i in range(2):
            each, after = contact_solver.velocity_solved(
                impulses[i], rows[i], after, shape
            )
            solved.append(each)
        return after, solved, _changed(body, after), passes + 1

    def moving(carry: Any) -> jax.Array:
        return stop & carry[2] & (carry[3] < c.VELOCITY_ITERATIONS)

    begin = (start, [none, none], ~no, passes)
    end, _, _, _ = repeated(moving, solve, begin)
    return start, moved(end, time)


def _changed(before: Body, after: Body) -> jax.Array:
    """Whether an iteration still changed velocities by more than rounding.

    One body on the ground converges quickly, unlike the chain of three: of the 180
    iterations the others would change nothing.
    """
    turn = jnp.abs(after.spin - before.spin)
    step = after.velocity - before.velocity
    speed = jnp.abs(before.velocity.x) + jnp.abs(before.velocity.y)
    return (turn > 2e-7 * (1 + jnp.abs(before.spin))) | (
        jnp.abs(step.x) + jnp.abs(step.y) > 2e-7 * (1 + speed)
    )
