"""LunarLander: terrain, pad, hull, legs, and the flames of its engines."""

from typing import Any

import numpy as np
from matplotlib.patches import Polygon

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.pictures.scenes.look import (
    GREEN,
    INK,
    MUTED,
    WARM,
    Stage,
    alone,
    bare,
    turned,
)
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.7
_SKY, _GROUND, _CREST = "#f4f6fa", "#cfd5de", "#8d97a6"
_FLAME, _GLOW = "#f97316", "#fde68a"


def draw_ground(axes: Any, terrain: np.ndarray) -> None:
    """Sky, terrain, and the pad between its flags.

    Args:
        axes: the matplotlib axes to draw into.
        terrain: the heights of the ground's vertices, m, `[11]`.
    """
    bare(axes, (0, c.WIDTH), (0, c.WIDTH * ASPECT))
    axes.set_facecolor(_SKY)
    axes.patch.set_visible(True)
    x = np.arange(c.NUM_VERTICES) * c.EDGE_WIDTH
    axes.fill_between(x, terrain, 0, color=_GROUND, lw=0, zorder=1)
    axes.plot(x, terrain, color=_CREST, lw=1.2, zorder=2)
    middle = c.NUM_VERTICES // 2
    ends = x[[middle - 1, middle + 1]]
    height = float(terrain[middle])
    axes.plot(ends, [height] * 2, color=GREEN, lw=2.5, zorder=3, solid_capstyle="butt")
    for side in ends:
        axes.plot([side] * 2, [height, height + 1.1], color=MUTED, lw=1, zorder=2)
        flag = [(side, height + 1.1), (side + 0.62, height + 0.9), (side, height + 0.7)]
        axes.add_patch(Polygon(flag, color=WARM, lw=0, zorder=3))


class Lander:
    """The lander's artists, to be moved."""

    def __init__(self, axes: Any, colour: str, alpha: float = 1.0) -> None:
        """Add them to axes, nowhere yet."""
        nowhere = np.zeros((1, 2))

        def polygon(**style: Any) -> Polygon:
            return axes.add_patch(Polygon(nowhere, alpha=alpha, **style))

        self.flames = [
            polygon(color=tint, lw=0, zorder=4)
            for tint in (_FLAME, _GLOW, _FLAME, _FLAME)
        ]
        edge = {"edgecolor": INK, "lw": 0.8}
        self.struts = [
            axes.plot([], [], color=MUTED, lw=1.3, alpha=alpha, zorder=4.5)[0]
            for _ in range(2)
        ]
        self.legs = [polygon(facecolor="#aab3c2", zorder=5, **edge) for _ in range(2)]
        self.hull = polygon(facecolor=colour, zorder=6, **edge)
        self.window = polygon(facecolor="#e8eefc", zorder=7, lw=0)
        self.moving = [*self.flames, *self.struts, *self.legs, self.hull, self.window]

    def place(self, bodies: Any, step: int, powers: tuple[float, float]) -> None:
        """Move to where the bodies were, the engines at these powers.

        Args:
            bodies: the bodies of all steps, as the environment's states have them,
                with leaves of shape `[T + 1, 3]`.
            step: the step to show, from 0 to T.
            powers: the power of the main engine, and the signed one of the side
                engines, as `thrust` returns them.
        """
        centres = np.stack([bodies.centre.x[step], bodies.centre.y[step]], axis=-1)
        angles = np.asarray(bodies.angle[step])
        tilt = float(angles[c.HULL])
        origin = centres[c.HULL] - turned(np.asarray(c.HULL_CENTRE), tilt)

        def to_world(points: Any) -> np.ndarray:
            return turned(np.asarray(points, float), tilt) + origin

        for leg, strut, row, side in zip(
            self.legs, self.struts, (c.FIRST_LEG, c.SECOND_LEG), (1, -1), strict=True
        ):
            shape = np.concatenate([c.LEG_VERTICES, [(0, 0.2)]])
            placed = turned(shape, angles[row]) + centres[row]
            leg.set_xy(placed[:-1])
            strut.set_data(*np.stack([to_world((0.5 * side, -0.2)), placed[-1]]).T)
        self.hull.set_xy(to_world(c.HULL_VERTICES))
        self.window.set_xy(
            to_world([(-0.2, 0.15), (0.2, 0.15), (0.14, 0.4), (-0.14, 0.4)])
        )
        main, side = powers
        long = main * (1.15 + 0.25 * np.sin(2.4 * step))  # flickers
        for flame, width, reach in zip(
            self.flames[:2], (0.24, 0.12), (long, 0.55 * long), strict=True
        ):
            flame.set_xy(
                to_world([(-width, -0.33), (width, -0.33), (0, -0.33 - reach)])
            )
            flame.set_visible(main > 0)
        for flame, sign in zip(self.flames[2:], (-1, 1), strict=True):
            # What pushes to the right burns on the left.
            out, puff = sign * 0.53, sign * (1.0 + 0.1 * np.sin(2.4 * step))
            flame.set_xy(to_world([(out, 0.38), (out, 0.54), (puff, 0.46)]))
            flame.set_visible(side * sign < 0)


