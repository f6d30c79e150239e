"""The exact solver: Box2D's truncated iterations over joints and contacts.

180 velocity iterations do not converge when a leg stands on the ground, light between
the heavy hull and the moon: the truncated iterate *is* the environment
(`b2Island.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, is_slow
from dmaml_jax.envs.lunar_lander.contacts import Contact, Manifold
from dmaml_jax.envs.lunar_lander.joints import Joint, JointSetting
from dmaml_jax.envs.lunar_lander.lanes import where_needed
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.vectors import row, stacked, where

LEGS = (c.SECOND_LEG, c.FIRST_LEG)  # Box2D's order: the newest first
ALL = (c.SECOND_LEG, c.HULL, c.FIRST_LEG)


class Constraints(struct.PyTreeNode):
    """What the solver is given beside the bodies.

    Attributes:
        joints: as rows, `[2]`.
        contacts: of each body with an even and an odd edge, `[3, 2]`.
        found: where they touch, `[3, 2]`.
        odd_first: of each body, whether the odd edge is solved first, `[3]`.
        shape: of each body, `[3]`.
        setting: of each joint, `[2]`.
        max_motor: angular impulse of a leg's motor in a step, N m s.
    """

    joints: Joint
    contacts: Contact
    found: Manifold
    odd_first: Any
    shape: Shape
    setting: JointSetting
    max_motor: Any


def touches(given: Constraints, *, hull_contacts: bool) -> jax.Array:
    """Whether any contact is there to be solved."""
    counts = given.found.count if hull_contacts else given.found.count[c.FIRST_LEG :]
    return jnp.any(counts > 0)


def _in_order(given: Constraints, tree: Any) -> Any:
    """Each body's contact to be solved first before the other one; its own inverse."""

    def swapped(leaf: jax.Array) -> jax.Array:
        swap = given.odd_first.reshape((3,) + (1,) * (leaf.ndim - 1))
        return jnp.where(swap, leaf[:, ::-1], leaf)

    return jax.tree.map(swapped, tree)


