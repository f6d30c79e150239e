"""Trials: several episodes of one task, lived through with one memory.

The conventions are those of RL² (Duan et al. 2016, arXiv 1611.02779): the memory lives
through the n episodes of a trial and is new in every trial. Where an episode ends
within a trial, by itself or at its time limit, the next percept shows the new start
together with the last action and reward of the episode that ended, and its flag is 1;
no step is spent on it. So the flag is seen n times in a trial, and episodes stand one
right behind the other on the axis of time: only the trial's tail may be empty.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from dmaml_jax.rl.rollout import (
    keep,
    steps_until_all_ended,
    transition,
    with_stable_types,
)
from dmaml_jax.types import Memory, Params, Percept, Policy, Task, Trajectory


class Lived(NamedTuple):
    """What a life keeps from step to step, and from episode to episode.

    Attributes:
        memory: the policy's memory, a pytree.
        action: the last action, as the policy is shown it, `[A]`.
        reward: the reward of the last step.
    """

    memory: Memory
    action: jax.Array
    reward: jax.Array


class _Walk(NamedTuple):
    """Where a trial stands: at the beginning of a step."""

    env_state: Any
    obs: Any
    lived: Lived
    begins: jax.Array
    steps: jax.Array
    episodes: jax.Array
    alive: jax.Array


def unlived(policy: Policy) -> Lived:
    """What a life keeps of nothing, with which every trial begins."""
    assert policy.memory is not None and policy.shown is not None
    action = policy.shown(None)
    return Lived(policy.memory(), action, jnp.zeros((), action.dtype))


def trial(
    key: jax.Array,
    params: Params,
    lived: Lived,
    env_params: Task,
    *,
    env: Any,
    policy: Policy,
    horizon: int,
    num_episodes: int,
    chunk: int,
) -> tuple[Trajectory, Lived]:
    """One life of some episodes of a task, each of at most `horizon` steps.

    Args:
        key: consumed by the episodes' starts, the actions and the environment.
        params: θ of the policy; no gradient flows through sampling.
        lived: what is kept of the life before; `unlived` where a trial begins.
        env_params: the task, which stays the same from episode to episode.
        env: an environment with gymnax's interface.
        policy: π, which has a memory.
        horizon: H, the most steps of an episode; reaching it ends the episode alone.
        num_episodes: n, the number of episodes.
        chunk: how many steps are taken before it is checked again whether all lanes of
            the surrounding vmaps have ended.

    Returns:
        The trial as one trajectory, `[n H, …]` and observations `[n H + 1, …]`, with
        `begins` filled in; and what is kept of the life after it.
    """
    key_starts, key_actions, key_env = jax.random.split(key, 3)
    chunk = min(chunk, horizon * num_episodes)
    num_chunks = -(-horizon * num_episodes // chunk)
    # Sampling is a constant to the gradient, as in `rollout`.
    params, lived, env_params = jax.lax.stop_gradient((params, lived, env_params))
    starts = jax.random.split(key_starts, num_episodes)
    env_keys = jax.random.split(key_env, num_chunks * chunk)
    with jax.numpy_dtype_promotion("standard"):
        obs, env_state = env.reset_env(starts[0], env_params)
    no, one = jnp.int32(0), jnp.array(True)
    walk = _Walk(env_state, obs, lived, one, no, no, one)
    like, _ = jax.eval_shape(policy.apply, params, _percept(walk), lived.memory)
    noise = policy.distribution.noise(key_actions, like, num_chunks * chunk)

    @jax.jit  # traced once, for its shapes and for the loop
    def take_step(walk: _Walk, t: jax.Array) -> tuple[_Walk, Trajectory]:
        action_params, memory = policy.apply(params, _percept(walk), walk.lived.memory)
        sample = policy.distribution.sample(action_params, noise[t])
        log_prob = policy.distribution.log_prob(action_params, sample)
        action = policy.distribution.action(sample)
        obs, state, reward, terminated, truncated = transition(
            env, env_keys[t], walk.env_state, action, env_params
        )
        reward = reward.astype(log_prob.dtype)
        ended = terminated | truncated | (walk.steps + 1 == horizon)
        episodes = walk.episodes + ended.astype(jnp.int32)
        anew = ended & (episodes < num_episodes)
        with jax.numpy_dtype_promotion("standard"):
            start = env.reset_env(starts[episodes], env_params)
        obs, state = jax.tree.map(
            lambda new, old: jnp.where(anew, jnp.asarray(new, old.dtype), old),
            start,
            (obs, state),
        )
        assert policy.shown is not None
        after = _Walk(
            env_state=state,
            obs=obs,
            lived=Lived(memory, policy.shown(sample), reward),
            begins=ended,
            steps=jnp.where(ended, 0, walk.steps + 1),
            episodes=episodes,
            alive=~ended | anew,
        )
        seen = Trajectory(
            obs=walk.obs,
            actions=sample,
            log_probs=jnp.where(walk.alive, log_prob, 0),
            rewards=jnp.where(walk.alive, reward, 0),
            alive=walk.alive,
            terminated=walk.alive & terminated,
            action_params=action_params,
            begins=walk.alive & walk.begins,
        )
        return keep(walk.alive, after, walk), seen

    walk = with_stable_types(take_step, walk)
    written, walk = steps_until_all_ended(
        take_step, walk, horizon * num_episodes, chunk, num_chunks
    )
    return written, walk.lived


def percepts(policy: Policy, data: Trajectory) -> Percept:
    """What the policy was shown before each step of a whole trial.

    Args:
        policy: π, which has a memory.
        data: one trial from its beginning, `[T, …]`.

    Returns:
        The percepts, `[T, …]`.
    """
    assert policy.shown is not None and data.begins is not None
    first = policy.shown(None)
    actions = jax.vmap(policy.shown)(data.actions)
    return Percept(
        obs=jax.tree.map(lambda x: x[:-1], data.obs),
        action=jnp.concatenate([first[None], actions[:-1]]),
        reward=jnp.concatenate([jnp.zeros_like(data.rewards[:1]), data.rewards[:-1]]),
        begins=data.begins.astype(data.rewards.dtype),
    )


def episode_returns(data: Trajectory, num_episodes: int) -> jax.Array:
    """The undiscounted return of each of a trial's episodes.

    Args:
        data: one trial, `[T, …]`.
        num_episodes: n, the number of episodes in a trial.

    Returns:
        The sums of rewards, `[n]`.
    """
    assert data.begins is not None
    chex.assert_rank([data.begins, data.rewards], 1)
    index = jnp.cumsum(data.begins, dtype=jnp.int32) - 1
    return jax.ops.segment_sum(data.rewards, index, num_segments=num_episodes)


def _percept(walk: _Walk) -> Percept:
    lived = walk.lived
    begins = walk.begins.astype(lived.reward.dtype)
    return Percept(walk.obs, lived.action, lived.reward, begins)
