"""The command that runs the same again."""

import shlex
from typing import Any

from dmaml_jax.config.composition import TrainConfig, compose
from dmaml_jax.options import flag, options_of

_CHOSEN = ("env", "algo", "method")


def rerun(config: TrainConfig) -> str:
    """`dmaml-jax train …` with every value that is not the preset's.

    Args:
        config: of a run.

    Returns:
        The command, quoted for a shell.
    """
    words = ["dmaml-jax", "train", "--env", config.run.env, "--algo", config.run.algo]
    values = config.flat()
    for name in changed(config):
        words += [flag(name), *_words(values[name])]
    return shlex.join(words)


def changed(config: TrainConfig) -> list[str]:
    """Names of the values that are not the preset's, environment and learner apart."""
    choice = {"algo": config.run.algo, "method": config.run.method}
    usual = {**_defaults(config), **compose(config.world, choice).flat()}
    names = [name for name, value in config.flat().items() if value != usual[name]]
    method = ["method"] if config.run.method != type(config.run).method else []
    return method + [name for name in names if name not in _CHOSEN]


def _defaults(config: TrainConfig) -> dict[str, Any]:
    """Defaults of the owners, for values that only a choice within one brings."""
    owners = [type(getattr(config, name)) for name in config.nested()]
    return {
        name: option.default
        for owner in owners
        for name, option in options_of(owner).items()
    }


def _words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
