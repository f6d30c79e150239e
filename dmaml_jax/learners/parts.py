"""The parts of an epoch, by which a profile tells where its time goes.

The names are kept in the compiled program beside each operation and change no number.
The innermost counts: a rollout of the pre-step is a rollout.
"""

import re
from contextlib import AbstractContextManager
from typing import Literal, get_args

import jax

Part = Literal["rollouts", "pre_step", "inner_gradient", "second_order", "outer"]
PARTS: tuple[str, ...] = get_args(Part)
OTHER = "other"
_MARK = "part."
_NAMED = re.compile(rf"{re.escape(_MARK)}(\w+)")


def part(name: Part) -> AbstractContextManager[object]:
    """What is traced in here belongs to a part."""
    return jax.named_scope(_MARK + name)


def part_of(operation: str) -> str | None:
    """The part of an operation by the name that the compiler gives it, None without.

    What differentiates an inner gradient backwards is of second order.

    Example:
        >>> part_of("jit(f)/part.outer/vmap(part.rollouts)/while/body/add")
        'rollouts'
        >>> part_of("jit(f)/part.outer/transpose(jvp())/part.inner_gradient/mul")
        'second_order'
        >>> part_of("jit(f)/add") is None
        True
    """
    marks = [m for m in _NAMED.finditer(operation) if m[1] in PARTS]
    if not marks:
        return None
    *_, last = marks
    backwards = "transpose(" in operation[: last.start()]
    return "second_order" if backwards and last[1] == "inner_gradient" else last[1]
