"""One episode with every state on the way, as a rollout of the same key would go."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.rl.rollout import transition
from dmaml_jax.rl.trials import Lived
from dmaml_jax.types import Agent, Params, Percept, Policy, Task


class Episode(NamedTuple):
    """What happened in one episode of T steps, on the host.

    Attributes:
        states: the environment's states before each step and after the last, leaves
            `[T + 1, …]`.
        obs: the observations before each step and after the last, leaves `[T + 1, …]`.
        actions: the actions as the environment took them, `[T, …]`.
        rewards: the reward of each step, `[T]`.
        terminated: whether it ended by itself, not by the time limit.
        task: the environment's parameters.
    """

    states: Any
    obs: Any
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    task: Any

    @property
    def length(self) -> int:
        """T, steps taken."""
        return len(self.rewards)


def recorder(
    env: Any, policy: Policy, horizon: int
) -> Callable[[jax.Array, Params | Agent, Task], Episode]:
    """A function that plays an episode and keeps it all, compiled once.

    It consumes its key like `rollout.rollout`: same key, same random numbers, so that
    two policies differ in nothing but what they do. An agent with a memory plays the
    episode that comes next in the first of its lives.

    Args:
        env: an environment with gymnax's interface.
        policy: π, which chooses the actions; it may have a memory.
        horizon: H, the largest number of steps.

    Returns:
        `(key, agent, task) -> ` the episode, cut to the steps it took; the agent is θ,
        or an `Agent` where the policy has a memory.
    """
    play = jax.jit(lambda *args: _play(env, policy, horizon, *args))

    def record(key: jax.Array, agent: Params | Agent, task: Task) -> Episode:
        first, later = jax.device_get(play(key, agent, task))
        seen, actions, rewards, alive, terminated = later
        length = int(alive.sum())

        def joined(start: Any, rest: Any) -> np.ndarray:
            return np.concatenate([np.asarray(start)[None], rest[:length]])

        states, obs = jax.tree.map(joined, first, seen)
        return Episode(
            states=states,
            obs=obs,
            actions=actions[:length],
            rewards=rewards[:length],
            terminated=bool(terminated[:length].any()),
            task=jax.device_get(task),
        )

    return record


def _play(
    env: Any, policy: Policy, horizon: int, key: jax.Array, agent: Any, task: Task
) -> Any:
    """The first state and observation, and what each of H steps led to."""
    key_reset, key_actions, key_env = jax.random.split(key, 3)
    with jax.numpy_dtype_promotion("standard"):
        obs, state = env.reset_env(key_reset, task)
    act, kept, lived = _acting(policy, agent)
    begins = jnp.array(True)
    noise = policy.distribution.noise(
        key_actions, jax.eval_shape(act, obs, lived, begins)[0], horizon
    )
    keys = jax.random.split(key_env, horizon)

    def step(carry: Any, drawn: Any) -> Any:
        state, obs, lived, begins, alive = carry
        noise, key = drawn
        action_params, memory = act(obs, lived, begins)
        sample = policy.distribution.sample(action_params, noise)
        action = policy.distribution.action(sample)
        obs, state, reward, terminated, truncated = transition(
            env, key, state, action, task
        )
        lived = kept(memory, sample, reward)
        carry = (state, obs, lived, jnp.array(False), alive & ~terminated & ~truncated)
        return carry, ((state, obs), action, reward, alive, alive & terminated)

    # Environments start with Python numbers and weak types in their states.
    start = (state, obs, lived, begins, jnp.array(True))
    after, _ = jax.eval_shape(step, start, jax.tree.map(lambda x: x[0], (noise, keys)))
    start = jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), start, after)
    _, seen = jax.lax.scan(step, start, (noise, keys))
    return start[:2], seen


def _acting(policy: Policy, agent: Any) -> tuple[Callable[..., Any], Any, Any]:
    """How an agent acts, what it keeps of a step, and what it has kept so far."""
    if policy.memory is None:
        return (
            lambda obs, lived, begins: (policy.apply(agent, obs), ()),
            lambda memory, sample, reward: (),
            (),
        )
    assert policy.shown is not None
    shown = policy.shown

    def act(obs: Any, lived: Lived, begins: jax.Array) -> Any:
        flag = begins.astype(lived.reward.dtype)
        percept = Percept(obs, lived.action, lived.reward, flag)
        return policy.apply(agent.params, percept, lived.memory)

    def kept(memory: Any, sample: jax.Array, reward: jax.Array) -> Lived:
        action = shown(sample)
        return Lived(memory, action, reward.astype(action.dtype))

    return act, kept, jax.tree.map(lambda leaf: leaf[0], agent.memory)
