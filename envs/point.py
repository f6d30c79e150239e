"""Point navigation: a point in the plane looks for a goal that it does not see."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from dmaml_jax.envs.base import Described

Number = float | jax.Array
Reward = Literal["squared", "distance", "sparse"]


@struct.dataclass
class EnvState(environment.EnvState):
    """Where the point is, and whether it has come to the goal."""

    position: jax.Array
    reached: jax.Array
    time: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """A goal and the size of a step; every one may vary from task to task.

    Attributes:
        goal_x: the first coordinate of the goal.
        goal_y: the second coordinate of the goal.
        max_step: the longest move per step along an axis.
        goal_radius: the distance to the goal within which an episode ends.
        sparse_radius: the distance to the goal within which the sparse reward pays.
        max_steps_in_episode: the time limit in steps.
    """

    goal_x: Number = 0.0
    goal_y: Number = 0.0
    max_step: Number = 0.1
    goal_radius: Number = 0.01
    sparse_radius: Number = 0.2
    max_steps_in_episode: Any = 100


_PRESET = {
    "run": {"threshold": None},
    "sampling": {"horizon": 100, "num_tasks": 20, "num_trajectories": 20},
    "policy": {"bounds": "clip", "initial_std": 0.15, "min_std": 0.05},
    "method": {"step_reduction": "mean"},
    "learner": {"inner_lr": 0.1},
    "directed": {"directed_lr": 0.02},
}


class Point(Described[EnvState, EnvParams]):
    """2-D navigation of Finn et al. 2017 (arXiv 1703.03400), the goal hidden.

    The point starts at the origin, observes its position and moves by its action, each
    axis clipped to ±0.1. An episode ends within 0.01 of the goal or after 100 steps.
    The tasks are goals, by default uniform in the square from −0.5 to 0.5.

    Three rewards, a static choice, each of the position after the move, d its distance
    to the goal: "squared", −d², as that paper writes; "distance", −d, as its published
    code and others have it; "sparse", max(r − d, 0), 0 outside of the radius r, after
    ProMP's (Rothfuss et al. 2019). The first two cost less, the sooner an episode ends;
    the sparse one pays for staying, so under it the goal does not end an episode.

    The environment clips by itself, so a policy may be an unbounded normal: clipping
    is then part of the dynamics, and its log-probabilities are those of the unclipped
    action. The end is absorbing, with reward 0 from then on.
    """

    preset = _PRESET
    # Its advantages are not normalised, and at α = 0.1 seeds run away. Of 0.001, 0.003,
    # 0.01 and 0.03 this ended highest on seeds 101 to 103, at −17 to −19 in 60 epochs;
    # with 0.03 two of the three were lost or nearly so.
    learner_presets: ClassVar = {"sg-mrl": {"learner": {"inner_lr": 0.01}}}
    scene = "point"
    positive = ("max_step", "goal_radius", "sparse_radius")

    def __init__(self, reward: Reward = "squared") -> None:
        """Choose the reward.

        Raises:
            ValueError: there is no such reward.
        """
        super().__init__()
        if reward not in get_args(Reward):
            raise ValueError(
                f"There is no reward {reward!r}: choose {', '.join(get_args(Reward))}."
            )
        self.reward = reward

    @property
    def unfelt(self) -> Mapping[str, str]:
        """The sparse reward alone has a radius; under it the goal ends nothing."""
        if self.reward == "sparse":
            return {"goal_radius": "point or point-distance"}
        return {"sparse_radius": "point-sparse"}

    @property
    def default_params(self) -> EnvParams:
        """The goal at the origin, the middle of the tasks."""
        return EnvParams()

    def step_env(
        self,
        key: jax.Array,
        state: EnvState,
        action: int | float | jax.Array,
        params: EnvParams,
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Move by `action`, `[2]`, clipped.

        Returns:
            Observation `[2]`, state, reward, terminated, and an empty dict.
        """
        wanted = jnp.asarray(action, state.position.dtype)
        move = jnp.clip(wanted, -params.max_step, params.max_step)
        position = state.position + move
        distance = jnp.hypot(position[0] - params.goal_x, position[1] - params.goal_y)
        moved = EnvState(
            position=position,
            reached=jnp.array(False)
            if self.reward == "sparse"
            else distance < params.goal_radius,
            time=state.time + 1,
        )
        earned = {
            "squared": -(distance**2),
            "distance": -distance,
            "sparse": jnp.maximum(params.sparse_radius - distance, 0),
        }[self.reward]
        earned = earned.astype(state.position.dtype)
        return self.absorbed(state, moved, earned, params)

    @property
    def dense_reward(self) -> Callable[[jax.Array, EnvParams], jax.Array] | None:
        """`(position after a move, params) -> −d`, which stands beside a sparse reward.

        PEARL's authors train values on it where the task pays the sparse one. None with
        the other rewards, which are dense themselves.
        """
        if self.reward != "sparse":
            return None
        return lambda position, params: (
            -jnp.hypot(position[0] - params.goal_x, position[1] - params.goal_y)
        )

    def reset_env(
        self, key: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState]:
        """Start at the origin, even where the goal is."""
        state = EnvState(
            position=jnp.zeros(2, jnp.result_type(float)),
            reached=jnp.array(False),
            time=0,
        )
        return state.position, state

    def get_obs(
        self,
        state: EnvState,
        params: EnvParams | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """The position, `[2]`."""
        return state.position

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the point has reached the goal."""
        if self.reward == "sparse":
            return jnp.array(False)
        return state.reached

    @property
    def name(self) -> str:
        """Name of the environment."""
        return "point"

    @property
    def num_actions(self) -> int:
        """Length of an action."""
        return 2

    def action_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Moves that are not clipped."""
        step = (params or self.default_params).max_step
        return spaces.Box(-step, step, (2,), jnp.float32)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """How far the point can get within the time limit."""
        far = self._reach(params)
        return spaces.Box(-far, far, (2,), jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """The position's bounds and the clock."""
        far = self._reach(params)
        clock = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        position = spaces.Box(-far, far, (2,), jnp.float32)
        reached = spaces.Discrete(2)
        return spaces.Dict({"position": position, "reached": reached, "time": clock})

    def _reach(self, params: EnvParams) -> Number:
        # A little more than exact sums of steps reach, for rounding.
        return 1.001 * params.max_step * params.max_steps_in_episode
