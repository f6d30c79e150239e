"""What a sweep leaves behind: run folders, one table of all rows, the leaderboard."""

import csv
import importlib
import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.build.environment import solver_of
from dmaml_jax.config.rules import objective
from dmaml_jax.files import write_csv, write_json, write_text, writing
from dmaml_jax.results.curves import Curves, read_runs
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.folder import describe_run, json_values, write_params
from dmaml_jax.runs.metrics import FILE
from dmaml_jax.statistics import (
    Interval,
    at_threshold,
    epochs_to_threshold,
    median_with_never,
    stratified_bootstrap,
)
from dmaml_jax.sweeps.folder import (
    LEADERBOARD,
    PARQUET,
    ROWS,
    SETTINGS,
    Sweep,
    record_of,
    setting_folder,
    shown_values,
)
from dmaml_jax.sweeps.halving import ranked
from dmaml_jax.sweeps.loop import Training


class Standing(NamedTuple):
    """What is said of a setting.

    Attributes:
        number: the number of the setting, counted from 1.
        env: the name of its environment.
        algo: the name of its learner.
        values: the values that the sweep varies, by name; empty without effect.
        epochs: how many epochs it was trained for.
        final: the smoothed return after adaptation at the end, as an interquartile
            mean over the seeds that are not frozen.
        average: the mean of that curve over the epochs, in the same way.
        reached: the number of seeds whose curve reached the threshold; None without.
        to_threshold: the median number of epochs until then, over all seeds; infinite
            where half of them never got there.
        seeds: the number of seeds.
        alive: the number of those that are not frozen.
    """

    number: int
    env: str
    algo: str
    values: dict[str, Any]
    epochs: int
    final: Interval
    average: Interval
    reached: int | None
    to_threshold: float | None
    seeds: int
    alive: int


def write_settings(training: Training) -> None:
    """Write the run folder of every setting; those that are there already stay.

    Raises:
        OSError: the disk is full; what was written before is whole.
    """
    sweep, folder = training.sweep, training.folder
    program = record_of(folder)["program"]
    (folder / SETTINGS).mkdir(exist_ok=True)
    for left in (folder / SETTINGS).glob(".[0-9]*"):  # by a killed process
        shutil.rmtree(left)
    # Those that ended together lie together.
    for number, epochs in sorted(training.reached.items(), key=lambda own: own[::-1]):
        place = setting_folder(folder, number)
        if place.exists():
            continue
        config = sweep.settings[number].config
        state = training.state(training.lanes_of(number))
        columns, rows = training.rows(number)
        lines = [",".join(columns)]
        for index in range(epochs):
            for seed, own in zip(sweep.seeds, rows, strict=True):
                epoch, _, *cells = own[index]
                lines.append(",".join([epoch, str(seed), *cells]))
        record = describe_run(
            json_values(config.nested()),
            objective=objective(config),
            environment=solver_of(config.run.env),
            program=program,
        )
        with writing(place) as aside:
            aside.mkdir()
            write_json(aside / "config.json", record)
            write_text(aside / FILE, "\n".join(lines) + "\n")
            write_params(aside, state.learner.params, sweep.seeds)
            Checkpoints(aside).save(epochs, state)


def write_rows(sweep: Sweep, folder: Path) -> None:
    """Write the table of all rows: setting, learner, what varies, then metrics.csv's.

    Where pyarrow is installed it is written as Parquet, too.

    Raises:
        OSError: the disk is full; what was written before is whole.
    """
    heads = []
    for number in range(len(sweep.settings)):
        with open(setting_folder(folder, number) / FILE, newline="") as file:
            heads.append(next(csv.reader(file)))
    columns = list(dict.fromkeys(name for head in heads for name in head))
    write_csv(folder / ROWS, _rows(sweep, folder, columns))
    if importlib.util.find_spec("pyarrow"):
        # An extra: no types of it here.
        reader = importlib.import_module("pyarrow.csv")
        writer = importlib.import_module("pyarrow.parquet")
        with writing(folder / PARQUET) as aside:
            writer.write_table(reader.read_csv(folder / ROWS), aside)


def _rows(sweep: Sweep, folder: Path, columns: Sequence[str]) -> Iterator[list[Any]]:
    swept = sweep.swept
    yield ["setting", "env", "algo", *swept, *columns]
    for number, setting in enumerate(sweep.settings):
        run = setting.config.run
        values = shown_values(setting, swept)
        start = [number + 1, run.env, run.algo, *values.values()]
        with open(setting_folder(folder, number) / FILE, newline="") as file:
            for row in csv.DictReader(file):
                yield [*start, *(row.get(name, "") for name in columns)]


