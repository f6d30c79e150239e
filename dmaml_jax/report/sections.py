"""The parts of the page, each a card."""

import base64
from collections.abc import Sequence
from typing import Any

from dmaml_jax.config.command_line import changed, rerun
from dmaml_jax.report import tables
from dmaml_jax.report.gathered import Gathered
from dmaml_jax.report.markup import Markup, joined, tag
from dmaml_jax.results.curves import Summary


def _card(name: str, title: str, *children: Markup | None) -> Markup:
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def learning(
    runs: Sequence[Gathered], rows: Sequence[Summary], threshold: float | None
) -> Markup:
    """The learning curves, and the tables of runs and seeds."""
    axes = (("epochs", "epochs"), ("steps", "steps"), ("seconds", "seconds"))
    controls = tag(
        "div",
        _choice("axis", "Horizontal axis", axes),
        tag(
            "label",
            tag("input", type="checkbox", id="each-seed", checked=True),
            " every seed",
        ),
        class_="controls",
    )
    caption = (
        "Return after adaptation, smoothed (EMA 0.9): every seed thin, their "
        "interquartile mean thick with its 95 % interval. Drag or use the buttons to "
        "zoom; on the keyboard, arrows move, + and − zoom, 0 shows all."
    )
    return _card(
        "learning",
        "Learning",
        controls,
        _figure("curves", caption),
        tables.of_runs(rows, threshold),
        _more("Every seed", tables.of_seeds(runs, threshold)),
    )


def _figure(name: str, caption: str) -> Markup:
    scripts = tag("noscript", "This figure is drawn by a script in this page.")
    return tag(
        "figure",
        tag("div", scripts, id=name, class_="chart"),
        tag("figcaption", caption),
    )


def _choice(name: str, legend: str, options: Sequence[tuple[str, str]]) -> Markup:
    buttons = [
        tag(
            "label",
            tag("input", type="radio", name=name, value=value, checked=index == 0),
            tag("span", label),
        )
        for index, (value, label) in enumerate(options)
    ]
    return tag(
        "fieldset",
        tag("legend", legend),
        *buttons,
        class_="choice",
        id=f"choose-{name}",
    )


def adaptation(runs: Sequence[Gathered]) -> Markup | None:
    """What was measured on unseen tasks; None where nothing was."""
    found = [run for run in runs if run.evaluation]
    if not found:
        return None
    kinds = dict.fromkeys(
        row["set"] for run in found for row in (run.evaluation or {})["rows"]
    )
    parameters = dict.fromkeys(
        name for run in found for name in (run.evaluation or {})["parameters"]
    )
    commands = dict.fromkeys(str((run.evaluation or {})["command"]) for run in found)
    controls = tag(
        "div",
        _choice("set", "Tasks", [(kind, kind) for kind in kinds])
        if len(kinds) > 1
        else None,
        _choice("parameter", "Parameter", [(name, name) for name in parameters])
        if len(parameters) > 1
        else None,
        class_="controls",
    )
    return _card(
        "adaptation",
        "Adaptation to unseen tasks",
        controls,
        tag(
            "div",
            _figure(
                "by-step",
                "Return after adaptation steps: mean over seeds and tasks with its "
                "95 % interval.",
            ),
            _figure(
                "by-task",
                "Return on each task, mean over the seeds, before (hollow) and after "
                f"{tables.after(found[0].step)} (filled).",
            ),
            class_="pair",
        ),
        tables.of_evaluation(found),
        *(_command(command, "Measured by") for command in commands),
    )


def episodes(runs: Sequence[Gathered]) -> Markup | None:
    """The rendered episodes; None where there are none."""
    figures = []
    for run in runs:
        for path in run.episodes:
            name = path.stem.removeprefix("episode-")
            start = f"{run.curves.label}, " if len(runs) > 1 else ""
            encoded = base64.b64encode(path.read_bytes()).decode()
            image = tag(
                "img",
                src=f"data:image/gif;base64,{encoded}",
                alt=f"One episode before and after adaptation, side by side: {name}",
            )
            caption = tag("summary", f"{start}{name}")
            film = tag("div", image, class_="scroll", tabindex=0)
            figures.append(tag("details", caption, film, open=True, class_="episode"))
    if not figures:
        return None
    about = tag(
        "p",
        "The same start and the same random numbers on both sides; one episode is an "
        "example, not a measurement.",
        class_="about",
    )
    return _card("episodes", "One episode, before and after", about, *figures)


def reruns(runs: Sequence[Gathered]) -> Markup:
    """The commands that run the same again."""
    blocks = []
    for run in runs:
        label = f"{run.curves.label}: the" if len(runs) > 1 else "The"
        blocks.append(_command(rerun(run.curves.config), f"{label} same run again"))
    about = tag(
        "p",
        "The same bits on the same kind of device, with the versions below.",
        class_="about",
    )
    return _card("rerun", "Run it again", about, *blocks)


def _command(command: str, label: str) -> Markup:
    return tag(
        "div",
        tag("p", label, class_="label"),
        tag(
            "div",
            tag("pre", tag("code", command), tabindex=0),
            tag(
                "button",
                "Copy",
                type="button",
                class_="copy",
                aria_label=f"Copy: {label}",
            ),
            class_="command",
        ),
    )


def circumstances(runs: Sequence[Gathered]) -> Markup:
    """Versions, device and every value."""
    blocks = []
    for run in runs:
        start = f"{run.curves.label}: " if len(runs) > 1 else ""
        record = run.record
        about = {"folder": run.curves.folder, "objective": record.get("objective")}
        about |= {"started": record.get("started"), "commit": record.get("commit")}
        about |= record.get("program") or {}
        about |= record.get("versions") or {}
        named = set(changed(run.curves.config))
        values = [
            tag(
                "tr",
                tag("th", name.replace("_", "-"), scope="row"),
                tag("td", _shown(value)),
                class_="changed" if name in named else None,
            )
            for name, value in run.curves.config.flat().items()
        ]
        blocks += [
            _more(f"{start}versions and device", _pairs(about)),
            _more(
                f"{start}every value (bold: not the preset's)",
                tag("div", tag("table", tag("tbody", *values)), class_="scroll"),
            ),
        ]
    return _card("circumstances", "Circumstances", *blocks)


def _pairs(values: dict[str, Any]) -> Markup:
    lines = [
        tag("tr", tag("th", name, scope="row"), tag("td", _shown(value)))
        for name, value in values.items()
        if value is not None
    ]
    return tag("div", tag("table", tag("tbody", *lines)), class_="scroll")


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def _more(title: str, *children: Markup) -> Markup:
    return tag("details", tag("summary", title), joined(*children))
