"""Continuous collision: a body that would pass into the ground is stopped on its way.

After the step of all bodies each one is looked at alone: at its first impact with an
edge it is set there, pushed out, its contacts are solved without joints and without
memory, and it goes the rest of its way (`b2World::SolveTOI`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, moved
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
from dmaml_jax.envs.lunar_lander.exact.lanes_old import where_needed
from dmaml_jax.envs.lunar_lander.exact.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.terrain import edge as terrain_edge
from dmaml_jax.envs.lunar_lander.vectors import row, where

# Box2D ends its search for impacts this close to the end of a step.
LAST_FRACTION = 1 - 10 * 2**-23


class Way(struct.PyTreeNode):
    """A body on its way through a step.

    Attributes:
        start: where the rest of the way begins.
        end: where it ends, with the velocities there.
        fraction: of the step that is behind it.
        contacts: with the even and the odd edge, `[2]`.
        pairs: see `broadphase`.
        flag: whether the body counts as touching: by the last event of its contacts.
        began: whether any contact began.
        enabled: whether a contact may still stop the body, `[2]`.
        impacts: of each contact, `[2]`.
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
    """The ways of all three bodies, as rows, as if nothing were in them.

    Args:
        start: poses at the beginning of the step.
        end: poses and velocities at its end.
        contacts: with the even and the odd edge, `[3, 2]`.
        pairs: see `broadphase`.
        flags: see `Way`.
    """
    return Way(
        start=start,
        end=end,
        fraction=jnp.zeros_like(start.angle),
        contacts=contacts,
        pairs=pairs,
        flag=flags,
        began=jnp.zeros(3, bool),
        enabled=jnp.ones((3, 2), bool),
        impacts=jnp.zeros((3, 2), jnp.int32),
        done=jnp.zeros(3, bool),
    )


def completed(
    way: Way, shape: Shape, terrain: jax.Array, awake: jax.Array, solved: jax.Array
) -> Way:
    """The ways of all three bodies with their impacts.

    Args:
        way: as begun.
        shape: of each body.
        terrain: heights of the ground's vertices, m, `[11]`.
        awake: whether there is anything to do.
        solved: whether an impact moves each body, or only counts, `[3]`.
    """

    def near(way: Way, *_: Any) -> jax.Array:
        known = jax.vmap(jax.vmap(broadphase.is_known, (None, 0)))
        return jnp.any(known(way.pairs, way.contacts.edge) & ~way.done[:, None])

    def far(way: Way, *_: Any) -> Way:
        return way.replace(done=jnp.ones_like(way.done))

    def looked_at(way: Way, shape: Shape, terrain: Any, solved: Any) -> Way:
        return jax.vmap(_body_completed, (0, 0, None, 0))(way, shape, terrain, solved)

    way = way.replace(done=way.done | ~awake)
    return where_needed(near, far, looked_at)(way, shape, terrain, solved)


def _body_completed(way: Way, shape: Shape, terrain: Any, solved: Any) -> Way:
    edges = jax.vmap(terrain_edge, (None, 0))(terrain, way.contacts.edge)

    def impact(way: Way) -> Way:
        odd_first = broadphase.odd_first(way.pairs, *way.contacts.edge)
        known = jax.vmap(broadphase.is_known, (None, 0))(way.pairs, way.contacts.edge)
        wanted = known & way.enabled & (way.impacts <= c.MAX_IMPACTS) & ~way.done
        t, hit = jax.vmap(time_of_impact, (None, None, None, 0, 0))(
            way.start, way.end, shape, edges, wanted
        )
        times = jnp.minimum(way.fraction + (1 - way.fraction) * t, 1)
        times = jnp.where(hit, times, 1)
        odd = jnp.where(odd_first, times[1] <= times[0], times[1] < times[0])
        return where_needed(_is_hit, _is_missed, _hit)(
            way, jnp.min(times), odd, shape, terrain, solved
        )

    return jax.lax.while_loop(lambda way: ~way.done, impact, way)


def _is_hit(way: Way, time: jax.Array, *_: Any) -> jax.Array:
    return time < LAST_FRACTION


def _is_missed(way: Way, *_: Any) -> Way:
    return way.replace(done=jnp.ones_like(way.done))


def _hit(
    way: Way, time: Any, odd: Any, shape: Shape, terrain: jax.Array, solved: Any
) -> Way:
    """A body's way after its impact with the odd or the even edge at some time."""
    edges = jax.vmap(terrain_edge, (None, 0))(terrain, way.contacts.edge)
    known = jax.vmap(broadphase.is_known, (None, 0))(way.pairs, way.contacts.edge)
    ahead = (time - way.fraction) / (1 - way.fraction)
    there = way.end.replace(
        centre=way.start.centre + (way.end.centre - way.start.centre) * ahead,
        angle=way.start.angle + (way.end.angle - way.start.angle) * ahead,
    )
    found = jax.vmap(manifold, (None, None, 0))(there, shape, edges)
    touches, touched = found.count > 0, way.contacts.count > 0
    first = jnp.arange(2) == odd.astype(jnp.int32)
    # The root finder may stop short of the edge; then the contact is left alone.
    real = jnp.any(touches & first)
    looked_at = first | (known & real)
    begins = looked_at & touches & ~touched
    ends = looked_at & ~touches & touched
    way = way.replace(
        contacts=jax.vmap(where)(
            looked_at, jax.vmap(updated)(way.contacts, found), way.contacts
        ),
        flag=last_event(way.flag, begins, ends, odd),
        began=way.began | jnp.any(begins),
        enabled=(way.enabled | looked_at) & (real | ~first),
        impacts=way.impacts + first,
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
    odd_first: Any,
    time: Any,
    stop: Any,
) -> tuple[Body, Body]:
    """A body pushed out at its impact, and after the rest of its way."""
    found = jax.tree.map(lambda leaf: jnp.where(odd_first, leaf[::-1], leaf), found)

    def push(carry: Any) -> Any:
        body, _, passes = carry
        body, deepest = contact_positions_solved(body, found, shape, c.IMPACT_BAUMGARTE)
        return body, deepest >= -1.5 * c.LINEAR_SLOP, passes + 1

    def deep(carry: Any) -> jax.Array:
        return stop & ~carry[1] & (carry[2] < c.IMPACT_POSITION_ITERATIONS)

    start, _, _ = jax.lax.while_loop(deep, push, (body, jnp.array(False), jnp.int32(0)))
    rows = [contact_solver.prepared(row(found, i), start, shape) for i in range(2)]
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

    begin = (start, [none, none], jnp.array(True), jnp.int32(0))
    end, _, _, _ = jax.lax.while_loop(moving, solve, begin)
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
