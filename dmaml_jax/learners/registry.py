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
        summary: one line for people.
        objectives: by the surrogates that the learner may take, what its meta-gradient
            then estimates.
        options: further keyword arguments, as pairs.
        takes: keyword arguments that are values of the configuration.
    """

    path: str
    summary: str
    objectives: dict[str, str]
    options: tuple[tuple[str, Any], ...] = ()
    takes: tuple[str, ...] = ()


_EXACT_INNER = "(I), adaptation by the exact gradient; biased by few trajectories"
_THROUGH_INNER = {
    "score-function": "(II), adaptation by the sampled gradient, without the score "
    "term: biased",
    "lvc": _EXACT_INNER,
    "dice": _EXACT_INNER,
    "loaded-dice": _EXACT_INNER,
}
_NO_SECOND_ORDER = "neither: the second-order term is left out"
_SCORED = "(II), adaptation by the sampled gradient, with the score term"

LEARNERS: dict[str, Entry] = {
    "maml": Entry("dmaml_jax.learners.maml:maml", "second-order MAML", _THROUGH_INNER),
    "fomaml": Entry(
        "dmaml_jax.learners.maml:maml",
        "first-order MAML",
        {"score-function": _NO_SECOND_ORDER},
        (("first_order", True),),
    ),
    "sg-mrl": Entry(
        "dmaml_jax.learners.sg_mrl:sg_mrl",
        "debiased MAML",
        {"score-function": _SCORED},
        takes=("score_baseline",),
    ),
    "e-maml": Entry(
        "dmaml_jax.learners.sg_mrl:sg_mrl",
        "E-MAML, the score term averaged over steps as its authors do",
        {"score-function": _SCORED + " a mean over steps instead of a sum: biased"},
        (("score_reduction", "mean"),),
        ("score_baseline",),
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


def entry(algo: str) -> Entry:
    """The (base) learner of a full name."""
    return LEARNERS[algo.removeprefix(DIRECTED)]


def objective(algo: str, surrogate: str) -> str:
    """What the meta-gradient of a pair estimates.

    Raises:
        ValueError: the two do not go together.
    """
    objectives = entry(algo).objectives
    if surrogate not in objectives:
        pairs: dict[tuple[str, ...], list[str]] = {}
        for name, other in LEARNERS.items():
            pairs.setdefault(tuple(other.objectives), []).append(name)
        legal = "; ".join(
            f"{', '.join(algos)} with {', '.join(taken)}"
            for taken, algos in pairs.items()
        )
        raise ValueError(
            f"--surrogate {surrogate} does not go with --algo {algo}: the legal pairs "
            f"are {legal}, directed or not."
        )
    return objectives[surrogate]


def find(algo: str) -> Callable[..., Any]:
    """The function that makes the (base) learner of a full name."""
    module, function = entry(algo).path.split(":")
    return getattr(importlib.import_module(module), function)


def is_directed(algo: str) -> bool:
    """Whether a full name is of a directed learner."""
    return algo.startswith(DIRECTED)
