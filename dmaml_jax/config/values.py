"""The owners of a run's values; the learners' own are in the learners' files.

"Table I", "Algorithm 1" and "section IV" are those of Directed-MAML, arXiv 2510.00212;
"ours" marks what that paper leaves open.
"""

import dataclasses
from typing import Literal

from dmaml_jax.options import (
    ABOVE_0,
    COUNT,
    COUNTS,
    FINITE,
    FROM_0,
    SHARE,
    SHARE_BELOW_1,
    STEP_SIZE,
    option,
)


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, for how long, and where."""

    env: str = option("cartpole", "Environment; dmaml-jax envs lists them.")
    algo: str = option(
        "directed-maml",
        "Learner; dmaml-jax algos lists them (directed is short for directed-maml).",
    )
    seeds: int = option(1, "Number of seeds, trained side by side.", allowed=COUNT)
    seed: int = option(
        1, "FIRST seed; the seeds are FIRST ... FIRST + seeds - 1.", allowed=FROM_0
    )
    epochs: int = option(300, "epochs (ours)", symbol="E", allowed=COUNT)
    threshold: float | None = option(
        190.0,
        "Smoothed return after adaptation that counts as solved, or None (ours).",
        allowed=FINITE,
    )
    on_nan: Literal["freeze", "stop"] = option(
        "freeze",
        "A seed that is no longer finite: freeze it and go on, or stop the run.",
    )
    chunk_epochs: int = option(
        20,
        "Epochs between two looks of the host: metrics, progress, Ctrl-C.",
        allowed=COUNT,
    )
    checkpoint_every: int = option(
        100, "Epochs between two checkpoints; 0: only one at the end.", allowed=FROM_0
    )
    keep_checkpoints: int = option(
        3, "Checkpoints that are kept, the newest ones.", allowed=COUNT
    )
    device: Literal["auto", "cpu", "gpu"] = option(
        "auto", "Where to run; auto takes a GPU where JAX finds one."
    )
    cpu_devices: int = option(
        0,
        "CPU devices to spread seeds, then tasks, over; 0: as many as there are cores.",
        allowed=FROM_0,
    )
    matmul_precision: Literal["highest", "high", "default"] = option(
        "highest",
        "Precision of matrix products on a GPU; its default, TF32, keeps 10 bits.",
    )


@dataclasses.dataclass(frozen=True)
class GradientRun(Run):
    """What is trained with a learner that adapts by gradient steps."""

    method: Literal["pg", "ac"] = option(
        "pg", "Gradient of the return: pg, policy gradient, or ac, actor-critic."
    )


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How much is collected."""

    horizon: int = option(
        200,
        "steps per episode at most (the paper's for CartPole); 0: the env's limit",
        symbol="H",
        allowed=FROM_0,
    )
    num_tasks: int = option(5, "tasks per epoch (Table I)", symbol="M", allowed=COUNT)
    num_trajectories: int = option(
        10, "trajectories per task and collection (Table I)", symbol="K", allowed=COUNT
    )
    discount: float = option(
        0.99, "discount (Table I)", symbol="gamma", allowed=SHARE, traced=True
    )


@dataclasses.dataclass(frozen=True)
class Tasks:
    """What varies from task to task, and what does not."""

    vary: tuple[str, ...] = option(
        (),
        "what varies over tasks, NAME=LOW:HIGH ... (the paper's), or other forms",
        symbol="phi",
    )
    set: tuple[str, ...] = option(
        (), "NAME=VALUE ... of parameters that are the same in every task."
    )
    held_out: float = option(
        0.0,
        "Share of a listed parameter's values that is kept for evaluation.",
        allowed=SHARE_BELOW_1,
    )


@dataclasses.dataclass(frozen=True)
class Policy:
    """The network that acts."""

    hidden_sizes: tuple[int, ...] = option(
        (64, 64),
        "Widths of the policy's hidden layers, tanh between them (ours).",
        allowed=COUNTS,
    )
    obs_scale: float = option(
        1.0,
        "What the policy multiplies observations by (ours).",
        allowed=ABOVE_0,
        traced=True,
    )
    obs_squash: bool = option(
        False,
        "Whether the policy takes sign(x) log(1 + |x|) of scaled observations (ours).",
    )


