"""What every gradient learner takes; a learner's own options stand in its own file.

A learner with options of its own declares a dataclass `Options(GradientOptions)` at the
top of its module, and its function takes them as keyword arguments of the same names.
This file imports no JAX.
"""

import dataclasses
from typing import Literal

from dmaml_jax.options import COUNT, SHARE, STEP_SIZE, option


@dataclasses.dataclass(frozen=True)
class GradientOptions:
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
    )
    outer_optimizer: Literal["adam", "sgd"] = option(
        "adam", "Optimiser of the outer step (ours)."
    )
    outer_schedule: Literal["constant", "cosine"] = option(
        "constant", "beta over the epochs: constant, or falling to 0."
    )
    clip_norm: float = option(
        0.0,
        "Longest meta-gradient that the outer optimiser gets; 0: any.",
        allowed=STEP_SIZE,
        traced=True,
    )

    def check(self) -> None:
        """Refuse values that make no sense together.

        Raises:
            UsageError: the first contradiction.
        """
