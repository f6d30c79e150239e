"""The intersection from above: two vehicles on crossing roads."""

from typing import Any

import numpy as np
from matplotlib.patches import Polygon, Rectangle

from dmaml_jax.pictures.scenes.look import (
    ALERT,
    INK,
    MUTED,
    Stage,
    alone,
    bare,
    turned,
)
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.86
_WEST, _EAST, _SOUTH = -40.0, 26.0, -42.0
_NORTH = _SOUTH + ASPECT * (_EAST - _WEST)
_ROAD, _LAND, _OTHER = "#dfe3e9", "#f3f7f1", "#e4572e"
_LENGTH, _WIDTH = 4.6, 2.2  # m
_NOSE = [(0.42, -0.5), (0.5, -0.34), (0.5, 0.34), (0.42, 0.5)]
_BODY = np.array([(-0.5, -0.5), *_NOSE, (-0.5, 0.5)])
_GLASS = np.array([(0.08, -0.38), (0.26, -0.42), (0.26, 0.42), (0.08, 0.38)])
_SIZE = np.array([_LENGTH, _WIDTH])


class _Vehicle:
    """A vehicle's artists: where it was, body and windscreen."""

    def __init__(self, axes: Any, colour: str, heading: float) -> None:
        self.heading = heading
        (self.trail,) = axes.plot([], [], color=colour, lw=2.5, alpha=0.25, zorder=3)
        style = {"zorder": 5, "lw": 0.8, "edgecolor": INK, "joinstyle": "round"}
        self.body = axes.add_patch(Polygon(_BODY, facecolor=colour, **style))
        self.glass = axes.add_patch(Polygon(_GLASS, color="#eef4ff", lw=0, zorder=6))
        self.moving = [self.trail, self.body, self.glass]

    def place(self, way: np.ndarray) -> None:
        self.trail.set_data(*way.T)
        for artist, shape in ((self.body, _BODY), (self.glass, _GLASS)):
            artist.set_xy(turned(shape * _SIZE, self.heading) + way[-1])


class CrossingScene:
    """Vehicle 1 drives east and chooses its speed, vehicle 2 north at its own."""

    def __init__(self, axes: Any, episode: Episode, colour: str) -> None:
        """Draw the roads, and both vehicles at their starts."""
        bare(axes, (_WEST, _EAST), (_SOUTH, _NORTH))
        axes.set_facecolor(_LAND)
        wide, high = _EAST - _WEST, _NORTH - _SOUTH
        for corner, size in (((_WEST, -3), (wide, 6)), ((-3, _SOUTH), (6, high))):
            axes.add_patch(Rectangle(corner, *size, color=_ROAD, lw=0, zorder=1))
        dashes = {"color": "white", "lw": 1.3, "ls": (0, (6, 5)), "zorder": 2}
        for low, high_end in ((_WEST, -4), (4, _EAST)):
            axes.plot([low, high_end], [0, 0], **dashes)
        for low, high_end in ((_SOUTH, -4), (4, _NORTH)):
            axes.plot([0, 0], [low, high_end], **dashes)
        east = -np.asarray(episode.states.delta_x, float)
        north = np.asarray(episode.states.delta_y, float)
        self.ways = [
            np.stack([east, np.zeros_like(east)], axis=1),
            np.stack([np.zeros_like(north), north], axis=1),
        ]
        self.vehicles = [
            _Vehicle(axes, colour, 0.0), _Vehicle(axes, _OTHER, np.pi / 2)
        ]  # fmt: skip
        dt = float(episode.task.dt)
        self.speeds = np.diff(east, prepend=east[:1]) / dt
        self.speeds[0] = self.speeds[1] if episode.length else 0
        text = {"fontsize": 9, "color": MUTED, "zorder": 7}
        self.speed = axes.text(_WEST + 1.5, 4.5, "", color=colour, fontsize=9, zorder=7)
        axes.text(4.2, _SOUTH + 1.5, f"u = {float(episode.task.u):g} m/s", **text)
        (self.crash,) = axes.plot(
            [], [], marker=(9, 1, 0), ms=26, color=ALERT, zorder=8
        )
        self.moving = [artist for v in self.vehicles for artist in v.moving]
        self.moving += [self.speed, self.crash]
        self.collided = np.asarray(episode.states.collided)
        gone = (east > _EAST + 4) & (north > _NORTH + 4)
        self.last = int(np.argmax(gone)) if gone.any() else episode.length
        self.outcome = "collision" if episode.terminated else "no collision"

    def show(self, step: int) -> None:
        """Move both vehicles; the speed is that of the step that led here."""
        for vehicle, way in zip(self.vehicles, self.ways, strict=True):
            vehicle.place(way[: step + 1])
        self.speed.set_text(f"{self.speeds[step]:.1f} m/s")
        self.crash.set_data(*np.mean([way[step] for way in self.ways], axis=0)[:, None])
        self.crash.set_visible(bool(self.collided[step]))


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""
    return Stage(ASPECT, 2 / float(task.dt), alone(CrossingScene))  # twice as fast
