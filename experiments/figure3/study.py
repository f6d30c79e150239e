"""Figure 3 of Directed-MAML: β = 0.02, convergence and the turbulence after it.

Equal episodes have advantages of exactly 0 in this package. The switch "rounding"
computes them as textbooks write them, so that what rounding leaves of equal episodes is
divided by its own deviation and becomes a gradient of full size. It is a switch of this
study and none of the product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.engine.declared import Block, Run, Study
from experiments.engine.drawing import draw_panel, grid, legend, save
from experiments.engine.paper import table_i
from experiments.engine.results import Results

EPOCHS, SEEDS, SETTLED = 300, range(1, 31), 100
BETA = {"outer_lr": 0.02}
LEARNERS = {
    "FOMAML": "fomaml",
    "Meta-SGD": "meta-sgd",
    "Directed-FOMAML": "directed-fomaml",
    "Directed-Meta-SGD": "directed-meta-sgd",
}
SCHEDULES = {
    "δ falls to 0": {"directed_schedule": "cosine"},
    "δ until a plateau": {"directed_gate": "until-plateau"},
    "δ unless opposed": {"directed_gate": "unless-opposed"},
}
PANELS = {
    "exact": "equal episodes have advantages of 0",
    "rounding": "advantages as textbooks write them",
    "schedules": "what δ's schedules do",
}


def run(panel: str, label: str, algo: str, switch: str = "", **values: Any) -> Run:
    """A learner at the large β."""
    own = {**table_i(algo), **BETA, **values}
    return Run(panel, label, "cartpole", algo, EPOCHS, SEEDS, own, switch=switch)


@contextmanager
def rounding() -> Iterator[None]:
    """The leave-one-out baseline and the normalisation without their care."""
    import jax.numpy as jnp

    from dmaml_jax.build import problem
    from dmaml_jax.rl import policy_gradient

    def others(returns: Any, alive: Any, obs: Any = None) -> Any:
        del obs
        mask = alive.astype(returns.dtype)
        count = jnp.sum(mask, axis=0) - mask
        total = jnp.sum(returns * mask, axis=0) - returns * mask
        return jnp.where(count > 0, total / jnp.maximum(count, 1), 0)

    def normalize(values: Any, mask: Any) -> Any:
        count = jnp.sum(mask)
        centred = values - jnp.sum(values * mask) / count
        deviation = jnp.sqrt(jnp.sum(centred**2 * mask) / count)
        return centred / (deviation + 1e-8)

    baseline, before = problem._BASELINES["leave-one-out"], policy_gradient.normalize
    problem._BASELINES["leave-one-out"] = others
    policy_gradient.normalize = normalize
    try:
        yield
    finally:
        problem._BASELINES["leave-one-out"] = baseline
        policy_gradient.normalize = before


def draw(results: Results, folder: Path) -> None:
    """Convergence, and the curves after it enlarged, with and without exact zeros."""
    figure, panels = grid(2, 3)
    for column, (panel, title) in enumerate(PANELS.items()):
        for axes, axis in ((panels[0][column], "epochs"), (panels[1][column], "first")):
            draw_panel(axes, results, panel, axis)
            axes.set_ylim(top=203)
        panels[0][column].set_title(title, fontsize=10)
        panels[1][column].set_title("seed 1 alone", fontsize=10)
        panels[1][column].set_ylim(bottom=150)
    for row in panels:
        row[0].set_ylabel("return after adaptation (EMA 0.9)")
    legend(figure, panels.ravel())
    save(figure, folder / "figure3.png")


STUDY = Study(
    name="figure3",
    title="FOMAML, Meta-SGD and their directed variants on CartPole, beta = 0.02",
    blocks=(
        Block(
            "CartPole, as it is",
            tuple(run("exact", *item) for item in LEARNERS.items()),
            quick=("FOMAML", "Directed-FOMAML"),
        ),
        Block(
            "CartPole, with what rounding leaves",
            tuple(
                run("rounding", label, algo, "rounding")
                for label, algo in LEARNERS.items()
            ),
            quick=("Directed-FOMAML",),
        ),
        Block(
            "CartPole, schedules of delta",
            tuple(
                run("schedules", f"{label}, {words}", algo, **values)
                for label, algo in LEARNERS.items()
                if label.startswith("Directed-")
                for words, values in SCHEDULES.items()
            ),
            quick=(),
        ),
    ),
    draw=draw,
    thresholds=dict.fromkeys(PANELS, 190.0),
    settled=SETTLED,
    switches={"rounding": rounding},
)
