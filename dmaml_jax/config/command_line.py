"""How a configuration is written as a command line that runs the same again."""

import shlex
from typing import Any

from dmaml_jax.config.composition import TrainConfig, compose
from dmaml_jax.options import flag, options_of


def rerun(config: TrainConfig) -> str:
    """`dmaml-jax train …` with every value that is not the preset's.

    Args:
        config: the configuration of a run.

    Returns:
        The command, quoted for a shell.
    """
    words = ["dmaml-jax", "train", "--env", config.run.env, "--algo", config.run.algo]
    values = config.flat()
    for name in changed(config):
        words += [flag(name), *_words(values[name])]
    return shlex.join(words)


def changed(config: TrainConfig) -> list[str]:
    """Names of the values that differ from the preset's, except `env` and `algo`."""
    usual = _usual(config)
    names = [name for name, value in config.flat().items() if value != usual[name]]
    return [name for name in names if name not in ("env", "algo")]


def _usual(config: TrainConfig) -> dict[str, Any]:
    """The values by name that the same choice has where no flag is given."""
    defaults = {
        name: option.default
        for owner in config.nested()
        for name, option in options_of(type(getattr(config, owner))).items()
    }
    algo = {"algo": config.run.algo}
    preset = compose(config.world, {**algo, **_method(config)})
    method = _method(compose(config.world, algo))
    return {**defaults, **preset.flat(), **method}


def _method(config: TrainConfig) -> dict[str, Any]:
    """The method by its name, where the learner has one to choose."""
    flat = config.flat()
    return {"method": flat["method"]} if "method" in flat else {}


def _words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
