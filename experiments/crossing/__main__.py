"""Directed-MAML at the intersection: regret before and after adaptation, for each u.

Writes docs/crossing.md, docs/crossing.png and docs/crossing-optimum.png.
"""

import datetime
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.build import configuration
from dmaml_jax.training import devices

SEED, SEEDS = 1, 5
US = np.linspace(5.0, 15.0, 11)
EPISODES, STEPS = 400, 1
DOCS = Path(__file__).parents[2] / "docs"


def references(u: float, delta_x: np.ndarray, delta_y: np.ndarray) -> dict[str, Any]:
    """What is possible from given starts: best, at a constant speed, not knowing u."""
    from dmaml_jax.envs.intersection import EnvParams
    from dmaml_jax.envs.intersection_optimum import drive, solve

    params = EnvParams(u=float(u))
    constant = [
        drive(params, delta_x, delta_y, lambda x, y, a=a: np.full_like(x, a))
        for a in np.linspace(0, 15, 31)
    ]
    return {
        "best": solve(params).at(delta_x, delta_y),
        "constant": np.stack([returns for returns, _ in constant]),
        "conflict": constant[20][1],  # at 10 m/s
    }


def regret(returns: np.ndarray, of: dict[str, Any], where: np.ndarray) -> float:
    """(J* − J)/(J* − J_blind) over some starts, J_blind at the best constant speed."""
    best = of["best"][where].mean()
    blind = of["constant"][:, where].mean(axis=1).max()
    return float((best - returns[..., where].mean()) / (best - blind))


def draw(obs: np.ndarray, lengths: np.ndarray, titles: list[str], path: Path) -> None:
    """The same start before and after adaptation, from above."""
    from matplotlib import pyplot as plt

    from experiments.shared.drawing import draw_crossing

    figure, panels = plt.subplots(
        1, len(titles), figsize=(9, 4.4), dpi=150, layout="constrained"
    )
    for panel, one, length, title in zip(panels, obs, lengths, titles, strict=True):
        draw_crossing(panel, one[: length + 2])
        panel.set_title(title, fontsize=10)
    panels[0].legend(frameon=False, loc="upper left")
    # The layout makes no room for titles above panels whose aspect is fixed.
    figure.savefig(path, bbox_inches="tight", pad_inches=0.1)


def draw_optimum(path: Path) -> None:
    """Best return from every start, for three u, with the conflict starts' outline."""
    from matplotlib import pyplot as plt

    from dmaml_jax.envs.intersection import EnvParams
    from dmaml_jax.envs.intersection_optimum import drive, solve

    figure, panels = plt.subplots(
        1, 3, figsize=(10, 3.6), dpi=150, layout="constrained", sharey=True
    )
    x, y = np.meshgrid(np.linspace(15, 35, 101), np.linspace(-40, -10, 121))
    shown = None
    for panel, u in zip(panels, (5.0, 10.0, 15.0), strict=True):
        params = EnvParams(u=u)
        best = solve(params).at(x, y)
        _, met = drive(params, x, y, lambda x, y: np.full_like(x, 10.0))
        shown = panel.pcolormesh(x, -y, best, vmin=185, vmax=200, cmap="viridis")
        panel.contour(x, -y, met, levels=[0.5], colors="white", linewidths=1.2)
        panel.set(title=f"u = {u:g} m/s", xlabel="start of vehicle 1, m before")
    panels[0].set_ylabel("start of vehicle 2, m before")
    figure.colorbar(shown, ax=panels, label="best return")
    figure.savefig(path)


class Crossed(NamedTuple):
    """What the learner, and a way of driving that does not know u, come to.

    Attributes:
        regrets: from all starts, before and after adaptation, `[seeds, u, steps + 1]`.
        in_conflict: after adaptation, from starts in conflict, `[seeds, u]`.
        uninformed: of one way of driving for all u, from all starts, `[seeds, u]`.
    """

    regrets: np.ndarray
    in_conflict: np.ndarray
    uninformed: np.ndarray


def crossed(returns: np.ndarray, starts: np.ndarray) -> Crossed:
    """Hold returns against what was possible from the same starts.

    Args:
        returns: `[seeds, u, steps + 1, episodes]`.
        starts: where both vehicles start, `[seeds, u, episodes, 2]`.
    """
    from dmaml_jax.envs.intersection import EnvParams
    from dmaml_jax.envs.intersection_optimum import drive
    from experiments.crossing.uninformed import best_table

    table, shape = best_table(US), returns.shape[:2]
    found = Crossed(np.zeros((*shape, STEPS + 1)), np.zeros(shape), np.zeros(shape))
    for lane, index in np.ndindex(*shape):
        x, y = starts[lane, index].T.astype(float)
        of, own = references(US[index], x, y), returns[lane, index]
        everywhere = np.ones(len(x), bool)
        driven, _ = drive(EnvParams(u=float(US[index])), x, y, table)
        found.regrets[lane, index] = [regret(one, of, everywhere) for one in own]
        found.in_conflict[lane, index] = regret(own[STEPS], of, of["conflict"])
        found.uninformed[lane, index] = regret(driven, of, everywhere)
    return found


