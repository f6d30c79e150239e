"""The envs command: every environment, with what tasks may vary in it."""

import dataclasses
import textwrap
from typing import Any

import jax.numpy as jnp

from dmaml_jax import envs
from dmaml_jax.build.environment import named_environment
from dmaml_jax.config.presets import GYMNAX
from dmaml_jax.errors import UsageError


def table() -> str:
    """Ours, then gymnax's: spaces, time limit, default tasks, parameters."""
    names = [*envs.names(), *(GYMNAX + name for name in envs.gymnax_ids())]
    lines = [
        "Time limits are in steps. Parameters are given with their defaults; tasks may "
        "vary them with --vary,",
        "ours all by default in the ranges shown, gymnax's in none; * takes whole "
        "numbers only.",
        "",
    ]
    for name in names:
        lines += [name, *_described(name)]
    return "\n".join(lines)


def _described(name: str) -> list[str]:
    try:
        env = named_environment(name)
    except UsageError as error:
        return [f"    {error}"]
    params = env.default_params
    ranges = envs.make(name)[1]
    summary = (
        f"    observations {_space(env.observation_space(params))}, "
        f"actions {_space(env.action_space(params))}, "
        f"limit {int(params.max_steps_in_episode)}"
    )
    tasks = ", ".join(f"{key}={low:g}:{high:g}" for key, (low, high) in ranges.items())
    fields = [
        shown
        for field in dataclasses.fields(params)
        if field.name != "max_steps_in_episode"
        and (shown := _parameter(field.name, getattr(params, field.name)))
    ]
    listed = textwrap.fill(
        ", ".join(fields) or "no parameters that could vary",
        width=96,
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    return [summary, *([f"    tasks {tasks}"] if tasks else []), listed]


def _parameter(name: str, value: Any) -> str:
    """Its name and default, if it is one number."""
    dtype = jnp.result_type(value)
    if jnp.ndim(value) or jnp.issubdtype(dtype, jnp.bool_):
        return ""
    star = "*" if jnp.issubdtype(dtype, jnp.integer) else ""
    return f"{name}{star} {value:.4g}"


def _space(space: Any) -> str:
    if hasattr(space, "n"):
        return f"{space.n} choices"
    shape = " × ".join(map(str, getattr(space, "shape", ()))) or "1"
    return f"box of {shape}"