def thrust(action: Any) -> tuple[float, float]:
    """Powers of the engines: the main one's, and the side ones' (> 0: to the right).

    Args:
        action: 0 nothing, 1 left, 2 main, 3 right; or `[2]`, continuous.

    Example:
        >>> thrust(2), thrust(1), thrust(np.array([0.5, 0.0]))
        ((1.0, 0.0), (0.0, -1.0), (0.75, 0.0))
    """
    action = np.asarray(action)
    if action.ndim:
        main, side = (float(x) for x in np.clip(action, -1, 1))
        return (main + 1) / 2 if main > 0 else 0.0, side if abs(side) > 0.5 else 0.0
    return float(action == 2), float(action == 3) - float(action == 1)


class LanderScene:
    """One descent, with the way so far."""

    def __init__(self, axes: Any, episode: Episode, colour: str) -> None:
        """Draw the ground, and the lander at its start."""
        self.episode, states = episode, episode.states
        draw_ground(axes, np.asarray(states.terrain[0]))
        self.bodies = states.world.bodies
        self.way = np.stack(
            [self.bodies.centre.x[:, c.HULL], self.bodies.centre.y[:, c.HULL]], axis=-1
        )
        (self.trail,) = axes.plot(
            [], [], color=colour, lw=1, alpha=0.45, ls=(0, (3, 2))
        )
        (self.above,) = axes.plot([], [], "^", color=colour, ms=7, zorder=8)
        self.lander = Lander(axes, colour)
        self.moving = [self.trail, *self.lander.moving, self.above]
        self.top = c.WIDTH * ASPECT
        self.last = episode.length
        self.outcome = self._outcome()

    def _outcome(self) -> str:
        world = self.episode.states.world
        if not self.episode.terminated:
            stands = np.asarray(world.flags[-1])[[c.FIRST_LEG, c.SECOND_LEG]].all()
            return "standing" if stands else "still flying"
        if not world.awake[-1]:
            return "landed"
        return "crashed" if 0 < self.way[-1, 0] < c.WIDTH else "flew away"

    def show(self, step: int) -> None:
        """Move the lander; an arrow stands for one above the picture."""
        fired = (0.0, 0.0)
        if 0 < step and (step < self.episode.length or not self.episode.terminated):
            fired = thrust(self.episode.actions[step - 1])
        self.lander.place(self.bodies, step, fired)
        self.trail.set_data(*self.way[: step + 1].T)
        x, y = self.way[step]
        self.above.set_data([x], [self.top - 0.3])
        self.above.set_visible(bool(y > self.top + 0.5))


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""
    return Stage(ASPECT, 50, alone(LanderScene))
