"""Whether runs compare at all: what differs between them beside what is compared."""

from collections.abc import Callable
from typing import Any

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.options import flag
from dmaml_jax.results.curves import Curves

_WORLD: dict[str, Callable[[TrainConfig], Any]] = {
    "env": lambda config: config.run.env,
    "vary": lambda config: _in_order(config.tasks.vary),
    "set": lambda config: _in_order(config.tasks.set),
    "held_out": lambda config: config.tasks.held_out,
    "horizon": lambda config: config.sampling.horizon,
}
"""What decides which returns can be had."""
_BUDGET: dict[str, Callable[[TrainConfig], Any]] = {
    "num_tasks": lambda config: config.sampling.num_tasks,
    "num_trajectories": lambda config: config.sampling.num_trajectories,
    "num_inner_steps": lambda config: config.learner.num_adaptations,
}
"""What decides how much an epoch, or an adaptation, learns from."""


def of_one_environment(run: Curves, first: Curves) -> bool:
    """Whether two runs are of the same environment, without which no verdict holds."""
    return run.config.run.env == first.config.run.env


def cautions(run: Curves, first: Curves) -> list[str]:
    """What keeps a run's numbers from comparing with those of the first, in sentences.

    Args:
        run: the run that is compared.
        first: the run that it is compared with.
    """
    said, pair = [], f"{run.label} and {first.label}"
    if told := _differing(_WORLD, run.config, first.config):
        said.append(
            f"{pair}: their returns do not compare, as the tasks are others: {told}."
        )
    if told := _differing(_BUDGET, run.config, first.config):
        said.append(
            f"{pair}: they do not learn from equally much in an epoch or an "
            f"adaptation: {told}."
        )
    return said


def _differing(
    values: dict[str, Callable[[TrainConfig], Any]],
    own: TrainConfig,
    other: TrainConfig,
) -> str:
    """Each value that differs, with both of what it is."""
    pairs = {name: (of(own), of(other)) for name, of in values.items()}
    return "; ".join(
        f"{flag(name)} is {_shown(mine)} and {_shown(theirs)}"
        for name, (mine, theirs) in pairs.items()
        if mine != theirs
    )


def _in_order(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(items))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return str(value)
