"""Which parameters of an environment may be given, and of which type they are."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from dmaml_jax.errors import did_you_mean

_TIME_LIMIT = "max_steps_in_episode"
# Fields that some environments store although they follow from others: changing an
# ingredient alone would leave them stale, and the dynamics silently wrong.
_STORED_PRODUCTS = {
    "total_mass": ("masscart", "masspole"),
    "polemass_length": ("masspole", "length"),
}


def type_of(env_params: Any, name: str) -> Any:
    """The dtype of a parameter that one number or switch can stand for.

    Args:
        env_params: the environment's parameters, a flax dataclass.
        name: the name of one of their fields.

    Raises:
        ValueError: there is no such field, it is the time limit or an array, or its
            change would leave a stored product of it stale.
    """
    fields = tuple(vars(env_params))
    if name not in fields:
        offered = [field for field in fields if field != _TIME_LIMIT]
        hint = did_you_mean(name, offered).strip().replace("Did", "did")
        raise ValueError(
            f"The environment has no parameter {name!r}: choose from "
            f"{', '.join(offered)}{hint and f' ({hint})'}."
        )
    if name == _TIME_LIMIT:
        raise ValueError(
            "Parameter 'max_steps_in_episode' is the time limit, not what tasks may "
            "differ in: give --horizon."
        )
    _require_independent(fields, name)
    if not _is_leaf(env_params, name):
        raise ValueError(
            f"Parameter {name!r} is a static field (pytree_node=False), which decides "
            "the program and cannot differ from task to task: choose another parameter."
        )
    if jnp.ndim(getattr(env_params, name)) > 0:
        raise ValueError(
            f"Parameter {name!r} is an array, so one number cannot stand for it: "
            "choose a parameter that is a single number."
        )
    return jnp.result_type(getattr(env_params, name))


def type_that_varies(env_params: Any, name: str, *, whole: bool) -> Any:
    """The dtype of a parameter's values, if it may vary from task to task.

    Args:
        env_params: the environment's parameters, a flax dataclass.
        name: the name of one of their fields.
        whole: whether all of the values that it takes are whole numbers.

    Raises:
        ValueError: `type_of` refuses the field, or it does not take such values.
    """
    dtype = type_of(env_params, name)
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.result_type(float)
    if whole and jnp.issubdtype(dtype, jnp.integer):
        return dtype
    raise ValueError(
        f"Parameter {name!r} is not a float, so it cannot vary continuously: choose a "
        "float parameter, or list whole numbers for one that takes them."
    )


def typed(env_params: Any, name: str, value: float | bool) -> Any:
    """A value as the parameter's own type.

    Args:
        env_params: the environment's parameters, a flax dataclass.
        name: the name of one of their fields.
        value: a number, or True or False for a switch.

    Returns:
        An array without axes.

    Raises:
        ValueError: `type_of` refuses the field, or it does not take that value.
    """
    dtype = type_of(env_params, name)
    if jnp.issubdtype(dtype, jnp.bool_) or isinstance(value, bool):
        if not (jnp.issubdtype(dtype, jnp.bool_) and isinstance(value, bool)):
            takes = "true or false" if jnp.issubdtype(dtype, jnp.bool_) else "a number"
            raise ValueError(f"Parameter {name!r} takes {takes}, not {value}.")
        return jnp.asarray(value)
    if jnp.issubdtype(dtype, jnp.integer):
        return jnp.asarray(_whole(name, value, dtype), dtype)
    dtype = jnp.result_type(float)
    if abs(value) > float(jnp.finfo(dtype).max):
        raise ValueError(f"Parameter {name!r} cannot be {value:g}: it would overflow.")
    return jnp.asarray(value, dtype)


def _is_leaf(env_params: Any, name: str) -> bool:
    """Whether a field is data to JAX, and no part of the program."""
    if not dataclasses.is_dataclass(env_params):
        return True
    (field,) = (f for f in dataclasses.fields(env_params) if f.name == name)
    return field.metadata.get("pytree_node", True)


def _whole(name: str, value: float, dtype: Any) -> int:
    most = np.iinfo(dtype)
    if value != round(value) or not most.min <= value <= most.max:
        raise ValueError(
            f"Parameter {name!r} takes whole numbers from {most.min} to {most.max}, "
            f"not {value:g}."
        )
    return int(value)


def _require_independent(fields: tuple[str, ...], name: str) -> None:
    for product, ingredients in _STORED_PRODUCTS.items():
        if product in fields and name in (product, *ingredients):
            raise ValueError(
                f"Parameter {name!r} cannot vary: this environment stores {product!r}, "
                f"which follows from {' and '.join(ingredients)}, so the two would "
                "disagree; vary another parameter, or use an environment that "
                "derives it."
            )
