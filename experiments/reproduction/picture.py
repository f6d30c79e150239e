"""The verdict in one picture: where a pre-step helps, and where it harms."""

from pathlib import Path

from experiments.engine.declared import HERE
from experiments.engine.drawing import (
    costs_on_a_log_scale,
    draw_panel,
    grid,
    legend,
    save,
)
from experiments.engine.results import Results

PICTURE = HERE.parent / "docs" / "reproduction.png"
_NAMES = ("MAML", "pre-step on the medium task", "pre-step on a random task")
_FURTHER = {
    "(d) MAML, best β": "MAML with another β",
    "(g) δ = 0.02": "pre-step on the medium task, a fifth as long",
    "(c) random task of ρ, δ = 0.02": "pre-step on a random task, a fifth as long",
}
_STYLES = {_NAMES[-1]: (0, (3, 2))}  # else it would hide the medium task's
_SHORTER = ("(g) δ = 0.02", "(c) random task of ρ, δ = 0.02")
_PANELS = (
    (
        "controls", "cartpole", "CartPole, gravity: one policy is good for all tasks",
        ("(a) MAML", "(b) Directed-MAML", "(c) random task of ρ", "(d) MAML, best β"),
    ),
    (
        "distributions", "signs", "CartPole, a force of either sign: tasks contradict",
        ("MAML", "pre-step on the mean", "pre-step on a fresh task"),
    ),
    (
        "controls", "point", "point navigation: the goal is hidden (δ = α)",
        ("(a) MAML", "(b) Directed-MAML", "(c) random task of ρ", *_SHORTER),
    ),
)  # fmt: skip


def draw(path: Path = PICTURE) -> None:
    """Draw it from the tables of the studies."""
    figure, panels = grid(1, len(_PANELS))
    for axes, (study, panel, title, labels) in zip(panels[0], _PANELS, strict=True):
        names = dict(zip(labels, _NAMES, strict=False))
        names |= {label: _FURTHER[label] for label in labels if label in _FURTHER}
        results = Results(HERE / study / "results")
        draw_panel(
            axes,
            results,
            panel,
            "epochs",
            labels=labels,
            names=names,
            order=(*labels[:3], *_FURTHER),
        )
        for line in axes.lines:
            if line.get_label() in names.values():
                line.set_linestyle(_STYLES.get(line.get_label(), "-"))
        axes.set_title(title, fontsize=10)
        if panel == "cartpole":
            axes.set_xlim(0, 150)
    costs_on_a_log_scale(panels[0][-1])
    panels[0][0].set_ylabel("return after adaptation (EMA 0.9)")
    legend(figure, panels.ravel())
    save(figure, path)
