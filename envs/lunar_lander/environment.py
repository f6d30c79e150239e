"""The environment: state, parameters, reset, step, observation and reward."""

import dataclasses
import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax.typing import DTypeLike

from dmaml_jax.envs.base import Described, Solver
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.dynamics import (
    SOLVERS,
    advancing,
    hull_origin,
    launching,
    observed,
)
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.parameters import EnvParams, EnvState
from dmaml_jax.envs.lunar_lander.terrain import smoothed
from dmaml_jax.envs.lunar_lander.vectors import where

WIND_INDEX_RANGE = 9999


_PRESET = {
    "run": {"threshold": None},
    "sampling": {"horizon": 400, "num_trajectories": 20},
    "learner": {"outer_lr": 0.003},
}
_NEEDS = {
    "wind_power": "enable_wind",
    "turbulence_power": "enable_wind",
}
_SOLVERS = {
    "fast": Solver(
        "lunarlander",
        "equal to Box2D's in distribution, not conformant step by step",
    ),
    "exact": Solver("lunarlander-exact", "Box2D's, step by step"),
}


def _arrays(params: EnvParams, dtype: DTypeLike) -> EnvParams:
    """The parameters as arrays; they may have been Python's numbers."""

    def array(name: str) -> jax.Array:
        kind = bool if name == "enable_wind" else dtype
        return jnp.asarray(getattr(params, name), kind)

    names = [field.name for field in dataclasses.fields(params)]
    return EnvParams(**{name: array(name) for name in names})


