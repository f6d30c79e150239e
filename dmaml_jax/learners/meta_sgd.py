"""Meta-SGD (Li et al. 2017), and MAML++'s step sizes per layer and step."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import (
    collection_keys,
    optimizer_step,
    over_all,
    over_tasks,
)
from dmaml_jax.learners.derivatives import (
    adaptation_curve,
    inner_steps,
    value_and_gradient,
)
from dmaml_jax.types import Info, MetaLearner, Params, Problem, PyTree, Task


class MetaSGDState(NamedTuple):
    """θ, the learned step sizes a, the optimiser of both, and the epochs done."""

    params: Params
    rates: PyTree
    optimizer: Any
    epoch: jax.Array


def meta_sgd(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    first_order: bool = False,
    rates: Literal["parameter", "layer-and-step"] = "parameter",
) -> MetaLearner:
    r"""MAML whose inner step sizes are learned with θ.

    θ'_i = θ + a ⊙ ∇J_i(θ), and the outer optimiser gets ∇_{(θ, a)} of the mean loss at
    θ'_i. With one inner step ∂/∂a = −∇J_i(θ) ⊙ ∇loss(θ') needs no Hessian; with more it
    does, and ∂/∂θ always does: `first_order` leaves it out everywhere. Rates may become
    negative, as in the paper.

    Args:
        problem: what is learned.
        inner_lr: what every entry of a starts with.
        meta_optimizer: takes the meta-gradient of (θ, a); an Optax transformation.
        num_inner_steps: N, gradient steps of the inner loop.
        first_order: the inner gradients are constants.
        rates: a rate per "parameter", the same at every step; or one per
            "layer-and-step" (an array of parameters is a layer), as in MAML++.

    Returns:
        The learner.

    References:
        Li, Zhou, Chen, Li: Meta-SGD: Learning to Learn Quickly for Few-Shot Learning,
        2017.
        Antoniou, Edwards, Storkey: How to train your MAML, ICLR 2019.
    """

    def init(key: jax.Array) -> MetaSGDState:
        params = problem.init(key)

        def first(leaf: jax.Array) -> jax.Array:
            shape = leaf.shape if rates == "parameter" else (num_inner_steps,)
            return jnp.full(shape, jnp.asarray(inner_lr, leaf.dtype))

        a = jax.tree.map(first, params)
        return MetaSGDState(params, a, meta_optimizer.init((params, a)), jnp.int32(0))

    def step_rates(a: PyTree, num_steps: int) -> list[PyTree]:
        """The rates of each inner step; beyond the last learned one its own go on."""
        if rates == "parameter":
            return [a] * num_steps

        def at(index: int) -> PyTree:
            return jax.tree.map(lambda leaf: leaf[index], a)

        return [at(min(index, num_inner_steps - 1)) for index in range(num_steps)]

    def task_gradient(
        keys: jax.Array, params: Params, a: PyTree, task: Task
    ) -> tuple[Info, PyTree]:
        adapted, pullback, seen = jax.vjp(
            lambda p, a: inner_steps(
                problem,
                keys[:-1],
                p,
                task,
                inner_lr=step_rates(a, num_inner_steps),
                first_order=first_order,
            ),
            params,
            a,
            has_aux=True,
        )
        data = problem.advantages(adapted, problem.collect(keys[-1], adapted, task))
        loss, outer_gradient = value_and_gradient(problem, problem.outer_loss)(
            adapted, data
        )
        gradient, rate_gradient = pullback(outer_gradient)
        info = Info(
            meta_gradient=gradient,
            loss=loss,
            return_before=seen[0].performance,
            return_after=problem.performance(data),
            num_steps=sum((s.num_steps for s in seen), problem.num_steps(data)),
        )
        return info, rate_gradient

    def step(
        key: jax.Array, state: MetaSGDState, tasks: Task
    ) -> tuple[MetaSGDState, Info]:
        keys = collection_keys(key, tasks, num_inner_steps + 1)
        infos, rate_gradients = over_tasks(
            lambda keys, task: task_gradient(keys, state.params, state.rates, task),
            keys,
            tasks,
        )
        info = over_all(infos)
        gradient = (info.meta_gradient, jax.tree.map(_mean, rate_gradients))
        (params, a), optimizer = optimizer_step(
            meta_optimizer, gradient, state.optimizer, (state.params, state.rates)
        )
        return MetaSGDState(params, a, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: MetaSGDState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem,
            key,
            state.params,
            task,
            num_steps,
            inner_lr=step_rates(state.rates, num_steps),
        )

    return MetaLearner(init, step, adapt)


def _mean(leaf: jax.Array) -> jax.Array:
    return jnp.mean(leaf, axis=0)
