"""What values are allowed, each refused in one sentence.

Pure Python, so that a wrong flag answers without importing JAX. Traced values (a
library user may vmap over rates) are not looked at.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from dmaml_jax.config.presets import EstimatorsConfig, TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.tasks.written import parse_values, parse_vary


class _Rule(NamedTuple):
    """What values a field may have, as a test and in words."""

    holds: Callable[[Any], bool]
    allowed: str


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(holds: Callable[[float], bool], allowed: str) -> _Rule:
    """A rule for what may be traced."""
    return _Rule(lambda value: _traced(value) or holds(value), allowed)


def _traced(value: Any) -> bool:
    return not isinstance(value, int | float)


_COUNT = _Rule(lambda value: _is_whole(value, 1), "a whole number, 1 or more")
_FROM_0 = _Rule(lambda value: _is_whole(value, 0), "a whole number from 0")
_STEP_SIZE = _number(
    lambda value: math.isfinite(value) and value >= 0, "a finite number, 0 or more"
)
_SHARE = _number(lambda value: 0 <= value <= 1, "a number from 0 to 1")
_ABOVE_0 = _number(
    lambda value: math.isfinite(value) and value > 0, "a finite number above 0"
)
_RULES = {
    "seeds": _COUNT,
    "epochs": _COUNT,
    "num_tasks": _COUNT,
    "num_trajectories": _COUNT,
    "num_inner_steps": _COUNT,
    "chunk_epochs": _COUNT,
    "keep_checkpoints": _COUNT,
    "plateau_patience": _COUNT,
    "inner_lr": _STEP_SIZE,
    "outer_lr": _STEP_SIZE,
    "directed_lr": _STEP_SIZE,
    "clip_norm": _STEP_SIZE,
    "value_coefficient": _STEP_SIZE,
    "entropy_coefficient": _STEP_SIZE,
    "discount": _SHARE,
    "loaded_dice_lambda": _SHARE,
    "gae_lambda": _SHARE,
    "horizon": _FROM_0,
    "cpu_devices": _FROM_0,
    "multi_step_epochs": _FROM_0,
    "second_order_epochs": _FROM_0,
    "checkpoint_every": _FROM_0,
    "threshold": _Rule(
        lambda value: value is None or math.isfinite(value), "a finite number, or None"
    ),
    "obs_scale": _ABOVE_0,
    "initial_std": _ABOVE_0,
    "min_std": _ABOVE_0,
    "held_out": _number(lambda value: 0 <= value < 1, "a number from 0 below 1"),
    "hidden_sizes": _Rule(
        lambda sizes: all(_is_whole(size, 1) for size in sizes),
        "whole numbers, 1 or more each",
    ),
}


def validated(config: TrainConfig) -> TrainConfig:
    """The configuration with the learner's full name, if its values make sense.

    Raises:
        UsageError: the first value that is out of range.
    """
    for name, rule in _RULES.items():
        _require(rule.holds(getattr(config, name)), name, config, rule.allowed)
    _require(
        isinstance(config.seed, int) and 0 <= config.seed <= 2**32 - config.seeds,
        "seed",
        config,
        "a whole number from 0, and the last seed below 2^32",
    )
    for field in dataclasses.fields(config):
        allowed = getattr(field.type, "__args__", ())
        if getattr(field.type, "__origin__", None) is Literal:
            holds = getattr(config, field.name) in allowed
            _require(holds, field.name, config, f"one of {', '.join(allowed)}")
    if config.vary:
        parse_vary(config.vary)
    try:
        config = dataclasses.replace(config, algo=registry.full_name(config.algo))
        registry.objective(config.algo, config.surrogate)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for check in (_check_policy, _check_learner, _check_directed, _check_method):
        check(config)
    return config


def check_unchanged(before: TrainConfig, after: TrainConfig) -> None:
    """Refuse to go on with a run as another one; only its epochs may grow.

    Raises:
        UsageError: a value differs, or the epochs cannot change.
    """
    changed = [
        field.name
        for field in dataclasses.fields(before)
        if getattr(before, field.name) != getattr(after, field.name)
    ]
    others = [name for name in changed if name != "epochs"]
    if others:
        flags = ", ".join("--" + name.replace("_", "-") for name in others)
        raise UsageError(
            f"--resume goes on with the run as it was, but {flags} would change it: "
            "leave out what differs, or begin a new run with --config RUN."
        )
    if not changed:
        return
    if after.epochs < before.epochs:
        raise UsageError(
            f"--epochs is {after.epochs}, but the run has {before.epochs}: give more, "
            "or leave it out."
        )
    depending = [
        flag
        for flag, depends in (
            ("--outer-schedule cosine", before.outer_schedule == "cosine"),
            (
                "--directed-schedule cosine",
                before.directed_schedule == "cosine"
                and registry.is_directed(before.algo),
            ),
        )
        if depends
    ]
    if depending:
        raise UsageError(
            f"--epochs cannot grow: the run has {' and '.join(depending)}, which ends "
            f"after {before.epochs} epochs. Begin a new run with --config RUN."
        )


def _check_policy(config: TrainConfig) -> None:
    if not _traced(config.initial_std) and config.initial_std < config.min_std:
        raise UsageError(
            f"--initial-std is {config.initial_std:g}, below --min-std "
            f"{config.min_std:g}, where it could never grow: make one of them another."
        )


def _check_learner(config: TrainConfig) -> None:
    least = registry.entry(config.algo).min_inner_steps
    if config.num_inner_steps < least:
        raise UsageError(
            f"--num-inner-steps is {config.num_inner_steps}, but {config.algo} needs "
            f"{least} or more: with one it is no meta-learner."
        )
    defaults, takes = TrainConfig(), registry.entry(config.algo).takes
    for argument, name in (
        ("step_weights", "multi_step_epochs"),
        ("second_order_share", "second_order_epochs"),
        ("rates", "rates"),
        ("score_baseline", "score_baseline"),
    ):
        value = getattr(config, name)
        if value != getattr(defaults, name) and argument not in takes:
            able = [n for n, e in registry.LEARNERS.items() if argument in e.takes]
            raise UsageError(
                f"--{name.replace('_', '-')} {value} has no effect on {config.algo}: "
                f"leave it out, or choose {' or '.join(able)}."
            )
    if config.multi_step_epochs and config.num_inner_steps == 1:
        raise UsageError(
            "--multi-step-epochs weighs the losses of several inner steps: give "
            "--num-inner-steps 2 or more, or leave it out."
        )


def _check_directed(config: TrainConfig) -> None:
    if config.directed_schedule == "cosine" and config.directed_gate != "always":
        raise UsageError(
            "--directed-schedule cosine counts the pre-steps taken, and "
            f"--directed-gate {config.directed_gate} leaves some out: choose one."
        )
    if config.medium_values and not registry.is_directed(config.algo):
        raise UsageError(
            f"--medium-values has no effect on {config.algo}: leave it out, or choose "
            f"directed-{config.algo}."
        )
    if (config.medium_task == "given") != bool(config.medium_values):
        raise UsageError(
            "--medium-task given and --medium-values NAME=VALUE go together: give both "
            "or neither."
        )
    parse_values(config.medium_values)


def _check_method(config: TrainConfig) -> None:
    if config.method == "ac" and config.surrogate == "dice":
        raise UsageError(
            "--surrogate dice takes raw rewards and does not go with --method ac: "
            "choose score-function, lvc or loaded-dice, or --method pg."
        )


MOST_TERMS = 1_000_000
"""Of a sum over all data sets."""


def validated_estimators(config: EstimatorsConfig) -> EstimatorsConfig:
    """The values, if they make sense and all data sets can be summed over.

    Raises:
        UsageError: the first value that is out of range, or too many data sets.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "samples":
            holds, allowed = _is_whole(value, 2), "a whole number, 2 or more"
        elif field.name == "seed":
            holds, allowed = 0 <= value < 2**32 - 1, "a whole number from 0 below 2^32"
        elif field.name == "num_trajectories":
            holds = bool(value) and all(_is_whole(size, 1) for size in value)
            allowed = "whole numbers, 1 or more each"
        elif isinstance(field.default, int):
            holds, allowed = _is_whole(value, 1), "a whole number, 1 or more"
        elif field.name == "discount":
            holds, allowed = 0 <= value <= 1, "a number from 0 to 1"
        else:
            holds = math.isfinite(value) and value >= 0
            allowed = "a finite number, 0 or more"
        _require(holds, field.name, config, allowed)
    steps = config.horizon * (config.inner_steps + 1)
    _require(
        config.states * config.actions > 1,
        "states",
        config,
        "such that there is more than one state or action",
    )
    # By logarithms: the number itself may have more digits than fit a line.
    digits = steps * math.log10(config.states * config.actions)
    if digits > math.log10(MOST_TERMS) + 1e-9:
        raise UsageError(
            f"With {config.states} states, {config.actions} actions, horizon "
            f"{config.horizon} and {config.inner_steps} inner steps there are about "
            f"10^{digits:.0f} data sets at one trajectory each, but at most a million "
            "can be summed over: make one of the four smaller."
        )
    return config


def _require(holds: bool, name: str, config: Any, allowed: str) -> None:
    if not holds:
        flag = "--" + name.replace("_", "-")
        value = getattr(config, name)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise UsageError(f"{flag} is {shown}, but it must be {allowed}.")
