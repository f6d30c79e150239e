"""The environments by name; knows names only, so that `--help` need not import JAX."""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

GYMNAX = "gymnax:"
"""Before the id of one of gymnax's environments."""


class Entry(NamedTuple):
    """Where an environment is defined, and its tasks.

    Attributes:
        path: where the class is, as `module:Class`.
        summary: one line on what it is, for people.
        vary: what varies from task to task by default, as `--vary` takes it; empty
            where the environment draws its tasks by a law of its own.
        arguments: the arguments with which the class is called.
        law: what the environment's own law of tasks draws, for people.
        numbered: the argument that the number of `NAME:NUMBER` stands for; empty where
            the environment takes no number.
    """

    path: str
    summary: str
    vary: tuple[str, ...]
    arguments: Mapping[str, Any] = MappingProxyType({})
    law: str = ""
    numbered: str = ""


_GOALS = ("goal_x=-0.5:0.5", "goal_y=-0.5:0.5")
ENVIRONMENTS: dict[str, Entry] = {
    "cartpole": Entry(
        "dmaml_jax.envs.cartpole:CartPole",
        "Gymnasium's CartPole, 200 steps",
        ("gravity=5:15",),
    ),
    "lunarlander": Entry(
        "dmaml_jax.envs.lunar_lander:LunarLander",
        "Gymnasium's LunarLander, a fast solver equal to Box2D's in distribution",
        ("gravity=5:15",),
        {"solver": "fast", "hull_contacts": False},
    ),
    "lunarlander-exact": Entry(
        "dmaml_jax.envs.lunar_lander:LunarLander",
        "Gymnasium's LunarLander with Box2D's solver, step by step",
        ("gravity=5:15",),
    ),
    "intersection": Entry(
        "dmaml_jax.envs.intersection:Intersection",
        "two vehicles on crossing roads, the other's speed u hidden",
        ("u=5:15",),
    ),
    "point": Entry(
        "dmaml_jax.envs.point:Point",
        "2-D navigation to a hidden goal, reward minus the distance squared",
        _GOALS,
    ),
    "point-distance": Entry(
        "dmaml_jax.envs.point:Point",
        "the same, reward minus the distance",
        _GOALS,
        {"reward": "distance"},
    ),
    "point-sparse": Entry(
        "dmaml_jax.envs.point:Point",
        "the same, a reward only near the goal",
        _GOALS,
        {"reward": "sparse"},
    ),
    "bandit": Entry(
        "dmaml_jax.envs.bandit:Bandit",
        "Bernoulli bandit of 5 arms, an episode is one pull; bandit:K has K arms",
        (),
        law="the probability of each arm uniform on [0, 1]",
        numbered="num_arms",
    ),
    "mdp": Entry(
        "dmaml_jax.envs.mdp:RandomMDP",
        "tabular MDP of 10 states, 5 actions and 10 steps",
        (),
        law="transitions from flat Dirichlet distributions, mean rewards from N(1, 1)",
    ),
    "gridworld": Entry(
        "dmaml_jax.envs.gridworld:Gridworld",
        "5 x 5 cells and a hidden goal, 15 steps",
        (),
        law="the goal uniform over the 21 cells outside the first 2 x 2",
    ),
}

OF_GYMNAX: Mapping[str, Mapping[str, Any]] = {
    "run": {"threshold": None},
    "sampling": {"horizon": 0, "num_trajectories": 20},
    "method": {"step_reduction": "mean", "baseline": "linear"},
    "learner": {"inner_lr": 0.1, "outer_lr": 0.003},
    "directed": {"directed_lr": 0.1},
}
"""The preset, by owner, of every environment that gymnax has."""


def entry(name: str) -> Entry:
    """The entry of one of our environments.

    Args:
        name: the environment's name, with `:NUMBER` behind it where it takes a number,
            such as "bandit:10".

    Raises:
        ValueError: the name is unknown, or it takes no such number.
    """
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name]
    family, colon, number = name.partition(":")
    if not colon or family not in ENVIRONMENTS:
        raise ValueError(
            f"Unknown environment {name!r}: choose one of {', '.join(ENVIRONMENTS)}, "
            f"or {GYMNAX}ID for one of gymnax's.{hint(name, ENVIRONMENTS)}"
        )
    found = ENVIRONMENTS[family]
    if not found.numbered:
        raise ValueError(
            f"{family} takes no number, so there is no {name!r}: write {family}."
        )
    if not (number.isascii() and number.isdecimal()) or number.startswith("0"):
        raise ValueError(
            f"{name!r} needs a whole number above 0 after the colon, which stands for "
            f"{found.numbered}: write it as in {family}:10."
        )
    arguments = {**found.arguments, found.numbered: int(number)}
    return found._replace(arguments=arguments)


def build(name: str) -> Any:
    """One of our environments.

    Args:
        name: the environment's name, as `entry` takes it.

    Raises:
        ValueError: the name is unknown, or it takes no such number.
    """
    found = entry(name)
    module, kind = found.path.split(":")
    return getattr(importlib.import_module(module), kind)(**found.arguments)


def hint(name: str, known: Any) -> str:
    """A question whether a similar name was meant; empty where none is similar."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
