"""The learners by name; knows names only, so that `--help` need not import JAX."""

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """Where a learner is defined, and what sets it apart.

    Attributes:
        path: `module:function`; called with `problem`, `inner_lr`, `meta_optimizer`
            and `num_inner_steps`.
        options: further keyword arguments.
        summary: one line for people.
    """

    path: str
    options: dict[str, Any]
    summary: str


LEARNERS: dict[str, Entry] = {
    "maml": Entry("dmaml_jax.learners.maml:maml", {}, "second-order MAML"),
    "fomaml": Entry(
        "dmaml_jax.learners.maml:maml", {"first_order": True}, "first-order MAML"
    ),
}
DIRECTED = "directed-"
SHORT = {"directed": "directed-maml"}


def names() -> tuple[str, ...]:
    """Every name that `find` knows, directed variants included."""
    return (*LEARNERS, *(DIRECTED + name for name in LEARNERS))


def full_name(algo: str) -> str:
    """The learner's full name: `directed` is short for `directed-maml`.

    Raises:
        ValueError: no learner has that name.
    """
    algo = SHORT.get(algo, algo)
    if algo not in names():
        close = get_close_matches(algo, (*names(), *SHORT), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"Unknown learner {algo!r}: choose one of {', '.join(names())}.{hint}"
        )
    return algo


def find(algo: str) -> tuple[Callable[..., Any], dict[str, Any], bool]:
    """Look a learner up.

    Args:
        algo: its full name.

    Returns:
        The function that makes the (base) learner, its options, and whether it is to
        be directed.
    """
    entry = LEARNERS[algo.removeprefix(DIRECTED)]
    module, function = entry.path.split(":")
    make = getattr(importlib.import_module(module), function)
    return make, entry.options, algo.startswith(DIRECTED)
