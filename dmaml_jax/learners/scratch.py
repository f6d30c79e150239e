"""Learning one task from scratch: the control without any meta-learning."""

from typing import Any, NamedTuple

import jax
import optax

from dmaml_jax.learners.derivatives import value_and_gradient
from dmaml_jax.learners.outer_rules import optimizer_step
from dmaml_jax.types import Params, Problem, Task


class ScratchState(NamedTuple):
    """Where learning begins, and Adam's step size."""

    params: Params
    rate: Any


def learn_alone(
    problem: Problem, key: jax.Array, state: ScratchState, task: Task, num_steps: int
) -> tuple[Params, jax.Array]:
    """Learn a task by Adam on its policy gradient, with fresh trajectories each step.

    Args:
        problem: what is learned; its outer loss is descended.
        key: the random key of all collections.
        state: the first parameters, and the step size.
        task: 𝒯, the parameters of the task.
        num_steps: how many steps to take.

    Returns:
        Parameters after 0 … num_steps steps, stacked on axis 0, and the mean
        undiscounted return of each, `[num_steps + 1]`: what `MetaLearner.adapt` does.
    """
    optimizer = optax.adam(state.rate)
    slope = value_and_gradient(problem, problem.outer_loss)

    def collect_and_step(carry: tuple[Params, Any], key: jax.Array) -> tuple[Any, Any]:
        params, memory = carry
        data = problem.advantages(params, problem.collect(key, params, task))
        _, gradient = slope(params, data)
        moved = optimizer_step(optimizer, gradient, memory, params)
        return moved, (params, problem.performance(data))

    start = (state.params, optimizer.init(state.params))
    keys = jax.random.split(key, num_steps + 1)
    return jax.lax.scan(collect_and_step, start, keys)[1]
