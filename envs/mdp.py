"""Random Markov decision processes: a family of tables that nobody knows beforehand."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs import tabular
from dmaml_jax.envs.base import TaskLaw
from dmaml_jax.envs.tabular import EnvState, TabularMDP

Number = float | jax.Array


@struct.dataclass(kw_only=True)
class EnvParams(tabular.EnvParams):
    """The tables, where `rewards` holds means, and the noise around these.

    Attributes:
        noise: the standard deviation of a reward around its mean.
        max_steps_in_episode: the time limit in steps.
    """

    noise: Number = 1.0
    max_steps_in_episode: Any = 10


_PRESET = {
    "run": {"threshold": None},
    "sampling": {"horizon": 10, "num_tasks": 20, "num_trajectories": 10},
}


class RandomMDP(TabularMDP):
    """The tabular MDPs of RL² (Duan et al. 2016, arXiv 1611.02779).

    There are 10 states and 5 actions, and an episode is 10 steps from state 0. The law
    of tasks draws every row of the transitions from the flat Dirichlet distribution
    and every mean reward from N(1, 1); a reward is its mean plus noise from N(0, 1).
    The observation is the state's one-hot vector, `[10]`. The medium task has the mean
    tables: every next state is equally likely and every action earns 1 on average, so
    that no policy is better there than another.
    """

    preset = _PRESET

    def __init__(self, num_states: int = 10, num_actions: int = 5) -> None:
        """Fix the shapes of the tables."""
        super().__init__(num_states, num_actions)

    @property
    def default_params(self) -> EnvParams:
        """The medium task: the mean of every table."""
        states, actions = self._num_states, self._num_actions
        dtype = jnp.result_type(float)
        return EnvParams(
            start=jax.nn.one_hot(0, states, dtype=dtype),
            transitions=jnp.full((states, actions, states), 1 / states, dtype),
            rewards=jnp.ones((states, actions), dtype),
            termination=jnp.zeros((states, actions), dtype),
        )

    @property
    def task_law(self) -> TaskLaw:
        """P(· | s, a) ~ Dirichlet(1, …, 1) and r̄(s, a) ~ N(1, 1), independently."""

        def sample(key: jax.Array, common: Any) -> EnvParams:
            key_next, key_rewards = jax.random.split(key)
            dtype, shape = jnp.result_type(float), (self._num_states, self._num_actions)
            # Exponentials over their sum are flat Dirichlet, without the rejection
            # loop of a sampler for any concentration.
            shares = jax.random.exponential(key_next, (*shape, shape[0]), dtype)
            return common.replace(
                transitions=shares / jnp.sum(shares, axis=-1, keepdims=True),
                rewards=1 + jax.random.normal(key_rewards, shape, dtype),
            )

        return TaskLaw(("transitions", "rewards"), sample, lambda common: common)

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: Any,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """One step of the tables, whose reward is noisy.

        Returns:
            Observation `[S]`, state, reward, terminated, and an empty dict.
        """
        key_tables, key_noise = jax.random.split(key)
        over = self.is_terminated(state, params) | self.is_truncated(state, params)
        obs, moved, mean, terminated, info = super().step_env(
            key_tables, state, action, params
        )
        noise = params.noise * jax.random.normal(key_noise, (), mean.dtype)
        return obs, moved, mean + jnp.where(over, 0, noise), terminated, info

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "mdp"
