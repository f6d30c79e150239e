"""Pure-JAX environments with gymnax's interface, whose parameters are tasks.

`make(name)` gives an environment and the parameter ranges of its task distribution.
What is heavy here is loaded on first use. With the first environment, ours are
registered with gymnax under the ids of `GYMNAX_IDS`: `gymnax.make` knows them too.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dmaml_jax.envs import registry
from dmaml_jax.envs.registry import GYMNAX as GYMNAX

if TYPE_CHECKING:
    from dmaml_jax.envs.bandit import Bandit as Bandit
    from dmaml_jax.envs.cartpole import CartPole as CartPole
    from dmaml_jax.envs.gridworld import Gridworld as Gridworld
    from dmaml_jax.envs.intersection import Intersection as Intersection
    from dmaml_jax.envs.lunar_lander import LunarLander as LunarLander
    from dmaml_jax.envs.mdp import RandomMDP as RandomMDP
    from dmaml_jax.envs.point import Point as Point
    from dmaml_jax.envs.registration import GYMNAX_IDS as GYMNAX_IDS
    from dmaml_jax.envs.tabular import TabularMDP as TabularMDP
    from dmaml_jax.envs.tabular import random_mdp as random_mdp

Ranges = dict[str, tuple[float, float]]

_HOME = {
    "Bandit": "bandit",
    "CartPole": "cartpole",
    "GYMNAX_IDS": "registration",
    "Gridworld": "gridworld",
    "Intersection": "intersection",
    "LunarLander": "lunar_lander",
    "Point": "point",
    "RandomMDP": "mdp",
    "TabularMDP": "tabular",
    "random_mdp": "tabular",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


def names() -> tuple[str, ...]:
    """The names of our environments."""
    return tuple(registry.ENVIRONMENTS)


def gymnax_ids() -> tuple[str, ...]:
    """The ids of gymnax's own environments, which `make` takes after `gymnax:`."""
    import gymnax

    from dmaml_jax.envs.registration import GYMNAX_IDS

    ours = GYMNAX_IDS.values()
    return tuple(name for name in gymnax.registered_envs if name not in ours)


def make(name: str) -> tuple[Any, Ranges]:
    """Build an environment by name.

    Args:
        name: one of `names()`, of which "bandit" may carry its number of arms as in
            "bandit:10", or `gymnax:` and one of `gymnax_ids()`.

    Returns:
        The environment, and the default range of each parameter that tasks vary. There
        is none of gymnax's environments, and none where tasks have a law of their own.

    Raises:
        ValueError: the name is unknown, or gymnax cannot make it here.

    Example:
        >>> env, ranges = make("cartpole")
        >>> ranges
        {'gravity': (5.0, 15.0)}
    """
    if name.startswith(GYMNAX):
        return _of_gymnax(name.removeprefix(GYMNAX)), {}
    made = registry.build(name)
    return made, dict(map(_range, registry.entry(name).vary))


def _range(item: str) -> tuple[str, tuple[float, float]]:
    """A default `NAME=LOW:HIGH` as numbers."""
    name, _, ends = item.partition("=")
    low, high = map(float, ends.split(":"))
    return name, (low, high)


def _of_gymnax(name: str) -> Any:
    import gymnax

    ids = gymnax_ids()
    if name not in gymnax.registered_envs:
        raise ValueError(
            f"gymnax has no environment {name!r}: choose one of {', '.join(ids)}."
            f"{registry.hint(name, ids)}"
        )
    try:
        return gymnax.make(name)[0]
    except Exception as error:  # one of them downloads its data, whatever fails there
        raise ValueError(
            f"gymnax cannot make {name!r} here ({error}): choose another."
        ) from error


__all__ = [
    "Bandit",
    "CartPole",
    "Gridworld",
    "Intersection",
    "LunarLander",
    "Point",
    "RandomMDP",
    "TabularMDP",
    "gymnax_ids",
    "make",
    "names",
    "random_mdp",
]
