"""Adaptation to given tasks, measured on episodes of its own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.types import Agent, Data, MetaLearner, Params, Problem, PyTree, Task


def adaptation(
    learner: MetaLearner,
    measure: Problem,
    *,
    num_steps: int,
    summary: Callable[[Data], PyTree] | None = None,
    tasks_at_once: int | None = None,
) -> Callable[[jax.Array, Any, Task], PyTree]:
    """What a learner's agent earns after 0 … n adaptation steps to each task.

    Adaptation collects trajectories of its own, as `learner.adapt` does. What is
    reported is measured on others, `measure.collect`, whose random numbers are the same
    after every number of steps, so that differences are less noisy than returns. Where
    a memory adapts, each of those is an episode that goes on from one of the lives
    that the agent has lived so far.

    Args:
        learner: the learner whose `adapt` is used.
        measure: the problem to measure on; its number of trajectories may be another
            than what the learner adapts with.
        num_steps: n, the number of adaptation steps.
        summary: `(data) -> ` what to keep of the measured trajectories of one task, in
            floats; the mean undiscounted return by default.
        tasks_at_once: how many tasks are adapted to side by side; all by default.

    Returns:
        `(key, state, tasks) -> ` summaries, for a learner's state and tasks stacked on
        axis 0, with leading axes `[tasks, n + 1]`; NaN where the adapted agent is no
        longer finite. It is jit-able and not jitted. The key must
        be none that training uses (`training.keys`).
    """
    summary = summary or measure.performance

    def of_task(key: jax.Array, state: Any, task: Task) -> PyTree:
        key_adapt, key_measure = jax.random.split(key)

        path, _ = learner.adapt(key_adapt, state, task, num_steps)

        def of_step(agent: Params | Agent) -> PyTree:
            # Numbers that are none still act, as the first of the actions: what such a
            # policy earns is not what adaptation earns.
            leaves = [
                jnp.isfinite(leaf).all()
                for leaf in jax.tree.leaves(agent)
                if jnp.issubdtype(leaf.dtype, jnp.inexact)  # a memory may hold keys
            ]
            whole = jnp.stack(leaves).all()
            found = summary(measure.collect(key_measure, agent, task))
            return jax.tree.map(
                lambda leaf: jnp.where(whole, leaf, jnp.full_like(leaf, jnp.nan)), found
            )

        return jax.vmap(of_step)(path)

    def run(key: jax.Array, state: Any, tasks: Task) -> PyTree:
        num = jax.tree.leaves(tasks)[0].shape[0]
        keys = jax.random.split(key, num)
        if tasks_at_once is None or tasks_at_once >= num:
            return jax.vmap(of_task, in_axes=(0, None, 0))(keys, state, tasks)
        return jax.lax.map(
            lambda pair: of_task(pair[0], state, pair[1]),
            (keys, tasks),
            batch_size=tasks_at_once,
        )

    return run
