"""MAML++ (Antoniou, Edwards and Storkey 2019): MAML made steadier over several steps.

θ_{j+1} ← θ_j + a_j ⊙ ∇J_i(θ_j), j = 0 … N − 1      a rate per layer and step
minimise Σ_j w_j(epoch) loss(θ_j), j = 1 … N        multi-step losses, annealed
with ∂∇J_i(θ_j) counted by a share s(epoch)         derivative-order annealing
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import Seen, loss_on_data, seen_of
from dmaml_jax.learners.inner_loop import Adaptation, Rates, inner_loop
from dmaml_jax.learners.learned_rates import rates_learner
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import FROM_0, option
from dmaml_jax.types import (
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    PyTree,
    Source,
    Task,
)

Schedule = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and what MAML++ adds to MAML."""

    rates: Literal["layer-and-step", "fixed"] = option(
        "layer-and-step",
        "Inner step sizes: learned per layer and inner step, or all of them alpha.",
    )
    multi_step_epochs: int = option(
        50,
        "Epochs until only the last inner step's loss counts; 0: from the first on.",
        allowed=FROM_0,
    )
    second_order_epochs: int = option(
        50,
        "Epochs over which the second order comes in; 0: all of it at once.",
        allowed=FROM_0,
    )


def maml_plus_plus(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 2,
    rates: Literal["layer-and-step", "fixed"] = "layer-and-step",
    multi_step_epochs: int = 0,
    second_order_epochs: int = 0,
) -> MetaLearner:
    r"""MAML with learned rates per layer and step, step losses and annealed order.

    The paper's cosine annealing of β is an Optax schedule of the outer rule; its batch
    normalisation has no counterpart here.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, what every rate starts with; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient of θ and the rates.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        rates: whether a rate per layer (an array of parameters) and inner step is
            learned, or all of them stay α. Adaptation of more steps than were learned
            goes on with the last step's rates.
        multi_step_epochs: the number of epochs in which the losses' weights go from
            1/N each to the last step's loss alone; 0 takes the last alone from the
            first epoch on.
        second_order_epochs: the number of epochs in which the share of the second
            order rises from 0 (FOMAML) to 1 (MAML); 0 takes it whole from the first
            epoch on.

    Returns:
        The learner.

    References:
        Antoniou, Edwards, Storkey: How to train your MAML, ICLR 2019.
    """

    def initial_rates(params: Params) -> PyTree:
        return jax.tree.map(
            lambda leaf: jnp.full(num_inner_steps, jnp.asarray(inner_lr, leaf.dtype)),
            params,
        )

    def rates_of_step(a: PyTree) -> Rates:
        # A rate that nothing depends on gets no gradient and stays what it was.
        a = jax.lax.stop_gradient(a) if rates == "fixed" else a

        def at(index: jax.Array) -> PyTree:
            step = jnp.minimum(index, num_inner_steps - 1)
            return jax.tree.map(lambda leaf: leaf[step], a)

        return at

    def meta_loss(
        problem: Problem,
        params: Params,
        sources: Source,
        task: Task,
        *,
        inner_lr: Rates,
        epoch: jax.Array,
    ) -> tuple[jax.Array, Seen]:
        share = zero_to_one(second_order_epochs)(epoch) if second_order_epochs else True
        path = inner_loop(
            problem, sources, params, task, inner_lr=inner_lr, second_order=share
        )
        losses = step_losses(problem, path)
        weights = uniform_to_last(num_inner_steps, multi_step_epochs)(epoch)
        loss = jnp.sum(weights * losses)
        return loss, seen_of(problem, path, loss)

    return rates_learner(
        problem,
        meta_loss,
        initial_rates=initial_rates,
        rates_of_step=rates_of_step,
        num_collections=num_inner_steps + 1,
        meta_optimizer=meta_optimizer,
    )


def step_losses(problem: Problem, path: Adaptation) -> jax.Array:
    """loss(θ_j) for j = 1 … N, each on what θ_j collected itself, `[N]`.

    For j < N those are the trajectories that step j + 1 adapts with.
    """
    after = jax.tree.map(lambda leaf: leaf[1:], (path.params, path.data))
    return jax.vmap(partial(loss_on_data, problem))(*after)


def uniform_to_last(num_inner_steps: int, num_epochs: int) -> Schedule:
    """Weights of the steps' losses: 1/N each at first, (0, …, 0, 1) at last.

    Args:
        num_inner_steps: N, the number of inner steps.
        num_epochs: after how many epochs only the last step counts; 0 for always.
    """

    def weights(epoch: jax.Array) -> jax.Array:
        late = zero_to_one(num_epochs)(epoch)
        final = jnp.arange(num_inner_steps) == num_inner_steps - 1
        return late * final.astype(late.dtype) + (1 - late) / num_inner_steps

    return weights


def zero_to_one(num_epochs: int) -> Schedule:
    """Linearly from 0 to 1 in so many epochs, and 1 from then on; 1 always for 0."""

    def share(epoch: jax.Array) -> jax.Array:
        done = epoch.astype(jnp.result_type(float))
        return jnp.minimum(done / num_epochs, 1) if num_epochs else jnp.ones_like(done)

    return share
