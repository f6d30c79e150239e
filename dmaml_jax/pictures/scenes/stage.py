"""Which scene shows an environment, and how fast."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dmaml_jax.envs import CartPole, Intersection, LunarLander, Point
from dmaml_jax.pictures.scenes import cartpole, crossing, lander, point, trace
from dmaml_jax.pictures.scenes.look import Episode, Scene

Draw = Callable[[Any, Episode, str, Sequence[Episode]], Scene]


class Stage(NamedTuple):
    """How an environment is shown.

    Attributes:
        aspect: height of a scene over its width.
        steps_per_second: at which to play it.
        draw: `(axes, episode, colour, both) -> scene`; `both` are the episodes that
            are shown side by side, for scales that fit both.
    """

    aspect: float
    steps_per_second: float
    draw: Draw


def stage_of(env: Any, task: Any) -> Stage:
    """How to show an environment; observations against time where we know none.

    Args:
        env: the environment.
        task: its parameters, from which the duration of a step is taken.
    """
    if isinstance(env, CartPole):
        return Stage(
            cartpole.ASPECT, 1 / float(task.tau), _alone(cartpole.CartPoleScene)
        )
    if isinstance(env, LunarLander):
        return Stage(lander.ASPECT, 50, _alone(lander.LanderScene))
    if isinstance(env, Intersection):
        twice = 2 / float(task.dt)  # as fast as it is
        return Stage(crossing.ASPECT, twice, _alone(crossing.CrossingScene))
    if isinstance(env, Point):
        reward = env.reward

        def draw(
            axes: Any, one: Episode, colour: str, both: Sequence[Episode]
        ) -> Scene:
            return point.PointScene(axes, one, colour, both, reward)

        return Stage(point.ASPECT, 12, draw)
    return Stage(trace.ASPECT, 25, trace.TraceScene)


def _alone(scene: Callable[[Any, Episode, str], Scene]) -> Draw:
    return lambda axes, episode, colour, both: scene(axes, episode, colour)


__all__ = ["Episode", "Scene", "Stage", "stage_of"]
