"""Pure-JAX environments with gymnax's interface, whose parameters are tasks.

`make(name)` gives an environment and the parameter ranges of its task distribution.
"""

from difflib import get_close_matches
from typing import Any

from dmaml_jax.envs.cartpole import CartPole
from dmaml_jax.envs.tabular import TabularMDP, random_mdp

Ranges = dict[str, tuple[float, float]]

_ENVIRONMENTS: dict[str, tuple[Any, Ranges]] = {
    "cartpole": (CartPole, {"gravity": (5.0, 15.0)}),
}


def names() -> tuple[str, ...]:
    """The names that `make` knows."""
    return tuple(_ENVIRONMENTS)


def make(name: str) -> tuple[Any, Ranges]:
    """Build an environment by name.

    Args:
        name: one of `names()`.

    Returns:
        The environment, and the default range of each parameter that tasks vary.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> env, ranges = make("cartpole")
        >>> ranges
        {'gravity': (5.0, 15.0)}
    """
    if name not in _ENVIRONMENTS:
        close = get_close_matches(name, _ENVIRONMENTS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"Unknown environment {name!r}: choose one of {', '.join(names())}.{hint}"
        )
    environment, ranges = _ENVIRONMENTS[name]
    return environment(), dict(ranges)


__all__ = ["CartPole", "TabularMDP", "make", "names", "random_mdp"]
