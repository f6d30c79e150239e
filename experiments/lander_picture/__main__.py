"""The lander's picture: a landing by Gymnasium's control law, several moments in one.

Writes docs/lunar-lander-episode.png.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.training import devices

ROOT = Path(__file__).parents[2]
SEED, GRAVITY, STEPS = 3, 10.0, 600
MOMENTS = 7


def control_law() -> Any:
    """Gymnasium's heuristic as a policy without parameters or noise."""
    import jax.numpy as jnp

    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    from closed_loop import heuristic

    from dmaml_jax.types import Distribution, Policy

    certain = Distribution(
        noise=lambda key, like, num: jnp.zeros(num),
        sample=lambda action, noise: action,
        log_prob=lambda action, sample: jnp.zeros(()),
        entropy=lambda action: jnp.zeros(()),
    )
    return Policy(
        init=lambda key, obs: {},
        apply=lambda params, obs: heuristic(obs, jnp.where, jnp.maximum),
        distribution=certain,
    )


def draw_descent(axes: Any, episode: Any) -> None:
    """Ground and way of an episode, and the lander at moments equally far apart."""
    from dmaml_jax.pictures.scenes.lander import Lander, draw_ground, thrust
    from dmaml_jax.pictures.scenes.look import AFTER

    states = episode.states
    bodies = states.world.bodies
    draw_ground(axes, np.asarray(states.terrain[0]))
    way = np.stack([bodies.centre.x[:, 0], bodies.centre.y[:, 0]], axis=-1)
    axes.plot(*way.T, color=AFTER, lw=1, alpha=0.4, ls=(0, (3, 2)))
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    moments = np.searchsorted(along, np.linspace(0.08, 1, MOMENTS) * along[-1])
    moments[-1] = episode.length
    for index, step in enumerate(moments):
        alpha = 0.35 + 0.65 * index / (MOMENTS - 1)
        lander = Lander(axes, AFTER, alpha)
        flying = 0 < step < episode.length
        fired = thrust(episode.actions[step - 1]) if flying else (0.0, 0.0)
        lander.place(bodies, int(step), fired)


def main() -> int:
    """Fly and draw."""
    devices.configure("cpu", 1)
    import jax
    from matplotlib import pyplot as plt

    from dmaml_jax.envs import LunarLander
    from dmaml_jax.pictures.scenes.lander import ASPECT
    from dmaml_jax.rl.episodes import recorder

    env = LunarLander()
    task = env.default_params.replace(gravity=GRAVITY)
    episode = recorder(env, control_law(), STEPS)(jax.random.key(SEED), {}, task)
    figure = plt.figure(figsize=(9, 9 * ASPECT), dpi=120)
    draw_descent(figure.add_axes((0, 0, 1, 1)), episode)
    figure.savefig(ROOT / "docs" / "lunar-lander-episode.png")
    total = float(episode.rewards.sum())
    print(f"{episode.length} steps, return {total:.0f}, gravity {GRAVITY:g} m/s²")
    return 0


if __name__ == "__main__":
    sys.exit(main())
