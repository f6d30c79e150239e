"""The gridworld: the cells, the goal, and the way so far."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from dmaml_jax.pictures.scenes.look import LINE, MUTED, WARM, Stage, bare
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.86


class GridScene:
    """The grid with start, goal, and the way so far; a stay leaves the agent there."""

    def __init__(
        self, axes: Any, episode: Episode, colour: str, both: Sequence[Episode]
    ) -> None:
        """Draw the cells, whose numbers along a side follow from the observation."""
        side = round(np.sqrt(episode.obs.shape[1]))
        half = side / 2 + 0.2
        middle = (side - 1) / 2
        bare(
            axes,
            (middle - half / ASPECT, middle + half / ASPECT),
            (middle - half, middle + half),
        )
        for x in range(side):
            for y in range(side):
                cell = Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=LINE, lw=1)
                axes.add_patch(cell)
        goal = (float(episode.task.goal_x), float(episode.task.goal_y))
        axes.plot(*goal, "*", color=WARM, ms=24, mec="white", mew=1, zorder=3)
        axes.plot(0, 0, "s", color=MUTED, ms=7, zorder=2)
        self.positions = np.asarray(episode.states.position, float)
        (self.path,) = axes.plot([], [], color=colour, lw=2, zorder=4, alpha=0.7)
        (self.dot,) = axes.plot([], [], "o", color=colour, ms=13, mec="white", zorder=5)
        self.moving = [self.path, self.dot]
        self.last = episode.length
        there = np.all(self.positions == np.array(goal), axis=1)
        steps = f"goal in step {there.argmax()}" if there.any() else "goal not found"
        self.outcome = steps

    def show(self, step: int) -> None:
        """Lengthen the way."""
        self.path.set_data(*self.positions[: step + 1].T)
        self.dot.set_data(*self.positions[step][:, None])


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""
    return Stage(ASPECT, 4, GridScene)
