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
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, is_slow
from dmaml_jax.envs.lunar_lander.exact import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.exact.contacts import Contact
from dmaml_jax.envs.lunar_lander.exact.lanes_old import where_needed
from dmaml_jax.envs.lunar_lander.exact.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.joints import Joint, JointSetting
from dmaml_jax.envs.lunar_lander.numerics import keep_each
from dmaml_jax.envs.lunar_lander.vectors import row, stacked, where

LEGS = (c.SECOND_LEG, c.FIRST_LEG)  # Box2D's order: the newest first
ALL = (c.SECOND_LEG, c.HULL, c.FIRST_LEG)


class Constraints(struct.PyTreeNode):
    """What the solver is given beside the bodies.

    Attributes:
        joints: as rows, `[2]`.
        contacts: of each body with an even and an odd edge, `[3, 2]`.
        found: where they touch, `[3, 2]`; not looked at in the air.
        odd_first: of each body, whether the odd edge is solved first, `[3]`.
        shape: of each body, `[3]`.
        setting: of each joint, `[2]`.
        max_motor: angular impulse of a leg's motor in a step, N m s.
    """

    joints: Joint
    contacts: Contact
    found: Any
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


def _contact_rows(
    bodies: Body, given: Constraints, touching: tuple[int, ...]
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Rows and last step's impulses of the contacts of bodies, in their order."""
    rows = jax.vmap(jax.vmap(contact_solver.prepared, (0, None, None)))(
        given.found, bodies, given.shape
    )
    rows = keep_each(rows)
    start = jax.vmap(jax.vmap(contact_solver.remembered))(given.contacts, rows)
    rows, start = _in_order(given, rows), _in_order(given, keep_each(start))
    return (
        {i: [row(rows, i, j) for j in range(2)] for i in touching},
        {i: [row(start, i, j) for j in range(2)] for i in touching},
    )


def _stored(given: Constraints, rows: dict[int, Any], solved: dict[int, Any]) -> Any:
    """The contacts with the impulses that were solved in their order."""
    contacts = _in_order(given, given.contacts)
    after = []
    for i in range(3):
        pair = [row(contacts, i, j) for j in range(2)]
        if i in rows:
            pair = map(contact_solver.stored, pair, rows[i], solved[i])
        after.append(stacked(*pair))
    return _in_order(given, stacked(*after))


def _joint_rows(
    body: list[Body], given: Constraints, shape: list[Shape]
) -> tuple[dict[int, Joint], dict[int, Any], list[Body]]:
    """Joints with their limits, their rows, and bodies after last step's impulses."""
    body, joint, rows = list(body), {}, {}
    for leg in LEGS:
        pair = body[c.HULL], body[leg], shape[c.HULL], shape[leg]
        held, setting = row(given.joints, leg - 1), row(given.setting, leg - 1)
        joint[leg], rows[leg] = keep_each(
            joint_solver.prepared(held, setting, *pair, given.max_motor)
        )
        twist = joint[leg].motor + joint[leg].limit
        body[c.HULL], body[leg] = joint_solver.applied(
            body[c.HULL], body[leg], rows[leg], *pair[2:], joint[leg].impulse, twist
        )
    return joint, rows, body


def velocities_solved(
    bodies: Body, given: Constraints, *, touching: tuple[int, ...]
) -> tuple[Body, Joint, Contact]:
    """Velocities and impulses after 180 iterations from last step's impulses.

    Args:
        bodies: as rows, with gravity and forces already in their velocities.
        given: joints and contacts.
        touching: the bodies whose contacts are solved.
    """
    shape = [row(given.shape, i) for i in range(3)]
    body = [row(bodies, i) for i in range(3)]
    contact_rows, impulses = {}, {}
    if touching:
        contact_rows, impulses = _contact_rows(bodies, given, touching)
    for i in touching:
        for contact_row, impulse in zip(contact_rows[i], impulses[i], strict=True):
            body[i] = contact_solver.pushed(body[i], contact_row, impulse, shape[i])
    joint, joint_rows, body = _joint_rows(body, given, shape)

    def iteration(_: Any, carry: Any) -> Any:
        body, joint, impulses = carry
        body, joint, impulses = list(body), dict(joint), dict(impulses)
        for leg in LEGS:
            pair = body[c.HULL], body[leg], shape[c.HULL], shape[leg]
            joint[leg], body[c.HULL], body[leg] = joint_solver.velocity_solved(
                joint[leg], joint_rows[leg], *pair
            )
        for i in touching:
            solved = []
            for old, contact_row in zip(impulses[i], contact_rows[i], strict=True):
                new, body[i] = contact_solver.velocity_solved(
                    old, contact_row, body[i], shape[i]
                )
                solved.append(new)
            impulses[i] = solved
        return body, joint, impulses

    body, joint, impulses = jax.lax.fori_loop(
        0, c.VELOCITY_ITERATIONS, iteration, (keep_each(body), joint, impulses)
    )
    contacts = given.contacts
    if touching:
        contacts = _stored(given, contact_rows, impulses)
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
        return positions_solved(bodies, given, touching=ALL if hull_contacts else LEGS)

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
        body[c.HULL], body[leg], well = joint_solver.position_solved_old(
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
    bodies: Body, given: Constraints, *, touching: tuple[int, ...]
) -> tuple[Body, jax.Array]:
    """Poses after at most 60 iterations, and whether all constraints were satisfied.

    `touching` are the bodies whose contacts are solved.
    """
    found: Any = None
    if touching:
        found = _in_order(given, given.found)
        if touching == LEGS:
            is_leg = jnp.arange(3)[:, None] >= c.FIRST_LEG
            found = found.replace(count=jnp.where(is_leg, found.count, 0))

    def iteration(carry: Any) -> Any:
        bodies, _, passes = carry
        well = jnp.array(True)
        if touching:
            bodies, deepest = jax.vmap(contact_positions_solved, (0, 0, 0, None))(
                bodies, found, given.shape, c.BAUMGARTE
            )
            well = jnp.min(deepest) >= -3 * c.LINEAR_SLOP
        bodies, satisfied = joint_positions_solved(bodies, given)
        return bodies, satisfied & well, passes + 1

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
