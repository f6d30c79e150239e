"""Controls for Directed-MAML, paired by seed: is it the medium task, or something else?

(a) plain MAML; (b) Directed-MAML; (c) its pre-step on a random task of ρ; (d) both with
the best rates of grids of equal size, chosen on seeds that are not reported; (e) plain
MAML with the K trajectories that the pre-step costs in its outer step; (f) a corner of
ρ in place of the mean; (g) δ; (h) sum or mean over steps, advantages normalised or not;
(i) a pre-step in both places of section IV; (j) Adam for the pre-step; (k) a δ that
falls to nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.declared import Block, Choice, Run, Study
from experiments.engine.drawing import (
    costs_on_a_log_scale,
    draw_panel,
    grid,
    legend,
    save,
)
from experiments.engine.paper import table_i
from experiments.engine.results import Results

CHOOSING = range(901, 904)
FIRST = 1  # as in Figure 2, so that what both declare is trained once
PLAIN, DIRECTED = "(a) MAML", "(b) Directed-MAML"
RANDOM = "(c) random task of ρ"
TUNED, TUNED_DIRECTED = "(d) MAML, best β", "(d) Directed-MAML, best β and δ"
MORE = "(e) MAML, more outer episodes"
MAIN = (PLAIN, DIRECTED, RANDOM, MORE, TUNED, TUNED_DIRECTED)
BETAS = (3e-4, 6e-4, 1e-3, 2e-3, 3e-3, 6e-3, 1e-2, 2e-2, 3e-2)
PAIRS = tuple((b, d) for b in (1e-3, 3e-3, 1e-2) for d in (1e-3, 5e-3, 2e-2))
DELTAS = (0.0, 1e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
SHORTER = 0.02  # of point navigation, where δ = α is too long
SHOWN = 150  # epochs of CartPole: nothing happens after them
AS_LONG_AS_ALPHA = {"directed_lr": 0.1}  # the preset's is what these controls found
ESTIMATORS = {
    "mean over steps": {"step_reduction": "mean"},
    "raw returns": {"normalize_advantages": False},
    "mean over steps, raw returns": {
        "step_reduction": "mean",
        "normalize_advantages": False,
    },
}


class Place(NamedTuple):
    """An environment of the controls.

    Attributes:
        title: what it is called.
        epochs: how many there are.
        seeds: how many there are.
        values: of all runs.
        directed: further ones of directed runs.
        outer_trajectories: of each task beyond K, that all together cost as much as a
            pre-step.
        corners: tasks at corners of ρ, by name.
        chunk: seeds that are trained at once.
    """

    title: str
    epochs: int
    seeds: int
    values: Mapping[str, Any]
    directed: Mapping[str, Any]
    outer_trajectories: int
    corners: Mapping[str, tuple[str, ...]]
    chunk: int = 10


def _paper() -> tuple[dict[str, Any], dict[str, Any]]:
    """Table I's values of plain learners, and those of directed ones beside them."""
    plain, directed = table_i("maml"), table_i("directed-maml")
    return plain, {name: directed[name] for name in directed if name not in plain}


PLACES = {
    "cartpole": Place(
        "CartPole", 300, 30, *_paper(), 2,
        {"gravity 5": ("gravity=5",), "gravity 15": ("gravity=15",)},
    ),
    "intersection": Place(
        "intersection", 500, 30, {}, {}, 4, {"u 5": ("u=5",), "u 15": ("u=15",)}
    ),
    "point": Place(
        "point navigation", 120, 20, {}, AS_LONG_AS_ALPHA, 1,
        {
            "one corner": ("goal_x=0.5", "goal_y=0.5"),
            "another corner": ("goal_x=-0.5", "goal_y=0.5"),
        },
    ),
    "lunarlander": Place("LunarLander", 500, 10, *_paper(), 2, {}, 5),
}  # fmt: skip


def run(
    env: str, label: str, algo: str, choice: tuple[Any, ...] = (), **values: Any
) -> Run:
    """A run of the controls; seeds are the same for all of them, so they pair."""
    place = PLACES[env]
    own = {**place.values, **(place.directed if algo != "maml" else {}), **values}
    return Run(
        env, label, env, algo, place.epochs, range(FIRST, FIRST + place.seeds), own,
        choice=Choice(choice, CHOOSING) if choice else None,
    )  # fmt: skip


def main_runs(env: str) -> tuple[Run, ...]:
    """(a), (b), (c) and (e)."""
    more = PLACES[env].outer_trajectories
    return (
        run(env, PLAIN, "maml"),
        run(env, DIRECTED, "directed-maml"),
        run(env, RANDOM, "directed-maml", medium_task="fresh"),
        run(env, MORE, "maml", outer_trajectories=more),
    )


def tuned(env: str) -> tuple[Run, ...]:
    """(d)."""
    betas = tuple({"outer_lr": beta} for beta in BETAS)
    pairs = tuple({"outer_lr": beta, "directed_lr": delta} for beta, delta in PAIRS)
    return (
        run(env, TUNED, "maml", betas),
        run(env, TUNED_DIRECTED, "directed-maml", pairs),
    )


