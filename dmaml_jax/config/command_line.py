"""The command that runs the same again."""

import dataclasses
import shlex
from typing import Any

from dmaml_jax.config.presets import TrainConfig, preset


def rerun(config: TrainConfig) -> str:
    """`dmaml-jax train …` with every value that is not the preset's.

    Args:
        config: of a run.

    Example:
        >>> rerun(TrainConfig(algo="maml", inner_lr=0.01))
        'dmaml-jax train --env cartpole --algo maml --inner-lr 0.01'
    """
    usual = preset(config.env, config.algo)
    words = ["dmaml-jax", "train", "--env", config.env, "--algo", config.algo]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in ("env", "algo") and value != getattr(usual, field.name):
            words += ["--" + field.name.replace("_", "-"), *_words(value)]
    return shlex.join(words)


def changed(config: TrainConfig) -> list[str]:
    """Names of the values that are not the preset's."""
    usual = preset(config.env, config.algo)
    names = [field.name for field in dataclasses.fields(config)]
    return [name for name in names if getattr(config, name) != getattr(usual, name)]


def _words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
