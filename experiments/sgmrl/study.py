"""SG-MRL against MAML: does the term that MAML leaves out matter where it is large?

MAML's gradient is biased as an estimate of what adapted policies earn on fresh data: it
leaves out how θ shapes the data that it adapts with (arXiv 2002.05135). That term grows
with the inner step and with the number of steps. Here both learners have the same
estimator, whose expectation is the true gradient, at small and large α, with one to
three inner steps, on few and on many trajectories.
"""

from pathlib import Path
from typing import Any

from experiments.engine.declared import Block, Run, Study
from experiments.engine.drawing import grid, legend, save
from experiments.engine.numbers import NOT_RUN, said, table
from experiments.engine.results import Results

SEEDS = range(1, 31)
LEARNERS = {"MAML": "maml", "SG-MRL": "sg-mrl"}
STEPS = (1, 2, 3)
ESTIMATOR = {"normalize_advantages": False, "discount_weighting": True}
POINT = {**ESTIMATOR, "step_reduction": "mean", "num_tasks": 10, "horizon": 50}
CARTPOLE = {
    **ESTIMATOR,
    "step_reduction": "sum",
    "num_tasks": 5,
    "vary": ("force_mag=-20:-2|2:20",),
}
PLACES = {
    "point": ("point navigation", POINT, 60, (2, 10), (0.001, 0.003, 0.01)),
    "cartpole": (
        "CartPole, either sign", CARTPOLE, 120, (2, 10), (0.01, 0.03, 0.1),
    ),
}  # fmt: skip
"""By environment: its title, values, epochs, numbers of trajectories, and the α."""


def panel(env: str, trajectories: int) -> str:
    """The panel of an environment and a K."""
    return f"{env}-{trajectories}"


def label(name: str, steps: int, rate: float) -> str:
    """What a run is called: its learner, N and α."""
    return f"{name}, N = {steps}, α = {rate:g}"


def runs(env: str, trajectories: int) -> tuple[Run, ...]:
    """All runs of an environment with so many trajectories."""
    _, values, epochs, _, rates = PLACES[env]
    return tuple(
        Run(
            panel(env, trajectories), label(name, steps, rate), env, algo, epochs,
            SEEDS,
            {
                **values, "num_trajectories": trajectories, "num_inner_steps": steps,
                "inner_lr": rate,
            },
        )
        for steps in STEPS
        for name, algo in LEARNERS.items()
        for rate in rates
    )  # fmt: skip


def draw(results: Results, folder: Path) -> None:
    """The return over the epochs' mean against α; colours are N."""
    figure, panels = grid(1, 4)
    places = [(env, k) for env in PLACES for k in PLACES[env][3]]
    for axes, (env, k) in zip(panels[0], places, strict=True):
        _draw(axes, results, env, k)
    panels[0][0].set_ylabel("return after adaptation, mean over the epochs")
    legend(figure, panels.ravel())
    save(figure, folder / "sgmrl.png")


def _draw(axes: Any, results: Results, env: str, k: int) -> None:
    title, *_, rates = PLACES[env]
    ended = {row["label"]: row["run"] for row in results.panel(panel(env, k))}
    for steps in STEPS:
        for name, style in zip(LEARNERS, ("--", "-"), strict=True):
            own = [
                (rate, results.interval(ended[label(name, steps, rate)], "average"))
                for rate in rates
                if label(name, steps, rate) in ended
            ]
            if not own:
                continue
            places = [rate for rate, _ in own]
            axes.plot(
                places, [each.value for _, each in own], f"o{style}", ms=4,
                color=f"C{steps - 1}", label=f"{name}, N = {steps}",
            )  # fmt: skip
            axes.fill_between(
                places, [each.low for _, each in own], [each.high for _, each in own],
                color=f"C{steps - 1}", alpha=0.15, lw=0,
            )  # fmt: skip
    if not ended:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set(xlabel="α", title=f"{title}, K = {k}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _compared(results: Results, env: str, k: int) -> str:
    """A row for each N and α: both learners' mean returns, and their difference."""
    ended = {row["label"]: row["run"] for row in results.panel(panel(env, k))}
    lines = []
    for steps in STEPS:
        for rate in PLACES[env][4]:
            names = [label(name, steps, rate) for name in LEARNERS]
            if not all(name in ended for name in names):
                continue
            maml, sg_mrl = (ended[name] for name in names)
            lines.append(
                [
                    str(steps), f"{rate:g}", said(results, f"{maml}|seeds"),
                    *(said(results, f"{own}|average") for own in (maml, sg_mrl)),
                    said(results, f"{sg_mrl}|difference|{maml}"),
                    said(results, f"{sg_mrl}|better|{maml}"),
                ]
            )  # fmt: skip
    head = ["N", "α", "seeds", *LEARNERS, "difference, paired", "P(SG-MRL better)"]
    return table(head, lines) if lines else NOT_RUN


def texts(results: Results) -> dict[str, str]:
    """The tables of the page."""
    return {
        f"compared {panel(env, k)}": _compared(results, env, k)
        for env in PLACES
        for k in PLACES[env][3]
    }


def block(env: str, k: int, steps: int) -> Block:
    """The runs of an environment, a K and an N."""
    own = [run for run in runs(env, k) if run.values["num_inner_steps"] == steps]
    quick = None if (env, k, steps) == ("point", 2, 1) else ()
    return Block(f"{PLACES[env][0]}, K = {k}, N = {steps}", tuple(own), quick=quick)


STUDY = Study(
    name="sgmrl",
    title="SG-MRL against MAML where MAML's bias should matter",
    blocks=tuple(
        block(env, k, steps)
        for env in PLACES
        for k in PLACES[env][3]
        for steps in STEPS
    ),
    draw=draw,
    texts=texts,
)
