r"""The outer step of TRPO (Schulman et al. 2015): a natural gradient in a trust region.

    s ← −(F + damping)⁻¹ ∇loss(θ), by conjugate gradients;  s ← s √(2 δ / sᵀFs)
    θ ← θ + c^j s, for the first j = 0, 1, … with a lower loss and KL ≤ δ

KL is that from the adapted policies that collected the data to those of the new θ, mean
over tasks and living steps; F is its second derivative at θ, through the inner steps.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.line_search import line_search
from dmaml_jax.learners.natural_gradient import conjugate_gradients, to_the_bound
from dmaml_jax.learners.outer_rules import optimizer_step
from dmaml_jax.types import Objective, OuterRule, Params, PyTree


def trust_region(
    *,
    kl_bound: Any = 0.01,
    fisher_iterations: int = 10,
    fisher_damping: Any = 1e-5,
    fisher_residual: Any = 1e-10,
    backtracking: Any = 0.8,
    max_backtracks: int = 15,
    critic: str | None = None,
    critic_optimizer: optax.GradientTransformation | None = None,
) -> OuterRule:
    r"""TRPO's step on a meta-objective, its KL and its loss asked on the stored data.

    The surrogate is the meta-loss with every step weighed by π_θ/π_old. A step is taken
    if it lowers that and keeps the KL within its bound, else θ stays. KL does not see a
    value network, on whose parameters F would be singular: those step by an optimiser
    of their own, after the policy's step, which is what the bound holds for.

    Args:
        kl_bound: δ, the largest mean KL of the adapted policies in one step.
        fisher_iterations: the most iterations of conjugate gradients.
        fisher_damping: what is added to F's diagonal.
        fisher_residual: the squared residual at which the iterations end.
        backtracking: c, by which a step that is refused is shortened.
        max_backtracks: the most times that a step is shortened.
        critic: the key of θ under which the value network's parameters stand.
        critic_optimizer: what steps those; needed where there are any.

    Returns:
        The rule. Its extras are `kl`, the mean KL of the step, `step_length`, the
        Euclidean length of the policy's step, and `accepted`, 1 or 0.

    Raises:
        UsageError: a value network without an optimiser.

    References:
        Schulman, Levine, Moritz, Jordan, Abbeel: Trust Region Policy Optimization,
        ICML 2015.
    """
    if critic is not None and critic_optimizer is None:
        raise UsageError(
            "A trust region moves the policy alone: give critic_optimizer, such as "
            "optax.adam(1e-3), for the value network."
        )

    def init(params: Params) -> Any:
        if critic_optimizer is None:
            return ()
        return critic_optimizer.init(_parts(params, critic)[1])

    def apply(
        gradient: Params, memory: Any, params: Params, objective: Objective
    ) -> tuple[Params, Any, dict[str, jax.Array]]:
        policy, value, joined = _split(params, critic)
        slope, value_slope = _parts(gradient, critic)
        still = jax.tree.map(jnp.zeros_like, value)

        def product(direction: PyTree) -> PyTree:
            along = objective.kl_product(params, joined(direction, still))
            return _parts(along, critic)[0]

        solution = conjugate_gradients(
            product,
            jax.tree.map(jnp.negative, slope),
            iterations=fisher_iterations,
            damping=fisher_damping,
            residual=fisher_residual,
        )
        found = line_search(
            lambda moved: objective.evaluate(joined(moved, value)),
            policy,
            to_the_bound(solution, kl_bound),
            kl_bound=kl_bound,
            backtracking=backtracking,
            max_backtracks=max_backtracks,
        )
        if critic_optimizer is not None:
            value, memory = optimizer_step(critic_optimizer, value_slope, memory, value)
        extras = {
            "kl": found.kl,
            "step_length": found.length,
            "accepted": found.accepted.astype(found.kl.dtype),
        }
        return joined(found.params, value), memory, extras

    return OuterRule(init, apply)


def _split(
    params: PyTree, critic: str | None
) -> tuple[list[jax.Array], list[jax.Array], Callable[[Any, Any], PyTree]]:
    """Leaves of policy and value network, and the function that joins them again."""
    structure, of_value = jax.tree.structure(params), _of_value(params, critic)

    def joined(policy: list[jax.Array], value: list[jax.Array]) -> PyTree:
        parts = iter(policy), iter(value)
        return structure.unflatten([next(parts[mine]) for mine in of_value])

    return *_parts(params, critic), joined


def _parts(tree: PyTree, critic: str | None) -> tuple[list[jax.Array], list[jax.Array]]:
    leaves, of_value = jax.tree.leaves(tree), _of_value(tree, critic)
    pairs = list(zip(leaves, of_value, strict=True))
    return [leaf for leaf, v in pairs if not v], [leaf for leaf, v in pairs if v]


def _of_value(tree: PyTree, critic: str | None) -> list[bool]:
    """Which leaves are the value network's: learned step sizes of them, too."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    if critic is None:
        return [False] * len(paths)
    return [any(getattr(k, "key", None) == critic for k in path) for path in paths]
