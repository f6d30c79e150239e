"""Point navigation: the way to a goal that the point does not see."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Circle

from dmaml_jax.pictures.scenes.look import LINE, MUTED, WARM, Scene, Stage, bare
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.86


class PointScene:
    """The plane with start, goal, and the path so far."""

    def __init__(
        self,
        axes: Any,
        episode: Episode,
        colour: str,
        both: Sequence[Episode],
        reward: str,
    ) -> None:
        """Draw the plane so that both episodes fit into it."""
        task = episode.task
        goal = np.array([float(task.goal_x), float(task.goal_y)])
        far = max(float(np.abs(one.states.position).max()) for one in both)
        half = min(max(0.62, far + 0.06, float(np.abs(goal).max()) + 0.1), 1.6)
        bare(axes, (-half / ASPECT, half / ASPECT), (-half, half))
        for value in np.arange(-2, 2.01, 0.25):
            axes.axhline(value, color=LINE, lw=0.6, zorder=0)
            axes.axvline(value, color=LINE, lw=0.6, zorder=0)
        if reward == "sparse":
            ring = Circle(tuple(goal), float(task.sparse_radius), alpha=0.15, lw=0)
            axes.add_patch(ring)
            ring.set_color(WARM)
        axes.plot(*goal, "*", color=WARM, ms=19, mec="white", mew=1, zorder=3)
        axes.plot(0, 0, "o", color=MUTED, ms=6, zorder=3)
        self.positions = np.asarray(episode.states.position, float)
        (self.path,) = axes.plot([], [], color=colour, lw=1.8, zorder=4, alpha=0.8)
        (self.dot,) = axes.plot([], [], "o", color=colour, ms=11, mec="white", zorder=5)
        self.moving = [self.path, self.dot]
        self.last = episode.length
        distance = float(np.hypot(*(self.positions[-1] - goal)))
        ended = "reached the goal" if episode.terminated else f"{distance:.2f} away"
        self.outcome = ended

    def show(self, step: int) -> None:
        """Lengthen the path."""
        self.path.set_data(*self.positions[: step + 1].T)
        self.dot.set_data(*self.positions[step][:, None])


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""

    def draw(axes: Any, one: Episode, colour: str, both: Sequence[Episode]) -> Scene:
        return PointScene(axes, one, colour, both, env.reward)

    return Stage(ASPECT, 12, draw)
