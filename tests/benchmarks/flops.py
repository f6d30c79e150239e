"""Arithmetic of a program's matrix products, loops counted as often as they turn."""

import math
from typing import Any


def matrix_flops(function: Any, *args: Any, loop_turns: int) -> float:
    """FLOPs of every matrix product that a call executes, two for each multiply-add.

    XLA's own analysis counts a loop's body once. Here a `scan` counts its length, and a
    loop whose end is found at run time `loop_turns`; of a choice, the dearer branch.
    """
    import jax

    return _of(jax.make_jaxpr(function)(*args).jaxpr, loop_turns)


def _of(jaxpr: Any, loop_turns: int) -> float:
    return sum(_of_equation(equation, loop_turns) for equation in jaxpr.eqns)


def _of_equation(equation: Any, loop_turns: int) -> float:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        summed = math.prod([left[axis] for axis in contracted])
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * summed
    inner = [_of(jaxpr, loop_turns) for jaxpr in _inside(equation.params)]
    if equation.primitive.name == "cond":
        return max(inner)
    turns = {"scan": equation.params.get("length"), "while": loop_turns}
    return sum(inner) * turns.get(equation.primitive.name, 1)


def _inside(params: dict[str, Any]) -> list[Any]:
    """The programs among an equation's parameters."""
    found = []
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else [value]:
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                found.append(jaxpr)
    return found
