"""Directed-X: a cheap first-order step on the medium task before each epoch of X."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.adapt import value_and_gradient
from dmaml_jax.learners.common import cosine, modifier_key, optimizer_step
from dmaml_jax.types import Info, MetaLearner, Params, Problem, Task

TaskRule = Callable[[jax.Array, Task], Task]


class DirectedState(NamedTuple):
    """The base learner's state and the pre-step's optimiser."""

    base: Any
    optimizer: Any

    @property
    def params(self) -> Params:
        """θ, which is the base learner's."""
        return self.base.params

    @property
    def epoch(self) -> jax.Array:
        """Epochs done, which the base learner counts."""
        return self.base.epoch


def directed(
    base: MetaLearner,
    problem: Problem,
    *,
    directed_lr: Any,
    task_rule: TaskRule | None = None,
    directed_optimizer: Callable[[Any], optax.GradientTransformation] = optax.sgd,
) -> MetaLearner:
    r"""Direct a meta-learner (Algorithm 1 of arXiv 2510.00212).

    Each epoch begins with θ ← θ + δ ∇J_med(θ), from K trajectories of the medium
    task; then the base learner takes its step from there. The step is first order:
    no meta-gradient flows through it. Nothing but θ is touched, so any learner can
    be directed. One epoch costs K episodes more.

    Args:
        base: the learner to direct.
        problem: the same problem that the base learns.
        directed_lr: δ.
        task_rule: `(key, tasks) -> task` of the pre-step; `medium_task_exact` by
            default.
        directed_optimizer: rate to Optax transformation; plain gradient ascent by
            default.

    Returns:
        The directed learner.
    """
    optimizer = directed_optimizer(directed_lr)
    rule = task_rule or medium_task_exact(problem)

    def init(key: jax.Array) -> DirectedState:
        state = base.init(key)
        return DirectedState(state, optimizer.init(state.params))

    def step(
        key: jax.Array, state: DirectedState, tasks: Task
    ) -> tuple[DirectedState, Info]:
        key_rule, key_collect = jax.random.split(modifier_key(key))
        medium_task = rule(key_rule, tasks)
        data = problem.collect(key_collect, state.params, medium_task)
        data = problem.advantages(state.params, data)
        _, gradient = value_and_gradient(problem, problem.outer_loss)(
            state.params, data
        )
        params, optimizer_state = optimizer_step(
            optimizer, gradient, state.optimizer, state.params
        )
        base_state, info = base.step(key, state.base._replace(params=params), tasks)
        info = info._replace(
            return_medium=problem.performance(data),
            cos_medium_meta=cosine(gradient, info.meta_gradient),
            num_steps=info.num_steps + problem.num_steps(data),
        )
        return DirectedState(base_state, optimizer_state), info

    def adapt(
        key: jax.Array, state: DirectedState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return base.adapt(key, state.base, task, num_steps)

    return MetaLearner(init, step, adapt)


def medium_task_exact(problem: Problem) -> TaskRule:
    """The task at the mean of the distribution, φ_med = E_ρ[φ] (Eq. 3)."""
    return lambda key, tasks: problem.medium_task()


def medium_task_empirical(key: jax.Array, tasks: Task) -> Task:
    """The task at the mean of those just sampled, φ_med = (1/M) Σ_i φ_i (Eq. 4).

    Parameters that are no floats cannot be averaged and keep the first task's value.
    """

    def mean(leaf: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.mean(leaf, axis=0) if floating else leaf[0]

    return jax.tree.map(mean, tasks)
