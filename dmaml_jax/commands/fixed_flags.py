"""The flags of a run that a sweep gives to all of its settings.

A flag need not apply everywhere: `--gae-lambda` reaches the settings with an
actor-critic, and the sweep says which others leave it out.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dmaml_jax.commands.forms import read
from dmaml_jax.config.composition import (
    CHOICES,
    TrainConfig,
    assembled,
    compose,
    is_known,
    refusal,
)
from dmaml_jax.config.settings import Setting
from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.options import flag, named, options_of

Fixed = Mapping[str, list[str]]
"""The words after each flag, by flag."""


def last(flags: Fixed, name: str) -> str:
    """The last word that was given to a flag; empty if it was not given."""
    return (flags.get(name) or [""])[-1]


def bases_of(
    envs: Sequence[str], algos: Sequence[str], fixed: Fixed, others: Sequence[str]
) -> list[TrainConfig]:
    """A configuration for each environment and learner.

    Args:
        envs: the names of the environments; one that is named twice counts once.
        algos: the names of the learners; one that is named twice counts once.
        fixed: the flags of all settings.
        others: names of further flags, one of which may have been meant.

    Returns:
        All pairs of an environment and a learner, each with the flags that it has.

    Raises:
        UsageError: a flag that does not exist, or a value that is not allowed.
    """
    from dmaml_jax.build.environment import world_of

    bases = []
    for env in dict.fromkeys(envs):
        for algo in dict.fromkeys(algos):
            base = assembled(world_of(env), {"algo": algo})
            inner = last(fixed, "--base")
            if inner and "base" in base.flat():  # which brings a preset with it
                base = assembled(base.world, {"algo": algo, "base": inner})
            for name in CHOICES[3:]:
                choice = last(fixed, flag(name))
                if choice and name in base.flat():
                    base = assembled(base.world, {name: choice}, kept=base.flat())
            given = values_of(base, fixed)
            bases.append(compose(base.world, given, kept=base.flat()))
    for name in fixed:
        if not is_known(named(name)):
            hint = did_you_mean(named(name), [*bases[0].flat(), *others], flag)
            raise UsageError(
                f"There is no flag {flag(named(name))}: dmaml-jax sweep --help and "
                f"dmaml-jax train --help list those that there are.{hint}"
            )
    return bases


@dataclasses.dataclass(frozen=True)
class _Fixed:
    """Values that are the same in all settings."""


def values_of(config: TrainConfig, fixed: Fixed) -> dict[str, Any]:
    """The values of those flags that a configuration has.

    Raises:
        UsageError: one cannot be read.
    """
    offered = config.flat()
    own = {name: words for name, words in fixed.items() if named(name) in offered}
    owners = {name: getattr(config, name) for name in config.nested()}
    words = [part for name, values in own.items() for part in (name, *values)]
    found = read(_Fixed, owners, words, name="sweep")
    return {
        name: getattr(getattr(found, owner), name)
        for owner, names in config.nested().items()
        for name in names
        if flag(name) in own
    }


def left_out(
    fixed: Fixed,
    settings: Sequence[Setting],
    bases: Sequence[TrainConfig],
) -> list[str]:
    """Notes on flags that some settings do not have.

    Raises:
        UsageError: none of them has it.
    """
    notes = []
    for name in fixed:
        has: dict[str, list[bool]] = {}
        for config, _ in settings:
            here = named(name) in config.flat()
            has.setdefault(config.run.algo, []).append(here)
        if not any(map(any, has.values())):
            base = _nearest(named(name), bases)
            owners = [type(getattr(base, owner)) for owner in base.nested()]
            raise refusal(named(name), owners)
        never = [algo for algo, own in has.items() if not any(own)]
        partly = [algo for algo, own in has.items() if any(own) and not all(own)]
        without = [f"with {', '.join(never)}"] if never else []
        without += [f"in some settings of {', '.join(partly)}"] if partly else []
        notes += [
            f"note: {name} has no effect {where}, and is left out there."
            for where in without
        ]
    return notes


def _nearest(name: str, bases: Sequence[TrainConfig]) -> TrainConfig:
    """A configuration that lacks no more than a choice for a value, if there is one."""
    for base in bases:
        owners = [type(getattr(base, owner)) for owner in base.nested()]
        if any(name in options_of(owner) for owner in owners):
            return base
    return bases[0]
