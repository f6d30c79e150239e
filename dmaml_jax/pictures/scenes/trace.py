"""Any environment: observations and rewards against time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dmaml_jax.pictures.scenes.look import (
    INK,
    LINE,
    MUTED,
    Stage,
)
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.86
_MOST_LINES = 6


class TraceScene:
    """A row for each component of the observation, and one for the reward.

    Of observations with more components than fit, a single row shows all as shades.
    """

    def __init__(
        self, axes: Any, episode: Episode, colour: str, both: Sequence[Episode]
    ) -> None:
        """Draw the rows, with scales that fit both episodes."""
        axes.axis("off")
        self.colour, self.rewards = colour, episode.rewards
        self.steps = max(one.length for one in both)
        values = [one.obs.reshape(len(one.obs), -1).astype(float) for one in both]
        own = episode.obs.reshape(len(episode.obs), -1).astype(float)
        many = own.shape[1] > _MOST_LINES
        num = 2 if many else own.shape[1] + 1
        self.moving: list[Any] = []
        self.lines: list[tuple[Any, np.ndarray]] = []
        for row in range(num - 1):
            panel = self._panel(axes, row, num)
            if many:
                self._shades(panel, own, values)
            else:
                each = [value[:, row] for value in values]
                self._line(panel, own[:, row], each, f"obs {row}")
        panel = self._panel(axes, num - 1, num)
        self._line(panel, episode.rewards, [one.rewards for one in both], "reward")
        panel.set_xticks([0, self.steps])
        self.last = episode.length
        self.outcome = "ended" if episode.terminated else "time limit"

    def _panel(self, axes: Any, row: int, num: int) -> Any:
        height = 0.9 / num
        panel = axes.inset_axes(
            [0.2, 0.1 + (num - 1 - row) * height, 0.78, 0.82 * height]
        )
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        panel.spines["left"].set_color(LINE)
        panel.tick_params(length=2, labelsize=7, colors=MUTED)
        panel.set(xlim=(0, self.steps), xticks=[])
        return panel

    def _line(
        self, panel: Any, own: np.ndarray, each: list[np.ndarray], name: str
    ) -> None:
        low = min(np.nanmin(x, initial=0) for x in each)
        high = max(np.nanmax(x, initial=0) for x in each)
        room = 0.08 * max(high - low, 1e-6)
        panel.set(ylim=(low - room, high + room))
        panel.axhline(0, color=LINE, lw=0.6)
        panel.set_ylabel(
            name, fontsize=8, color=INK, rotation=0, ha="right", va="center"
        )
        panel.yaxis.set_label_coords(-0.115, 0.5)
        panel.locator_params(axis="y", nbins=2)
        (line,) = panel.plot([], [], color=self.colour, lw=1.4)
        self.lines.append((line, own))
        self.moving.append(line)

    def _shades(self, panel: Any, own: np.ndarray, values: list[np.ndarray]) -> None:
        low = min(np.nanmin(x) for x in values)
        high = max(np.nanmax(x) for x in values)
        panel.imshow(
            own.T, aspect="auto", cmap="Blues", vmin=low, vmax=high,
            extent=(0, len(own) - 1, own.shape[1], 0), interpolation="nearest",
        )  # fmt: skip
        panel.set(xlim=(0, self.steps), ylabel="observation")
        (cursor,) = panel.plot([], [], color=INK, lw=1)
        self.cursor = (cursor, own.shape[1])
        self.moving.append(cursor)

    def show(self, step: int) -> None:
        """Lengthen the lines."""
        for line, values in self.lines:
            line.set_data(np.arange(min(step + 1, len(values))), values[: step + 1])
        for artist in self.moving:
            if all(artist is not line for line, _ in self.lines):
                artist.set_data([step, step], [0, self.cursor[1]])


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""
    return Stage(ASPECT, 25, TraceScene)
