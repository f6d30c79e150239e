"""Learners that learn the inner step sizes together with θ."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import MetaLoss, Seen, outer_step
from dmaml_jax.learners.inner_loop import Rates, adaptation_curve
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.task_axis import collection_keys
from dmaml_jax.types import (
    Info,
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    PyTree,
    Source,
    Task,
)


class Learned(NamedTuple):
    """What is meta-learned: θ, and the inner step sizes a."""

    params: Params
    rates: PyTree


class RatesState(NamedTuple):
    """θ, the learned step sizes a, the outer rule's memory of both, the epochs done."""

    params: Params
    rates: PyTree
    optimizer: Any
    epoch: jax.Array


def rates_learner(
    problem: Problem,
    meta_loss: Callable[..., tuple[jax.Array, Seen]],
    *,
    initial_rates: Callable[[Params], PyTree],
    rates_of_step: Callable[[PyTree], Rates],
    num_collections: int,
    meta_optimizer: optax.GradientTransformation | OuterRule,
) -> MetaLearner:
    """A learner that descends a meta-objective in (θ, a).

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        meta_loss: `(problem, θ, sources, task, inner_lr=…, epoch=…) -> (loss, seen)`,
            with the step sizes as `inner_loop` takes them and the epochs done.
        initial_rates: `(θ) -> a`, the step sizes at first.
        rates_of_step: `(a) -> ` step sizes as `inner_loop` takes them.
        num_collections: how often a task is sampled in an epoch.
        meta_optimizer: takes the meta-gradient of (θ, a).

    Returns:
        The learner. `Info.meta_gradient` is that of θ.
    """
    rule = outer_rule(meta_optimizer)

    def init(key: jax.Array) -> RatesState:
        params = problem.init(key)
        learned = Learned(params, initial_rates(params))
        return RatesState(*learned, rule.init(learned), jnp.int32(0))

    def step(key: jax.Array, state: RatesState, tasks: Task) -> tuple[RatesState, Info]:
        learned, optimizer, info, _ = outer_step(
            problem,
            _of_both(meta_loss, rates_of_step, state.epoch),
            rule,
            collection_keys(key, tasks, num_collections),
            tasks,
            Learned(state.params, state.rates),
            state.optimizer,
        )
        info = info._replace(meta_gradient=info.meta_gradient.params)
        params, rates = learned
        return RatesState(params, rates, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: RatesState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        inner_lr = rates_of_step(state.rates)
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def _of_both(
    meta_loss: Callable[..., tuple[jax.Array, Seen]],
    rates_of_step: Callable[[PyTree], Rates],
    epoch: jax.Array,
) -> MetaLoss:
    def loss(
        problem: Problem, learned: Learned, sources: Source, task: Task
    ) -> tuple[jax.Array, Seen]:
        inner_lr = rates_of_step(learned.rates)
        return meta_loss(
            problem, learned.params, sources, task, inner_lr=inner_lr, epoch=epoch
        )

    return loss
