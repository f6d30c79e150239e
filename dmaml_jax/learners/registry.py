"""The learners by name: what they are called, what they take and what they cost."""

import importlib
from collections.abc import Callable
from typing import Any

from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.learners.catalogue import LEARNERS as LEARNERS
from dmaml_jax.learners.catalogue import Entry as Entry
from dmaml_jax.learners.catalogue import Estimate as Estimate
from dmaml_jax.learners.options import (
    GradientOptions,
    LearnerOptions,
    MemoryOptions,
)

DIRECTED = "directed-"
SHORT = {"directed": "directed-maml"}


def names() -> tuple[str, ...]:
    """Every name that `find` knows, directed variants included."""
    return (*LEARNERS, *(DIRECTED + name for name in gradient_learners()))


def full_name(algo: str) -> str:
    """The learner's full name: `directed` is short for `directed-maml`.

    Raises:
        UsageError: no learner has that name.
    """
    if not isinstance(algo, str):
        raise UsageError(f"--algo is {algo!r}, but it must be a learner's name.")
    algo = SHORT.get(algo, algo)
    base = algo.removeprefix(DIRECTED)
    if base != algo and base in LEARNERS and not takes_gradients(base):
        raise UsageError(
            f"--algo {algo} is not there: {base} adapts by its memory, and there is no "
            f"gradient step that a pre-step could direct: choose --algo {base}."
        )
    if algo not in names():
        hint = did_you_mean(algo, (*names(), *SHORT))
        raise UsageError(
            f"Unknown learner {algo!r}: choose one of {', '.join(names())}.{hint}"
        )
    return algo


def entry(algo: str) -> Entry:
    """The (base) learner of a full name."""
    return LEARNERS[algo.removeprefix(DIRECTED)]


def takes_gradients(algo: str) -> bool:
    """Whether the learner of a full name adapts by gradient steps, not by a memory."""
    return entry(algo).adapts_by == "gradient"


def gradient_learners() -> tuple[str, ...]:
    """The names of the learners that adapt by gradient steps, without directed ones."""
    return tuple(filter(takes_gradients, LEARNERS))


def objective(algo: str, surrogate: str) -> Estimate:
    """What the meta-gradient of a pair estimates.

    Args:
        algo: the full name of a learner.
        surrogate: what its inner step differentiates; "" where it has no such step.

    Raises:
        UsageError: the two do not go together.
    """
    objectives = entry(algo).objectives
    if surrogate not in objectives:
        pairs: dict[tuple[str, ...], list[str]] = {}
        for name in gradient_learners():
            pairs.setdefault(tuple(LEARNERS[name].objectives), []).append(name)
        legal = "; ".join(
            f"{', '.join(algos)} with {', '.join(taken)}"
            for taken, algos in pairs.items()
        )
        raise UsageError(
            f"--surrogate {surrogate} does not go with --algo {algo}: the legal pairs "
            f"are {legal}, directed or not."
        )
    return objectives[surrogate]


def episodes_per_epoch(
    algo: str,
    num_tasks: int,
    num_trajectories: int,
    num_adaptations: int,
    placement: str = "epoch",
    further: int = 0,
) -> int:
    """K trajectories for each collection of each task, and for each pre-step.

    Each task may take further ones, see `LearnerOptions.further_trajectories`.
    """
    collections = entry(algo).collections(num_adaptations)
    pre_steps = (1 + (placement != "epoch")) * is_directed(algo)
    episodes = (collections * num_tasks + pre_steps) * num_trajectories
    return episodes + num_tasks * further


def find(algo: str) -> Callable[..., Any]:
    """The function that makes the (base) learner of a full name."""
    module, function = entry(algo).path.split(":")
    return getattr(importlib.import_module(module), function)


def options_class(algo: str) -> type[LearnerOptions]:
    """The owner of a learner's values: the class `Options` of its module, if any."""
    module = importlib.import_module(entry(algo).path.split(":")[0])
    return getattr(module, "Options", GradientOptions)


def own_options(options: LearnerOptions) -> dict[str, Any]:
    """The arguments that a learner takes beyond those of every learner of its kind."""
    kind = GradientOptions if isinstance(options, GradientOptions) else MemoryOptions
    common = kind.__dataclass_fields__
    others = {*common, *options.of_problem}
    return {name: value for name, value in vars(options).items() if name not in others}


def is_directed(algo: str) -> bool:
    """Whether a full name is of a directed learner."""
    return algo.startswith(DIRECTED)
