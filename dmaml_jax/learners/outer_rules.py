"""Rules of the outer step: from a meta-gradient to new meta-parameters."""

from typing import Any

import jax
import optax

from dmaml_jax.types import Objective, OuterRule, Params


def outer_rule(given: optax.GradientTransformation | OuterRule) -> OuterRule:
    """A rule as it is, and an Optax transformation as a rule."""
    return given if isinstance(given, OuterRule) else from_optax(given)


def from_optax(optimizer: optax.GradientTransformation) -> OuterRule:
    """θ ← θ + update(∇), the rule of an Optax optimiser; it never asks the objective.

    Args:
        optimizer: any Optax transformation that descends, such as `optax.adam(1e-3)`.
    """

    def apply(
        gradient: Params, memory: Any, params: Params, objective: Objective
    ) -> tuple[Params, Any, dict[str, jax.Array]]:
        del objective
        return *optimizer_step(optimizer, gradient, memory, params), {}

    return OuterRule(optimizer.init, apply)


def optimizer_step(
    optimizer: optax.GradientTransformation,
    gradient: Params,
    memory: Any,
    params: Params,
) -> tuple[Params, Any]:
    """One step of an Optax optimiser.

    Args:
        optimizer: the transformation.
        gradient: what it descends.
        memory: its state before the step.
        params: θ before the step.

    Returns:
        θ and the optimiser's state after the step.
    """
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes on purpose
        updates, memory = optimizer.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory
