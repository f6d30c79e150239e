"""ProMP (Rothfuss, Lee, Clavera, Asfour and Abbeel 2019): several clipped outer steps.

For each task 𝒯_i of an epoch, θ_old being θ at its beginning:

    collect 𝒟_i with θ_old, and 𝒟'_i with θ'_i(θ_old)
    θ'_i(θ) = θ + α ∇_θ Σ_{𝒟_i} (π_θ/π_{θ_old}) A

and, several times on the same data, an optimiser's step on

    Σ_i −Σ_{𝒟'_i} min(r A, clip(r, 1 ± ε) A) + η KL(π_{θ_old} ‖ π_θ) on 𝒟_i,
    r = π_{θ'_i(θ)}/π_{θ'_i(θ_old)}
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.base import Seen, outer_step, seen_of
from dmaml_jax.learners.derivatives import value
from dmaml_jax.learners.inner_loop import (
    Adaptation,
    Rates,
    adaptation_curve,
    but_last,
    inner_loop,
    last,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.learners.outer_rules import several_steps
from dmaml_jax.learners.task_axis import collection_keys
from dmaml_jax.options import ABOVE_0, COUNT, STEP_SIZE, is_traced, option
from dmaml_jax.types import Info, MetaLearner, Params, Problem, Source, Task

# The adaptive coefficient doubles above the target times this, and halves below the
# target over it: those of PPO's paper and of ProMP's published code.
_TOLERANCE, _FACTOR = 1.5, 2.0


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer steps, and what holds them close to their data."""

    steps_per_batch: int = option(
        5, "Outer steps on the data of one epoch.", allowed=COUNT
    )
    ratio_clip: float = option(
        0.3,
        "how far a ratio of probabilities pays beyond 1",
        symbol="epsilon",
        allowed=ABOVE_0,
        traced=True,
    )
    kl_coefficient: float = option(
        5e-4,
        "weight of the KL on the inner steps' data, at first if it adapts",
        symbol="eta",
        allowed=STEP_SIZE,
        traced=True,
    )
    kl_schedule: Literal["fixed", "adaptive"] = option(
        "fixed", "eta over the epochs: fixed, or doubled and halved towards a target."
    )
    kl_target: float = option(
        0.01,
        "The KL on the inner steps' data that an adaptive eta aims at.",
        allowed=ABOVE_0,
        traced=True,
        where=("kl_schedule", "adaptive"),
    )

    @property
    def steps_per_epoch(self) -> int:
        """How many steps the outer optimiser takes in an epoch."""
        return self.steps_per_batch

    def check(self) -> None:
        """Refuse an adaptive coefficient that could never grow.

        Raises:
            UsageError: it begins at 0.
        """
        zero = not is_traced(self.kl_coefficient) and self.kl_coefficient == 0
        if self.kl_schedule == "adaptive" and zero:
            raise UsageError(
                "--kl-schedule adaptive doubles and halves --kl-coefficient, which is "
                "0 and would stay so: give a number above 0, or --kl-schedule fixed."
            )


class PrompState(NamedTuple):
    """θ, the optimiser's memory, the epochs done, and η."""

    params: Params
    optimizer: Any
    epoch: jax.Array
    kl_coefficient: jax.Array


