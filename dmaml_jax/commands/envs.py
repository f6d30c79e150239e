"""The envs command: the environments, and what tasks may vary in one.

The list is told without importing JAX; what is in an environment takes its import.
"""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from dmaml_jax import envs
from dmaml_jax.commands.words import parsed
from dmaml_jax.envs.registry import ENVIRONMENTS, GYMNAX, entry
from dmaml_jax.errors import UsageError

_OF_GYMNAX = "gymnax"


@dataclasses.dataclass(frozen=True)
class Envs:
    """List the environments; of those named, the parameters that tasks may vary too.

    Example: dmaml-jax envs point gymnax:Acrobot-v1
    """

    names: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")
    ] = ()
    """Environments to tell more of; gymnax is short for all of gymnax's."""


def main(words: Sequence[str]) -> int:
    """Print the list, or the details of the environments that are named.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: there is no such environment.
    """
    names = parsed(Envs, "envs", words).names
    if not names:
        print(overview())
        return 0
    from dmaml_jax.training import devices

    devices.only_cpu()
    print(details(names))
    return 0


def overview() -> str:
    """Ours in a line each, and how to learn more."""
    width = max(map(len, ENVIRONMENTS))
    lines = []
    for name, each in ENVIRONMENTS.items():
        lines.append(f"{name:<{width}}  {each.summary}")
        lines.append(f"{'':<{width}}  tasks {' '.join(each.vary) or each.law}")
    lines += [
        "",
        "dmaml-jax envs NAME tells the spaces and every parameter that tasks may vary.",
        f"gymnax's environments go by {GYMNAX}ID; dmaml-jax envs {_OF_GYMNAX} lists "
        "them.",
    ]
    return "\n".join(lines)


def details(names: Sequence[str]) -> str:
    """Spaces, time limit, default tasks and parameters of some environments."""
    lines = [
        "Time limits are in steps. Parameters are given with their defaults; --vary "
        "lets them differ from task to task,",
        "by default in the ranges shown, --set gives all tasks another value; * takes "
        "whole numbers only, ? true or false.",
        "",
    ]
    for name in names:
        of_gymnax = [GYMNAX + other for other in envs.gymnax_ids()]
        for each in of_gymnax if name == _OF_GYMNAX else [name]:
            lines += [each, *_described(each, skip=name == _OF_GYMNAX)]
    return "\n".join(lines)


def _described(name: str, *, skip: bool) -> list[str]:
    """The lines of one environment; in a long list, the reason why it has none."""
    from dmaml_jax.build.environment import named_environment

    try:
        env = named_environment(name)
    except UsageError as error:
        if not skip:
            raise
        return [f"    {error}"]
    params = env.default_params
    summary = (
        f"    observations {_space(env.observation_space(params))}, "
        f"actions {_space(env.action_space(params))}, "
        f"limit {int(params.max_steps_in_episode)}"
    )
    of_gymnax = name.startswith(GYMNAX)
    told = "" if of_gymnax else ", ".join(entry(name).vary) or entry(name).law
    fields = [
        _parameter(field.name, getattr(params, field.name))
        for field in dataclasses.fields(params)
        if field.name != "max_steps_in_episode"
    ]
    listed = textwrap.fill(
        ", ".join(filter(None, fields)) or "no parameters that could vary",
        width=96,
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    return [summary, *([f"    tasks {told}"] if told else []), listed]


def _parameter(name: str, value: Any) -> str:
    """A parameter's name and default, if it is one number or switch."""
    import jax.numpy as jnp

    dtype = jnp.result_type(value)
    if jnp.ndim(value):
        return ""
    if jnp.issubdtype(dtype, jnp.bool_):
        return f"{name}? {str(bool(value)).lower()}"
    star = "*" if jnp.issubdtype(dtype, jnp.integer) else ""
    return f"{name}{star} {value:.4g}"


def _space(space: Any) -> str:
    if hasattr(space, "n"):
        return f"{space.n} choices"
    shape = " × ".join(map(str, getattr(space, "shape", ()))) or "1"
    return f"box of {shape}"
