"""Directed-X: a cheap first-order step on the medium task before each epoch of X."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import cosine, modifier_key, optimizer_step
from dmaml_jax.learners.derivatives import value_and_gradient
from dmaml_jax.learners.gates import Gate, always
from dmaml_jax.types import Data, Info, MetaLearner, Params, Problem, Task

TaskRule = Callable[[jax.Array, Task], Task]


class DirectedState(NamedTuple):
    """The base learner's state, the pre-step's optimiser, the gate's memory."""

    base: Any
    optimizer: Any
    gate: Any

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
    placement: Literal["epoch", "inner-and-outer"] = "epoch",
    gate: Gate | None = None,
) -> MetaLearner:
    r"""Direct a meta-learner (Algorithm 1 of arXiv 2510.00212).

    Each epoch begins with θ ← θ + δ ∇J_med(θ), from K trajectories of the medium
    task; then the base learner takes its step from there. The step is first order:
    no meta-gradient flows through it. Nothing but θ is touched, so any learner can
    be directed. One epoch costs K episodes more.

    Args:
        base: the learner to direct.
        problem: the same problem that the base learns (its outer loss is descended;
            another reduction over steps may be had from a problem of its own).
        directed_lr: δ, or an Optax schedule of the pre-steps taken.
        task_rule: `(key, tasks) -> task` of the pre-step; `medium_task_exact` by
            default.
        directed_optimizer: rate to Optax transformation; plain gradient ascent by
            default.
        placement: "epoch" is Algorithm 1; "inner-and-outer", the text of section IV,
            takes a second pre-step before the outer one, at the parameters that the
            inner steps started from: K episodes more.
        gate: when to take pre-steps; always by default. The trajectories are collected
            either way.

    Returns:
        The directed learner.
    """
    optimizer = directed_optimizer(directed_lr)
    rule = task_rule or medium_task_exact(problem)
    gate = gate or always()

    def init(key: jax.Array) -> DirectedState:
        state = base.init(key)
        return DirectedState(
            state, optimizer.init(state.params), gate.init(state.params)
        )

    def direction(key: jax.Array, params: Params, task: Task) -> tuple[Params, Data]:
        data = problem.advantages(params, problem.collect(key, params, task))
        _, gradient = value_and_gradient(problem, problem.outer_loss)(params, data)
        return gradient, data

    def moved(
        is_open: jax.Array, gradient: Params, state: Any, params: Params
    ) -> tuple[Params, Any]:
        after = optimizer_step(optimizer, gradient, state, params)
        # Not a product with 0: what is not finite must not get through a shut gate.
        return jax.tree.map(
            lambda new, old: jnp.where(is_open, new, old), after, (params, state)
        )

    def step(
        key: jax.Array, state: DirectedState, tasks: Task
    ) -> tuple[DirectedState, Info]:
        key_rule, key_before, key_between = jax.random.split(modifier_key(key), 3)
        medium_task = rule(key_rule, tasks)
        gradient, data = direction(key_before, state.params, medium_task)
        is_open = gate.is_open(state.gate, gradient)
        params, optimizer_state = moved(
            is_open, gradient, state.optimizer, state.params
        )
        base_state, info = base.step(key, state.base._replace(params=params), tasks)
        cost = problem.num_steps(data)
        if placement == "inner-and-outer":
            # The outer update does not look at θ, so this one may come after it.
            second, between = direction(key_between, params, medium_task)
            after, optimizer_state = moved(
                is_open, second, optimizer_state, base_state.params
            )
            base_state = base_state._replace(params=after)
            cost = cost + problem.num_steps(between)
        info = info._replace(
            return_medium=problem.performance(data),
            cos_medium_meta=cosine(gradient, info.meta_gradient),
            num_steps=info.num_steps + cost,
        )
        memory = gate.update(state.gate, info)
        return DirectedState(base_state, optimizer_state, memory), info

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


def task_of_batch(key: jax.Array, tasks: Task) -> Task:
    """One of the tasks just sampled, at random: a control without a medium task."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    index = jax.random.randint(key, (), 0, num_tasks)
    return jax.tree.map(lambda leaf: leaf[index], tasks)


def fresh_task(problem: Problem) -> TaskRule:
    """Another task ~ ρ, which the base learner does not see in this epoch."""
    return lambda key, tasks: jax.tree.map(
        lambda leaf: leaf[0], problem.sample_tasks(key, 1)
    )


def given_task(task: Task) -> TaskRule:
    """Always this one."""
    return lambda key, tasks: task
