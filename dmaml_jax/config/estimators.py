"""The values of `dmaml-jax estimators`, and which of them make sense."""

import dataclasses
import math

from dmaml_jax.errors import UsageError
from dmaml_jax.options import (
    COUNT,
    COUNTS,
    SHARE,
    STEP_SIZE,
    Rule,
    option,
    require_allowed,
)

MOST_TERMS = 1_000_000
"""How many data sets a sum over all of them may have at most."""
_SAMPLES = Rule(lambda number: number >= 2, "a whole number, 2 or more")
_SEED = Rule(lambda number: 0 <= number < 2**32 - 1, "a whole number from 0 below 2^32")


@dataclasses.dataclass(frozen=True)
class EstimatorsConfig:
    """Every value of a comparison of estimators."""

    states: int = option(2, "states of the MDP", symbol="S", allowed=COUNT)
    actions: int = option(2, "actions in each", symbol="A", allowed=COUNT)
    horizon: int = option(2, "steps per episode", symbol="H", allowed=COUNT)
    inner_steps: int = option(
        1, "gradient steps of the inner loop", symbol="N", allowed=COUNT
    )
    inner_lr: float = option(
        0.7,
        "inner step size; large, so that biases show",
        symbol="alpha",
        allowed=STEP_SIZE,
    )
    discount: float = option(0.9, "discount", symbol="gamma", allowed=SHARE)
    num_trajectories: tuple[int, ...] = option(
        (1, 2, 4),
        "trajectories per data set, one or several numbers",
        symbol="K",
        allowed=COUNTS,
    )
    samples: int = option(
        50_000, "Gradients that are sampled for each K.", allowed=_SAMPLES
    )
    iterations: int = option(
        1000, "Steps of ascent by the expected gradients.", allowed=COUNT
    )
    outer_lr: float = option(
        1.0, "step size of that ascent", symbol="beta", allowed=STEP_SIZE
    )
    seed: int = option(1, "Of the MDP, the policy and the samples.", allowed=_SEED)


def validated_estimators(config: EstimatorsConfig) -> EstimatorsConfig:
    """The values, if they make sense and all data sets can be summed over.

    Raises:
        UsageError: the first value that is out of range, or too many data sets.
    """
    require_allowed(config)
    if not config.num_trajectories:
        raise UsageError(
            "--num-trajectories is empty, but it must be whole numbers, 1 or more each."
        )
    if config.states * config.actions == 1:
        raise UsageError(
            "--states is 1, but it must be such that there is more than one state or "
            "action."
        )
    _require_affordable(config)
    return config


def _require_affordable(config: EstimatorsConfig) -> None:
    steps = config.horizon * (config.inner_steps + 1)
    # By logarithms: the number itself may have more digits than fit a line.
    digits = steps * math.log10(config.states * config.actions)
    if digits > math.log10(MOST_TERMS) + 1e-9:
        raise UsageError(
            f"With {config.states} states, {config.actions} actions, horizon "
            f"{config.horizon} and {config.inner_steps} inner steps there are about "
            f"10^{digits:.0f} data sets at one trajectory each, but at most a million "
            "can be summed over: make one of the four smaller."
        )
