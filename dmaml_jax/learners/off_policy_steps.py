"""Gradient steps on kept transitions, with a z that a task's context tells."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.beliefs import drawn, kl_to_prior, product
from dmaml_jax.learners.outer_rules import optimizer_step
from dmaml_jax.learners.replay import Replay, context_of, sampled
from dmaml_jax.learners.task_axis import mean_over_tasks, over_tasks
from dmaml_jax.types import Params, Problem, PyTree


class Learning(NamedTuple):
    """What a gradient step changes.

    Attributes:
        params: θ, all parameters that the optimiser changes.
        target: the part of θ that follows slowly.
        optimizer: the memory of the optimiser.
    """

    params: Params
    target: Params
    optimizer: Any


class Shown(NamedTuple):
    """What the gradient steps of an epoch have to show.

    Attributes:
        loss: the mean of what was descended.
        told: means of its parts by name.
        gradient: the gradient of the last step.
    """

    loss: jax.Array
    told: dict[str, jax.Array]
    gradient: Params


Train = Callable[[jax.Array, Learning, Replay], tuple[Learning, Shown]]


def off_policy_steps(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    tasks_per_step: int,
    batch_size: int,
    context_size: int,
    kl_weight: float | jax.Array,
    target_rate: float | jax.Array,
) -> Train:
    """The gradient steps of an epoch.

    Args:
        problem: what is learned; it must offer `off_policy`.
        optimizer: takes the gradient of all of θ.
        num_steps: G, the number of gradient steps in an epoch.
        tasks_per_step: how many tasks a step takes, with replacement.
        batch_size: over how many transitions of each task its losses are means.
        context_size: how many transitions of its context make the belief.
        kl_weight: λ, the weight of the belief's KL from the prior.
        target_rate: τ, the share of the way that the target goes in each step.

    Returns:
        `(key, learning, replay) -> (learning, shown)`.
    """
    off = problem.off_policy
    assert off is not None

    def loss(
        params: Params,
        key: jax.Array,
        number: jax.Array,
        target: Params,
        replay: Replay,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The losses of one task at θ, and their parts by name."""
        key_batch, key_context, key_latent, key_loss = jax.random.split(key, 4)
        batch = sampled(key_batch, replay, number, batch_size)
        met, mask = context_of(key_context, replay, number, context_size)
        belief = product(off.factors(params, met), mask)
        latent = drawn(key_latent, belief)
        of_control, told = off.loss(key_loss, params, target, batch, latent)
        kl = kl_to_prior(belief)
        return of_control + kl_weight * kl, {**told, "kl": kl}

    def improved(
        key: jax.Array, now: Learning, replay: Replay
    ) -> tuple[Learning, Shown]:
        key_tasks, key_each = jax.random.split(key)
        num_tasks = replay.total.shape[0]
        numbers = jax.random.randint(key_tasks, (tasks_per_step,), 0, num_tasks)

        def of_task(key: jax.Array, number: jax.Array) -> PyTree:
            slope = jax.value_and_grad(loss, has_aux=True)
            return slope(now.params, key, number, now.target, replay)

        keys = jax.random.split(key_each, tasks_per_step)
        found = mean_over_tasks(over_tasks(of_task, keys, numbers))
        (total, told), gradient = found
        params, memory = optimizer_step(optimizer, gradient, now.optimizer, now.params)
        target = jax.tree.map(
            lambda old, new: old + target_rate * (new - old),
            now.target,
            off.target(params),
        )
        return Learning(params, target, memory), Shown(total, told, gradient)

    def train(
        key: jax.Array, learning: Learning, replay: Replay
    ) -> tuple[Learning, Shown]:
        def turn(
            carry: tuple[Learning, Params], key: jax.Array
        ) -> tuple[tuple[Learning, Params], PyTree]:
            now, shown = improved(key, carry[0], replay)
            return (now, shown.gradient), (shown.loss, shown.told)

        # The last gradient is carried, as all of them would be kept otherwise.
        start = learning, jax.tree.map(jnp.zeros_like, learning.params)
        keys = jax.random.split(key, num_steps)
        (learning, gradient), shown = jax.lax.scan(turn, start, keys)
        total, told = jax.tree.map(jnp.mean, shown)
        return learning, Shown(total, told, gradient)

    return train
