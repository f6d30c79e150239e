"""Intersection: two vehicles on crossing roads, one of which chooses its speed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described

Number = float | jax.Array


@struct.dataclass
class EnvState(environment.EnvState):
    """Position of vehicle 2 relative to vehicle 1, m, and whether they have met."""

    delta_x: jax.Array
    delta_y: jax.Array
    collided: jax.Array
    time: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Constants of a crossing; every one may vary from task to task.

    Attributes:
        u: the speed of vehicle 2, m/s, which vehicle 1 does not see; U[5, 15] in the
            paper.
        max_speed: the greatest speed of vehicle 1, m/s; its least is 0.
        desired_speed: the speed at which vehicle 1 earns most, m/s.
        speed_tolerance: how far off the desired speed it earns 1/e of that, m/s.
        collision_distance: the distance between the vehicles' centres below which they
            collide, m; about a car's length.
        safe_distance: the distance from which on it earns all that it can, m.
        min_start_1: the least distance of vehicle 1 to the crossing at the start, m.
        max_start_1: the greatest distance of vehicle 1 at the start, m.
        min_start_2: the least distance of vehicle 2 at the start, m.
        max_start_2: the greatest distance of vehicle 2 at the start, m.
        dt: the time step, s.
        max_steps_in_episode: the time limit in steps.
    """

    u: Number = 10.0
    max_speed: Number = 15.0
    desired_speed: Number = 10.0
    speed_tolerance: Number = 6.0
    collision_distance: Number = 5.0
    safe_distance: Number = 12.0
    min_start_1: Number = 15.0
    max_start_1: Number = 35.0
    min_start_2: Number = 10.0
    max_start_2: Number = 40.0
    dt: Number = 0.1
    max_steps_in_episode: Any = 200


def reward(speed: Number, distance: Number, params: EnvParams) -> jax.Array:
    r"""Half for the desired speed, half for a safe distance; at most 1.

    ½ exp(−((a − a*)/w)²) + ½ s((d − d_c)/(d_s − d_c)), s(x) = 3x² − 2x³ on [0, 1].

    Args:
        speed: a, the speed of vehicle 1, m/s.
        distance: d, the distance between the vehicles after the step, m.
        params: the task, which has a*, w, d_c and d_s.
    """
    off = (speed - params.desired_speed) / params.speed_tolerance
    gap = params.safe_distance - params.collision_distance
    x = jnp.clip((distance - params.collision_distance) / gap, 0, 1)
    return (jnp.exp(-(off**2)) + x**2 * (3 - 2 * x)) / 2


def closest(from_x: Any, from_y: Any, to_x: Any, to_y: Any) -> jax.Array:
    """Least distance to the origin along straight segments, m, elementwise."""
    along_x, along_y = to_x - from_x, to_y - from_y
    length = along_x**2 + along_y**2
    share = -(from_x * along_x + from_y * along_y) / jnp.maximum(length, 1e-12)
    share = jnp.clip(share, 0, 1)
    return jnp.hypot(from_x + share * along_x, from_y + share * along_y)


# Advantages as they are: normalised per task, a collision would weigh no more than
# the small change among tasks where nobody collides.
_PRESET = {
    "run": {"epochs": 500, "threshold": None},
    "sampling": {"num_trajectories": 20},
    "policy": {
        "initial_std": 0.6,
        "min_std": 0.2,
        "obs_scale": 0.2,
        "obs_squash": True,
    },
    "method": {
        "step_reduction": "mean",
        "baseline": "linear",
        "normalize_advantages": False,
    },
    "learner": {"inner_lr": 0.005, "outer_lr": 0.003, "outer_schedule": "cosine"},
    "directed": {"directed_lr": 0.002, "directed_schedule": "cosine"},
}


