"""A small grid with a hidden goal, which has to be searched for once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described, TaskLaw

Number = float | jax.Array

SIDE = 5
"""Cells along a side of the grid."""
GOALS = np.array([(x, y) for x in range(SIDE) for y in range(SIDE) if max(x, y) > 1])
"""The cells `(x, y)` where a goal may be, `[21, 2]`: all but the four by the start."""
MOVES = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])
"""The step `(x, y)` of each action, `[5, 2]`: stay, up, right, down, left."""


@struct.dataclass
class EnvState(environment.EnvState):
    """The cell `(x, y)` where the agent is, `[2]`, and the clock."""

    position: jax.Array
    time: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Where the goal is, and what the cells pay.

    Attributes:
        goal_x: the goal's column, a whole number from 0 to 4.
        goal_y: the goal's row, a whole number from 0 to 4.
        goal_reward: the reward of every step that ends on the goal.
        step_cost: what every other step costs.
        max_steps_in_episode: the time limit in steps.
    """

    goal_x: Any = 2
    goal_y: Any = 2
    goal_reward: Number = 1.0
    step_cost: Number = 0.1
    max_steps_in_episode: Any = 15


_PRESET = {
    "run": {"threshold": None},
    "sampling": {"horizon": 15, "num_tasks": 21, "num_trajectories": 4},
}
_WITHIN = {"goal_x": (0, SIDE - 1), "goal_y": (0, SIDE - 1)}


class Gridworld(Described[EnvState, EnvParams]):
    """The gridworld of VariBAD (Zintgraf et al. 2020, arXiv 1910.08348).

    The agent starts in cell (0, 0) of a grid of 5 × 5 cells and takes 15 steps: stay,
    up, right, down or left, the actions 0 to 4 in that order. A step against the border
    leaves it where it is. A step that ends on the goal earns 1, any other costs 0.1,
    and the goal does not end an episode, so that the best is to stay there. The law of
    tasks draws the goal uniformly from the 21 cells outside the first 2 × 2. The medium
    task is their medoid, the cell (2, 2), which is nearest to all of them in steps.

    The one difference from the published code: the observation is the cell as a one-hot
    vector, `[25]`, at index 5 x + y, where that code observes the pair (x, y).
    """

    preset = _PRESET
    scene = "grid"
    within = _WITHIN

    @property
    def default_params(self) -> EnvParams:
        """The medium task: the goal in the cell nearest to all goals."""
        return EnvParams()

    @property
    def task_law(self) -> TaskLaw:
        """One of the 21 goals, each equally likely."""

        def sample(key: jax.Array, common: Any) -> EnvParams:
            index = jax.random.randint(key, (), 0, len(GOALS))
            x, y = jnp.asarray(GOALS, jnp.asarray(common.goal_x).dtype)[index]
            return common.replace(goal_x=x, goal_y=y)

        draws = ("goal_x", "goal_y")
        return TaskLaw(draws, sample, lambda common: common, finite=True)

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Move by one cell, or stay.

        Returns:
            Observation `[25]`, state, reward, terminated, and an empty dict.
        """
        dtype = state.position.dtype
        move = jnp.asarray(MOVES, dtype)[jnp.asarray(action, jnp.int32)]
        position = jnp.clip(state.position + move, 0, SIDE - 1)
        goal = [jnp.asarray(g, dtype) for g in (params.goal_x, params.goal_y)]
        found = (position[0] == goal[0]) & (position[1] == goal[1])
        reward = jnp.where(found, params.goal_reward, -params.step_cost)
        moved = EnvState(position=position, time=state.time + 1)
        reward = reward.astype(jnp.result_type(float))
        return self.absorbed(state, moved, reward, params)

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Start in the corner (0, 0)."""
        state = EnvState(position=jnp.zeros(2, jnp.int32), time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """The cell as a one-hot vector, `[25]`."""
        index = SIDE * state.position[0] + state.position[1]
        return jax.nn.one_hot(index, SIDE**2, dtype=jnp.result_type(float))

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Never: an episode goes on at the goal until its time limit."""
        return jnp.array(False)

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "gridworld"

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return len(MOVES)

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        """Stay, up, right, down and left."""
        return spaces.Discrete(len(MOVES))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """One-hot vectors of the cells."""
        return spaces.Box(0, 1, (SIDE**2,), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The cell and the clock."""
        clock = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        position = spaces.Box(0, SIDE - 1, (2,), jnp.int32)
        return spaces.Dict({"position": position, "time": clock})
