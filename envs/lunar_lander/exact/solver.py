"""The exact solver: Box2D's truncated iterations over joints and contacts.

180 velocity iterations do not converge when a leg stands on the ground, light between
the heavy hull and the moon: the truncated iterate *is* the environment
(`b2Island.cpp`).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import joints as joint_solver
from dmaml_jax.envs.lunar_lander.bodies import Body, Pose, across, shapes
from dmaml_jax.envs.lunar_lander.exact import velocity as contact_solver
from dmaml_jax.envs.lunar_lander.exact.contacts import Contact, Manifold
from dmaml_jax.envs.lunar_lander.exact.position import contact_positions_solved
from dmaml_jax.envs.lunar_lander.joints import Joint
from dmaml_jax.envs.lunar_lander.lanes import repeated, where_needed
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import row, stacked

ALL, LEGS = slice(0, 3), slice(c.FIRST_LEG, 3)


class Constraints(struct.PyTreeNode):
    """What the solver is given beside the bodies.

    Attributes:
        joints: the joints of both legs, `[2, L]`.
        contacts: the contacts with an even and an odd edge of each body, `[2, 3, L]`.
        found: where they touch, `[2, 3, L]`; not looked at in the air.
        odd_first: whether a body's odd edge is solved before its even one, `[3, L]`.
        max_motor: the greatest angular impulse of a leg's motor, N m s a step, `[L]`.
    """

    joints: Joint
    contacts: Contact
    found: Any
    odd_first: Any
    max_motor: Any


def touches(found: Manifold, *, hull_contacts: bool) -> jax.Array:
    """Whether any contact is there to be solved."""
    counts = found.count if hull_contacts else found.count[:, LEGS]
    return jnp.any(counts > 0, axis=(0, 1))


def _in_order(given: Constraints, tree: Any) -> Any:
    """Each body's contact to be solved first before the other one; its own inverse."""
    return jax.tree.map(lambda leaf: jnp.where(given.odd_first, leaf[::-1], leaf), tree)


def _of(tree: Any, bodies: slice) -> Any:
    """The contacts of some bodies."""
    return jax.tree.map(lambda leaf: leaf[:, bodies], tree)


