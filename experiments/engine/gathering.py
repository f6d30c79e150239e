"""From the raw folders to a study's tables, small enough to be committed.

runs.csv           a row for each run: what it is, and how many of its seeds have ended
seeds.csv          a row for each run and seed: when it learned, and how it ended
curves-PANEL.csv   a row for each run, axis and point of its curve
choices.csv        a row for each candidate of a choice
cost.csv           a row for each run: seconds, date, device, versions, commit

All but cost.csv follow from the declaration and the random numbers, so that a study
that was killed and went on writes the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.learners import registry
from dmaml_jax.runs.metrics import read_metrics
from dmaml_jax.statistics import (
    at_threshold,
    curve_intervals,
    ema,
    epochs_to_threshold,
    stratified_bootstrap,
)
from experiments.engine.declared import Block, Run, Study, written
from experiments.engine.results import Results
from experiments.engine.work import Part, Work, started

_POINTS = 60
_STEADY = 0.95  # share of a plateau from which on an epoch belongs to it


class Trained(NamedTuple):
    """What is left of a run: columns `[epochs, seeds]` of all parts that have ended."""

    seeds: list[int]
    before: np.ndarray
    after: np.ndarray
    steps: np.ndarray
    seconds: float
    parts: list[Part]

    @property
    def smoothed(self) -> np.ndarray:
        """The smoothed return after adaptation, `[epochs, seeds]`."""
        return ema(self.after)


def gather(study: Study, work: Work, results: Results, *, anew: bool = False) -> None:
    """Bring the tables of a study up to date with what was trained.

    Args:
        study: the whole of it.
        work: what was trained, looked at just now.
        results: its tables so far; those on the disk are replaced.
        anew: whether rows are made again of runs that have no more seeds than the
            tables tell of; those of which less is left than that are kept either way.
    """
    for block in study.blocks:
        for declared in block.runs:
            _gather_choice(declared, work, results)
            run = results.resolved(declared)
            if run is None:
                results.drop(declared.name)
                continue
            known = results.run(run)
            parts = work.parts(run, block.chunk)
            count = sum(len(own.seeds) for own, _ in parts)
            told = int(known["seeds"]) if known is not None else 0
            if known is not None and (told > count or (told == count and not anew)):
                results.ask(run)
                continue
            results.drop(run.name)
            if parts:
                _add(study, run, _read(parts), results)
    results.order([run.name for run in study.runs])
    results.write()


def _gather_choice(run: Run, work: Work, results: Results) -> None:
    """The rows of a choice, once all of its candidates are trained."""
    candidates = run.candidates()
    if not candidates or results.has_choice(run):
        return
    found = []
    for own in candidates:
        part = work.part(own)
        if part is None:
            return
        smoothed = ema(read_metrics(part.folder)["return_after"])
        found.append(stratified_bootstrap(smoothed.mean(axis=0)))
    scores = np.nan_to_num([one.value for one in found], nan=-np.inf)
    best = int(np.argmax(scores))
    assert run.choice is not None
    results.add_choice(
        run,
        [
            {
                "run": run.name,
                "id": run.choice_id,
                "values": written(point),
                "first_seed": own.seeds.start,
                "seeds": len(own.seeds),
                "average": one.value,
                "chosen": int(index == best),
            }
            for index, (point, own, one) in enumerate(
                zip(run.choice.grid, candidates, found, strict=True)
            )
        ],
    )


def _read(parts: Sequence[tuple[Run, Part]]) -> Trained:
    tables = [read_metrics(part.folder) for _, part in parts]

    def column(name: str) -> np.ndarray:
        return np.concatenate([table[name] for table in tables], axis=1)

    seconds = sum(
        float(np.nanmax(table["seconds"])) * part.share
        for table, (_, part) in zip(tables, parts, strict=True)
    )
    return Trained(
        [seed for own, _ in parts for seed in own.seeds],
        column("return_before"),
        column("return_after"),
        column("env_steps"),
        seconds,
        [part for _, part in parts],
    )


def _add(study: Study, run: Run, trained: Trained, results: Results) -> None:
    about = [started(part) for part in trained.parts]
    threshold = study.thresholds.get(run.panel)
    episodes = episodes_of(about[0]["values"])
    spent = trained.seconds / (run.epochs * len(trained.seeds))
    versions = about[0]["versions"]
    results.runs.append(
        {
            "run": run.name,
            "id": run.id,
            "panel": run.panel,
            "label": run.label,
            "env": run.env,
            "algo": run.algo,
            "method": run.method,
            "values": written(run.values),
            "switch": run.switch,
            "epochs": run.epochs,
            "first_seed": run.seeds.start,
            "seeds": len(trained.seeds),
            "asked": len(run.seeds),
            "threshold": "" if threshold is None else threshold,
            "settled": study.settled or "",
            "episodes_per_epoch": episodes,
        }
    )
    results.cost.append(
        {
            "run": run.name,
            "id": run.id,
            "env": run.env,
            "method": run.method,
            "algo": run.algo,
            "seconds_per_epoch_and_seed": spent,
            "seconds_per_1000_episodes": 1000 * spent / episodes,
            "date": max(own["date"] for own in about),
            "device": trained.parts[0].machine,
            "python": versions["python"],
            "jax": versions["jax"],
            "dmaml_jax": versions["dmaml-jax"],
            "commit": about[0]["commit"][:12],
        }
    )
    results.seeds += list(_by_seed(run, trained, threshold, study.settled))
    results.curves.setdefault(run.panel, []).extend(_curves(run, trained))


def episodes_of(values: Mapping[str, Mapping[str, Any]]) -> int:
    """The episodes of an epoch, from the values of a configuration by owner.

    What a learner collects in its first epoch alone is left out.
    """
    sampling, algo = values["sampling"], values["run"]["algo"]
    learner = registry.options_class(algo)(**values["learner"])
    return registry.episodes_per_epoch(
        algo,
        sampling["num_tasks"],
        sampling["num_trajectories"],
        learner.num_adaptations,
        (values.get("directed") or {}).get("directed_placement", "epoch"),
        learner.further_trajectories(sampling["num_trajectories"]),
    )


def _by_seed(
    run: Run, trained: Trained, threshold: float | None, settled: int
) -> Iterable[dict[str, Any]]:
    smoothed = trained.smoothed
    epochs: list[Any] = [""] * len(trained.seeds)
    steps: Any = epochs
    if threshold is not None:
        found = epochs_to_threshold(smoothed, threshold)
        epochs = [np.inf if epoch is None else epoch for epoch in found]
        steps = at_threshold(smoothed, trained.steps, threshold)
    for index, seed in enumerate(trained.seeds):
        curve = smoothed[:, index]
        failed = ~np.isfinite(curve)
        row = {
            "run": run.name,
            "seed": seed,
            "epochs_to_threshold": epochs[index],
            "steps_to_threshold": steps[index],
            "final": curve[-1],
            "average": curve.mean(),
            "best": np.max(curve, initial=-np.inf, where=~failed),
            "converged": converged(curve),
            "gain": np.mean((trained.after - trained.before)[:, index]),
            "steps": np.nanmax(trained.steps[:, index]),
            "failed_at": int(np.argmax(failed)) + 1 if failed.any() else "",
        }
        yield row | steadiness(trained.after[:, index], curve, settled)


def converged(smoothed: np.ndarray) -> float:
    """The epoch by which a seed has converged, by its own measure.

    It is the first one at which the smoothed return has made 95 % of its way from where
    it began to its greatest value; NaN for a seed that froze at once. A learner that
    learns little may converge early, so the return belongs beside it.

    Args:
        smoothed: `[epochs]`.
    """
    if not np.isfinite(smoothed[0]):
        return float("nan")
    level = smoothed[0] + _STEADY * (np.nanmax(smoothed) - smoothed[0])
    return float(np.argmax(smoothed >= level) + 1)


def steadiness(returns: np.ndarray, smoothed: np.ndarray, settled: int) -> dict:
    """How steady one seed is after convergence.

    Args:
        returns: after adaptation, `[epochs]`.
        smoothed: the same smoothed.
        settled: the number of epochs that are left out; 0 measures nothing.

    Returns:
        The plateau, which is the median; the standard deviation; the drop from the
        plateau to the lowest smoothed return; the share of epochs below 95 % of it.
        Empty where nothing is measured.
    """
    names = ("plateau", "deviation", "worst_drop", "share_under")
    if not settled:
        return dict.fromkeys(names, "")
    late = returns[settled:]
    plateau = np.median(late)
    drop = plateau - smoothed[settled:].min()
    under = np.mean(late < _STEADY * plateau)
    return dict(zip(names, (plateau, late.std(), drop, under), strict=True))


def _curves(run: Run, trained: Trained) -> Iterable[dict[str, Any]]:
    """Interquartile mean, interval and the first seed, by epochs and by steps."""
    smoothed = trained.smoothed
    every = -(-run.epochs // _POINTS)
    epochs = np.arange(1, run.epochs + 1)
    shown = sorted({*range(0, run.epochs, every), run.epochs - 1})
    yield from _points(run, "epochs", epochs[shown], smoothed[shown])
    steps = trained.steps
    alive = np.isfinite(smoothed).all(axis=0)
    if not alive.any():
        return
    # As far as all living seeds reach; a frozen one has no steps any more.
    low, high = steps[0, alive].max(), steps[-1, alive].min()
    grid = np.linspace(low, max(high, low), _POINTS)
    columns = [
        np.interp(grid, steps[:, index], smoothed[:, index])
        for index in np.flatnonzero(alive)
    ]
    yield from _points(run, "steps", grid, np.stack(columns, axis=1))


def _points(
    run: Run, axis: str, places: np.ndarray, curves: np.ndarray
) -> Iterable[dict[str, Any]]:
    mean, low, high = curve_intervals(curves)
    for index, place in enumerate(places):
        yield {
            "run": run.name,
            "axis": axis,
            "x": place,
            "mean": mean[index],
            "low": low[index],
            "high": high[index],
            "first": curves[index, 0],
        }


def candidates_of(block: Block, results: Results) -> Block | None:
    """The candidates that a block has still to train; None where all are chosen."""
    runs = tuple(
        own
        for run in block.runs
        if not results.has_choice(run)
        for own in run.candidates()
    )
    if not runs:
        return None
    chunk = max(len(run.seeds) for run in runs)
    return Block(f"{block.title}: candidates", runs, chunk)
