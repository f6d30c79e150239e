"""Whole episodes in one still picture."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

matplotlib.use("Agg")

_FIRST, _SECOND = "tab:blue", "tab:red"


def draw_crossing(
    axes: Any,
    obs: np.ndarray,
    *,
    dt: float = 0.1,
    every: float = 0.5,
    reach: float = 42,
) -> None:
    """The intersection from above: where both vehicles were, twice a second.

    Vehicle 1 comes from the left, vehicle 2 from below; colours deepen with time, and
    thin lines join what was at the same moment. A cross marks a collision.

    Args:
        axes: of matplotlib.
        obs: (Δx, Δy) of a whole episode, m, `[T + 1, 2]`.
        dt: time step, s.
        every: seconds between two drawings.
        reach: how far the picture reaches, m.
    """
    for corner, size in (
        ((-reach, -3), (2 * reach, 6)),
        ((-3, -reach), (6, 2 * reach)),
    ):
        axes.add_patch(Rectangle(corner, *size, color="0.92", zorder=0))
    stride = max(round(every / dt), 1)
    picked = np.asarray(obs)[::stride]
    first = np.stack([-picked[:, 0], np.zeros(len(picked))], axis=1)
    second = np.stack([np.zeros(len(picked)), picked[:, 1]], axis=1)
    shown = (np.abs(first[:, 0]) < reach) | (np.abs(second[:, 1]) < reach)
    times = np.arange(len(picked))[shown]
    alpha = 0.15 + 0.85 * times / max(times.max(initial=1), 1)
    for one, two, weight in zip(first[shown], second[shown], alpha, strict=True):
        axes.plot(*np.stack([one, two]).T, color="0.6", lw=0.4, alpha=weight, zorder=1)
    for name, path, colour in (
        ("vehicle 1", first, _FIRST),
        ("vehicle 2", second, _SECOND),
    ):
        axes.scatter(*path[shown].T, s=42, color=colour, alpha=alpha, zorder=2)
        axes.scatter([], [], s=42, color=colour, label=name)
    if np.hypot(*obs[-1]) < 8 and len(obs) < 200:
        axes.scatter(-obs[-1][0], 0, marker="x", s=120, color="black", zorder=3)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="east, m", ylabel="north, m")
    axes.spines[["top", "right"]].set_visible(False)


def draw_navigation(
    axes: Any, before: np.ndarray, after: np.ndarray, goal: np.ndarray
) -> None:
    """Paths in the plane before (grey) and after (blue) adaptation, and the goal.

    Args:
        axes: of matplotlib.
        before: positions of K episodes, `[K, T + 1, 2]`.
        after: the same after adaptation.
        goal: `[2]`.
    """
    for paths, colour in ((before, "0.65"), (after, _FIRST)):
        for path in paths:
            axes.plot(*np.asarray(path).T, color=colour, lw=0.8, alpha=0.8)
    axes.plot(0, 0, "ko", ms=4)
    axes.plot(*goal, "*", color=_SECOND, ms=13, mec="white")
    axes.set(aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