def _stored(given: Constraints, rows: Any, solved: Any, bodies: slice) -> Contact:
    """The contacts with the impulses that were solved in their order."""
    contacts = _in_order(given, given.contacts)
    after = contact_solver.stored(_of(contacts, bodies), rows, stacked(*solved))

    def with_others(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.concatenate([old[:, : bodies.start], new], axis=1)

    return _in_order(given, jax.tree.map(with_others, contacts, after))


def _joint_rows(
    body: list[Body], given: Constraints
) -> tuple[list[Joint], list[Any], list[Body]]:
    """Joints with their limits, their rows, and bodies after last step's impulses."""
    dtype = given.max_motor.dtype
    shape, setting = shapes(dtype), joint_solver.settings(dtype)
    body, joint = list(body), [row(given.joints, k) for k in range(2)]
    rows: list[Any] = [None, None]
    for k in joint_solver.ORDER:
        a, b = row(shape, c.HULL), row(shape, 1 + k)
        joint[k], rows[k] = joint_solver.prepared(
            joint[k], row(setting, k), body[0], body[1 + k], a, b, given.max_motor
        )
        twist = joint[k].motor + joint[k].limit
        body[0], body[1 + k] = joint_solver.applied(
            body[0], body[1 + k], rows[k], a, b, joint[k].impulse, twist
        )
    return joint, rows, body


def velocities_solved(
    bodies: Body, given: Constraints, *, touching: slice | None
) -> tuple[Body, Joint, Contact]:
    """Velocities and impulses after 180 iterations from last step's impulses.

    Args:
        bodies: the bodies, whose velocities have gravity and forces in them, `[3, L]`.
        given: what the solver is given beside the bodies.
        touching: the bodies whose contacts are solved.
    """
    shape = shapes(bodies.angle.dtype)
    standing = across(shape)
    impulses, rows, both = [], [], None
    if touching:
        both = keep(contact_solver.prepared(given.found, bodies, standing))
        start = contact_solver.remembered(given.contacts, both)
        both, start = _of(_in_order(given, (both, start)), touching)
        standing = jax.tree.map(lambda leaf: leaf[..., touching, :], standing)
        rows, impulses = ([row(x, i) for i in range(2)] for x in (both, keep(start)))
    body = [row(bodies, i) for i in range(3)]
    if touching:
        bodies = jax.tree.map(lambda leaf: leaf[touching], bodies)
        for contact_row, impulse in zip(rows, impulses, strict=True):
            bodies = contact_solver.pushed(bodies, contact_row, impulse, standing)
        body[touching] = [row(bodies, i) for i in range(len(body[touching]))]
    joint, joint_rows, body = _joint_rows(body, given)
    pairs = [(row(shape, c.HULL), row(shape, 1 + k)) for k in range(2)]

    def iteration(_: Any, carry: Any) -> Any:
        body, joint, impulses = (list(part) for part in carry)
        for k in joint_solver.ORDER:
            joint[k], body[0], body[1 + k] = joint_solver.velocity_solved(
                joint[k], joint_rows[k], body[0], body[1 + k], *pairs[k]
            )
        if touching:
            bodies = stacked(*body[touching])
            for i in range(2):
                impulses[i], bodies = contact_solver.velocity_solved(
                    impulses[i], rows[i], bodies, standing
                )
            body[touching] = [row(bodies, i) for i in range(len(body[touching]))]
        return body, joint, impulses

    # Poses stay as they are, and would only be carried along.
    moving = [each.replace(centre=None, angle=None) for each in body]
    moving, joint, impulses = jax.lax.fori_loop(
        0, c.VELOCITY_ITERATIONS, iteration, (keep(moving), joint, impulses)
    )
    after = stacked(
        *(
            each.replace(velocity=new.velocity, spin=new.spin)
            for each, new in zip(body, moving, strict=True)
        )
    )
    contacts = given.contacts
    if touching:
        contacts = _stored(given, both, impulses, touching)
    return after, stacked(*joint), contacts


def velocities(
    stands: jax.Array, bodies: Body, given: Constraints, *, hull_contacts: bool
) -> tuple[Body, Joint, Contact]:
    """`velocities_solved`; in the air the joints alone, at a quarter of the cost."""
    stand = functools.partial(
        velocities_solved, touching=ALL if hull_contacts else LEGS
    )
    fly = velocities_solved(bodies, given, touching=None)
    return where_needed(stands, fly, stand, bodies, given)


def positions(
    alive: jax.Array,
    stands: jax.Array,
    bodies: Body,
    given: Constraints,
    *,
    hull_contacts: bool,
) -> tuple[Body, jax.Array]:
    """`positions_solved`; in the air one iteration of the joints is mostly enough."""
    first, well = joint_positions_solved(bodies, given)
    again = functools.partial(positions_solved, touching=ALL if hull_contacts else LEGS)
    needed = alive & (stands | ~well)
    return where_needed(needed, (first, well | ~alive), again, bodies, given)


def joint_positions_solved(bodies: Body, given: Constraints) -> tuple[Body, jax.Array]:
    """One position iteration of both joints, and whether both were well."""
    hull = Pose(bodies.centre[c.HULL], bodies.angle[c.HULL])
    legs = Pose(bodies.centre[LEGS], bodies.angle[LEGS])
    hull, legs, well = joint_solver.placed(given.joints.side, hull, legs)

    def joined(hull: jax.Array, legs: jax.Array) -> jax.Array:
        return jnp.concatenate([hull[None], legs])

    pose = jax.tree.map(joined, hull, legs)
    return bodies.replace(centre=pose.centre, angle=pose.angle), well


def positions_solved(
    bodies: Body, given: Constraints, *, touching: slice | None
) -> tuple[Body, jax.Array]:
    """Poses after at most 60 iterations, and whether all constraints were satisfied.

    `touching` are the bodies whose contacts are solved.
    """
    found: Any = None
    shape = across(shapes(bodies.angle.dtype))
    if touching:
        found = _in_order(given, given.found)
        if touching == LEGS:
            nothing = jnp.zeros_like(found.count[:, :1])
            counts = jnp.concatenate([nothing, found.count[:, LEGS]], axis=1)
            found = found.replace(count=counts)

    def iteration(carry: Any) -> Any:
        bodies, well, passes = carry
        well = jnp.ones_like(well)
        if touching:
            bodies, deepest = contact_positions_solved(
                bodies, found, shape, c.BAUMGARTE
            )
            well = jnp.min(deepest, axis=0) >= -3 * c.LINEAR_SLOP
        bodies, satisfied = joint_positions_solved(bodies, given)
        return bodies, satisfied & well, passes + 1

    def unsatisfied(carry: Any) -> jax.Array:
        _, satisfied, passes = carry
        return ~satisfied & (passes < c.POSITION_ITERATIONS)

    lanes = bodies.angle.shape[1:]
    begin = (bodies, jnp.zeros(lanes, bool), jnp.zeros(lanes, jnp.int32))
    bodies, satisfied, _ = repeated(unsatisfied, iteration, begin)
    return bodies, satisfied
