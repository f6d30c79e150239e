"""What all scenes share: an episode, colours, and how a scene is asked to move."""

from typing import Any, NamedTuple, Protocol

import numpy as np

INK, MUTED, LINE, PAPER = "#1f2937", "#6b7280", "#d5dae1", "#ffffff"
PANEL = "#f5f7fa"
BEFORE, AFTER = "#6f7a8c", "#2563eb"
ALERT, WARM, GREEN = "#dc2626", "#f59e0b", "#15803d"


class Episode(NamedTuple):
    """What happened in one episode of T steps, on the host.

    Attributes:
        states: of the environment before each step and after the last, leaves
            `[T + 1, …]`.
        obs: likewise, `[T + 1, …]`.
        actions: as the environment took them, `[T, …]`.
        rewards: `[T]`.
        terminated: whether it ended by itself, not by the time limit.
        task: the environment's parameters.
    """

    states: Any
    obs: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    task: Any

    @property
    def length(self) -> int:
        """T, steps taken."""
        return len(self.rewards)


class Scene(Protocol):
    """An episode drawn into axes; what moves is drawn anew for every frame.

    Attributes:
        moving: artists that `show` changes, in the order in which to draw them.
        outcome: how the episode ended, in a word or two.
        last: the last step with anything to be seen; later ones need no frames.
    """

    moving: list[Any]
    outcome: str
    last: int

    def show(self, step: int) -> None:
        """Move everything to where it was after so many steps, 0 to T."""
        ...


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
