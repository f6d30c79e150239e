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
        env: a name, or an environment with gymnax's interface.
        algo: a learner's name; `directed` is short for `directed-maml`.
        **values: by name, whoever owns them; those that `dmaml-jax train --help` shows
            for this choice.

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
    """A configuration from values of another one and given ones.

    Args:
        kept: values by name; those that do not apply are left out.
        **values: by name; each must apply.

    Raises:
        UsageError: as `configuration`.
    """
    env = values.get("env", kept.get("env", Run.env))
    given = {name: value for name, value in values.items() if name != "env"}
    return compose(world_of(env), given, kept=kept)
