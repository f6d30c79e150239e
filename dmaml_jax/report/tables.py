"""The tables of a report, which a click on a head sorts."""

import math
from collections.abc import Sequence
from typing import Any

from dmaml_jax.report.gathered import Gathered
from dmaml_jax.report.markup import Markup, joined, tag
from dmaml_jax.results.curves import COSTS, Summary
from dmaml_jax.results.wording import STARTS, amount, interval_of, text
from dmaml_jax.statistics import Interval, at_threshold

Cell = tuple[str, float | str | None]
"""What is shown, and what is sorted by; None goes last."""
_NEVER = "inf"


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> Markup:
    """A table that scrolls sideways where it must, and sorts."""
    worded = [isinstance(value, str) and value != _NEVER for _, value in rows[0]]
    head = [
        tag(
            "th",
            tag("button", name, tag("span", aria_hidden="true"), type="button"),
            scope="col",
            aria_sort="none",
            class_=None if words else "number",
        )
        for name, words in zip(heads, worded, strict=True)
    ]
    body = [
        tag(
            "tr",
            *(
                _cell(cell, "td" if index else "th", worded[index])
                for index, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    inner = tag(
        "table",
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )
    # The line above is not as wide as the table, which may scroll.
    return joined(
        tag("p", caption, class_="label"),
        tag(
            "div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption
        ),
    )


def _cell(cell: Cell, name: str, words: bool) -> Markup:
    shown, value = cell
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return tag(
        name,
        shown,
        scope="row" if name == "th" else None,
        class_=None if words else "number",
        data_value="" if missing else value,
    )


def of_runs(rows: Sequence[Summary], threshold: float | None) -> Markup:
    """A row per run, as `dmaml-jax compare` has it."""
    heads = ["run", "seeds", "final return", "mean over the run"]
    if threshold is not None:
        heads += [f"reach {threshold:g}", *(f"{name} to it" for name in COSTS)]
    heads += ["final, to the first", "P(better)"] if len(rows) > 1 else []
    lines = []
    for row in rows:
        seeds = f"{row.seeds}"
        if row.alive < row.seeds:
            seeds += f", {row.seeds - row.alive} frozen"
        line: list[Cell] = [(row.label, row.label), (seeds, row.seeds)]
        line += [_interval(row.final), _interval(row.average)]
        if threshold is not None:
            line.append((f"{row.reached} of {row.seeds}", row.reached))
            line += [_cost(row.to_threshold[name]) for name in COSTS]
        if len(rows) > 1:
            line += [
                _interval(row.final_difference, "+"),
                _interval(row.improvement, "", 2),
            ]
        lines.append(line)
    caption = "Interquartile means over the seeds [95 % interval]"
    if threshold is not None:
        caption += "; medians to the threshold"
    return table(heads, lines, caption)


def of_seeds(runs: Sequence[Gathered], threshold: float | None) -> Markup:
    """A row per seed of every run."""
    heads = ["seed", "final return", "mean over the run"]
    if threshold is not None:
        heads += [f"{name} to {threshold:g}" for name in COSTS]
    heads += ["frozen from epoch"] if any(run.frozen for run in runs) else []
    several = len(runs) > 1
    lines = []
    for run in runs:
        curves, averages = run.curves, run.curves.smoothed.mean(axis=0)
        costs = {}
        if threshold is not None:
            costs = {
                name: at_threshold(curves.smoothed, cost, threshold)
                for name, cost in curves.costs.items()
            }
        for lane, seed in enumerate(curves.seeds):
            name = f"{curves.label}, {seed}" if several else str(seed)
            line: list[Cell] = [(name, name if several else seed)]
            line += [_number(curves.smoothed[-1, lane]), _number(averages[lane])]
            line += [_cost(float(cost[lane])) for cost in costs.values()]
            if heads[-1] == "frozen from epoch":
                epoch = run.frozen.get(seed)
                line.append(("-" if epoch is None else str(epoch), epoch))
            lines.append(line)
    heads[0] = "run, seed" if several else "seed"
    return table(heads, lines, "Every seed; returns are smoothed (EMA 0.9)")


def of_evaluation(runs: Sequence[Gathered]) -> Markup:
    """A row per run, start of adaptation and kind of tasks."""
    several = len(runs) > 1
    found = [
        (run, row) for run in runs for row in (run.evaluation or {"rows": []})["rows"]
    ]
    most = max(len(row["returns"]) for _, row in found)
    heads = ["start", "tasks", *(after(step) for step in range(most))]
    step = found[0][0].step
    heads += [f"gain, {after(step)}", "do worse"]
    lines = []
    for run, row in found:
        name = str(STARTS.get(row["policy"], row["policy"]))
        name = f"{run.curves.label}, {name}" if several else name
        if run.is_stale:
            name += f", epoch {run.evaluated_at or 'unknown'} of {run.epoch}"
        kind = f"{row['num_tasks']} {row['set']}"
        returns = [_found(value) for value in row["returns"]]
        returns += [("-", None)] * (most - len(returns))
        share, gain = row["negative_shares"][run.step], row["gains"][run.step]
        end = [_found(gain, "+", 2), (f"{share:.0%}", share)]
        lines.append([(name, name), (kind, kind), *returns, *end])
    return table(heads, lines, "Return after adaptation, mean [95 % interval]")


def after(step: int) -> str:
    """The name of a number of adaptation steps in a table's head."""
    return "before" if step == 0 else f"{step} step{'s' if step > 1 else ''}"


def _found(value: dict[str, Any], sign: str = "", digits: int = 1) -> Cell:
    return _interval(interval_of(value), sign, digits)


def _interval(interval: Interval | None, sign: str = "", digits: int = 1) -> Cell:
    value = None if interval is None else float(interval.value)
    return text(interval, sign, digits), value


def _number(value: float) -> Cell:
    return (f"{value:.1f}" if math.isfinite(value) else "-"), float(value)


def _cost(value: float) -> Cell:
    return amount(value), _NEVER if math.isinf(value) else value
