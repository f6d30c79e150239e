"""Recorded episodes of Gymnasium's LunarLander, and its states rebuilt from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs.lunar_lander import EnvParams, EnvState, LunarLander
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, created, is_slow, shapes
from dmaml_jax.envs.lunar_lander.exact import broadphase
from dmaml_jax.envs.lunar_lander.exact.contacts import Contact, Point
from dmaml_jax.envs.lunar_lander.exact.world import World
from dmaml_jax.envs.lunar_lander.fast.world import FastWorld, hull_height
from dmaml_jax.envs.lunar_lander.joints import Joint
from dmaml_jax.envs.lunar_lander.lanes import of_one_lane
from dmaml_jax.envs.lunar_lander.terrain import edges_below
from dmaml_jax.envs.lunar_lander.vectors import Vector

PUBLIC = Path(__file__).parent.parent / "data" / "lunarlander_gymnasium.npz"

NEEDED = (
    "ep_start gravity wind wind_power turbulence_power wind_idx0 terrain_y "
    "initial_force obs0 action dispersion obs reward terminated contact awake "
    "stable_steps"
).split()
HIDDEN = "bodies0 joints0 bodies joints contacts contact_keys ncontacts".split()


class UnusableFile(Exception):
    """The file is no recording of the lander; says so in one sentence."""


@dataclass(frozen=True)
class Recording:
    """The arrays of one file; the steps of an episode are consecutive rows."""

    arrays: dict[str, np.ndarray]

    @property
    def starts(self) -> np.ndarray:
        """The first row of each episode."""
        return self.arrays["ep_start"][:-1]

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each episode."""
        return np.diff(self.arrays["ep_start"])

    @property
    def has_hidden_state(self) -> bool:
        """Whether Box2D's own state was recorded after every step."""
        return all(name in self.arrays for name in HIDDEN)

    def params(self, env: LunarLander) -> EnvParams:
        """The parameters of every episode, as rows."""
        a = self.arrays
        params = env.default_params.replace(
            gravity=jnp.asarray(a["gravity"], float),
            enable_wind=jnp.asarray(a["wind"]),
            wind_power=jnp.asarray(a["wind_power"], float),
            turbulence_power=jnp.asarray(a["turbulence_power"], float),
        )
        rows = (len(self.starts),)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, rows), params)

    def padded(self, name: str) -> np.ndarray:
        """The steps of an array by episode, `[episodes, longest, ...]`; the rest 0."""
        rows = self.arrays[name]
        shape = (len(self.starts), self.lengths.max(), *rows.shape[1:])
        out = np.zeros(shape, rows.dtype)
        for k, (start, steps) in enumerate(zip(self.starts, self.lengths, strict=True)):
            out[k, :steps] = rows[start : start + steps]
        return out


def read(path: Path) -> Recording:
    """The recording in a file.

    Raises:
        UnusableFile: there is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UnusableFile(f"There is no file {path}.") from None
    except Exception:
        raise UnusableFile(f"{path} is no archive of NumPy arrays (.npz).") from None
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise UnusableFile(
            f"{path} is no recording of the lander: it lacks {', '.join(missing)}."
        )
    return Recording(arrays)


def launched(recording: Recording, env: LunarLander) -> EnvState:
    """The states after the recorded resets, as rows."""
    a = recording.arrays
    return jax.jit(jax.vmap(env.launch))(
        jnp.asarray(a["terrain_y"], float),
        jnp.asarray(a["initial_force"], float),
        jnp.asarray(a["wind_idx0"], jnp.int32),
        recording.params(env),
    )


def _body(rows: np.ndarray) -> Body:
    """Bodies from recorded columns: origin, centre, angle, velocity, spin."""
    columns = [jnp.asarray(rows[..., i], float) for i in range(rows.shape[-1])]
    _, _, x, y, angle, x_dot, y_dot, spin = columns
    return Body(Vector(x, y), angle, Vector(x_dot, y_dot), spin)


def _before(recording: Recording, name: str) -> np.ndarray:
    """An array's values before each step."""
    a = recording.arrays
    rows = np.concatenate([a[name][:1], a[name][:-1]])
    first = a.get(f"{name}0", np.zeros_like(a[name][recording.starts]))
    rows[recording.starts] = first
    return rows


