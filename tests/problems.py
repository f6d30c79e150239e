"""Problems whose meta-gradients are known in closed form."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs import TabularMDP
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.rl.objectives import Objective
from dmaml_jax.rl.problem import make_problem
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Pieces, Policy, Problem

HESSIAN = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.7]])
START = np.array([0.3, -1.2, 0.8])


def found(target: jax.Array, params: Any) -> dict[str, jax.Array]:
    """What is collected of a quadratic: its target, and who collected it."""
    mine = jnp.zeros(3) if params is None else params
    return {"target": target, "mask": jnp.ones(3), "params": mine}


def quadratic(pieces: bool = False) -> Problem:
    """J_i(θ) = −½ (θ − t_i)ᵀ H (θ − t_i); a task is its target t_i.

    With `pieces` the loss is offered as the sum of its coordinates' shares.
    """

    def loss(params: jax.Array, data: dict[str, jax.Array]) -> jax.Array:
        away = params - data["target"]
        return 0.5 * jnp.sum(data["mask"] * away * (HESSIAN @ away))

    def split(data: dict[str, jax.Array]) -> Pieces:
        def pick(index: jax.Array) -> dict[str, jax.Array]:
            here = jnp.arange(3, dtype=jnp.int32) == index
            return {**data, "mask": jnp.where(here, data["mask"], 0)}

        return Pieces(jnp.int32(3), pick)

    return Problem(
        init=lambda key: jnp.asarray(START) + 0 * jax.random.normal(key, (3,)),
        sample_tasks=lambda key, num: jax.random.normal(key, (num, 3)),
        medium_task=lambda: jnp.zeros(3),
        collect=lambda key, params, task: found(task, params),
        advantages=lambda params, data: data,
        inner_loss=loss,
        outer_loss=loss,
        objective=lambda data: jnp.zeros(()),
        log_probs=lambda params, data: jnp.zeros((1, 1)),
        kl=lambda params, data: 0.5 * jnp.sum((params - data["params"]) ** 2),
        performance=lambda data: jnp.sum(data["target"]),
        num_steps=lambda data: jnp.int32(1),
        pieces=split if pieces else None,
    )


# A table of logits [states, actions]; observations are one-hot states.
TABULAR = Policy(
    init=lambda key, obs: jnp.zeros((obs.shape[-1], 2)),
    apply=lambda params, obs: obs @ params,
    distribution=categorical(),
)


def small_mdp(can_end: bool = False, other: bool = False) -> Any:
    """Tables of 2 states and 2 actions; another task has other rewards and moves."""
    mdp = TabularMDP().default_params
    return mdp.replace(
        start=jnp.array([0.6, 0.4]),
        transitions=jnp.array([[[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.1, 0.9]]])[
            :, :: -1 if other else 1
        ],
        rewards=jnp.array([[1.0, -0.5], [0.3, 2.0]]) * (-0.7 if other else 1),
        termination=jnp.array([[0.1, 0.4], [0.25, 0.05]]) * float(can_end),
    )


def tabular(
    objective: Objective, policy: Policy = TABULAR, chunk: int | None = 0
) -> Problem:
    """Three sampled episodes of at most 4 steps of the small MDP, which may end early.

    Gradients take them whole, as on a GPU, which compiles faster.
    """
    mdp = small_mdp(can_end=True)
    return make_problem(
        TabularMDP(),
        TaskDistribution(lambda key: mdp, lambda: mdp),
        policy,
        objective,
        horizon=4,
        num_trajectories=3,
        discount=0.9,
        gradient_chunk=chunk,
    )


def two_mdps() -> Any:
    """Both of the small MDPs, stacked."""
    both = [small_mdp(can_end=True, other=other) for other in (False, True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *both)


def numpy_gradient(params: np.ndarray, target: np.ndarray) -> np.ndarray:
    """∇ of the quadratic's loss, H (θ − t)."""
    return HESSIAN @ (params - target)


def noisy(problem: Problem, scale: Any = 0.1) -> Problem:
    """The quadratic with targets that move with the key: collections differ."""

    def collect(key: jax.Array, params: Any, task: jax.Array) -> dict[str, jax.Array]:
        return found(task + scale * jax.random.normal(key, task.shape), params)

    return problem._replace(collect=collect)


def central_difference(
    f: Callable[[Any], jax.Array], x: Any, direction: Any, step: float = 1e-5
) -> float:
    """Directional derivative of f at x by a fourth-order central difference."""

    def at(scale: float) -> float:
        moved = jax.tree.map(lambda a, d: a + scale * step * d, x, direction)
        return float(f(moved))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
