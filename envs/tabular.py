"""Markov decision processes given by tables: small enough to know everything of."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described


@struct.dataclass(kw_only=True)
class EnvState(environment.EnvState):
    """Which state it is, whether the episode has ended, and the clock."""

    state: jax.Array
    over: jax.Array
    time: Any


@struct.dataclass(kw_only=True)
class EnvParams(environment.EnvParams):
    """The tables; every one is a leaf that `vmap` can vary.

    Attributes:
        start: probabilities of the first state, `[S]`.
        transitions: probabilities of the next state, `[S, A, S]`.
        rewards: reward of an action in a state, `[S, A]`.
        termination: probability that the episode ends with an action, `[S, A]`.
        max_steps_in_episode: time limit; the horizon of a rollout limits it anyway.
    """

    start: jax.Array
    transitions: jax.Array
    rewards: jax.Array
    termination: jax.Array
    max_steps_in_episode: Any = 1_000_000


class TabularMDP(Described[EnvState, EnvParams]):
    """States and actions that are numbers, and dynamics that are tables.

    The observation is the state's one-hot vector. An action in a state earns its
    reward, ends the episode with its probability of termination, and else draws the
    next state. `random_mdp` draws tables.
    """

    def __init__(self, num_states: int = 2, num_actions: int = 2) -> None:
        """Fix the shapes of the tables."""
        super().__init__()
        self._num_states = num_states
        self._num_actions = num_actions

    @property
    def default_params(self) -> EnvParams:
        """Every state is equally likely, and action a earns a."""
        states, actions = self._num_states, self._num_actions
        dtype = jnp.result_type(float)
        return EnvParams(
            start=jnp.full(states, 1 / states, dtype),
            transitions=jnp.full((states, actions, states), 1 / states, dtype),
            rewards=jnp.tile(jnp.arange(actions, dtype=dtype), (states, 1)),
            termination=jnp.zeros((states, actions), dtype),
        )

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """One step: reward, perhaps the end, else the next state.

        Returns:
            Observation `[S]`, state, reward, terminated, and an empty dict.
        """
        key_end, key_next = jax.random.split(key)
        action = jnp.asarray(action, jnp.int32)
        here = (state.state, action)
        dtype = params.termination.dtype
        ends = jax.random.uniform(key_end, (), dtype) < params.termination[here]
        drawn = _draw(key_next, params.transitions[here])
        moved = EnvState(
            state=jnp.where(ends, state.state, drawn), over=ends, time=state.time + 1
        )
        return self.absorbed(state, moved, params.rewards[here], params)

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Draw the first state."""
        state = EnvState(
            state=_draw(key, params.start),
            over=jnp.array(False),
            time=jnp.int32(0),
        )
        return self.get_obs(state), state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """The state as a one-hot vector, `[S]`."""
        return jax.nn.one_hot(
            state.state, self._num_states, dtype=jnp.result_type(float)
        )

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the episode has ended."""
        return state.over

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "tabular-mdp"

    @property
    def num_actions(self) -> int:
        """Number of actions, A."""
        return self._num_actions

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        """The numbers 0 … A − 1."""
        return spaces.Discrete(self._num_actions)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """One-hot vectors of the states."""
        return spaces.Box(0, 1, (self._num_states,), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The state, whether it is over, and the clock."""
        clock = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        parts = {"state": spaces.Discrete(self._num_states)}
        return spaces.Dict({**parts, "over": spaces.Discrete(2), "time": clock})


def random_mdp(key: jax.Array, num_states: int, num_actions: int) -> EnvParams:
    """Draw tables that never terminate.

    Probabilities are uniform on their simplex, rewards standard normal.

    Args:
        key: the key that the tables are drawn with.
        num_states: S, the number of states.
        num_actions: A, the number of actions.

    Returns:
        Parameters of a `TabularMDP`.

    Example:
        >>> import jax
        >>> random_mdp(jax.random.key(0), 3, 2).transitions.shape
        (3, 2, 3)
    """
    key_start, key_next, key_rewards = jax.random.split(key, 3)
    dtype, shape = jnp.result_type(float), (num_states, num_actions)
    flat = jnp.ones(num_states, dtype)
    return EnvParams(
        start=jax.random.dirichlet(key_start, flat, dtype=dtype),
        transitions=jax.random.dirichlet(key_next, flat, shape, dtype),
        rewards=jax.random.normal(key_rewards, shape, dtype),
        termination=jnp.zeros(shape, dtype),
    )


def _draw(key: jax.Array, probabilities: jax.Array) -> jax.Array:
    """An index, by the inverse of the distribution function."""
    cumulated = jnp.cumsum(probabilities)
    uniform = jax.random.uniform(key, (), probabilities.dtype)
    # Rounding may leave the sum off 1, and the share beyond it to no state.
    below = cumulated[:-1] <= uniform * cumulated[-1]
    return jnp.sum(below, dtype=jnp.int32)
