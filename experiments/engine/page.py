"""The page of a study: a text with holes, filled from the tables.

`page.md` is written by a person and has no numbers of its own but names such as
"Table I". `{cartpole-pg/MAML|reached}` asks a question that `numbers.py` answers,
`{table cartpole-pg}` and its like ask for what this file or the study makes.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dmaml_jax.files import write_text
from experiments.engine.declared import Study
from experiments.engine.numbers import NOT_RUN, number, said, table
from experiments.engine.results import Results, Row

_HOLE = re.compile(r"\{([^{}\n]+)\}")
_MADE_BY = (
    "<!-- Made of page.md and the tables in results/ by `make {name} PLOT_ONLY=1`. -->"
)


def write_page(study: Study, results: Results, folder: Path) -> None:
    """Write README.md into a folder.

    Raises:
        KeyError: the page asks what nobody answers.
    """
    write_text(folder / "README.md", filled(study, results))


def filled(study: Study, results: Results) -> str:
    """The page with its holes filled.

    Raises:
        KeyError: it asks what nobody answers.
    """
    answer = answers(study, results)
    template = (study.home / "page.md").read_text("utf-8")
    made_by = _MADE_BY.replace("{name}", study.name)
    return f"{made_by}\n\n{with_holes_filled(template, answer).rstrip()}\n"


def answers(study: Study, results: Results) -> Callable[[str], str]:
    """`(question) -> ` what a study's tables say; KeyError if nobody answers."""
    texts = study.texts(results)

    def answer(question: str) -> str:
        if question in texts:
            return texts[question]
        kind, _, of = question.partition(" ")
        if kind in TABLES and "|" not in question:
            return TABLES[kind](results, of)
        return said(results, question)

    return answer


def with_holes_filled(template: str, answer: Callable[[str], str]) -> str:
    """A template with an answer for each question in braces."""
    return _HOLE.sub(lambda hole: answer(hole[1]), template)


def _learning(results: Results, panel: str) -> str:
    """Each run of a panel: when it learned, and where it ended."""
    rows = results.panel(panel)
    if not rows:
        return NOT_RUN
    asks = ["final", "average"]
    head = ["", "seeds", "return at the end", "mean over the epochs"]
    if rows[0]["threshold"] != "":
        asks = ["reached", "epochs to threshold", "steps to threshold", *asks]
        reached = f"reached {number(float(rows[0]['threshold']))}"
        head[2:2] = [reached, "epochs till then", "thousands of steps till then"]
    lines = [
        [row["label"], _seeds(row), *(said(results, f"{row['run']}|{a}") for a in asks)]
        for row in rows
    ]
    return table(head, lines)


def _steadiness(results: Results, panel: str) -> str:
    """Each run of a panel: how steady it is after convergence."""
    rows = results.panel(panel)
    if not rows:
        return NOT_RUN
    asks = ("plateau", "deviation", "worst drop", "share under")
    head = ["", "seeds", "plateau", "standard deviation", "worst drop"]
    head.append("% of epochs under 95 % of the plateau")
    lines = [
        [row["label"], _seeds(row), *(said(results, f"{row['run']}|{a}") for a in asks)]
        for row in rows
    ]
    return table(head, lines)


def _against(results: Results, of: str) -> str:
    """Each run of a panel against one of them, seeds paired: `PANEL/LABEL`."""
    rows = results.panel(of.partition("/")[0])
    if of not in [row["run"] for row in rows]:
        return NOT_RUN
    asks = ["difference", "better"]
    head = ["", "difference of the mean return", "P(better)"]
    if rows[0]["threshold"] != "":
        asks = ["ratio of epochs", "ratio of steps", *asks]
        head[1:1] = ["ratio of epochs", "ratio of steps"]
    lines = [
        [row["label"], *(said(results, f"{row['run']}|{a}|{of}") for a in asks)]
        for row in rows
        if row["run"] != of
    ]
    return table(head, lines)


def _choices(results: Results, panel: str) -> str:
    """What was chosen from how many, by run."""
    lines = []
    for name in dict.fromkeys(row["run"] for row in results.choices):
        own = [row for row in results.choices if row["run"] == name]
        best = next(row for row in own if int(row["chosen"]))
        if name.partition("/")[0] == panel:
            score = number(float(best["average"]))
            lines.append([name.partition("/")[2], best["values"], score, str(len(own))])
    head = ["", "chosen", "its mean return there", "candidates"]
    return table(head, lines) if lines else NOT_RUN


def _cost(results: Results, panel: str) -> str:
    """How long a panel took, on what, and when."""
    names = {row["run"] for row in results.panel(panel)}
    rows = [row for row in results.cost if row["run"] in names]
    if not rows:
        return NOT_RUN
    epochs = {
        row["run"]: int(row["epochs"]) * int(row["seeds"]) for row in results.runs
    }
    seconds = sum(
        float(row["seconds_per_epoch_and_seed"]) * epochs[row["run"]] for row in rows
    )
    hours = seconds / 3600
    dates = sorted({row["date"] for row in rows})
    devices = " and ".join(sorted({row["device"] for row in rows}))
    commits = ", ".join(dict.fromkeys(row["commit"][:7] for row in rows))
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    shown = number(hours, 1) if hours >= 1 else f"{number(60 * hours, 0)} minutes"
    unit = " hours" if hours >= 1 else ""
    return (
        f"{shown}{unit} of training, compiling excluded, on {devices}, {when}, "
        f"jax {rows[0]['jax']}, commit {commits}"
    )


def _seeds(row: Row) -> str:
    """How many seeds have ended, and of how many."""
    short = row["seeds"] != row["asked"]
    return f"{row['seeds']} of {row['asked']}" if short else str(row["seeds"])


def _fewest(results: Results, panel: str) -> str:
    rows = results.panel(panel)
    return str(min(int(row["seeds"]) for row in rows)) if rows else NOT_RUN


def _ended(results: Results, panel: str) -> str:
    """How many of a panel's runs have ended with all their seeds."""
    rows = results.panel(panel)
    whole = np.sum([int(row["seeds"]) >= int(row["asked"]) for row in rows])
    return f"{int(whole)} of {len(rows)}"


TABLES: Mapping[str, Callable[[Results, str], str]] = {
    "learning": _learning,
    "steadiness": _steadiness,
    "against": _against,
    "choices": _choices,
    "cost": _cost,
    "fewest": _fewest,
    "ended": _ended,
}
"""What any page may ask for, by its first word; what follows names the panel."""
