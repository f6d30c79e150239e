"""Rules for the task of the directed pre-step: the medium task, and its controls."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dmaml_jax.types import Problem, Task

TaskRule = Callable[[jax.Array, Task], Task]
"""`(key, tasks) -> task`, from an epoch's tasks, stacked on axis 0."""


def medium_task_exact(problem: Problem) -> TaskRule:
    """The task at the mean of the distribution, φ_med = E_ρ[φ] (Eq. 3)."""
    return lambda key, tasks: problem.medium_task()


def medium_task_empirical(key: jax.Array, tasks: Task) -> Task:
    """The task at the mean of those just sampled, φ_med = (1/M) Σ_i φ_i (Eq. 4).

    Parameters that are no floats cannot be averaged and take the lower median of the
    batch, which is one of its values.
    """

    def middle(leaf: jax.Array) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.mean(leaf, axis=0)
        return jnp.sort(leaf, axis=0)[(leaf.shape[0] - 1) // 2]

    return jax.tree.map(middle, tasks)


def task_of_batch(key: jax.Array, tasks: Task) -> Task:
    """One of the tasks just sampled, at random: a control without a medium task."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    index = jax.random.randint(key, (), 0, num_tasks)
    return jax.tree.map(lambda leaf: leaf[index], tasks)


def fresh_task(problem: Problem) -> TaskRule:
    """One more task ~ ρ, which the base learner does not see in this epoch."""
    return lambda key, tasks: jax.tree.map(
        lambda leaf: leaf[0], problem.sample_tasks(key, 1)
    )


def given_task(task: Task) -> TaskRule:
    """The same given task in every epoch."""
    return lambda key, tasks: task
