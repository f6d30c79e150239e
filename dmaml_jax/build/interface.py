"""What an environment given as an object must be, looked at before anything is built.

Its functions are traced for their shapes only; nothing is compiled.
"""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.types import Task

_NEEDED = ("default_params", "action_space", "reset_env", "step_env", "is_truncated")
_OURS = ("dmaml_jax.envs.", "gymnax.environments.")


def name_of(env: Any) -> str:
    """How an environment is called: by its `name`, else by its class."""
    return str(getattr(env, "name", type(env).__name__))


def require_parts(env: Any) -> None:
    """Refuse an object that lacks a part of gymnax's interface.

    Raises:
        UsageError: it does.
    """
    for part in _NEEDED:
        if hasattr(env, part):
            continue
        what = {
            "default_params": "a flax dataclass of what tasks may vary",
            "is_truncated": "(state, params) -> whether its time limit is reached, "
            "which is False where it has none",
        }.get(part, "as gymnax's environments have it")
        raise UsageError(f"{name_of(env)} has no {part}: give it one, {what}.")


def require_sound(env: Any, task: Task) -> None:
    """Refuse an environment whose steps are not of the kind that rollouts take.

    Args:
        env: an environment with gymnax's interface.
        task: the parameters of one task, as `reset_env` and `step_env` take them.

    Raises:
        UsageError: what `reset_env` or `step_env` returns is something else.
    """
    if type(env).__module__.startswith(_OURS):
        return
    name, key = name_of(env), jax.random.key(0)
    with jax.numpy_dtype_promotion("standard"):
        action = jax.eval_shape(lambda key: env.action_space(task).sample(key), key)
        first = jax.eval_shape(env.reset_env, key, task)
        if not isinstance(first, tuple) or len(first) != 2:
            raise UsageError(
                f"reset_env of {name} must return two values, (obs, state): change it."
            )
        step = jax.eval_shape(env.step_env, key, first[1], action, task)
        if not isinstance(step, tuple) or len(step) != 5:
            raise UsageError(
                f"step_env of {name} must return five values, (obs, state, reward, "
                "terminated, info): change it."
            )
        for what, before, after in (
            ("observation", first[0], step[0]),
            ("state", first[1], step[1]),
        ):
            _require_alike(name, what, before, after)
        _require_single(name, "reward", step[2])
        _require_single(name, "terminated", step[3])
        try:
            truncated = jax.eval_shape(env.is_truncated, step[1], task)
        except AttributeError as error:
            raise UsageError(
                f"is_truncated of {name} fails ({error}): write one of its own, "
                "(state, params) -> whether its time limit is reached."
            ) from None
        _require_single(name, "is_truncated", truncated)


def _require_alike(name: str, what: str, before: Any, after: Any) -> None:
    """Refuse a step that returns something shaped otherwise than a reset."""
    trees = [jax.tree.structure(each) for each in (before, after)]
    shapes = [[x.shape for x in jax.tree.leaves(each)] for each in (before, after)]
    if trees[0] != trees[1] or shapes[0] != shapes[1]:
        told = [
            f"{tree} with shapes {own}" for tree, own in zip(trees, shapes, strict=True)
        ]
        raise UsageError(
            f"The {what} of {name} is {told[0]} after reset_env and {told[1]} after "
            "step_env: return the same kind from both."
        )


def _require_single(name: str, what: str, found: Any) -> None:
    """Refuse what is not one number or truth value."""
    shape = getattr(found, "shape", None)
    if shape != ():
        described = "no array" if shape is None else f"of shape {shape}"
        raise UsageError(
            f"{what} of {name} is {described}, but it must be one number for one "
            "step: return a scalar, such as x[0]."
        )
    if not jnp.issubdtype(found.dtype, jnp.number) and found.dtype != jnp.bool_:
        raise UsageError(
            f"{what} of {name} is of type {found.dtype}, but it must be a number."
        )
