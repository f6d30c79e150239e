"""Directed-X: a cheap first-order step on the medium task before each epoch of X.

Algorithm 1 of Directed-MAML (arXiv 2510.00212), with δ, α and β its step sizes:

    while not done:
        sample tasks 𝒯_i ~ ρ, i = 1 … M                      (the caller)
        𝒯_med ← the medium task                              (Eq. 3, or 4)
        collect K trajectories of 𝒯_med with π_θ
        θ ← θ + δ ∇J_med(θ)                                  first order
        one epoch of X on the 𝒯_i: MAML's inner and outer steps
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import cosine, with_params
from dmaml_jax.learners.derivatives import value_and_gradient
from dmaml_jax.learners.gates import Gate, always
from dmaml_jax.learners.medium_task import TaskRule, medium_task_exact
from dmaml_jax.learners.outer_rules import optimizer_step
from dmaml_jax.learners.parts import part
from dmaml_jax.learners.task_axis import modifier_key
from dmaml_jax.types import Data, Info, MetaLearner, Params, Problem, Task


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
    be directed, a directed one too. One epoch costs K episodes more.

    Args:
        base: the meta-learner X, which takes its own step after each pre-step.
        problem: the same problem that the base learns (its outer loss is descended;
            another reduction over steps may be had from a problem of its own).
        directed_lr: δ, or an Optax schedule of the pre-steps taken.
        task_rule: `(key, tasks) -> task` of the pre-step; `medium_task_exact` by
            default.
        directed_optimizer: from a rate to an Optax transformation; plain gradient
            ascent by default.
        placement: "epoch" is Algorithm 1; "inner-and-outer", the text of section IV,
            takes a second pre-step before the outer one, at the parameters that the
            inner steps started from: K episodes more.
        gate: when to take pre-steps; always by default. The trajectories are collected
            either way.

    Returns:
        The directed learner.
    """
    optimizer = directed_optimizer(directed_lr)
    medium_task_of = task_rule or medium_task_exact(problem)
    gate = gate or always()

    def init(key: jax.Array) -> DirectedState:
        state = base.init(key)
        return DirectedState(
            state, optimizer.init(state.params), gate.init(state.params)
        )

    def step(
        key: jax.Array, state: DirectedState, tasks: Task
    ) -> tuple[DirectedState, Info]:
        key_task, key_medium, key_between = _keys(key, state)
        medium_task = medium_task_of(key_task, tasks)
        gradient, data = medium_gradient(problem, key_medium, state.params, medium_task)
        is_open = gate.is_open(state.gate, gradient)
        params, memory = pre_step(
            optimizer, is_open, gradient, state.optimizer, state.params
        )
        base_state, info = base.step(key, with_params(state.base, params), tasks)
        cost = problem.num_steps(data)
        if placement == "inner-and-outer":
            # The outer update does not look at θ, so this one may come after it.
            again, more = medium_gradient(problem, key_between, params, medium_task)
            params, memory = pre_step(
                optimizer, is_open, again, memory, base_state.params
            )
            base_state = with_params(base_state, params)
            cost = cost + problem.num_steps(more)
        info = info._replace(
            return_medium=problem.performance(data),
            cos_medium_meta=cosine(gradient, info.meta_gradient),
            num_steps=info.num_steps + cost,
        )
        return DirectedState(base_state, memory, gate.update(state.gate, info)), info

    def adapt(
        key: jax.Array, state: DirectedState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return base.adapt(key, state.base, task, num_steps)

    return MetaLearner(init, step, adapt)


def medium_gradient(
    problem: Problem, key: jax.Array, params: Params, medium_task: Task
) -> tuple[Params, Data]:
    """−∇J_med(θ), estimated from K trajectories of the medium task, and those."""
    with part("pre_step"):
        data = problem.advantages(params, problem.collect(key, params, medium_task))
        _, gradient = value_and_gradient(problem, problem.outer_loss)(params, data)
    return gradient, data


def pre_step(
    optimizer: optax.GradientTransformation,
    is_open: jax.Array,
    gradient: Params,
    memory: Any,
    params: Params,
) -> tuple[Params, Any]:
    """θ + δ ∇J_med(θ) and the optimiser's memory, or both as they were."""
    with part("pre_step"):
        moved = optimizer_step(optimizer, gradient, memory, params)
    # Not a product with 0: what is not finite must not get through a shut gate.
    return jax.tree.map(
        lambda new, old: jnp.where(is_open, new, old), moved, (params, memory)
    )


def _keys(key: jax.Array, state: DirectedState) -> tuple[jax.Array, ...]:
    """Keys of the medium task and of two collections.

    They come from the half of a step's key that the base learner leaves alone. A base
    that is directed itself is handed the same key and takes the first three of them, so
    this one goes on behind those.
    """
    depth, inside = 0, state.base
    while isinstance(inside, DirectedState):
        depth, inside = depth + 1, inside.base
    keys = jax.random.split(modifier_key(key), 3 * (depth + 1))
    return tuple(keys[3 * depth :])