@dataclasses.dataclass(frozen=True)
class ContinuousPolicy(Policy):
    """The network that acts, and its normal distribution of actions."""

    bounds: Literal["squash", "clip"] = option(
        "squash",
        "Actions are squashed into their bounds, or clipped by the environment.",
    )
    initial_std: float = option(
        1.0,
        "Deviation of the normal at first, before squashing (ours).",
        allowed=ABOVE_0,
        traced=True,
    )
    min_std: float = option(
        0.1,
        "Least deviation; gradients are in units of its inverse (ours).",
        allowed=ABOVE_0,
        traced=True,
    )


@dataclasses.dataclass(frozen=True)
class Method:
    """How a gradient of the return is estimated, whatever the method."""

    normalize_advantages: bool = option(
        True, "Whether advantages get mean 0 and deviation 1 per task (ours)."
    )
    discount_weighting: bool = option(
        False,
        "Whether step t of a gradient weighs gamma^t; unbiased ones must (ours: no).",
    )
    step_reduction: Literal["sum", "mean"] = option(
        "sum", "How a gradient adds up an episode's steps (ours; mean is H times less)."
    )


@dataclasses.dataclass(frozen=True)
class PolicyGradient(Method):
    """How a policy gradient is estimated."""

    baseline: Literal["leave-one-out", "linear", "none"] = option(
        "leave-one-out",
        "Subtracted from returns: the other trajectories' mean, or a fit (ours).",
    )


@dataclasses.dataclass(frozen=True)
class ActorCritic(Method):
    """How an actor-critic's gradient is estimated."""

    gae_lambda: float = option(
        0.99,
        "of the advantages, 0 to 1 (ours)",
        symbol="lambda",
        allowed=SHARE,
        traced=True,
    )
    value_coefficient: float = option(
        0.5, "Weight of the critic's loss (ours).", allowed=STEP_SIZE, traced=True
    )
    entropy_coefficient: float = option(
        0.0, "Weight of the policy's entropy (ours).", allowed=STEP_SIZE, traced=True
    )
    shared_trunk: bool = option(
        False, "One network for policy and value, instead of two (ours)."
    )


@dataclasses.dataclass(frozen=True)
class Directed:
    """The pre-step on the medium task."""

    directed_lr: float = option(
        0.005,
        "step size of the directed pre-step (Table I)",
        symbol="delta",
        allowed=STEP_SIZE,
        traced=True,
    )
    medium_task: Literal["exact", "empirical", "one-of-batch", "fresh", "given"] = (
        option(
            "exact",
            "Pre-step's task: mean of rho (Eq. 3) or of the batch (Eq. 4), or a "
            "control.",
        )
    )
    medium_values: tuple[str, ...] = option(
        (),
        "NAME=VALUE ... of the given medium task; the others are at the mean.",
        where=("medium_task", "given"),
    )
    directed_placement: Literal["epoch", "inner-and-outer"] = option(
        "epoch",
        "Once per epoch (Algorithm 1), or again before the outer step (section IV).",
    )
    directed_schedule: Literal["constant", "cosine"] = option(
        "constant",
        "delta over the epochs: constant (Algorithm 1), or falling to 0.",
    )
    directed_gate: Literal["always", "until-plateau", "unless-opposed"] = option(
        "always",
        "Leave the pre-step out after a plateau, or against the last meta-gradient.",
    )
    plateau_patience: int = option(
        20,
        "Epochs without a rise that make a plateau (ours).",
        allowed=COUNT,
        where=("directed_gate", "until-plateau"),
    )
    directed_reduction: Literal["same", "sum", "mean"] = option(
        "same", "--step-reduction of the pre-step, if it is to be another."
    )
    directed_optimizer: Literal["adam", "sgd"] = option(
        "sgd", "Optimiser of the pre-step (ours: plain gradient ascent)."
    )


METHODS: dict[str, type[Method]] = {"pg": PolicyGradient, "ac": ActorCritic}
"""Owners of the values of each `--method`."""