class LunarLander(Described[EnvState, EnvParams]):
    """Gymnasium's LunarLander-v3 with Box2D's physics, in JAX.

    Reward: the growth of the potential −100 |position| − 100 |velocity| − 100 |angle|
    + 10 per leg on the ground, less 0.3 of the main engine's power and 0.03 of a side
    engine's; −100 for a crash or for leaving the sides, +100 for coming to rest.

    Differences from Gymnasium: gravity is a magnitude and may exceed 12 m/s²; the time
    limit is a parameter; the end is absorbing, with reward 0 from then on; the floor
    below the terrain is left out, and so are edges more than a metre from a body's
    centre. `step_env` marks terminations only; `is_truncated` tells the time limit.
    A reset costs a step of the joints, as in Gymnasium, but looks for no ground.
    """

    preset = _PRESET
    scene = "lander"
    positive = ("gravity",)
    needs = _NEEDS
    greatest = 1e6
    solvers = _SOLVERS

    def __init__(
        self,
        continuous: bool = False,
        solver: str = "exact",
        hull_contacts: bool = True,
    ):
        """Choose what cannot vary between tasks.

        Args:
            continuous: whether actions are `[2]` real numbers instead of 0 to 3.
            solver: "exact", Box2D's truncated iteration; or "fast", which is equal to
                it in distribution, **not step by step**.
            hull_contacts: whether the hull's contacts are solved, or only end the
                episode; the difference shows in the last observation alone.

        Raises:
            ValueError: the solver is unknown.
        """
        super().__init__()
        if solver not in SOLVERS:
            raise ValueError(
                f"Unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}."
            )
        self.continuous = continuous
        self.solver = solver
        self.hull_contacts = hull_contacts

    @property
    def default_params(self) -> EnvParams:
        """Gymnasium's constants."""
        return EnvParams()

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """One step of 0.02 s.

        Returns:
            Observation `[8]`, state, reward, terminated, and an empty dict.
        """
        dtype = state.terrain.dtype
        dispersion = jax.random.uniform(key, (2,), dtype, minval=-1, maxval=1)
        return *self.step_given(state, jnp.asarray(action), dispersion, params), {}

    def step_given(
        self,
        state: EnvState,
        action: jax.Array,
        dispersion: jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array]:
        """`step_env` with given noise; see `advance`."""
        moved, reward = self.advance(state, action, dispersion, params)
        # As `absorbed` does it, but what every leaf of the state asks is kept.
        over = self.is_terminated(state, params) | self.is_truncated(state, params)
        over = keep(over[None])[0]
        state = where(over, state, moved)
        reward = jnp.where(over, 0, reward)
        obs, state = jax.lax.stop_gradient((self.get_obs(state), state))
        return obs, state, reward, keep(self.is_terminated(state, params)[None])[0]

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """A random terrain, and the lander thrown from above it."""
        key_heights, key_force, key_wind = jax.random.split(key, 3)
        dtype = jnp.result_type(float)
        heights = jax.random.uniform(
            key_heights, (c.NUM_VERTICES + 1,), dtype, maxval=c.HEIGHT / 2
        )
        force = jax.random.uniform(key_force, (2,), dtype, minval=-1, maxval=1)
        wind_index = jax.random.randint(
            key_wind, (2,), -WIND_INDEX_RANGE, WIND_INDEX_RANGE, jnp.int32
        )
        state = self.launch(
            smoothed(heights), force * params.initial_random, wind_index, params
        )
        return self.get_obs(state), state

    def launch(
        self,
        terrain: jax.Array,
        initial_force: jax.Array,
        wind_index: jax.Array,
        params: EnvParams,
    ) -> EnvState:
        """The state after a reset whose random numbers are given.

        Args:
            terrain: heights of the ground's vertices, m, `[11]`; see `smoothed`.
            initial_force: the force on the hull during the reset's own step, N, `[2]`.
            wind_index: moments of the wind and of the turbulence, int, `[2]`.
            params: the parameters of the task.
        """
        dtype = terrain.dtype
        state = EnvState(
            world=SOLVERS[self.solver].new_world(terrain),
            terrain=terrain,
            wind_index=wind_index,
            shaping=jnp.zeros((), dtype),
            time=jnp.zeros((), jnp.int32),
        )
        nothing = jnp.zeros((2,) if self.continuous else (), jnp.int32)
        still = jnp.zeros(2, dtype)
        launched = launching(self.solver, self.continuous)
        state, _ = launched(
            state, nothing, still, _arrays(params, dtype), initial_force.astype(dtype)
        )
        return replace(state, time=jnp.zeros((), jnp.int32))

    def advance(
        self,
        state: EnvState,
        action: jax.Array,
        dispersion: jax.Array,
        params: EnvParams,
    ) -> tuple[EnvState, jax.Array]:
        """One step of physics with given noise, also beyond an end.

        Args:
            state: the state before the step.
            action: an int, or `[2]` for the continuous lander.
            dispersion: the engines' noise, uniform on ±1; Gymnasium draws it at every
                step, whatever the action, `[2]`.
            params: the parameters of the task.

        Returns:
            The state after it, and the reward.
        """
        dtype = state.terrain.dtype
        advanced = advancing(self.solver, self.continuous, self.hull_contacts)
        return advanced(
            jax.tree.map(jnp.asarray, state),
            jnp.asarray(action),
            dispersion,
            _arrays(params, dtype),
            jnp.zeros(2, dtype),
        )

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Position, velocity, angle, spin, and each leg's touch, in its units, `[8]`.

        The position is that of the hull's origin, the velocity its centre of mass's.
        """
        return observed(state)

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the hull touched the ground, the lander left the sides or rests."""
        half_width = c.WIDTH / 2
        inside = jnp.abs((hull_origin(state).x - half_width) / half_width) < 1
        # Asked this way round, a state that is no number is over too.
        return ~(inside & ~state.world.over & state.world.awake)

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "lunar_lander"

    @property
    def num_actions(self) -> int:
        """Nothing, left, main and right engine; the continuous lander's two numbers."""
        return 2 if self.continuous else 4

    def action_space(
        self, params: EnvParams | None = None
    ) -> spaces.Discrete | spaces.Box:
        """0 nothing, 1 left, 2 main, 3 right engine; or main and side in ±1."""
        if self.continuous:
            return spaces.Box(-1.0, 1.0, (2,), dtype=jnp.float32)
        return spaces.Discrete(4)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Gymnasium's bounds; an episode ends long before most of them."""
        high = jnp.array([2.5, 2.5, 10, 10, 2 * math.pi, 10, 1, 1])
        low = high * jnp.array([-1, -1, -1, -1, -1, -1, 0, 0])
        return spaces.Box(low, high, (8,), dtype=jnp.float32)
