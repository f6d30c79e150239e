"""From an environment, a learner and values by name to a configuration."""

from collections.abc import Mapping
from typing import Any

from dmaml_jax.build.environment import world_of
from dmaml_jax.config.composition import TrainConfig, compose
from dmaml_jax.config.values import Run


def configuration(
    env: Any = Run.env, algo: str = Run.algo, **values: Any
) -> TrainConfig:
    """The values of a run: presets of environment and learner, and given ones.

    Args:
        env: the name of an environment, or an object with gymnax's interface.
        algo: the name of a learner; `directed` is short for `directed-maml`.
        **values: values by name, whoever owns them; `dmaml-jax train --help` shows
            which there are for this choice.

    Raises:
        UsageError: an unknown name, a value that belongs to another choice or is not
            allowed, or values that make no sense together.

    Example:
        >>> config = configuration("point", "maml", num_tasks=10)
        >>> print(config.sampling.num_tasks, config.learner.inner_lr, config.directed)
        10 0.1 None
    """
    return compose(world_of(env), {"algo": algo, **values})


def reconfigured(kept: Mapping[str, Any], **values: Any) -> TrainConfig:
    """A configuration that keeps another one's values where none are given.

    Args:
        kept: values by name of the other configuration; those that do not apply here
            are left out.
        **values: the given values by name; each of them must apply.

    Raises:
        UsageError: a value is wrong in one of the ways that `configuration` tells.
    """
    env = values.get("env", kept.get("env", Run.env))
    given = {name: value for name, value in values.items() if name != "env"}
    return compose(world_of(env), given, kept=kept)
