"""The bill of a study: what there is to train, what is done, and how long it takes."""

import csv
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dmaml_jax.learners import registry
from experiments.engine.declared import HERE, Block, Run, Study
from experiments.engine.gathering import episodes_of
from experiments.engine.results import Results
from experiments.engine.training import config_of
from experiments.engine.work import Work

_LONG = 12.0  # hours
_FIRST_SPEEDS = HERE / "speeds.csv"


class Line(NamedTuple):
    """What a block has still to do.

    Attributes:
        title: of the block.
        runs: how many there are.
        done: how many of them have all their seeds.
        epochs: still to train, of all seeds together.
        episodes: likewise.
        hours: that this takes; NaN where nothing like it was ever measured.
    """

    title: str
    runs: int
    done: int
    epochs: int
    episodes: int
    hours: float


class Speeds:
    """Seconds per episode, as they were measured when something like it was trained."""

    def __init__(self, tables: Iterable[Results]) -> None:
        """Collect what the tables of studies tell."""
        first = _first_speeds()
        self._of = dict(first)
        found: dict[tuple[str, str, str], list[float]] = {}
        for results in tables:
            for row in results.cost:
                key = (row["env"], row["method"], registry.full_name(row["algo"]))
                speed = float(row["seconds_per_1000_episodes"]) / 1000
                found.setdefault(key, []).append(speed)
        self._of |= {key: float(np.median(own)) for key, own in found.items()}

    def of(self, run: Run) -> float:
        """Of a run: its own, that of the slowest learner like it, or NaN."""
        algo = registry.full_name(run.algo)
        own = self._of.get((run.env, run.method, algo))
        plain = self._of.get((run.env, run.method, algo.removeprefix("directed-")))
        alike = [
            speed
            for (env, method, _), speed in self._of.items()
            if (env, method) == (run.env, run.method)
        ]
        anywhere = [speed for (env, _, _), speed in self._of.items() if env == run.env]
        for speed in (
            own,
            plain,
            max(alike, default=None),
            max(anywhere, default=None),
        ):
            if speed is not None:
                return speed
        return np.nan


def _first_speeds() -> dict[tuple[str, str, str], float]:
    """Measured before there was a study, see speeds.csv."""
    with open(_FIRST_SPEEDS, newline="", encoding="utf-8") as file:
        return {
            (row["env"], row["method"], row["algo"]): (
                float(row["seconds_per_1000_episodes"]) / 1000
            )
            for row in csv.DictReader(file)
        }


def bill(
    study: Study, work: Work, results: Results, speeds: Speeds, first: int = 0
) -> list[Line]:
    """A line for each block, with no more than the first seeds still to train."""
    return [_line(block, work, results, speeds, first) for block in study.blocks]


def _line(
    block: Block, work: Work, results: Results, speeds: Speeds, first: int
) -> Line:
    done, epochs, episodes, hours = 0, 0, 0, 0.0
    for declared in block.runs:
        run = results.resolved(declared)
        seeds = len(declared.first(first, block.chunk).seeds)
        if run is not None and results.is_whole(run, seeds):
            done += 1
            continue
        parts: list[Run] = []
        if run is None:
            for own in declared.candidates():
                parts += work.missing(own, len(own.seeds))
            # Its values are not known yet; any candidate costs as much.
            parts.append(
                declared.candidates()[0].on(declared.first(first, block.chunk).seeds)
            )
        else:
            parts = work.missing(run.first(first, block.chunk), block.chunk)
            done += not parts
        for part in parts:
            lanes = part.epochs * len(part.seeds)
            count = lanes * episodes_of(config_of(part).nested())
            epochs, episodes = epochs + lanes, episodes + count
            hours += count * speeds.of(part) / 3600
    return Line(block.title, len(block.runs), done, epochs, episodes, hours)


def told(study: Study, lines: Sequence[Line]) -> list[str]:
    """The bill in words, for people."""
    cells = [["", "runs", "done", "epochs of a seed", "episodes", "hours"]]
    for line in lines:
        numbers = (line.runs, line.done, line.epochs, line.episodes)
        cells.append([line.title, *(f"{n:,}" for n in numbers), _hours(line.hours)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    table = [
        "  ".join(
            f"{cell:<{w}}" if index == 0 else f"{cell:>{w}}"
            for index, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    known = [line.hours for line in lines if not np.isnan(line.hours)]
    total = f"about {sum(known):.1f} hours are left"
    if len(known) < len(lines):
        total += ", without what was never measured"
    notes = [total + ", at speeds measured before on this or another machine."]
    if sum(known) > _LONG:
        notes.append(
            f"That is over {_LONG:g} hours. It may be stopped at any time; what has "
            "ended by then is in the tables, with the number of its seeds."
        )
    return [f"{study.name}: {study.title}", *table, *notes]


def _hours(hours: float) -> str:
    if np.isnan(hours):
        return "?"
    return f"{hours:.1f}" if hours >= 0.05 or hours == 0 else "< 0.1"
