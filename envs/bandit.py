"""Bernoulli bandits: arms that pay 1 or nothing, each with a chance of its own."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described, TaskLaw


@struct.dataclass
class EnvState(environment.EnvState):
    """The number of pulls so far, 0 or 1."""

    time: Any


@struct.dataclass(kw_only=True)
class EnvParams(environment.EnvParams):
    """The arms of one bandit.

    Attributes:
        probabilities: the chance of each arm to pay 1, `[k]`.
        max_steps_in_episode: the time limit in steps; an episode is one pull anyway.
    """

    probabilities: jax.Array
    max_steps_in_episode: Any = 1


_PRESET = {
    "run": {"threshold": None},
    "sampling": {"horizon": 1, "num_tasks": 40, "num_trajectories": 10},
    "policy": {"hidden_sizes": (16,)},
    "learner": {"inner_lr": 10.0},
}


class Bandit(Described[EnvState, EnvParams]):
    """A Bernoulli bandit of k arms, as RL² has it (Duan et al. 2016, arXiv 1611.02779).

    An action is an arm, the reward is 1 with the arm's probability and else 0, and the
    episode terminates with its first pull: a collection of K trajectories is K pulls.
    There is nothing to observe, so the observation is the constant 1, because a policy
    needs a vector. The law of tasks draws each probability from U[0, 1]; the medium
    task has probability 1/2 for every arm, where no arm is better than another.
    """

    preset = _PRESET

    def __init__(self, num_arms: int = 5) -> None:
        """Choose the number of arms, k.

        Raises:
            ValueError: there are fewer than 2 arms.
        """
        super().__init__()
        if num_arms < 2:
            raise ValueError(
                f"A bandit of {num_arms} arms leaves nothing to choose: give 2 or more."
            )
        self._num_arms = num_arms

    @property
    def default_params(self) -> EnvParams:
        """The medium task: every arm pays half of the time."""
        return EnvParams(
            probabilities=jnp.full(self._num_arms, 0.5, jnp.result_type(float))
        )

    @property
    def task_law(self) -> TaskLaw:
        """p_a ~ U[0, 1] for each arm a, independently."""

        def sample(key: jax.Array, common: Any) -> EnvParams:
            return common.replace(
                probabilities=jax.random.uniform(
                    key, (self._num_arms,), jnp.result_type(float)
                )
            )

        return TaskLaw(("probabilities",), sample, lambda common: common)

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Pull the arm `action`, with which the episode ends.

        Returns:
            Observation `[1]`, state, reward, terminated, and an empty dict.
        """
        chance = params.probabilities[jnp.asarray(action, jnp.int32)]
        paid = jax.random.uniform(key, (), chance.dtype) < chance
        moved = EnvState(time=state.time + 1)
        return self.absorbed(state, moved, paid.astype(chance.dtype), params)

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Nothing has been pulled yet."""
        state = EnvState(time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """The constant 1, `[1]`."""
        return jnp.ones(1, jnp.result_type(float))

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether an arm has been pulled."""
        return state.time > 0

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "bandit"

    @property
    def num_actions(self) -> int:
        """Number of arms, k."""
        return self._num_arms

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        """The numbers of the arms, 0 … k − 1."""
        return spaces.Discrete(self._num_arms)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """The constant 1."""
        return spaces.Box(1, 1, (1,), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The clock."""
        clock = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        return spaces.Dict({"time": clock})
