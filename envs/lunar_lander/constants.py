"""Numbers of Gymnasium's LunarLander and of Box2D 2.3; lengths in m, masses in kg.

Rows of every array over bodies: hull, first leg (created at x + 2/3), second leg.
"""

import math

import numpy as np

# Gymnasium's world.
TIME_STEP = 0.02  # s
SCALE = 30.0  # pixels per m
WIDTH = 600 / SCALE
HEIGHT = 400 / SCALE
PAD_HEIGHT = HEIGHT / 4
NUM_VERTICES = 11
NUM_EDGES = NUM_VERTICES - 1
EDGE_WIDTH = WIDTH / NUM_EDGES

# The lander.
HULL, FIRST_LEG, SECOND_LEG = range(3)
LEG_AWAY = 20 / SCALE
LEG_DOWN = 18 / SCALE
LEG_TILT = 0.05  # rad, at creation
MAIN_ENGINE_DOWN = 4 / SCALE
SIDE_ENGINE_AWAY = 12 / SCALE
SIDE_ENGINE_HEIGHT = 14 / SCALE
SIDE_ENGINE_HEIGHT_X = 17 / SCALE  # Gymnasium's own slip: 17 for x, 14 for y

# The joints of the first and the second leg. pybox2d takes the legs' angles at creation
# as the zero of the joints' angles.
REFERENCE_ANGLES = (-LEG_TILT, LEG_TILT)
LOWER_ANGLES = (0.4, -0.9)
UPPER_ANGLES = (0.9, -0.4)
MOTOR_SPEEDS = (-0.3, 0.3)  # rad/s
LEG_ANCHORS = ((-LEG_AWAY, LEG_DOWN), (LEG_AWAY, LEG_DOWN))

# Box2D's solver.
VELOCITY_ITERATIONS = 180
POSITION_ITERATIONS = 60
LINEAR_SLOP = 0.005
ANGULAR_SLOP = 2 / 180 * math.pi
SKIN = 2 * LINEAR_SLOP  # the radius of every shape
BAUMGARTE = 0.2
MAX_LINEAR_CORRECTION = 0.2
MAX_ANGULAR_CORRECTION = 8 / 180 * math.pi
MAX_TRANSLATION = 2.0  # in one step
MAX_ROTATION = 0.5 * math.pi  # in one step
MAX_CONDITION = 1000.0
BOX_MARGIN = 0.1
BOX_FORESIGHT = 2.0  # displacements

# Box2D's continuous collision.
IMPACT_TARGET = LINEAR_SLOP
IMPACT_TOLERANCE = 0.25 * LINEAR_SLOP
IMPACT_BAUMGARTE = 0.75
IMPACT_POSITION_ITERATIONS = 20
MAX_IMPACTS = 8
MAX_AXES = 20
MAX_DEEPEST_POINTS = 16
MAX_ROOT_ITERATIONS = 50

# Box2D's sleep.
TIME_TO_SLEEP = 0.5  # s
SLEEP_SPEED = 0.01  # m/s
SLEEP_SPIN = ANGULAR_SLOP  # rad/s


def _mass_properties(
    vertices: np.ndarray, density: float
) -> tuple[float, float, tuple[float, float]]:
    """Mass, inertia about the centre, and centre of a polygon, by its triangles."""
    following = np.roll(vertices, -1, axis=0)
    twice = vertices[:, 0] * following[:, 1] - vertices[:, 1] * following[:, 0]
    mass = density * np.sum(twice) / 2
    centre = density * np.sum(twice[:, None] * (vertices + following), 0) / (6 * mass)
    squares = vertices**2 + vertices * following + following**2
    inertia = density * np.sum(twice[:, None] * squares) / 12
    inertia -= mass * np.sum(centre**2)
    return float(mass), float(inertia), (float(centre[0]), float(centre[1]))


def _normals(vertices: np.ndarray) -> np.ndarray:
    edges = np.roll(vertices, -1, axis=0) - vertices
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


# Vertices in Box2D's order, on which the features' numbers depend.
HULL_VERTICES = (
    np.array([(17, -10), (17, 0), (14, 17), (-14, 17), (-17, 0), (-17, -10)]) / SCALE
)
LEG_VERTICES = np.array([(-2, -8), (2, -8), (2, 8), (-2, 8)]) / SCALE
NUM_CORNERS = (6, 4, 4)

_HULL_MASS, _HULL_INERTIA, HULL_CENTRE = _mass_properties(HULL_VERTICES, density=5.0)
_LEG_MASS, _LEG_INERTIA, _ = _mass_properties(LEG_VERTICES, density=1.0)
INVERSE_MASSES = (1 / _HULL_MASS, 1 / _LEG_MASS, 1 / _LEG_MASS)
INVERSE_INERTIAS = (1 / _HULL_INERTIA, 1 / _LEG_INERTIA, 1 / _LEG_INERTIA)
CENTRES = (HULL_CENTRE, (0.0, 0.0), (0.0, 0.0))

GROUND_FRICTION = 0.1
FRICTIONS = tuple(math.sqrt(GROUND_FRICTION * own) for own in (0.1, 0.2, 0.2))


def _padded(rows: np.ndarray) -> np.ndarray:
    """Repeat the first row at the end, where it can win no comparison."""
    return np.concatenate([rows, np.repeat(rows[:1], 6 - len(rows), axis=0)])


VERTICES = np.stack(
    [_padded(HULL_VERTICES), _padded(LEG_VERTICES), _padded(LEG_VERTICES)]
)
NORMALS = np.stack(
    [_padded(_normals(v)) for v in (HULL_VERTICES, LEG_VERTICES, LEG_VERTICES)]
)