def velocities_solved(
    bodies: Body, given: Constraints, *, touching: tuple[int, ...]
) -> tuple[Body, Joint, Contact]:
    """Velocities and impulses after 180 iterations from last step's impulses.

    Args:
        bodies: as rows, with gravity and forces already in their velocities.
        given: joints and contacts.
        touching: the bodies whose contacts are solved.
    """
    shapes = [row(given.shape, i) for i in range(3)]
    one = shapes[c.HULL].one
    rows = jax.vmap(jax.vmap(contact_solver.prepared, (0, None, None)))(
        given.found, bodies, given.shape
    )
    start = jax.vmap(jax.vmap(contact_solver.remembered))(given.contacts, rows)
    ordered_rows, ordered_start = _in_order(given, rows), _in_order(given, start)
    contact_rows, impulses = materialise(
        (
            {i: [row(ordered_rows, i, j) for j in range(2)] for i in touching},
            {i: [row(ordered_start, i, j) for j in range(2)] for i in touching},
        ),
        one,
    )
    body = [row(bodies, i) for i in range(3)]
    for i in touching:
        for j in range(2):
            body[i] = contact_solver.pushed(
                body[i], contact_rows[i][j], impulses[i][j], shapes[i]
            )
    joint, joint_rows = {}, {}
    for leg in LEGS:
        joint[leg], joint_rows[leg] = materialise(
            joint_solver.prepared(
                row(given.joints, leg - 1),
                row(given.setting, leg - 1),
                body[c.HULL],
                body[leg],
                shapes[c.HULL],
                shapes[leg],
                given.max_motor,
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
        body, joint, impulses = carry
        body, joint, impulses = list(body), dict(joint), dict(impulses)
        for leg in LEGS:
            joint[leg], body[c.HULL], body[leg] = joint_solver.velocity_solved(
                joint[leg],
                joint_rows[leg],
                body[c.HULL],
                body[leg],
                shapes[c.HULL],
                shapes[leg],
            )
        for i in touching:
            pair = []
            for j in range(2):
                solved, body[i] = contact_solver.velocity_solved(
                    impulses[i][j], contact_rows[i][j], body[i], shapes[i]
                )
                pair.append(solved)
            impulses[i] = pair
        return body, joint, impulses

    body = materialise(body, one)
    body, joint, impulses = jax.lax.fori_loop(
        0, c.VELOCITY_ITERATIONS, iteration, (body, joint, impulses)
    )
    contacts = given.contacts
    if touching:
        unsolved = [row(ordered_start, c.HULL, j) for j in range(2)]
        pairs = [stacked(*impulses.get(i, unsolved)) for i in range(3)]
        solved = _in_order(given, stacked(*pairs))
        contacts = jax.vmap(jax.vmap(contact_solver.stored))(contacts, rows, solved)
    joints = stacked(joint[c.FIRST_LEG], joint[c.SECOND_LEG])
    return stacked(*body), joints, contacts


def velocities(hull_contacts: bool) -> Any:
    """`velocities_solved` as a function that is first told whether a contact is there.

    Without one the joints alone are solved, at a quarter of the cost.
    """

    def stand(stands: jax.Array, bodies: Body, given: Constraints) -> Any:
        return velocities_solved(bodies, given, touching=ALL if hull_contacts else LEGS)

    def fly(stands: jax.Array, bodies: Body, given: Constraints) -> Any:
        return velocities_solved(bodies, given, touching=())

    return where_needed(lambda stands, *_: stands, fly, stand)


def positions(hull_contacts: bool) -> Any:
    """`positions_solved`, after whether the world lives and any contact is there.

    In the air one iteration of the joints is nearly always enough.
    """

    def once(first: Any, well: jax.Array, bodies: Body, given: Constraints) -> Any:
        return first, well

    def again(first: Any, well: jax.Array, bodies: Body, given: Constraints) -> Any:
        return positions_solved(bodies, given, hull_contacts=hull_contacts)

    # What is needed is told by the second argument: whether all was well at once.
    choose = where_needed(lambda _, well, *__: ~well, once, again)

    def solved(
        alive: jax.Array, stands: jax.Array, bodies: Body, given: Constraints
    ) -> tuple[Body, jax.Array]:
        first, well = joint_positions_solved(bodies, given)
        return choose(first, (well & ~stands) | ~alive, bodies, given)

    return solved


def joint_positions_solved(bodies: Body, given: Constraints) -> tuple[Body, jax.Array]:
    """One position iteration of both joints, and whether both were well."""
    shapes = [row(given.shape, i) for i in range(3)]
    body, satisfied = [row(bodies, i) for i in range(3)], jnp.array(True)
    for leg in LEGS:
        body[c.HULL], body[leg], well = joint_solver.position_solved(
            row(given.joints, leg - 1),
            row(given.setting, leg - 1),
            body[c.HULL],
            body[leg],
            shapes[c.HULL],
            shapes[leg],
        )
        satisfied &= well
    return stacked(*body), satisfied


def positions_solved(
    bodies: Body, given: Constraints, *, hull_contacts: bool
) -> tuple[Body, jax.Array]:
    """Poses after at most 60 iterations, and whether all constraints were satisfied."""
    found = _in_order(given, given.found)
    if not hull_contacts:
        is_leg = jnp.arange(3)[:, None] >= c.FIRST_LEG
        found = found.replace(count=jnp.where(is_leg, found.count, 0))

    def iteration(carry: Any) -> Any:
        bodies, _, passes = carry
        bodies, deepest = jax.vmap(contact_positions_solved, (0, 0, 0, None))(
            bodies, found, given.shape, c.BAUMGARTE
        )
        bodies, satisfied = joint_positions_solved(bodies, given)
        return bodies, satisfied & (jnp.min(deepest) >= -3 * c.LINEAR_SLOP), passes + 1

    def unsatisfied(carry: Any) -> jax.Array:
        _, satisfied, passes = carry
        return ~satisfied & (passes < c.POSITION_ITERATIONS)

    begin = (bodies, jnp.array(False), jnp.int32(0))
    bodies, satisfied, _ = jax.lax.while_loop(unsatisfied, iteration, begin)
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