def _pairs(recording: Recording, before: Body, after: Body) -> Any:
    """Boxes and met edges before each step, from the recorded poses."""
    terrain = jnp.asarray(recording.arrays["terrain_y"], float)
    of_step = np.repeat(np.arange(len(recording.starts)), recording.lengths)
    is_first = np.zeros(len(of_step), bool)
    is_first[recording.starts] = True

    def of_bodies(function: Any, *axes: Any) -> Any:
        return jax.vmap(function, axes)

    shape = shapes(terrain.dtype)
    begin = of_bodies(broadphase.created, 0, 0, None)
    sweep = of_bodies(broadphase.swept, 0, 0, 0, 0, None)
    lose = of_bodies(broadphase.without_lost, 0, None)
    at_creation = created(terrain.dtype)

    def advance(pairs: Any, step: Any) -> Any:
        first, before, after, ground = step
        fresh = lose(begin(at_creation, shape, ground), ground)
        fresh = sweep(fresh, at_creation, before, shape, ground)
        pairs = jax.tree.map(lambda x, y: jnp.where(first, x, y), fresh, pairs)
        return sweep(lose(pairs, ground), before, after, shape, ground), pairs

    start = begin(at_creation, shape, terrain[0])
    steps = (jnp.asarray(is_first), before, after, terrain[of_step])
    return jax.jit(lambda: jax.lax.scan(advance, start, steps)[1])()


def _contacts(
    recording: Recording, before: Body
) -> tuple[Contact, dict[str, np.ndarray], np.ndarray]:
    """Contacts before each step, steps left out by reason, each body's first edge."""
    rows, keys = _before(recording, "contacts"), _before(recording, "contact_keys")
    counts = _before(recording, "ncontacts")
    even, odd = (np.asarray(e) for e in edges_below(before.centre.x))
    edges = np.stack([even, odd], axis=-1)  # [N, 3, 2]
    values = np.zeros((*edges.shape, 5))
    feature = np.zeros((*edges.shape, 2), np.int64)
    unusable = {
        "a contact with the floor": np.zeros(len(counts), bool),
        "more contacts than were recorded": counts > rows.shape[1],
    }
    first = np.full(edges.shape[:2], -1)
    for i in np.flatnonzero(counts):
        for contact, key in zip(rows[i, : counts[i]], keys[i], strict=False):
            body, edge = int(contact[0]), int(contact[1])
            if edge >= c.NUM_EDGES:
                unusable["a contact with the floor"][i] = True
                continue
            slot = edge % 2
            edges[i, body, slot] = edge
            values[i, body, slot] = contact[2:]
            feature[i, body, slot] = key
            if first[i, body] < 0:
                first[i, body] = edge

    def point(number: int) -> Point:
        return Point(
            key=jnp.asarray(feature[..., number], jnp.int32),
            normal=jnp.asarray(np.nan_to_num(values[..., 1 + number]), float),
            tangent=jnp.asarray(np.nan_to_num(values[..., 3 + number]), float),
        )

    contact = Contact(
        edge=jnp.asarray(edges, jnp.int32),
        count=jnp.asarray(values[..., 0], jnp.int32),
        points=(point(0), point(1)),
    )
    return contact, unusable, first


def as_fast(world: World, terrain: jax.Array) -> FastWorld:
    """The fast solver's worlds of the exact one's: impulses by the corners' numbers."""
    contacts = jax.tree.map(np.asarray, world.contacts)
    steps = len(contacts.count)
    # By step, kind, corner, even and odd edge, and leg.
    impulses = np.zeros((steps, 2, 2, 2, 2), np.float32)
    for number, point in enumerate(contacts.points):
        corners = (point.key - 65536) // 256
        there = (contacts.count > number) & (point.key < 2 * 65536) & (corners < 2)
        for row, body, slot in np.argwhere(there[:, c.FIRST_LEG :]):
            place = row, body + c.FIRST_LEG, slot
            found = point.normal[place], point.tangent[place]
            impulses[row, :, corners[place], slot, body] = found

    def height(bodies: Body, terrain: jax.Array) -> jax.Array:
        return hull_height(bodies, terrain)

    gaps = jax.jit(of_one_lane(height, like=lambda bodies, _: bodies.angle[0]))
    near = jax.vmap(gaps)(world.bodies, terrain) <= 2 * c.SKIN
    return FastWorld(
        bodies=world.bodies,
        joints=world.joints,
        impulses=jnp.asarray(impulses),
        touching=jnp.swapaxes(world.contacts.count[:, c.FIRST_LEG :] > 0, 1, 2),
        sleep_times=world.sleep_times,
        flags=world.flags,
        grazing=near,
        over=world.over,
        awake=world.awake,
    )


