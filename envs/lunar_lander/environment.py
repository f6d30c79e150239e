"""The environment: state, parameters, reset, step, observation and reward."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from dmaml_jax.envs.base import Described, Solver
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import engines
from dmaml_jax.envs.lunar_lander.bodies import origin, shapes
from dmaml_jax.envs.lunar_lander.exact import world
from dmaml_jax.envs.lunar_lander.fast import world as fast
from dmaml_jax.envs.lunar_lander.numerics import materialise, run_time_one
from dmaml_jax.envs.lunar_lander.parameters import EnvParams, EnvState
from dmaml_jax.envs.lunar_lander.terrain import smoothed
from dmaml_jax.envs.lunar_lander.vectors import Vector, length, row

SOLVERS: dict[str, Any] = {"exact": world, "fast": fast}
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
        return self.absorbed(state, moved, reward, params)[:4]

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
            initial_force: on the hull during the reset's own step, N, `[2]`.
            wind_index: moments of the wind and of the turbulence, int, `[2]`.
            params: of the task.
        """
        state = EnvState(
            world=SOLVERS[self.solver].new_world(terrain),
            terrain=terrain,
            wind_index=wind_index,
            shaping=jnp.zeros((), terrain.dtype),
            time=jnp.zeros((), jnp.int32),
        )
        nothing = jnp.zeros((2,) if self.continuous else (), jnp.int32)
        still = jnp.zeros(2, terrain.dtype)
        state, _ = self._advanced(
            state,
            nothing,
            still,
            params,
            force=initial_force,
            stepped=SOLVERS[self.solver].launched,
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
            state: before the step.
            action: an int, or `[2]` for the continuous lander.
            dispersion: uniform on ±1, of the engines; Gymnasium draws it at every
                step, whatever the action, `[2]`.
            params: of the task.

        Returns:
            The state after it, and the reward.
        """
        stepped = functools.partial(
            SOLVERS[self.solver].stepped, hull_contacts=self.hull_contacts
        )
        force = jnp.zeros(2, state.terrain.dtype)
        return self._advanced(state, action, dispersion, params, force, stepped)

    def _advanced(
        self,
        state: EnvState,
        action: jax.Array,
        dispersion: jax.Array,
        params: EnvParams,
        force: jax.Array,
        stepped: Callable[..., Any],
    ) -> tuple[EnvState, jax.Array]:
        """One step of the physics `stepped`, with a force on the hull, N, `[2]`."""
        dtype = state.terrain.dtype
        thrust = (
            engines.continuous_thrust if self.continuous else engines.discrete_thrust
        )
        main, side = (power.astype(dtype) for power in thrust(action))
        hull, shape = row(state.world.bodies, c.HULL), row(shapes(dtype), c.HULL)
        powers = params.main_engine_power, params.side_engine_power
        hull = engines.fired(hull, shape, main, side, dispersion, *powers)
        bodies = jax.tree.map(
            lambda leaf, new: leaf.at[c.HULL].set(new), state.world.bodies, hull
        )

        flying = ~jnp.any(state.world.flags[c.FIRST_LEG :])
        windy = jnp.asarray(params.enable_wind, bool) & flying
        gusts = jnp.where(windy, engines.gust(state.wind_index), 0).astype(dtype)
        push = Vector(params.wind_power * gusts[0], jnp.zeros((), dtype))
        after = stepped(
            state.world.replace(bodies=bodies),
            state.terrain,
            push + Vector(*force.astype(dtype)),
            params.turbulence_power * gusts[1],
            params.gravity,
            jnp.asarray(c.TIME_STEP * params.leg_spring_torque, dtype),
            one=run_time_one(state.time),
        )
        state = replace(
            state,
            world=after,
            wind_index=state.wind_index + windy.astype(state.wind_index.dtype),
            time=state.time + 1,
        )
        return self._rewarded(state, main, side, params)

    def _rewarded(
        self, state: EnvState, main: jax.Array, side: jax.Array, params: EnvParams
    ) -> tuple[EnvState, jax.Array]:
        x, y, x_dot, y_dot, angle, _, first, second = self.get_obs(state)
        shaping = (
            -100 * length(Vector(x, y))
            - 100 * length(Vector(x_dot, y_dot))
            - 100 * jnp.abs(angle)
            + 10 * first
            + 10 * second
        )
        fuel = 0.3 * main + 0.03 * jnp.abs(side)
        reward = shaping - state.shaping - fuel
        reward = jnp.where(state.world.over | (jnp.abs(x) >= 1), -100, reward)
        reward = jnp.where(state.world.awake, reward, 100)
        return replace(state, shaping=shaping), reward

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Position, velocity, angle, spin, and each leg's touch, in its units, `[8]`.

        The position is that of the hull's origin, the velocity its centre of mass's.
        """
        dtype = state.terrain.dtype
        hull = row(state.world.bodies, c.HULL)
        shape = row(shapes(dtype, run_time_one(state.time)), c.HULL)
        position = materialise(origin(hull, shape)[0], shape.one)
        half_width, half_height, rate = c.WIDTH / 2, c.HEIGHT / 2, 1 / c.TIME_STEP
        return jnp.stack(
            [
                (position.x - half_width) / half_width,
                (position.y - (c.PAD_HEIGHT + c.LEG_DOWN)) / half_height,
                hull.velocity.x * (half_width / rate),
                hull.velocity.y * (half_height / rate),
                hull.angle,
                hull.spin * (20 / rate),
                state.world.flags[c.FIRST_LEG].astype(dtype),
                state.world.flags[c.SECOND_LEG].astype(dtype),
            ]
        )

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the hull touched the ground, the lander left the sides or rests."""
        inside = jnp.abs(self.get_obs(state)[0]) < 1
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
