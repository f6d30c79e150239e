"""MAML on point navigation: what one gradient step is worth, and its paths.

Writes docs/navigation.md and docs/navigation.png.
"""

import datetime
import sys
from pathlib import Path
from typing import Any

from dmaml_jax.build import configuration
from dmaml_jax.training import devices

SEED, SEEDS, EPOCHS = 1, 5, 200
GOALS, EPISODES, STEPS = 40, 20, 3
SHOWN = ((0.4, 0.3), (-0.35, 0.4), (-0.4, -0.2), (0.25, -0.45))
DOCS = Path(__file__).parents[2] / "docs"


def goals(tasks: Any, pairs: Any) -> Any:
    """Tasks with these goals, stacked."""
    import jax.numpy as jnp

    x, y = jnp.asarray(pairs).T
    return tasks.replace(goal_x=x, goal_y=y)


def main() -> int:
    """Train, adapt to goals that training did not draw, and write both files."""
    devices.configure("cpu", min(devices.usable_cores(), SEEDS))
    import jax
    import jax.numpy as jnp
    import numpy as np
    from matplotlib import pyplot as plt
    from scipy import stats

    from dmaml_jax.training.keys import seed_keys
    from experiments.shared.drawing import draw_navigation
    from experiments.shared.training import measured, trained

    config = configuration("point", "maml", seed=SEED, seeds=SEEDS, epochs=EPOCHS)
    run = trained(config)
    problem = run["problem"]
    fresh = problem.sample_tasks(seed_keys(SEED).evaluation, GOALS)
    returns = measured(
        config, run, fresh, episodes=EPISODES, num_steps=STEPS,
        summary=problem.performance,
    ).mean(axis=1)  # fmt: skip

    def interval(values: np.ndarray) -> str:
        half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        return f"{values.mean():.2f} ± {half:.2f}"

    rows = [
        f"| {steps} | {interval(returns[:, steps])} "
        f"| {interval(returns[:, steps] - returns[:, 0]) if steps else '-'} |"
        for steps in range(STEPS + 1)
    ]
    lines = [
        "# Point navigation",
        "",
        f"MAML with the preset of `--env point`, {EPOCHS} epochs, seeds {SEED} to "
        f"{SEED + SEEDS - 1}, CPU,",
        f"{datetime.date.today()}; made by `make navigation`. Returns (minus squared",
        f"distances, summed) on {GOALS} fresh goals, {EPISODES} episodes each, mean",
        "and 95 % interval over the seeds.",
        "",
        "| adaptation steps | return | gain over none |",
        "|---|---|---|",
        *rows,
        "",
        "Trained for one step: α is right for the first, which has far to go. Another",
        "one is as long, as its advantages are normalised too, and leads away.",
        "",
        "![Paths before and after one step](navigation.png)",
        "",
        f"Seed {SEED}: five episodes before (grey) and after one gradient step on "
        f"{config.sampling.num_trajectories}",
        "trajectories (blue); the star is the goal, which the policy never observes.",
    ]
    print("\n".join(lines))
    shown = goals(
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(SHOWN),)),
                     problem.medium_task()),
        SHOWN,
    )  # fmt: skip
    paths = measured(
        config, run, shown, episodes=5, summary=lambda data: (data.obs, data.alive)
    )
    figure, panels = plt.subplots(
        1, len(SHOWN), figsize=(11, 3.1), dpi=150, layout="constrained"
    )
    for panel, goal, obs in zip(panels, SHOWN, paths[0][0], strict=True):
        draw_navigation(panel, obs[0], obs[1], np.array(goal))
        panel.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8))
    figure.savefig(DOCS / "navigation.png")
    (DOCS / "navigation.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