def page(found: Crossed, epochs: int, shots: int) -> str:
    """The page, made of the regrets."""
    means = found.regrets.mean(axis=1)
    lines = [
        "# The intersection: regret",
        "",
        "Directed-MAML with the preset of `--env intersection`, "
        f"{epochs} epochs, seeds {SEED} to {SEED + SEEDS - 1},",
        f"CPU, {datetime.date.today()}; made by `make crossing`.",
        "",
        "Regret is (J* − J)/(J* − J_blind): J* is the dynamic programme's optimum for",
        "that u, J_blind the best constant speed for it. 0 is the optimum, 1 no better",
        f"than driving at one speed. Of each seed and u: {EPISODES} episodes of their",
        f"own, before and after {STEPS} step on {shots} episodes.",
        "The values of u are a grid that training, which draws from a continuum, never",
        "meets.",
        "",
        "| u, m/s | before | after | after, worst seed | in conflict, worst seed "
        "| not knowing u |",
        "|---|---|---|---|---|---|",
        *(_row(found, index) for index in range(len(US))),
        "",
        "Mean over u, seed by seed, before: "
        + ", ".join(f"{value:.3f}" for value in means[:, 0])
        + "; after: "
        + ", ".join(f"{value:.3f}" for value in means[:, STEPS])
        + ".",
        "",
        "*In conflict*: from starts where 10 m/s throughout would collide. *Not",
        "knowing u*: one way of driving for all u, found by coordinate ascent on the",
        "programme's grid (`experiments/crossing/uninformed.py`). A driver who sees",
        "where both vehicles are, and can stop at once, hardly needs to know u: that",
        "is all that adaptation could win here, and the one step at this α wins none",
        "of it.",
        "",
        "![One start before and after adaptation](crossing.png)",
        "",
        "![Best return from every start](crossing-optimum.png)",
        "",
        "White: the outline of the starts in conflict.",
    ]
    return "\n".join(lines) + "\n"


def _row(found: Crossed, index: int) -> str:
    """One u's line of the table."""
    before, after = found.regrets[:, index, 0], found.regrets[:, index, STEPS]
    return (
        f"| {US[index]:g} | {before.mean():.3f} | {after.mean():.3f} "
        f"| {after.max():.3f} | {found.in_conflict[:, index].max():.3f} "
        f"| {found.uninformed[:, index].mean():.3f} |"
    )


def draw_example(seen: np.ndarray, rewards: np.ndarray) -> None:
    """Draw one start at the largest u, where adaptation won more than on 19 of 20.

    Args:
        seen: the first seed's observations there, `[steps + 1, episodes, H + 1, …]`.
        rewards: of the same, `[steps + 1, episodes, H]`.
    """
    returns, steps = rewards.sum(axis=-1), (0, STEPS)
    gains = returns[STEPS] - returns[0]
    episode = int(np.argsort(gains)[-len(gains) // 20])
    lengths = [int((rewards[step, episode] > 0).sum()) for step in steps]
    titles = [
        f"{when} adaptation, u = {US[-1]:g} m/s: return {returns[step, episode]:.0f}"
        for when, step in zip(("before", "after"), steps, strict=True)
    ]
    obs = seen[list(steps), episode]
    draw(obs, np.array(lengths), titles, DOCS / "crossing.png")


def main() -> int:
    """Train, measure, and write the page and its pictures."""
    devices.configure("cpu", min(devices.usable_cores(), SEEDS))
    import jax
    import jax.numpy as jnp

    from experiments.shared.training import measured, trained

    config = configuration("intersection", "directed-maml", seed=SEED, seeds=SEEDS)
    draw_optimum(DOCS / "crossing-optimum.png")
    run = trained(config)
    middle = run["problem"].medium_task()
    tasks = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(US),)), middle)
    seen, rewards = measured(
        config,
        run,
        tasks.replace(u=jnp.asarray(US)),
        episodes=EPISODES,
        num_steps=STEPS,
        summary=lambda data: (data.obs, data.rewards),
    )
    found = crossed(rewards.sum(axis=-1), seen[:, :, 0, :, 0])
    text = page(found, config.run.epochs, config.sampling.num_trajectories)
    (DOCS / "crossing.md").write_text(text)
    print(text)
    draw_example(seen[0, -1], rewards[0, -1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
