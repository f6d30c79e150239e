"""What learners take by their kind; a learner's own options stand in its own file.

A learner with options of its own declares a dataclass `Options(GradientOptions)`, or
`Options(MemoryOptions)` if it adapts by a memory, at the top of its module, and its
function takes them as keyword arguments of the same names. This file imports no JAX.
"""

import dataclasses
from typing import ClassVar, Literal

from dmaml_jax.options import (
    ABOVE_0,
    COUNT,
    FROM_0,
    SHARE,
    STEP_SIZE,
    Rule,
    option,
)

_BETWEEN = Rule(lambda number: 0 < number < 1, "a number above 0 and below 1")
_BY_RATE = {"outer_optimizer": ("adam", "sgd")}
_BY_TRUST = ("outer_optimizer", "trust-region")


class LearnerOptions:
    """What all learners' options answer, whatever the learner adapts by.

    Attributes:
        of_problem: names of the values that the problem and its policy are made with;
            the others are arguments of the learner's function.
    """

    of_problem: ClassVar[frozenset[str]] = frozenset()

    @property
    def num_adaptations(self) -> int:
        """How many steps of adaptation lie between return_before and return_after."""
        return 1

    @property
    def steps_per_epoch(self) -> int:
        """How many steps the outer optimiser takes in an epoch."""
        return 1

    def further_trajectories(self, num_trajectories: int) -> int:
        """How many trajectories of a task an epoch takes beyond its usual collections.

        Args:
            num_trajectories: K, the number of trajectories in a collection.
        """
        del num_trajectories
        return 0

    def check(self) -> None:
        """Refuse values that make no sense together.

        Raises:
            UsageError: the first contradiction.
        """

    def check_beside(self, num_tasks: int, num_trajectories: int) -> None:
        """Refuse values that make no sense beside how much an epoch collects.

        Args:
            num_tasks: M, the number of tasks in an epoch.
            num_trajectories: K, the number of trajectories in a collection.

        Raises:
            UsageError: the first contradiction.
        """


@dataclasses.dataclass(frozen=True)
class MemoryOptions(LearnerOptions):
    """The outer step of a learner that adapts by a memory, without gradient steps."""

    outer_lr: float = option(
        0.001,
        "step size of Adam",
        symbol="beta",
        allowed=STEP_SIZE,
        traced=True,
    )
    outer_schedule: Literal["constant", "cosine"] = option(
        "constant", "beta over the epochs: constant, or falling to 0."
    )
    clip_norm: float = option(
        0.0,
        "Longest gradient that Adam gets; 0: any.",
        allowed=STEP_SIZE,
        traced=True,
    )


@dataclasses.dataclass(frozen=True)
class GradientOptions(LearnerOptions):
    """The inner loop and the outer step."""

    inner_lr: float = option(
        0.001,
        "inner step size (Table I)",
        symbol="alpha",
        allowed=STEP_SIZE,
        traced=True,
    )
    num_inner_steps: int = option(
        1, "gradient steps of the inner loop (ours)", symbol="N", allowed=COUNT
    )
    surrogate: Literal["score-function", "lvc", "dice", "loaded-dice"] = option(
        "score-function",
        "What the inner step differentiates; the last three go with learners that "
        "differentiate through it.",
    )
    loaded_dice_lambda: float = option(
        1.0,
        "how much of the Hessian loaded-dice keeps, 0 to 1; 1 is all of it",
        symbol="lambda",
        allowed=SHARE,
        traced=True,
        where=("surrogate", "loaded-dice"),
    )
    outer_lr: float = option(
        0.001,
        "outer step size (Table I)",
        symbol="beta",
        allowed=STEP_SIZE,
        traced=True,
        where=_BY_RATE,
    )
    outer_optimizer: Literal["adam", "sgd", "trust-region"] = option(
        "adam", "The outer step: an optimiser (ours), or TRPO's trust region."
    )
    outer_schedule: Literal["constant", "cosine"] = option(
        "constant", "beta over the epochs: constant, or falling to 0.", where=_BY_RATE
    )
    clip_norm: float = option(
        0.0,
        "Longest meta-gradient that the outer optimiser gets; 0: any.",
        allowed=STEP_SIZE,
        traced=True,
        where=_BY_RATE,
    )
    kl_bound: float = option(
        0.01,
        "largest mean KL of the adapted policies in an outer step",
        symbol="delta_KL",
        allowed=ABOVE_0,
        traced=True,
        where=_BY_TRUST,
    )
    fisher_iterations: int = option(
        10,
        "Iterations of conjugate gradients at most.",
        allowed=COUNT,
        where=_BY_TRUST,
    )
    fisher_damping: float = option(
        1e-5,
        "What is added to the Fisher matrix's diagonal.",
        allowed=STEP_SIZE,
        traced=True,
        where=_BY_TRUST,
    )
    fisher_residual: float = option(
        1e-10,
        "Squared residual at which conjugate gradients end.",
        allowed=STEP_SIZE,
        traced=True,
        where=_BY_TRUST,
    )
    backtracking: float = option(
        0.8,
        "Factor that shortens an outer step which is refused.",
        allowed=_BETWEEN,
        traced=True,
        where=_BY_TRUST,
    )
    max_backtracks: int = option(
        15,
        "How often such a step is shortened before theta stays.",
        allowed=FROM_0,
        where=_BY_TRUST,
    )
    critic_lr: float = option(
        0.001,
        "Step size of the value network's Adam beside a trust region.",
        allowed=STEP_SIZE,
        traced=True,
        where={"outer_optimizer": "trust-region", "method": "ac"},
    )

    @property
    def num_adaptations(self) -> int:
        """How many steps of adaptation lie between return_before and return_after."""
        return self.num_inner_steps
