"""The exact solver: Box2D's truncated iterations over joints and contacts.

180 velocity iterations do not converge when a leg stands on the ground, light between
the heavy hull and the moon: the truncated iterate *is* the environment
(`b2Island.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, is_slow
from dmaml_jax.envs.lunar_lander.contacts import Contact, Manifold
from dmaml_jax.envs.lunar_lander.joints import Joint, JointSetting
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.vectors import Scalar, row, stacked, where

LEGS = (c.SECOND_LEG, c.FIRST_LEG)  # Box2D's order: the newest first


def velocities_solved(
    bodies: Body,
    joints: Joint,
    contacts: Contact,
    found: Manifold,
    odd_first: jax.Array,
    shape: Shape,
    setting: JointSetting,
    max_motor: Scalar,
    *,
    hull_contacts: bool,
    one: Any,
) -> tuple[Body, Joint, Contact]:
    """Velocities and impulses after 180 iterations from last step's impulses.

    Args:
        bodies: as rows, with gravity and forces already in their velocities.
        joints: as rows.
        contacts: of each body with an even and an odd edge, `[3, 2]`.
        found: where they touch, likewise.
        odd_first: of each body, whether the odd edge is solved first, `[3]`.
        shape: of each body.
        setting: of each joint.
        max_motor: angular impulse of a motor in a step, N m s.
        hull_contacts: whether the hull's contacts are solved too.
        one: see `materialise`.
    """
    of_each = jax.vmap(jax.vmap(contact_solver.prepared, (0, None, None)))
    rows = of_each(found, bodies, shape)
    start = jax.vmap(jax.vmap(contact_solver.remembered))(contacts, rows)
    swap = odd_first[:, None]

    def ordered(tree: Any) -> Any:
        """The contact to be solved first before the other one; its own inverse."""

        def swapped(leaf: jax.Array) -> jax.Array:
            return jnp.where(swap, leaf[:, ::-1], leaf)

        return jax.tree.map(swapped, tree)

    touching = range(3) if hull_contacts else LEGS
    in_order, impulses = ordered(rows), ordered(start)
    contact_rows, state = materialise(
        (
            {i: [row(in_order, i, j) for j in range(2)] for i in touching},
            {i: [row(impulses, i, j) for j in range(2)] for i in touching},
        ),
        one,
    )
    shapes = [row(shape, i) for i in range(3)]
    body = [row(bodies, i) for i in range(3)]
    for i in touching:
        for j in range(2):
            body[i] = contact_solver.pushed(
                body[i], contact_rows[i][j], state[i][j], shapes[i]
            )
    joint, joint_rows = {}, {}
    for leg in LEGS:
        joint[leg], joint_rows[leg] = materialise(
            joint_solver.prepared(
                row(joints, leg - 1),
                row(setting, leg - 1),
                body[c.HULL],
                body[leg],
                shapes[c.HULL],
                shapes[leg],
                max_motor,
            ),
            one,
        )
        body[c.HULL], body[leg] = joint_solver.applied(
            body[c.HULL],
            body[leg],
            joint_rows[leg],
            shapes[c.HULL],
            shapes[leg],
            joint[leg].impulse,
            joint[leg].motor + joint[leg].limit,
        )

    def iteration(_: Any, carry: Any) -> Any:
        body, joint, state = carry
        body, joint, state = list(body), dict(joint), dict(state)
        for leg in LEGS:
            joint[leg], body[c.HULL], body[leg] = joint_solver.velocity_solved(
                joint[leg],
                joint_rows[leg],
                body[c.HULL],
                body[leg],
                shapes[c.HULL],
                shapes[leg],
                one,
            )
        for i in touching:
            pair = []
            for j in range(2):
                impulses, body[i] = contact_solver.velocity_solved(
                    state[i][j], contact_rows[i][j], body[i], shapes[i], one
                )
                pair.append(impulses)
            state[i] = pair
        return body, joint, state

    body = [materialise(each, one) for each in body]
    body, joint, state = jax.lax.fori_loop(
        0, c.VELOCITY_ITERATIONS, iteration, (body, joint, state)
    )
    unsolved = [row(impulses, c.HULL, j) for j in range(2)]
    solved = stacked(*(stacked(*state.get(i, unsolved)) for i in range(3)))
    store = jax.vmap(jax.vmap(contact_solver.stored))
    return (
        stacked(*body),
        stacked(joint[c.FIRST_LEG], joint[c.SECOND_LEG]),
        store(contacts, rows, ordered(solved)),
    )


def positions_solved(
    bodies: Body,
    joints: Joint,
    found: Manifold,
    odd_first: jax.Array,
    shape: Shape,
    setting: JointSetting,
    *,
    hull_contacts: bool,
) -> tuple[Body, jax.Array]:
    """Poses after at most 60 iterations, and whether they satisfied every constraint."""
    swap = odd_first[:, None]
    found = jax.tree.map(lambda leaf: jnp.where(swap, leaf[:, ::-1], leaf), found)
    if not hull_contacts:
        is_leg = jnp.arange(3)[:, None] > 0
        found = found.replace(count=jnp.where(is_leg, found.count, 0))
    shapes = [row(shape, i) for i in range(3)]

    def iteration(carry: Any) -> Any:
        bodies, _, passes = carry
        solve = jax.vmap(contact_positions_solved, (0, 0, 0, None))
        bodies, deepest = solve(bodies, found, shape, c.BAUMGARTE)
        satisfied = jnp.min(deepest) >= -3 * c.LINEAR_SLOP
        body = [row(bodies, i) for i in range(3)]
        for leg in LEGS:
            body[c.HULL], body[leg], well = joint_solver.position_solved(
                row(joints, leg - 1),
                row(setting, leg - 1),
                body[c.HULL],
                body[leg],
                shapes[c.HULL],
                shapes[leg],
            )
            satisfied &= well
        return stacked(*body), satisfied, passes + 1

    def unsatisfied(carry: Any) -> jax.Array:
        _, satisfied, passes = carry
        return ~satisfied & (passes < c.POSITION_ITERATIONS)

    bodies, satisfied, _ = jax.lax.while_loop(
        unsatisfied, iteration, (bodies, jnp.array(False), jnp.int32(0))
    )
    return bodies, satisfied


def fallen_asleep(
    bodies: Body, sleep_times: jax.Array, satisfied: jax.Array
) -> tuple[Body, jax.Array, jax.Array]:
    """Bodies, their times of rest (s), and whether they fell asleep, then at rest."""
    slow = jax.vmap(is_slow)(bodies)
    sleep_times = jnp.where(slow, sleep_times + c.TIME_STEP, 0)
    asleep = satisfied & (jnp.min(sleep_times) >= c.TIME_TO_SLEEP)
    at_rest = bodies.replace(
        velocity=jax.tree.map(jnp.zeros_like, bodies.velocity),
        spin=jnp.zeros_like(bodies.spin),
    )
    return where(asleep, at_rest, bodies), sleep_times, asleep