class Intersection(Described[EnvState, EnvParams]):
    """The crossing of Directed-MAML (arXiv 2510.00212): who passes first?

    Vehicle 1 drives east on y = 0 and chooses its speed a ∈ [0, 15] m/s at every step;
    vehicle 2 drives north on x = 0 at its constant speed u. Both positions follow from
    that of vehicle 2 relative to vehicle 1, (Δx, Δy), the whole observation, in metres:
    vehicle 1 is Δx before the crossing, vehicle 2 is −Δy before it. Per step of 0.1 s
    Δx falls by a·dt and Δy grows by u·dt.

    The paper gives state, action and u; the rest is ours. Every step earns at most 1
    (`reward`), so 200 steps at most 200. Closer than 5 m at any moment within a step is
    a collision: that step earns nothing and the episode ends, with the loss of all that
    was still to be earned. Both starting distances are uniform and tell nothing of u;
    at 10 m/s throughout, vehicle 1 collides from more than a quarter of the starts at
    every u in [5, 15].
    """

    preset = _PRESET
    scene = "crossing"
    ordered = (
        ("collision_distance", "safe_distance"),
        ("min_start_1", "max_start_1"),
        ("min_start_2", "max_start_2"),
    )
    positive = tuple(field.name for field in dataclasses.fields(EnvParams))

    @property
    def default_params(self) -> EnvParams:
        """The constants named in `EnvParams`, with u at the mean of its tasks."""
        return EnvParams()

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """One step of `dt` seconds at the speed `action`, `[1]` or a number, m/s.

        Returns:
            Observation `[2]`, state, reward, terminated, and an empty dict.
        """
        wanted = jnp.asarray(action, state.delta_x.dtype).reshape(())
        speed = jnp.clip(wanted, 0, params.max_speed)
        delta_x = state.delta_x - speed * params.dt
        delta_y = state.delta_y + params.u * params.dt
        met = closest(state.delta_x, state.delta_y, delta_x, delta_y)
        collided = met < params.collision_distance
        moved = EnvState(
            delta_x=delta_x, delta_y=delta_y, collided=collided, time=state.time + 1
        )
        earned = reward(speed, jnp.hypot(delta_x, delta_y), params)
        earned = jnp.where(collided, 0, earned).astype(delta_x.dtype)
        return self.absorbed(state, moved, earned, params)

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Both vehicles at uniform distances before the crossing."""
        share_1, share_2 = jax.random.uniform(key, (2,), jnp.result_type(float))
        spread_1 = params.max_start_1 - params.min_start_1
        spread_2 = params.max_start_2 - params.min_start_2
        state = EnvState(
            delta_x=params.min_start_1 + share_1 * spread_1,
            delta_y=-(params.min_start_2 + share_2 * spread_2),
            collided=jnp.array(False),
            time=0,
        )
        return self.get_obs(state), state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """(Δx, Δy), m, `[2]`."""
        return jnp.stack([state.delta_x, state.delta_y])

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the vehicles have collided."""
        return state.collided

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "intersection"

    @property
    def num_actions(self) -> int:
        """Length of an action."""
        return 1

    def action_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Speed of vehicle 1, m/s."""
        params = params or self.default_params
        return spaces.Box(0.0, params.max_speed, (1,), jnp.float32)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """How far the vehicles can get within the time limit."""
        low, high = self._bounds(params)
        return spaces.Box(low, high, (2,), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The observation's bounds by name, the collision and the clock."""
        low, high = self._bounds(params)
        return spaces.Dict(
            {
                "delta_x": spaces.Box(low[0], high[0], (), jnp.float32),
                "delta_y": spaces.Box(low[1], high[1], (), jnp.float32),
                "collided": spaces.Discrete(2),
                "time": spaces.Discrete(int(params.max_steps_in_episode) + 1),
            }
        )

    def _bounds(self, params: EnvParams) -> tuple[jax.Array, jax.Array]:
        seconds = params.dt * params.max_steps_in_episode
        # A metre more than exact sums of steps reach, for rounding.
        low = [
            params.min_start_1 - params.max_speed * seconds - 1,
            -params.max_start_2 - 1,
        ]
        high = [params.max_start_1 + 1, -params.min_start_2 + params.u * seconds + 1]
        return jnp.array(low), jnp.array(high)
