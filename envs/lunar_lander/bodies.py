"""The lander's three rigid bodies: their shapes, poses and motion."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Scalar,
    Vector,
    cross,
    dot,
    fixed,
    length,
    rotation,
    rows,
    stacked,
    turn,
    where,
)


class Body(struct.PyTreeNode):
    """Where a body is and how it moves; as rows, hull and both legs.

    Attributes:
        centre: where the centre of mass is, m.
        angle: the angle of the body, rad.
        velocity: the velocity of the centre of mass, m/s.
        spin: the angular velocity, rad/s.
    """

    centre: Vector
    angle: Any
    velocity: Vector
    spin: Any


class Pose(struct.PyTreeNode):
    """Where a body is: its centre of mass, m, and its angle, rad."""

    centre: Vector
    angle: jax.Array


class Shape(struct.PyTreeNode):
    """What never changes of a body: a convex polygon with a skin.

    Attributes:
        vertices: the vertices in the body's frame, m, counterclockwise, `[6]`; a leg's
            four and its first one again.
        normals: the outward normal of the edge that begins at each vertex, `[6]`.
        corners: how many of the six vertices the polygon has.
        centre: where the centre of mass is in the body's frame, m.
        inverse_mass: the inverse of the mass, 1/kg.
        inverse_inertia: the inverse of the moment of inertia, 1/(kg m²).
        friction: the coefficient of friction with the ground.
    """

    vertices: Vector
    normals: Vector
    corners: Any
    centre: Vector
    inverse_mass: Any
    inverse_inertia: Any
    friction: Any


def shapes(dtype: Any) -> Shape:
    """Hull and both legs, as rows of NumPy's arrays."""

    def vectors(pairs: Any) -> Vector:
        pairs = np.asarray(pairs, dtype)
        return fixed(pairs[..., 0], pairs[..., 1])

    return Shape(
        vertices=vectors(c.VERTICES),
        normals=vectors(c.NORMALS),
        corners=np.asarray(c.NUM_CORNERS, np.int32),
        centre=vectors(c.CENTRES),
        inverse_mass=np.asarray(c.INVERSE_MASSES, dtype),
        inverse_inertia=np.asarray(c.INVERSE_INERTIAS, dtype),
        friction=np.asarray(c.FRICTIONS, dtype),
    )


def across(shape: Shape, lanes: int = 1) -> Shape:
    """Rows of shapes with their vertices as first axis, `[6, 3, 1]`.

    Args:
        shape: rows of shapes, as `shapes` returns them.
        lanes: how many axes follow the bodies'.
    """

    def turned(leaf: np.ndarray) -> np.ndarray:
        return leaf.T.reshape(*leaf.T.shape, *(1,) * lanes)

    return jax.tree.map(turned, shape)


def hull_or_leg(is_hull: jax.Array, dtype: Any) -> Shape:
    """The shape of each of many bodies, which are the last axis."""
    hull, leg = (
        jax.tree.map(lambda leaf, i=i: leaf[i][..., None], shapes(dtype))
        for i in (c.HULL, c.FIRST_LEG)
    )
    return where(is_hull, hull, leg)


def created(dtype: Any) -> Body:
    """The bodies as Gymnasium creates them: the legs beside their joints, tilted."""

    def resting(x: float, centre: tuple[float, float], angle: float) -> Body:
        # Added in the bodies' own precision, as Box2D does: in float32 it shows.
        place = Vector(
            jnp.asarray(x, dtype) + jnp.asarray(centre[0], dtype),
            jnp.asarray(c.HEIGHT, dtype) + jnp.asarray(centre[1], dtype),
        )
        still = jnp.zeros((), dtype)
        return Body(place, jnp.asarray(angle, dtype), Vector(still, still), still)

    return stacked(
        resting(c.WIDTH / 2, c.HULL_CENTRE, 0.0),
        resting(c.WIDTH / 2 + c.LEG_AWAY, (0.0, 0.0), -c.LEG_TILT),
        resting(c.WIDTH / 2 - c.LEG_AWAY, (0.0, 0.0), c.LEG_TILT),
    )


def origin(body: Body | Pose, shape: Shape) -> tuple[Vector, Vector]:
    """The pose of a body's frame: the origin's position and the rotation."""
    q = keep(rotation(body.angle))
    return body.centre - turn(q, shape.centre), q


def pushed(body: Body, shape: Shape, impulse: Vector, point: Vector) -> Body:
    """The body after an impulse (N s) at a point of the world."""
    return body.replace(
        velocity=body.velocity + impulse * shape.inverse_mass,
        spin=body.spin + cross(point - body.centre, impulse) * shape.inverse_inertia,
    )


def moved(body: Body, time: Scalar) -> Body:
    """The body a time (s) later, its speed held to what Box2D lets it cover."""
    distance = length(body.velocity * time)
    slower = c.MAX_TRANSLATION / jnp.maximum(distance, c.MAX_TRANSLATION)
    turned = jnp.abs(body.spin * time)
    calmer = c.MAX_ROTATION / jnp.maximum(turned, c.MAX_ROTATION)
    velocity, spin = body.velocity * slower, body.spin * calmer
    return Body(
        centre=body.centre + velocity * time,
        angle=body.angle + spin * time,
        velocity=velocity,
        spin=spin,
    )


def is_slow(body: Body) -> jax.Array:
    """Whether a body moves so little that it may fall asleep."""
    return (body.spin**2 <= c.SLEEP_SPIN**2) & (
        dot(body.velocity, body.velocity) <= c.SLEEP_SPEED**2
    )


def pose(body: Body) -> Pose:
    """Where a body is."""
    return Pose(body.centre, body.angle)


def accelerated(bodies: Body, force: Vector, torque: Scalar, gravity: Scalar) -> Body:
    """Velocities after gravity on all bodies, and force and torque on the hull.

    Args:
        bodies: the hull and both legs, leaves `[3, L]`.
        force: the force on the hull's centre, N, `[L]`.
        torque: the torque on the hull, N m, `[L]`.
        gravity: the acceleration downwards, m/s², `[L]`.
    """
    mass = rows((c.INVERSE_MASSES[c.HULL], 0, 0), bodies.angle)
    inertia = rows((c.INVERSE_INERTIAS[c.HULL], 0, 0), bodies.angle)
    pull = Vector(mass * force.x, mass * force.y - gravity)
    return bodies.replace(
        velocity=bodies.velocity + pull * c.TIME_STEP,
        spin=bodies.spin + (c.TIME_STEP * inertia) * torque,
    )


def fallen_asleep(
    bodies: Body, sleep_times: jax.Array, satisfied: jax.Array
) -> tuple[Body, jax.Array, jax.Array]:
    """Bodies, their times of rest (s), and whether they fell asleep, then at rest.

    Args:
        bodies: the hull and both legs, leaves `[3, L]`.
        sleep_times: how long each has been at rest, s, `[3, L]`.
        satisfied: whether the positions are as the constraints want them, `[L]`.
    """
    sleep_times = jnp.where(is_slow(bodies), sleep_times + c.TIME_STEP, 0)
    asleep = satisfied & (jnp.min(sleep_times, axis=0) >= c.TIME_TO_SLEEP)
    velocity = bodies.velocity
    at_rest = bodies.replace(
        velocity=Vector(
            jnp.where(asleep, 0, velocity.x), jnp.where(asleep, 0, velocity.y)
        ),
        spin=jnp.where(asleep, 0, bodies.spin),
    )
    return at_rest, sleep_times, asleep
