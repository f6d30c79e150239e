"""What the study's page may ask for: tables by place, and single returns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dmaml_jax.statistics import Interval
from experiments.context.learners import adapts_by_gradients, learners_of
from experiments.context.places import PLACES
from experiments.engine.numbers import NOT_RUN, interval, number, table
from experiments.engine.results import Results

Rows = list[dict[str, Any]]
Points = list[tuple[int | None, float]]
_DIGITS = {"bandit": 3}


def rows_of(rows: Rows, place: str, learner: str) -> Rows:
    """A learner's curve in a place, by the episodes that were lived through."""
    return [row for row in rows if (row["place"], row["learner"]) == (place, learner)]


def lived(row: Mapping[str, Any]) -> Interval:
    """A return with its interval; NaN where it is not finite."""
    ends = (row["return"], row["low"], row["high"])
    return Interval(*(float(end) if end != "" else float("nan") for end in ends))


def oracle_curves(rows: Rows, place: str) -> dict[str, Points]:
    """The oracles of a place: points, or one without a number of episodes."""
    curves: dict[str, Points] = {}
    for row in rows:
        if row["place"] == place:
            x = int(row["episodes"]) if row["episodes"] != "" else None
            curves.setdefault(row["oracle"], []).append((x, float(row["return"])))
    return curves


def texts_of(results: Results, rows: Rows, oracles: Rows) -> dict[str, str]:
    """Every text about a place, by its name; those of what was not run say so."""
    texts: dict[str, str] = {}
    for place in PLACES:
        curves = oracle_curves(oracles, place)
        texts[f"returns {place}"] = _table(results, rows, place)
        texts[f"budget {place}"] = number(PLACES[place].budget)
        texts[f"oracles {place}"] = _oracles(curves, place)
        for learner in learners_of(place):
            own = rows_of(rows, place, learner)
            texts |= _single(own, place, learner)
    return texts


def _single(rows: Rows, place: str, learner: str) -> dict[str, str]:
    """`first`, `last` and `best` of a learner, and how long it had lived by then."""
    names = [f"{what} {place} {learner}" for what in ("first", "last", "lived")]
    if not rows:
        return dict.fromkeys(names, NOT_RUN)
    first, last = (interval(lived(row), _digits(place)) for row in (rows[0], rows[-1]))
    return dict(zip(names, (first, last, rows[-1]["episodes"]), strict=True))


def _table(results: Results, rows: Rows, place: str) -> str:
    """Each learner: steps of training, and returns by the episodes lived through."""
    lines = []
    for learner in learners_of(place):
        own = rows_of(rows, place, learner)
        if not own:
            continue
        kept = _shown(own)
        returns = [
            f"{interval(lived(row), _digits(place))} after {row['episodes']}"
            for row in kept
        ]
        steps = results.column(f"{place}/{learner}", "steps")
        lines.append([learner, _alpha(own, learner), _thousands(steps), *returns])
    head = ["", "α", "thousands of steps", "at first", "then", "at last"]
    return table(head, lines) if lines else NOT_RUN


def _shown(rows: Rows) -> Rows:
    """The first row, the second one and the last one."""
    return [rows[0], rows[1], rows[-1]]


def _alpha(rows: Rows, learner: str) -> str:
    return rows[0]["alpha"] if adapts_by_gradients(learner) else "–"


def _thousands(steps: Sequence[float] | np.ndarray) -> str:
    """The steps of the seeds: their mean, and least and most where they differ."""
    if not len(steps):
        return "–"
    least, mean, most = (
        number(own / 1000, 0) for own in (np.min(steps), np.mean(steps), np.max(steps))
    )
    return mean if least == most else f"{mean} ({least} to {most})"


def _oracles(curves: Mapping[str, Points], place: str) -> str:
    """The oracles in a line: first and last where it is a curve."""
    if not curves:
        return NOT_RUN
    parts = []
    for oracle, points in curves.items():
        values = [number(value, _digits(place) or 2) for _, value in points]
        if len(values) > 1:
            parts.append(f"{oracle} {values[0]}, {values[-1]} after {points[-1][0]}")
        else:
            parts.append(f"{oracle} {values[0]}")
    return "; ".join(parts)


def _digits(place: str) -> int | None:
    return _DIGITS.get(place)
