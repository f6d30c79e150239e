"""CartPole: a pole on a cart, to be kept upright by pushing left or right."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described

Number = float | jax.Array


@struct.dataclass
class EnvState(environment.EnvState):
    """Positions and velocities of cart and pole; angles from the vertical."""

    x: jax.Array
    x_dot: jax.Array
    theta: jax.Array
    theta_dot: jax.Array
    time: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Physical constants; every one may vary from task to task.

    Attributes:
        gravity: the acceleration downwards, m/s².
        masscart: the mass of the cart, kg.
        masspole: the mass of the pole, kg.
        length: half of the pole's length, m.
        force_mag: the force by which the cart is pushed, N.
        tau: the time step, s.
        theta_threshold: the angle beyond which the pole has fallen, rad.
        x_threshold: the distance at which the track ends, m.
        max_steps_in_episode: the time limit in steps; 200 in the paper, 500 in
            CartPole-v1.
    """

    gravity: Number = 9.8
    masscart: Number = 1.0
    masspole: Number = 0.1
    length: Number = 0.5
    force_mag: Number = 10.0
    tau: Number = 0.02
    theta_threshold: Number = 12 * 2 * math.pi / 360
    x_threshold: Number = 2.4
    max_steps_in_episode: Any = 200


class CartPole(Described[EnvState, EnvParams]):
    """Gymnasium's CartPole-v1, step for step, with its constants as parameters.

    The dynamics are those of Barto, Sutton and Anderson (1983) with Euler's method.
    Reward 1 for every step taken, the one that ends the episode included.

    Differences from Gymnasium: the time limit is 200 by default; total mass and mass
    times length follow from the other parameters in every step and are not stored, so
    that a task may vary a mass or the length alone; the end is absorbing, with
    reward 0 from then on. `step_env` marks terminations only; `is_truncated` tells
    the time limit.
    """

    scene = "cartpole"
    positive = ("masscart", "masspole", "length", "tau")

    @property
    def default_params(self) -> EnvParams:
        """Gymnasium's constants, and the paper's limit of 200 steps."""
        return EnvParams()

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """One Euler step of τ seconds with the cart pushed left (0) or right (1).

        Returns:
            Observation `[4]`, state, reward, terminated, and an empty dict.
        """
        force = jnp.where(jnp.asarray(action) == 1, params.force_mag, -params.force_mag)
        total_mass = params.masscart + params.masspole
        polemass_length = params.masspole * params.length
        cos, sin = jnp.cos(state.theta), jnp.sin(state.theta)
        temp = (force + polemass_length * state.theta_dot**2 * sin) / total_mass
        theta_acc = (params.gravity * sin - cos * temp) / (
            params.length * (4.0 / 3.0 - params.masspole * cos**2 / total_mass)
        )
        x_acc = temp - polemass_length * theta_acc * cos / total_mass
        moved = EnvState(
            x=state.x + params.tau * state.x_dot,
            x_dot=state.x_dot + params.tau * x_acc,
            theta=state.theta + params.tau * state.theta_dot,
            theta_dot=state.theta_dot + params.tau * theta_acc,
            time=state.time + 1,
        )
        return self.absorbed(state, moved, jnp.ones((), state.x.dtype), params)

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Start near the upright rest, each coordinate uniform in ±0.05."""
        x, x_dot, theta, theta_dot = jax.random.uniform(
            key, (4,), dtype=jnp.result_type(float), minval=-0.05, maxval=0.05
        )
        state = EnvState(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot, time=0)
        return self.get_obs(state), state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """The state without the clock: x, ẋ, θ, θ̇, `[4]`."""
        return jnp.stack([state.x, state.x_dot, state.theta, state.theta_dot])

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the pole has fallen or the cart has left the track."""
        upright = jnp.abs(state.theta) <= params.theta_threshold
        # Asked this way round, a state that is no number is over too.
        return ~(upright & (jnp.abs(state.x) <= params.x_threshold))

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "cartpole"

    @property
    def num_actions(self) -> int:
        """Left and right."""
        return 2

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        """0 pushes left, 1 pushes right."""
        return spaces.Discrete(2)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Positions up to twice their thresholds, velocities unbounded."""
        return spaces.Box(*self._bounds(params), (4,), dtype=jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The observation's bounds by name, and the clock."""
        low, high = self._bounds(params)
        coordinates = {
            name: spaces.Box(low[i], high[i], (), jnp.float32)
            for i, name in enumerate(("x", "x_dot", "theta", "theta_dot"))
        }
        clock = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        return spaces.Dict({**coordinates, "time": clock})

    def _bounds(self, params: EnvParams) -> tuple[jax.Array, jax.Array]:
        unbounded = jnp.finfo(jnp.float32).max
        high = jnp.array(
            [2 * params.x_threshold, unbounded, 2 * params.theta_threshold, unbounded]
        )
        return -high, high