def corners(env: str) -> tuple[Run, ...]:
    """(f)."""
    return tuple(
        run(
            env, f"(f) {name}", "directed-maml", medium_task="given",
            medium_values=values,
        )
        for name, values in PLACES[env].corners.items()
    )  # fmt: skip


def deltas(env: str) -> tuple[Run, ...]:
    """(g)."""
    return tuple(
        run(env, f"(g) δ = {delta:g}", "directed-maml", directed_lr=delta)
        for delta in DELTAS
    )


def shorter(env: str) -> tuple[Run, ...]:
    """(c) with the δ that (g) found."""
    label = f"{RANDOM}, δ = {SHORTER:g}"
    return (run(env, label, "directed-maml", medium_task="fresh", directed_lr=SHORTER),)


def estimators(env: str) -> tuple[Run, ...]:
    """(h)."""
    return tuple(
        run(env, f"(h) {name}, {words}", algo, **values)
        for words, values in ESTIMATORS.items()
        for name, algo in (("MAML", "maml"), ("Directed-MAML", "directed-maml"))
    )


def variants(env: str) -> tuple[Run, ...]:
    """(i) and (j)."""
    return (
        run(
            env, "(i) both places", "directed-maml",
            directed_placement="inner-and-outer",
        ),
        run(
            env, "(j) Adam for the pre-step", "directed-maml",
            directed_optimizer="adam",
        ),
    )  # fmt: skip


def falling(env: str) -> tuple[Run, ...]:
    """(k)."""
    return (run(env, "(k) δ falls", "directed-maml", directed_schedule="cosine"),)


def blocks(env: str) -> tuple[Block, ...]:
    """All blocks of an environment."""
    place = PLACES[env]
    quick = (PLAIN, DIRECTED, MORE, TUNED) if env == "cartpole" else ()
    first = main_runs(env)
    best = Block(f"{place.title}: (d) best rates", tuned(env), place.chunk, quick)
    if env == "lunarlander":
        kept = tuple(run for run in first if run.label != MORE)
        return (
            Block(f"{place.title}: (a) to (c)", kept, place.chunk, quick),
            Block(f"{place.title}: (k) falling δ", falling(env), place.chunk, quick),
            best,
        )
    found = (
        Block(f"{place.title}: (a), (b), (c), (e)", first, place.chunk, quick),
        best,
        Block(
            f"{place.title}: (f), (i) and (j)",
            (*corners(env), *variants(env)),
            place.chunk,
            (),
        ),
        Block(f"{place.title}: (g) delta", deltas(env), place.chunk, ()),
        Block(f"{place.title}: (h) estimators", estimators(env), place.chunk, ()),
    )
    if env == "point":
        title = f"{place.title}: (c) shorter"
        found = (*found, Block(title, shorter(env), place.chunk, ()))
    return found


def draw(results: Results, folder: Path) -> None:
    """A picture for each environment: the main controls, the others, δ."""
    for env, place in PLACES.items():
        figure, panels = grid(1, 4)
        draw_panel(panels[0][0], results, env, "epochs", labels=MAIN)
        draw_panel(panels[0][1], results, env, "steps", labels=MAIN)
        others = [
            row["label"]
            for row in results.panel(env)
            if row["label"] in (PLAIN, DIRECTED) or row["label"][1] in "fhijk"
        ]
        draw_panel(panels[0][2], results, env, "epochs", labels=others)
        _draw_deltas(panels[0][3], results, env)
        if env == "point":
            for axes in panels[0][:3]:
                costs_on_a_log_scale(axes)
        if env == "cartpole":
            for axes in (panels[0][0], panels[0][2]):
                axes.set_xlim(0, SHOWN)
        seeds = max((int(row["seeds"]) for row in results.panel(env)), default=0)
        panels[0][0].set_title(f"{place.title}, {seeds} seeds: (a) to (e)", fontsize=10)
        panels[0][1].set_title("the same by environment steps", fontsize=10)
        panels[0][2].set_title("(f), (h) to (k)", fontsize=10)
        panels[0][0].set_ylabel("return after adaptation (EMA 0.9)")
        legend(figure, panels.ravel())
        save(figure, folder / f"controls-{env}.png")


def _draw_deltas(axes: Any, results: Results, env: str) -> None:
    """The mean return over the epochs against δ; δ = 0 stands at the left end."""
    rows = [row for row in results.panel(env) if row["label"].startswith("(g)")]
    places = [max(float(row["label"].split("=")[1]), 5e-5) for row in rows]
    found = [results.interval(row["run"], "average") for row in rows]
    if rows:
        value = [one.value for one in found]
        below = [one.value - one.low for one in found]
        above = [one.high - one.value for one in found]
        axes.errorbar(places, value, (below, above), fmt="o-", ms=4, color="C0")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # mathematics is not drawn
        axes.xaxis.set_minor_formatter("")
    else:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
    axes.set(xlabel="δ (the leftmost is 0)", ylabel="mean return over the epochs")
    axes.set_title("(g) how much the pre-step's size does", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


STUDY = Study(
    name="controls",
    title="what else than the medium task could explain Directed-MAML's gain?",
    blocks=tuple(block for env in PLACES for block in blocks(env)),
    draw=draw,
    thresholds={"cartpole": 190.0, "point": -5.0},
)
