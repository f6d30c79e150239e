"""CartPole from the side: cart, pole, track and its ends."""

from typing import Any

import numpy as np
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Wedge

from dmaml_jax.pictures.scenes.look import (
    ALERT,
    INK,
    LINE,
    WARM,
    Stage,
    alone,
    bare,
)
from dmaml_jax.rl.episodes import Episode

ASPECT = 0.42
_CART, _CART_HEIGHT, _WHEEL = 0.5, 0.26, 0.08
_AXLE = 2 * _WHEEL + _CART_HEIGHT


class CartPoleScene:
    """The cart with its pole; the sector is where the pole counts as upright."""

    def __init__(self, axes: Any, episode: Episode, colour: str) -> None:
        """Draw track and ends, and the cart at its start."""
        task, self.states = episode.task, episode.states
        self.reach = 2 * float(task.length)
        limit, angle = float(task.x_threshold), float(task.theta_threshold)
        half = max(limit + 0.55, self.reach / ASPECT / 2)
        bare(axes, (-half, half), (-0.28, 2 * half * ASPECT - 0.28))
        axes.plot([-half, half], [0, 0], color=INK, lw=1.2, zorder=1)
        for side in (-limit, limit):
            axes.plot([side] * 2, [0, 0.5], color=ALERT, lw=2.5, solid_capstyle="round")
        for x in range(-int(limit), int(limit) + 1):
            axes.plot([x, x], [0, -0.06], color=INK, lw=0.8)
            axes.text(x, -0.1, f"{x}", ha="center", va="top", fontsize=7, color=INK)
        degrees = np.degrees(angle)
        self.upright = Wedge((0, 0), self.reach, 90 - degrees, 90 + degrees, color=LINE)
        self.upright.set(alpha=0.45, lw=0)
        self.cart = FancyBboxPatch(
            (0, 0), _CART - 0.08, _CART_HEIGHT - 0.08, facecolor=colour, lw=0,
            boxstyle="round,pad=0.04",
        )  # fmt: skip
        self.wheels = [Circle((0, _WHEEL), _WHEEL, color=INK) for _ in range(2)]
        self.pole = Polygon(np.zeros((4, 2)), color=WARM, joinstyle="round", lw=3)
        self.axle = Circle((0, _AXLE), 0.045, color=INK)
        self.moving = [self.upright, *self.wheels, self.cart, self.pole, self.axle]
        for artist in self.moving:
            axes.add_patch(artist)
        self.last = episode.length
        fell = abs(float(self.states.theta[-1])) > angle
        ended = "pole fell" if fell else "left the track"
        self.outcome = ended if episode.terminated else "still upright"

    def show(self, step: int) -> None:
        """Move cart and pole."""
        x, theta = float(self.states.x[step]), float(self.states.theta[step])
        self.cart.set(x=x - _CART / 2 + 0.04, y=2 * _WHEEL + 0.04 - 0.04)
        for wheel, side in zip(self.wheels, (-1, 1), strict=True):
            wheel.center = (x + side * 0.29 * _CART, _WHEEL)
        along = np.array([np.sin(theta), np.cos(theta)])
        aside = 0.022 * np.array([along[1], -along[0]])
        foot = np.array([x, _AXLE])
        tip = foot + self.reach * along
        self.pole.set_xy(
            np.stack([foot - aside, foot + aside, tip + aside, tip - aside])
        )
        self.axle.center = tuple(foot)
        self.upright.set_center(tuple(foot))


def stage(env: Any, task: Any) -> Stage:
    """How the environment is shown."""
    return Stage(ASPECT, 1 / float(task.tau), alone(CartPoleScene))
