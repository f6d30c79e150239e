"""Environment, tasks, a policy with a memory and its objective, as a `Problem`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.learners.parts import part
from dmaml_jax.rl.objectives import Objective
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.rl.trial_objective import trial_kl, trial_log_probs
from dmaml_jax.rl.trials import episode_returns, trial, unlived
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Agent, Params, Percept, Policy, Problem, Task, Trajectory

# Steps between two checks of whether every lane has ended, as in `rl.problem`.
_CHUNK = 20


def make_trial_problem(
    env: Any,
    tasks: TaskDistribution,
    policy: Policy,
    objective: Objective,
    *,
    horizon: int,
    num_trajectories: int,
    num_episodes: int,
    discount: float | jax.Array,
) -> Problem:
    """Put a problem together whose trajectories are trials.

    `collect` of θ gives K trials of n episodes, each from the memory with which a trial
    begins; `collect` of an agent gives K single episodes that go on from its lives.

    Args:
        env: an environment with gymnax's interface.
        tasks: the distribution of its parameters.
        policy: π_θ, which has a memory.
        objective: how K trials become a loss.
        horizon: H, the most steps of an episode.
        num_trajectories: K, the number of trials in a collection of one task.
        num_episodes: n, the number of episodes in a trial.
        discount: γ of `Problem.objective`, per step of the trial.

    Returns:
        The problem, for a learner that adapts by a memory.
    """
    lives = partial(trial, env=env, policy=policy, horizon=horizon, chunk=_CHUNK)

    def init(key: jax.Array) -> Params:
        with jax.numpy_dtype_promotion("standard"):
            obs, _ = jax.eval_shape(env.reset_env, key, tasks.mean())
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), obs)
        lived = unlived(policy)
        return policy.init(
            key, Percept(zeros, lived.action, lived.reward, lived.reward)
        )

    def newborn(params: Params) -> Agent:
        return Agent(params, _repeated(unlived(policy), num_trajectories))

    def live(key: jax.Array, agent: Agent, task: Task) -> tuple[Trajectory, Agent]:
        keys = jax.random.split(key, jax.tree.leaves(agent.memory)[0].shape[0])
        with part("rollouts"):
            data, memory = jax.vmap(
                lambda key, lived: lives(key, agent.params, lived, task, num_episodes=1)
            )(keys, agent.memory)
        return data, Agent(agent.params, memory)

    @partial(jax.jit, static_argnames="num")  # traced once for an epoch's collections
    def collect(
        key: jax.Array,
        agent: Params | Agent,
        task: Task,
        num: int = num_trajectories,
    ) -> Trajectory:
        if isinstance(agent, Agent):
            return live(key, _with_lives(agent, num), task)[0]
        keys, first = jax.random.split(key, num), unlived(policy)
        with part("rollouts"):
            return jax.vmap(
                lambda key: lives(key, agent, first, task, num_episodes=num_episodes)[0]
            )(keys)

    def returns(data: Trajectory) -> jax.Array:
        each = jax.vmap(partial(episode_returns, num_episodes=num_episodes))(data)
        return jnp.mean(each, axis=0)

    return Problem(
        init=init,
        sample_tasks=lambda key, num: jax.vmap(tasks.sample)(
            jax.random.split(key, num)
        ),
        medium_task=tasks.mean,
        collect=collect,
        advantages=objective.advantages,
        inner_loss=objective.inner_loss,
        outer_loss=objective.outer_loss,
        objective=partial(_discounted_return, discount),
        log_probs=partial(trial_log_probs, policy),
        kl=partial(trial_kl, policy) if policy.distribution.kl else None,
        performance=lambda data: jnp.mean(jnp.sum(data.rewards, axis=1)),
        num_steps=lambda data: jnp.sum(data.alive, dtype=jnp.int32),
        clipped_loss=objective.clipped_loss,
        critic=policy.critic,
        newborn=newborn,
        live=live,
        episode_returns=returns,
    )


def _discounted_return(discount: float | jax.Array, data: Trajectory) -> jax.Array:
    """Ĵ = (1/K) Σ_k Σ_t γ^t r_{k,t} over the steps of a whole trial."""
    powers = discount_powers(discount, data.rewards.shape[1], data.rewards.dtype)
    return jnp.mean(jnp.sum(data.rewards * powers, axis=1))


def _repeated(lived: Any, num: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), lived)


def _with_lives(agent: Agent, num: int) -> Agent:
    """The agent with so many lives: its own, and from the first again."""
    own = jax.tree.leaves(agent.memory)[0].shape[0]
    chosen = jnp.arange(num, dtype=jnp.int32) % own
    return Agent(agent.params, jax.tree.map(lambda leaf: leaf[chosen], agent.memory))
