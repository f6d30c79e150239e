"""Pure-JAX environments with gymnax's interface, whose parameters are tasks.

`make(name)` gives an environment and the parameter ranges of its task distribution.
Importing this registers ours with gymnax under the ids of `GYMNAX_IDS`, so that
`gymnax.make` knows them too.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

import gymnax

from dmaml_jax.envs.cartpole import CartPole
from dmaml_jax.envs.intersection import Intersection
from dmaml_jax.envs.lunar_lander import LunarLander
from dmaml_jax.envs.point import Point
from dmaml_jax.envs.tabular import TabularMDP, random_mdp

Ranges = dict[str, tuple[float, float]]

GYMNAX = "gymnax:"
_FALL = {"gravity": (5.0, 15.0)}
_GOALS = {"goal_x": (-0.5, 0.5), "goal_y": (-0.5, 0.5)}
_ENVIRONMENTS: dict[str, tuple[Callable[[], Any], Ranges]] = {
    "cartpole": (CartPole, {"gravity": (5.0, 15.0)}),
    "lunarlander": (partial(LunarLander, solver="fast", hull_contacts=False), _FALL),
    "lunarlander-exact": (LunarLander, _FALL),
    "intersection": (Intersection, {"u": (5.0, 15.0)}),
    "point": (Point, _GOALS),
    "point-distance": (partial(Point, "distance"), _GOALS),
    "point-sparse": (partial(Point, "sparse"), _GOALS),
}
GYMNAX_IDS = {name: f"{name}-dmaml" for name in _ENVIRONMENTS}

for _name, (_factory, _) in _ENVIRONMENTS.items():
    if GYMNAX_IDS[_name] not in gymnax.registered_envs:
        gymnax.register(GYMNAX_IDS[_name], _factory)


def names() -> tuple[str, ...]:
    """The names of our environments."""
    return tuple(_ENVIRONMENTS)


def gymnax_ids() -> tuple[str, ...]:
    """The ids of gymnax's own environments, which `make` takes after `gymnax:`."""
    ours = GYMNAX_IDS.values()
    return tuple(name for name in gymnax.registered_envs if name not in ours)


def make(name: str) -> tuple[Any, Ranges]:
    """Build an environment by name.

    Args:
        name: one of `names()`, or `gymnax:` and one of `gymnax_ids()`.

    Returns:
        The environment, and the default range of each parameter that tasks vary; of
        gymnax's environments there is none.

    Raises:
        ValueError: the name is unknown, or gymnax cannot make it here.

    Example:
        >>> env, ranges = make("cartpole")
        >>> ranges
        {'gravity': (5.0, 15.0)}
    """
    if name.startswith(GYMNAX):
        return _of_gymnax(name.removeprefix(GYMNAX)), {}
    if name not in _ENVIRONMENTS:
        raise ValueError(
            f"Unknown environment {name!r}: choose one of {', '.join(names())}, or "
            f"{GYMNAX}ID for one of gymnax's.{_hint(name, names())}"
        )
    factory, ranges = _ENVIRONMENTS[name]
    return factory(), dict(ranges)


def _of_gymnax(name: str) -> Any:
    if name not in gymnax.registered_envs:
        raise ValueError(
            f"gymnax has no environment {name!r}: choose one of "
            f"{', '.join(gymnax_ids())}.{_hint(name, gymnax_ids())}"
        )
    try:
        return gymnax.make(name)[0]
    except Exception as error:  # one of them downloads its data, whatever fails there
        raise ValueError(
            f"gymnax cannot make {name!r} here ({error}): choose another."
        ) from error


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


__all__ = [
    "CartPole",
    "Intersection",
    "LunarLander",
    "Point",
    "TabularMDP",
    "gymnax_ids",
    "make",
    "names",
    "random_mdp",
]