def curves_of(sweep: Sweep, folder: Path) -> list[Curves]:
    """The learning curves of all settings."""
    count = len(sweep.settings)
    return read_runs([setting_folder(folder, number) for number in range(count)])


def standings(sweep: Sweep, runs: Sequence[Curves]) -> list[Standing]:
    """All settings, the best first.

    Each environment's settings stand together, in the order of the settings. Those that
    were trained for longer come first; then those of the greater interquartile mean at
    the end, a frozen seed taken for as bad as the environment's worst.

    Args:
        sweep: the sweep.
        runs: the curves of its settings, in their order.
    """
    found = [_standing(sweep, index, run) for index, run in enumerate(runs)]
    rows = []
    for env in dict.fromkeys(row.env for row in found):
        own = [index for index, row in enumerate(found) if row.env == env]
        order = ranked(np.array([runs[index].smoothed[-1] for index in own]))
        best = [found[own[place]] for place in order]
        rows += sorted(best, key=lambda row: -row.epochs)
    return rows


def _standing(sweep: Sweep, index: int, run: Curves) -> Standing:
    setting = sweep.settings[index]
    threshold = setting.config.run.threshold
    reached, median = None, None
    if threshold is not None:
        first = epochs_to_threshold(run.smoothed, threshold)
        reached = sum(epoch is not None for epoch in first)
        costs = at_threshold(run.smoothed, run.costs["epochs"], threshold)
        median = median_with_never(costs)
    return Standing(
        index + 1,
        setting.config.run.env,
        setting.config.run.algo,
        shown_values(setting, sweep.swept),
        len(run.smoothed),
        stratified_bootstrap(run.smoothed[-1]),
        stratified_bootstrap(run.smoothed.mean(axis=0)),
        reached,
        median,
        len(run.seeds),
        int(np.isfinite(run.smoothed[-1]).sum()),
    )


def write_leaderboard(sweep: Sweep, rows: Sequence[Standing], folder: Path) -> None:
    """Write the leaderboard as comma-separated text.

    Raises:
        OSError: the disk is full; what was written before is whole.
    """
    intervals = [f"{name}{e}" for name in ("final", "average") for e in _ENDS]
    head = ["setting", "env", "algo", *sweep.swept, "epochs", *intervals]
    head += ["reached", "epochs_to_threshold", "seeds", "alive"]
    lines: list[list[Any]] = [head]
    for row in rows:
        start = [row.number, row.env, row.algo, *row.values.values(), row.epochs]
        ends = [row.reached, row.to_threshold, row.seeds, row.alive]
        cells = [*start, *row.final, *row.average, *ends]
        lines.append(["" if x is None or x != x else x for x in cells])
    write_csv(folder / LEADERBOARD, lines)


_ENDS = ("", "_low", "_high")


def leaderboard(sweep: Sweep, rows: Sequence[Standing], most: int = 10) -> list[str]:
    """The first lines of the leaderboard, for people."""
    several = len({row.env for row in rows}) > 1
    head = ["setting", *(["env"] if several else []), "algo", *sweep.swept]
    head += ["final return", "mean return", "to threshold", "seeds"]
    cells = [head]
    for row in rows[:most]:
        start = [f"{row.number:03d}", *([row.env] if several else []), row.algo]
        values = [short(value) for value in row.values.values()]
        ends = [
            _interval(row.final),
            _interval(row.average),
            _reached(row, sweep.epochs),
        ]
        alive = f"{row.alive} of {row.seeds}" if row.alive < row.seeds else row.seeds
        cells.append([*start, *values, *ends, str(alive)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True))
        for line in cells
    ]
    if len(rows) > most:
        lines.append(f"... and {len(rows) - most} more in {LEADERBOARD}")
    return lines


def short(value: Any) -> str:
    """A value as it is shown to people."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interval(found: Interval) -> str:
    if np.isnan(found.low):
        return f"{found.value:.1f}"
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _reached(row: Standing, epochs: int) -> str:
    if row.to_threshold is None:
        return ""
    median = f"{row.to_threshold:g}"
    if np.isinf(row.to_threshold):
        # A setting that was dropped might still have got there.
        median = "never" if row.epochs == epochs else f"not in {row.epochs}"
    return f"{median} ({row.reached} of {row.seeds})"
