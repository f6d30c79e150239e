"""Runs side by side: their curves, and what can be said of their difference."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.folder import rerun_command, resume_command
from dmaml_jax.runs.metrics import FILE, read_metrics, whole_epochs
from dmaml_jax.runs.stored import folder_of, read_config
from dmaml_jax.statistics import (
    Interval,
    at_threshold,
    curve_intervals,
    ema,
    epochs_to_threshold,
    median_with_never,
    paired_difference,
    probability_of_improvement,
    stratified_bootstrap,
)


class Curves(NamedTuple):
    """A run's learning curves.

    Attributes:
        label: the folder's name, as short as it tells the runs apart.
        folder: the path of the run folder.
        config: the configuration of the run.
        seeds: the numbers of the run's seeds.
        smoothed: the return after adaptation (EMA 0.9), `[epochs, seeds]`; it is NaN
            from the epoch on at which a seed froze.
        costs: what each seed had spent at the end of each epoch, `[epochs, seeds]`, by
            "epochs", "steps" and "seconds".
    """

    label: str
    folder: Path
    config: TrainConfig
    seeds: list[int]
    smoothed: np.ndarray
    costs: dict[str, np.ndarray]


class Summary(NamedTuple):
    """What is said of a run, alone and against the first one.

    Attributes:
        label: the label of the run's curves.
        final: the smoothed return at the end, as an interquartile mean over the seeds.
        average: the smoothed return's mean over the epochs, as an interquartile mean
            over the seeds. It is higher the sooner a curve rises.
        alive: the number of seeds that are not frozen.
        seeds: the number of all seeds, frozen ones included.
        reached: the number of seeds whose curve reached the threshold; None without
            a threshold.
        to_threshold: the median cost over all seeds until the threshold, by "epochs",
            "steps" and "seconds"; infinite where half of them never got there.
        final_difference: the difference of `final` to the first run, paired over the
            seeds that match; with fewer than two its interval is empty.
        average_difference: the difference of `average` to the first run, in the same
            way.
        pairs: the number of seeds that match the first run's.
        living_pairs: the number of those that are frozen in neither run, which the
            differences are of.
        improvement: the probability that a seed of this run ends above one of the
            first run; a frozen seed is below every other.
    """

    label: str
    final: Interval
    average: Interval
    alive: int
    seeds: int
    reached: int | None
    to_threshold: dict[str, float]
    final_difference: Interval | None
    average_difference: Interval | None
    pairs: int
    living_pairs: int
    improvement: Interval | None


COSTS = ("epochs", "steps", "seconds")


def read_runs(folders: Sequence[str | Path]) -> list[Curves]:
    """The curves of runs, finished or not.

    Raises:
        UsageError: a folder that holds no run, or a run without an epoch.
    """
    paths = [folder_of(folder) for folder in folders]
    return [
        _read(path, label) for path, label in zip(paths, _labels(paths), strict=True)
    ]


def _read(folder: Path, label: str) -> Curves:
    config = read_config(folder)
    if not whole_epochs(folder, config.seed_numbers):
        raise _without_rows(folder)
    try:
        columns = read_metrics(folder)
        names = ("epoch", "env_steps", "seconds", "return_after")
        epochs, steps, seconds, returns = (columns[name] for name in names)
        seeds = [int(seed) for seed in columns["seed"][0]]
    except (OSError, ValueError, KeyError, csv.Error):
        raise _without_rows(folder) from None
    costs = {"epochs": epochs, "steps": steps, "seconds": seconds}
    return Curves(label, folder, config, seeds, ema(returns), costs)


def _without_rows(folder: Path) -> UsageError:
    """Why a run has no curves: it has not begun, or its metrics.csv is damaged."""
    begun = Checkpoints(folder).epochs() or (folder / "params.npz").exists()
    if begun or _has_rows(folder):
        return UsageError(
            f"metrics.csv of {folder} is missing, cut short or edited: put a copy of "
            f"it back, or train the same anew: {rerun_command(folder)}"
        )
    return UsageError(
        f"{folder} holds no finished epoch: train it first, with "
        f"{resume_command(folder)}."
    )


def _has_rows(folder: Path) -> bool:
    try:
        return (folder / FILE).read_bytes().count(b"\n") > 1
    except OSError:
        return False


def _labels(paths: list[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    whole = [path.resolve().parts for path in paths]
    labels: list[str] = []
    for count in range(1, max(map(len, whole)) + 1):
        labels = ["/".join(parts[-count:]) for parts in whole]
        if len(set(labels)) == len(set(whole)):
            break
    return [
        label if labels.index(label) == index else f"{label} (again)"
        for index, label in enumerate(labels)
    ]


def common_threshold(runs: Sequence[Curves]) -> float | None:
    """The threshold of the runs' configurations, where they agree."""
    found = {run.config.run.threshold for run in runs}
    return found.pop() if len(found) == 1 else None


def summarise(runs: Sequence[Curves], threshold: float | None) -> list[Summary]:
    """A row per run; differences are to the first.

    Args:
        runs: the runs' curves, as `read_runs` returns them.
        threshold: the return that counts as solved; None leaves the costs out.
    """
    return [_summary(run, runs[0], threshold) for run in runs]


def _summary(run: Curves, first: Curves, threshold: float | None) -> Summary:
    to_threshold: dict[str, float] = {}
    reached = None
    if threshold is not None:
        epochs = epochs_to_threshold(run.smoothed, threshold)
        reached = sum(epoch is not None for epoch in epochs)
        to_threshold = {
            name: median_with_never(at_threshold(run.smoothed, cost, threshold))
            for name, cost in run.costs.items()
        }
    final, average = run.smoothed[-1], run.smoothed.mean(axis=0)
    differences: list[Interval | None] = [None, None, None]
    living = 0
    both = [seed for seed in run.seeds if seed in first.seeds]
    if run is not first:
        own = [run.seeds.index(seed) for seed in both]
        others = [first.seeds.index(seed) for seed in both]
        living = int(np.isfinite(final[own] - first.smoothed[-1][others]).sum())
        differences = [
            paired_difference(final[own], first.smoothed[-1][others]),
            paired_difference(average[own], first.smoothed.mean(axis=0)[others]),
            probability_of_improvement(final, first.smoothed[-1]),
        ]
    return Summary(
        run.label,
        stratified_bootstrap(final),
        stratified_bootstrap(average),
        int(np.isfinite(final).sum()),
        len(run.seeds),
        reached,
        to_threshold,
        differences[0],
        differences[1],
        len(both) if run is not first else 0,
        living,
        differences[2],
    )


def on_grid(
    run: Curves, x: str, points: int = 400
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A run's curves over a common axis: `(x, mean, low, high)`.

    By steps or seconds every seed is interpolated, as far as all living ones reach.
    """
    if x == "epochs":
        return run.costs[x][:, 0], *curve_intervals(run.smoothed)
    begun = np.isfinite(run.costs[x][0])  # seeds that have lived through one epoch
    if not begun.any():
        nothing = np.zeros(0)
        return nothing, nothing, nothing, nothing
    cost, smoothed = run.costs[x][:, begun], run.smoothed[:, begun]
    alive = np.isfinite(cost)
    first = np.max(cost[0])
    last = np.nanmin(
        [cost[a, i][-1] for i, a in enumerate(alive.T) if a[-1]] or [first]
    )
    grid = np.linspace(first, max(last, first), points)
    curves = np.stack(
        [
            np.interp(grid, cost[a, i], smoothed[a, i], right=np.nan)
            for i, a in enumerate(alive.T)
        ],
        axis=1,
    )
    return grid, *curve_intervals(curves)