def promp(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    steps_per_batch: int = 5,
    ratio_clip: Any = 0.3,
    kl_coefficient: Any = 5e-4,
    kl_schedule: Literal["fixed", "adaptive"] = "fixed",
    kl_target: Any = 0.01,
) -> MetaLearner:
    r"""MAML with LVC inside, and outside several clipped steps on the same data.

    At θ_old the gradient is MAML's with LVC. Further steps weigh every step of the data
    by what its probability has become, in the inner loop and outside, so that their
    gradients are those of the same objective. The clip takes the gradient of what has
    gained enough; η keeps θ close to the θ_old that the inner data are of.

    Its extras are `kl`, the KL of the adapted policies after the last step, `inner_kl`,
    that on the inner steps' data, and `kl_coefficient`, η.

    Args:
        problem: what is learned, with the LVC surrogate.
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: an Optax transformation, which takes the meta-gradient of every
            outer step.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        steps_per_batch: outer steps on the data of one epoch.
        ratio_clip: ε, how far a ratio may leave 1 before its gradient ends.
        kl_coefficient: η, at first if it adapts.
        kl_schedule: "fixed", or "adaptive": η is doubled after an epoch whose inner KL
            exceeds its target by half, and halved where it falls as short.
        kl_target: what an adaptive η aims at.

    Returns:
        The learner.

    Raises:
        UsageError: the problem's losses know no ratios, or its policy no KL.

    References:
        Rothfuss, Lee, Clavera, Asfour, Abbeel: ProMP: Proximal Meta-Policy Search,
        ICLR 2019.
    """
    if problem.clipped_loss is None or problem.kl is None:
        raise UsageError(
            "ProMP needs a problem with ratios of probabilities and a KL: give the "
            "policy a Distribution that has a kl, or choose another learner."
        )
    rule = several_steps(meta_optimizer, steps_per_batch)

    def init(key: jax.Array) -> PrompState:
        params = problem.init(key)
        eta = jnp.asarray(kl_coefficient, jnp.result_type(float))
        return PrompState(params, rule.init(params), jnp.int32(0), eta)

    def step(key: jax.Array, state: PrompState, tasks: Task) -> tuple[PrompState, Info]:
        eta = state.kl_coefficient
        params, optimizer, info, _ = outer_step(
            problem,
            partial(
                meta_loss, inner_lr=inner_lr, ratio_clip=ratio_clip, kl_coefficient=eta
            ),
            rule,
            collection_keys(key, tasks, num_inner_steps + 1),
            tasks,
            state.params,
            state.optimizer,
        )
        info = info._replace(extras={**info.extras, "kl_coefficient": eta})
        if kl_schedule == "adaptive":
            eta = adapted_coefficient(eta, info.extras["inner_kl"], kl_target)
        return PrompState(params, optimizer, state.epoch + 1, eta), info

    def adapt(
        key: jax.Array, state: PrompState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def meta_loss(
    problem: Problem,
    params: Params,
    sources: Source,
    task: Task,
    *,
    inner_lr: Rates,
    ratio_clip: Any,
    kl_coefficient: Any,
) -> tuple[jax.Array, Seen]:
    """The clipped loss of the adapted policy, and η times the inner data's KL.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, the parameters before the inner steps.
        sources: N + 1 keys of collections, or their stored data, stacked on axis 0.
        task: 𝒯_i, the parameters of the task.
        inner_lr: α, as `inner_loop` takes it.
        ratio_clip: ε, how far a ratio may leave 1 before its gradient ends.
        kl_coefficient: η.

    Returns:
        The loss, and what was seen.
    """
    path = inner_loop(problem, sources, params, task, inner_lr=inner_lr)
    kl = inner_kl(problem, path)
    loss = clipped_loss(problem, path, ratio_clip) + kl_coefficient * kl
    return loss, seen_of(problem, path, loss)._replace(extras={"inner_kl": kl})


def clipped_loss(problem: Problem, path: Adaptation, ratio_clip: Any) -> jax.Array:
    """The outer loss of the adapted policy with clipped ratios."""
    assert problem.clipped_loss is not None
    of_ratios = problem.clipped_loss
    params, data = last(path.params), last(path.data)
    # Data and advantages are constants, as in `loss_on_data`.
    filled = problem.advantages(jax.lax.stop_gradient(params), data)
    clipped = value(problem, lambda params, data: of_ratios(params, data, ratio_clip))
    return clipped(params, filled)


def inner_kl(problem: Problem, path: Adaptation) -> jax.Array:
    """Mean over the inner steps of the KL on the data that they are taken on."""
    assert problem.kl is not None
    return jnp.mean(jax.vmap(problem.kl)(but_last(path.params), but_last(path.data)))


def adapted_coefficient(eta: jax.Array, kl: jax.Array, target: Any) -> jax.Array:
    """η for the next epoch: doubled, halved or kept."""
    far, near = kl > _TOLERANCE * target, kl < target / _TOLERANCE
    return jnp.where(far, _FACTOR * eta, jnp.where(near, eta / _FACTOR, eta))
