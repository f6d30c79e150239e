"""Continuous collision: a body that would pass into the ground is stopped on its way.

After the step of all bodies each one is looked at alone: at its first impact with an
edge it is set there, pushed out, its contacts are solved without joints and without
memory, and it goes the rest of its way (`b2World::SolveTOI`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import broadphase
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, moved
from dmaml_jax.envs.lunar_lander.broadphase import Pairs
from dmaml_jax.envs.lunar_lander.contacts import Contact, Manifold, manifold, updated
from dmaml_jax.envs.lunar_lander.impact import time_of_impact
from dmaml_jax.envs.lunar_lander.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.terrain import edge as terrain_edge
from dmaml_jax.envs.lunar_lander.vectors import row, stacked, where

# Box2D ends its search for impacts this close to the end of a step.
LAST_FRACTION = 1 - 10 * 2**-23


@struct.dataclass
class Way:
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


def pose_of(body: Body, pose: Body) -> Body:
    """The body, set to the pose of another."""
    return body.replace(centre=pose.centre, angle=pose.angle)


def completed(
    start: Body,
    end: Body,
    contacts: Contact,
    pairs: Pairs,
    flag: jax.Array,
    shape: Shape,
    terrain: jax.Array,
    awake: jax.Array,
    solved: jax.Array,
) -> Way:
    """A body's way through a step, with its impacts.

    Args:
        start: pose at the beginning of the step.
        end: pose and velocities at its end, as if nothing were in the way.
        contacts: with the even and the odd edge, `[2]`.
        pairs: see `broadphase`.
        flag: see `Way`.
        shape: of the body.
        terrain: heights of the ground's vertices, m, `[11]`.
        awake: bodies asleep are left alone.
        solved: whether an impact moves the body, or only counts.
    """
    edges = jax.vmap(terrain_edge, (None, 0))(terrain, contacts.edge)

    def impact(before: Way) -> Way:
        way = before
        odd_first = broadphase.odd_first(way.pairs, contacts.edge[0], contacts.edge[1])
        known = jax.vmap(broadphase.is_known, (None, 0))(way.pairs, contacts.edge)
        wanted = known & way.enabled & (way.impacts <= c.MAX_IMPACTS) & ~way.done
        t, hit = jax.vmap(time_of_impact, (None, None, None, 0, 0))(
            way.start, way.end, shape, edges, wanted
        )
        times = jnp.minimum(way.fraction + (1 - way.fraction) * t, 1)
        times = jnp.where(hit, times, 1)
        odd = jnp.where(odd_first, times[1] <= times[0], times[1] < times[0])
        time = jnp.min(times)
        done = time >= LAST_FRACTION
        first = jnp.arange(2) == odd.astype(jnp.int32)

        ahead = (time - way.fraction) / jnp.where(done, 1, 1 - way.fraction)
        there = way.end.replace(
            centre=way.start.centre + (way.end.centre - way.start.centre) * ahead,
            angle=way.start.angle + (way.end.angle - way.start.angle) * ahead,
        )
        found = jax.vmap(manifold, (None, None, 0))(there, shape, edges)
        touches = found.count > 0
        real = jnp.any(touches & first)
        looked_at = first | (known & real)
        old_touches = way.contacts.count > 0
        contacts_ = jax.tree.map(
            lambda new, old: jnp.where(
                looked_at.reshape((2,) + (1,) * (new.ndim - 1)), new, old
            ),
            jax.vmap(updated)(way.contacts, found),
            way.contacts,
        )
        begins = looked_at & touches & ~old_touches
        ends = looked_at & ~touches & old_touches
        flag = last_event(way.flag, begins, ends, odd)
        found = found.replace(count=jnp.where(looked_at, found.count, 0))
        began = way.began | jnp.any(begins)
        way = way.replace(
            contacts=contacts_,
            flag=flag,
            began=began,
            enabled=(way.enabled & ~(first & ~real)) | (looked_at & real),
            impacts=way.impacts + first,
        )
        stop = real & ~done & solved
        start, end = _stopped(there, found, shape, odd, (1 - time) * c.TIME_STEP, stop)
        pairs = broadphase.swept(way.pairs, start, end, shape, terrain)
        stopped = way.replace(start=start, end=end, fraction=time, pairs=pairs)
        after = where(stop, stopped, way).replace(done=real & ~solved)
        return where(done, before.replace(done=done), after)

    way = Way(
        start=start,
        end=end,
        fraction=jnp.zeros_like(start.angle),
        contacts=contacts,
        pairs=pairs,
        flag=flag,
        began=jnp.array(False),
        enabled=jnp.ones(2, bool),
        impacts=jnp.zeros(2, jnp.int32),
        done=~awake,
    )

    return jax.lax.while_loop(lambda way: ~way.done, impact, way)


def last_event(
    flag: jax.Array, begins: jax.Array, ends: jax.Array, odd_first: jax.Array
) -> jax.Array:
    """A flag that any begin sets and any end clears, in the order of the contacts."""

    def after(flag: jax.Array, slot: int) -> jax.Array:
        return (flag & ~ends[slot]) | begins[slot]

    return jnp.where(odd_first, after(after(flag, 1), 0), after(after(flag, 0), 1))


def _stopped(
    body: Body, found: Manifold, shape: Shape, odd_first: Any, time: Any, stop: Any
) -> tuple[Body, Body]:
    """A body pushed out at its impact, and after the rest of its way."""
    found = jax.tree.map(
        lambda leaf: jnp.where(odd_first, leaf[::-1], leaf), found
    )

    def push(carry: Any) -> Any:
        body, _, passes = carry
        body, deepest = contact_positions_solved(
            body, found, shape, c.IMPACT_BAUMGARTE
        )
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
                impulses[i], rows[i], after, shape, None
            )
            solved.append(each)
        before_and_after = zip(
            jax.tree.leaves((body, impulses)), jax.tree.leaves((after, solved)), strict=True
        )
        changed = jnp.array(False)
        for old, new in before_and_after:
            changed |= old != new
        return after, solved, changed, passes + 1

    def moving(carry: Any) -> jax.Array:
        # An iteration that changes nothing would change nothing ever after.
        return stop & carry[2] & (carry[3] < c.VELOCITY_ITERATIONS)

    begin = (start, [none, none], jnp.array(True), jnp.int32(0))
    end, _, _, _ = jax.lax.while_loop(moving, solve, begin)
    return start, moved(end, time)
