"""MAML++ (Antoniou, Edwards and Storkey 2019): step losses, annealing, step sizes."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.maml import maml, uniform_to_last, zero_to_one
from dmaml_jax.learners.meta_sgd import meta_sgd
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import FROM_0, option
from dmaml_jax.types import MetaLearner, Problem

Schedule = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and what MAML++ adds to MAML."""

    multi_step_epochs: int = option(
        0,
        "Epochs until only the last inner step's loss counts; 0: always.",
        allowed=FROM_0,
    )
    second_order_epochs: int = option(
        0, "Epochs over which the second order comes in; 0: at once.", allowed=FROM_0
    )
    rates: Literal["fixed", "layer-and-step"] = option(
        "fixed", "Inner step sizes: alpha, or learned per layer and inner step."
    )

    def check(self) -> None:
        """Refuse step losses of a single step.

        Raises:
            UsageError: the values contradict each other.
        """
        if self.multi_step_epochs and self.num_inner_steps == 1:
            raise UsageError(
                "--multi-step-epochs weighs the losses of several inner steps: give "
                "--num-inner-steps 2 or more, or leave it out."
            )
        if self.rates != "fixed" and self.multi_step_epochs + self.second_order_epochs:
            raise UsageError(
                f"--rates {self.rates} does not go with --multi-step-epochs or "
                "--second-order-epochs yet: leave one of them out."
            )


def maml_plus_plus(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    multi_step_epochs: int = 0,
    second_order_epochs: int = 0,
    rates: Literal["fixed", "layer-and-step"] = "fixed",
) -> MetaLearner:
    """MAML with any of the remedies of MAML++.

    Args:
        problem: what is learned.
        inner_lr: α, or what the learned step sizes start with.
        meta_optimizer: takes the meta-gradient; an Optax transformation.
        num_inner_steps: N, gradient steps of the inner loop.
        multi_step_epochs: epochs until only the last inner step's loss counts.
        second_order_epochs: epochs over which the second order comes in.
        rates: whether inner step sizes are learned, per layer and inner step.

    Returns:
        The learner.

    References:
        Antoniou, Edwards, Storkey: How to train your MAML, ICLR 2019.
    """
    common: dict[str, Any] = {
        "inner_lr": inner_lr,
        "meta_optimizer": meta_optimizer,
        "num_inner_steps": num_inner_steps,
    }
    if rates == "layer-and-step":
        return meta_sgd(problem, rates="layer-and-step", **common)
    weights = uniform_to_last(num_inner_steps, multi_step_epochs or 1)
    return maml(
        problem,
        step_weights=weights if multi_step_epochs else None,
        second_order_share=zero_to_one(second_order_epochs or 1)
        if second_order_epochs
        else None,
        **common,
    )