def _limit_sides(recording: Recording) -> np.ndarray:
    """The state of each joint's limit before each step: that of the step before it."""
    angles = np.asarray(_before(recording, "bodies"))[..., 4]
    earlier = np.concatenate([angles[:1], angles[:-1]])
    earlier[recording.starts] = np.asarray(created(jnp.float32).angle)
    joint_angles = earlier[:, 1:] - earlier[:, :1] - np.float32(c.REFERENCE_ANGLES)
    upper = joint_angles >= np.float32(c.UPPER_ANGLES)
    lower = joint_angles <= np.float32(c.LOWER_ANGLES)
    return np.where(lower, -1, upper.astype(int))


def _sleep_times(recording: Recording) -> np.ndarray:
    """How long each body had been at rest before each step."""
    slow = np.asarray(jax.vmap(jax.vmap(is_slow))(_body(recording.arrays["bodies"])))
    before = np.zeros(slow.shape, np.float32)
    for start, steps in zip(recording.starts, recording.lengths, strict=True):
        rest = np.zeros(slow.shape[1], np.float32)
        for i in range(start, start + steps):
            before[i] = rest
            rest = np.where(slow[i], rest + np.float32(c.TIME_STEP), np.float32(0))
    return before


def rebuilt_states(
    recording: Recording, env: LunarLander
) -> tuple[EnvState, EnvParams, dict[str, np.ndarray]]:
    """The state before every step from what was recorded, and where it cannot be.

    The world is that of the environment's solver.
    """
    a = recording.arrays
    of_step = np.repeat(np.arange(len(recording.starts)), recording.lengths)
    rows = _before(recording, "bodies")
    before, after = _body(rows), _body(a["bodies"])
    contacts, left_out, first = _contacts(recording, before)
    pairs = _pairs(recording, before, after)
    touched = jnp.sum(
        jnp.where(contacts.count > 0, jnp.left_shift(1, contacts.edge), 0), axis=-1
    )
    left = jnp.min(contacts.edge, axis=-1)
    both = jnp.all(contacts.count > 0, axis=-1)
    bit = jnp.left_shift(1, left)
    as_recorded = jnp.where(first == left, pairs.newer & ~bit, pairs.newer | bit)
    pairs = pairs.replace(
        known=pairs.known | touched, newer=jnp.where(both, as_recorded, pairs.newer)
    )
    joint_rows = _before(recording, "joints")
    flags = _before(recording, "contact")
    flying = ~flags.any(axis=1)
    applied = np.cumsum(flying) - flying  # over all rows before
    since_start = applied - applied[recording.starts][of_step]
    windy = a["wind"][of_step]
    wind_index = a["wind_idx0"][of_step] + (since_start + 1)[:, None] * windy[:, None]
    time = np.arange(len(of_step)) - recording.starts[of_step]
    world = World(
        bodies=before,
        joints=Joint(
            Vector(*(jnp.asarray(joint_rows[..., i], float) for i in range(2))),
            jnp.asarray(joint_rows[..., 2], float),
            jnp.asarray(joint_rows[..., 3], float),
            jnp.asarray(_limit_sides(recording), jnp.int32),
        ),
        contacts=contacts,
        pairs=pairs,
        sleep_times=jnp.asarray(_sleep_times(recording), float),
        flags=jnp.concatenate([jnp.zeros((len(flags), 1), bool), flags], axis=1),
        over=jnp.zeros(len(flags), bool),
        awake=jnp.ones(len(flags), bool),
    )
    terrain = jnp.asarray(a["terrain_y"], float)[of_step]
    state = EnvState(
        world=as_fast(world, terrain) if env.solver == "fast" else world,
        terrain=terrain,
        wind_index=jnp.asarray(wind_index, jnp.int32),
        shaping=jnp.zeros(len(flags)),
        time=jnp.asarray(time, jnp.int32),
    )
    params = jax.tree.map(lambda leaf: leaf[of_step], recording.params(env))
    return state, params, left_out
