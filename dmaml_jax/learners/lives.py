"""What learners share that adapt by a memory: an agent that lives through episodes."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.types import Agent, Memory, Params, Problem, Task


def lived_through(
    problem: Problem, key: jax.Array, params: Params, task: Task, num_steps: int
) -> tuple[Agent, jax.Array]:
    """Live through episodes of a task, and watch the return of each.

    Args:
        problem: what is adapted to; its policy has a memory.
        key: the random key of all episodes.
        params: θ, which stays as it is; agents have what acts of it.
        task: 𝒯, the parameters of the task.
        num_steps: how many episodes are lived through.

    Returns:
        The agents after 0 … num_steps episodes, stacked on axis 0, and mean
        undiscounted returns `[num_steps + 1]` over the agent's lives: each of the
        episode that comes next.
    """
    assert problem.newborn is not None and problem.live is not None
    live = problem.live
    born = problem.newborn(params)

    def episode(memory: Memory, key: jax.Array) -> tuple[Memory, Any]:
        data, agent = live(key, born._replace(memory=memory), task)
        return agent.memory, (memory, problem.performance(data))

    keys = jax.random.split(key, num_steps + 1)
    _, (memories, returns) = jax.lax.scan(episode, born.memory, keys)
    same = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (num_steps + 1, *leaf.shape)), born.params
    )
    return Agent(same, memories), returns
