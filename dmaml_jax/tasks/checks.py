"""What an environment's parameters may be, and whether an agent feels them.

What an environment of the house says of its parameters is in `dmaml_jax.envs.base`; of
any other nothing is known, and what its parameters do is tried out. Every check takes
the flag by which values were given, and raises a `UsageError`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.tasks import probe
from dmaml_jax.tasks.parameters import typed
from dmaml_jax.types import Task

Ends = Mapping[str, tuple[float, float]]
"""Least and greatest value of parameters."""


def require_limits(env: Any, ends: Ends, flag: str) -> None:
    """Refuse values outside of a parameter's limits, or beyond what stays finite."""
    for name, (low, high) in ends.items():
        _require_not_beyond(env, name, low, high, flag)
        least, most = getattr(env, "within", {}).get(name, (-np.inf, np.inf))
        if low < least or high > most:
            wrong = low if low < least else high
            raise UsageError(
                f"{flag} {name} is {wrong:g}, but {env.name} allows only values from "
                f"{least:g} to {most:g} for {name}."
            )
        if low > 0 or name not in getattr(env, "positive", ()):
            continue
        if low == high:
            raise UsageError(f"{flag} {name}={low:g}: {name} must be above 0.")
        raise UsageError(
            f"{flag} {name}: its values go from {low:g} to {high:g}, but {env.name} "
            f"allows only those above 0 for {name}."
        )


def _require_not_beyond(
    env: Any, name: str, low: float, high: float, flag: str
) -> None:
    """Refuse numbers for which an environment says that it does not stay finite."""
    greatest = getattr(env, "greatest", None)
    if greatest is None or max(abs(low), abs(high)) <= greatest:
        return
    if low == high:
        raise UsageError(
            f"{flag} {name} is {low:g}, but {env.name} takes none beyond "
            f"{greatest:g}: give a smaller one."
        )
    raise UsageError(
        f"{flag} {name}: its values go from {low:g} to {high:g}, but {env.name} takes "
        f"none beyond {greatest:g}: give a narrower range."
    )


def require_order(env: Any, params: Task, ends: Ends, flag: str) -> None:
    """Refuse pairs of parameters that may cross."""
    for smaller, larger in getattr(env, "ordered", ()):
        if smaller not in ends and larger not in ends:
            continue
        highest = _number(ends[smaller][1] if smaller in ends else params, smaller)
        lowest = _number(ends[larger][0] if larger in ends else params, larger)
        if highest > lowest:
            raise UsageError(
                f"{flag} lets {smaller} reach {highest:g} and {larger} {lowest:g}, but "
                f"{smaller} must stay below {larger}: give values that do not cross."
            )


def _number(source: Any, name: str) -> float:
    """The source itself if it is a number, else that parameter of a task."""
    return source if isinstance(source, float) else float(getattr(source, name))


def require_felt(env: Any, params: Task, name: str, flag: str) -> None:
    """Refuse a parameter on which nothing depends that an agent sees or earns."""
    start = f"{flag} {name}: nothing that an agent sees or earns"
    if not _is_described(env):
        if not probe.reaches(env, params, name):
            raise UsageError(
                f"{start} depends on it in {env.name}: choose another parameter."
            )
    elif name in env.unfelt:
        raise UsageError(
            f"{start} depends on it here: leave it out, or choose --env "
            f"{env.unfelt[name]}."
        )
    elif name in env.needs and not bool(getattr(params, env.needs[name])):
        raise UsageError(
            f"{start} depends on it without {env.needs[name]}: add --set "
            f"{env.needs[name]}=true, or leave it out."
        )


def _is_described(env: Any) -> bool:
    """Whether an environment says itself what its parameters do."""
    return hasattr(env, "unfelt")


def try_out(
    env: Any, params: Task, name: str, ends: tuple[float, float], flag: str
) -> None:
    """Refuse numbers that do not stay finite; tell if the ends make no difference."""
    if getattr(env, "greatest", None) is not None:
        return  # its numbers were compared with that, as trying it out takes long
    low, high = ends
    with jax.ensure_compile_time_eval():
        params = jax.tree.map(jnp.asarray, params)
        try:
            values = [typed(params, name, end) for end in ends]
        except ValueError as error:
            raise said(f"{flag} {name}", error) from None
        tasks = [params.replace(**{name: value}) for value in values]
    probed = probe.compare(env, *tasks)
    if not probed.finite:
        raise UsageError(
            f"{flag} {name}: at {low:g} or {high:g}, {env.name} gives numbers that are "
            "not finite: give a narrower range."
        )
    if not probed.differ and low < high:
        print(
            f"note: in 1,600 random steps {env.name} was the same with {name} at "
            f"{low:g} and at {high:g}; tasks may hardly differ."
        )


def said(start: str, error: ValueError) -> UsageError:
    """What is wrong with a value, after the flag that it was given by."""
    return UsageError(f"{start}: {str(error).rstrip('.')}.")
