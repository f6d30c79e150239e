"""What all scenes share: colours, the stage, and how a scene is asked to move."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from dmaml_jax.rl.episodes import Episode

INK, MUTED, LINE, PAPER = "#1f2937", "#6b7280", "#d5dae1", "#ffffff"
PANEL = "#f5f7fa"
BEFORE, AFTER = "#6f7a8c", "#2563eb"
ALERT, WARM, GREEN = "#dc2626", "#f59e0b", "#15803d"


class Scene(Protocol):
    """An episode drawn into axes; what moves is drawn anew for every frame.

    Attributes:
        moving: the artists that `show` changes, in the order in which to draw them.
        outcome: how the episode ended, in a word or two.
        last: the last step at which there is anything to see; later ones need no
            frames.
    """

    moving: list[Any]
    outcome: str
    last: int

    def show(self, step: int) -> None:
        """Move everything to where it was after so many steps, 0 to T."""
        ...


Draw = Callable[[Any, Episode, str, Sequence[Episode]], Scene]
"""`(axes, episode, colour, both) -> scene`; `both` are shown side by side."""


class Stage(NamedTuple):
    """How an environment is shown.

    Attributes:
        aspect: height of a scene over its width.
        steps_per_second: how many steps are shown in a second.
        draw: makes the scene of one of two episodes that are shown side by side, with
            scales that fit both.
    """

    aspect: float
    steps_per_second: float
    draw: Draw


def alone(scene: Callable[[Any, Episode, str], Scene]) -> Draw:
    """How to draw a scene whose scales do not depend on the other episode."""
    return lambda axes, episode, colour, both: scene(axes, episode, colour)


def bare(axes: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Axes without ticks and frame, equally scaled, that show exactly this."""
    axes.set(xlim=x, ylim=y, aspect="equal", xticks=[], yticks=[])
    axes.set_facecolor(PANEL)
    axes.spines[:].set_visible(False)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points rotated counterclockwise about the origin, `[…, 2]`; angle in rad.

    Example:
        >>> turned(np.array([[1.0, 0.0]]), np.pi / 2).round(9)
        array([[0., 1.]])
    """
    sin, cos = np.sin(angle), np.cos(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])
