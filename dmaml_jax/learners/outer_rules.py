"""Rules of the outer step: from a meta-gradient to new meta-parameters."""

from typing import Any

import jax
import optax

from dmaml_jax.types import Objective, OuterRule, Params

_Carry = tuple[Params, Any]


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


def several_steps(optimizer: optax.GradientTransformation, num_steps: int) -> OuterRule:
    """Several steps of an Optax optimiser on the data of one epoch.

    The first follows the meta-gradient, the others the objective's gradient on the
    stored data at the θ that they have come to. Extras are the KL from the adapted
    policies that collected the data to those of the last θ, and the meta-loss's own.

    Args:
        optimizer: any Optax transformation that descends.
        num_steps: how many steps an epoch takes, 1 or more.
    """

    def apply(
        gradient: Params, memory: Any, params: Params, objective: Objective
    ) -> tuple[Params, Any, dict[str, jax.Array]]:
        def again(
            carry: tuple[Params, Any], _: None
        ) -> tuple[tuple[Params, Any], None]:
            params, memory = carry
            slope = objective.gradient(params)
            return optimizer_step(optimizer, slope, memory, params), None

        carry = optimizer_step(optimizer, gradient, memory, params)
        if num_steps > 1:  # else a program would hold the objective's gradient idly
            carry, _ = jax.lax.scan(again, carry, length=num_steps - 1)
        params, memory = carry
        there = objective.evaluate(params)
        kl = {} if there.kl is None else {"kl": there.kl}
        return params, memory, {**kl, **there.extras}

    return OuterRule(optimizer.init, apply)


def optimizer_step(
    optimizer: optax.GradientTransformation,
    gradient: Params,
    memory: Any,
    params: Params,
) -> tuple[Params, Any]:
    """One step of an Optax optimiser.

    Args:
        optimizer: the optimiser, an Optax transformation.
        gradient: the gradient that is descended, a pytree like θ.
        memory: its state before the step.
        params: θ before the step.

    Returns:
        θ and the optimiser's state after the step.
    """
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes on purpose
        updates, memory = optimizer.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory
