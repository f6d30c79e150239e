"""The numbers that a report's figures are drawn from."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dmaml_jax.report.gathered import Gathered
from dmaml_jax.results.curves import COSTS, on_grid
from dmaml_jax.results.wording import STARTS

MOST_POINTS = 600


def payload(runs: Sequence[Gathered], threshold: float | None) -> dict[str, Any]:
    """Everything that the script draws, as JSON has it; None for a missing number.

    Args:
        runs: the runs, as `gather` returns them.
        threshold: the return that counts as solved, if the runs have one.
    """
    return {
        "threshold": threshold,
        "starts": STARTS,
        "runs": [_run(run) for run in runs],
    }


def _run(run: Gathered) -> dict[str, Any]:
    curves = run.curves
    shown = _thinned(len(curves.smoothed))
    seeds = [
        {
            "seed": seed,
            "return": _numbers(curves.smoothed[shown, lane]),
            **{name: _numbers(curves.costs[name][shown, lane]) for name in COSTS},
        }
        for lane, seed in enumerate(curves.seeds)
    ]
    return {
        "label": curves.label,
        "algo": curves.config.run.algo,
        "seeds": seeds,
        "mean": {name: _mean(run, name) for name in COSTS},
        "evaluation": _evaluation(run),
    }


def _mean(run: Gathered, name: str) -> dict[str, list[float | None]]:
    x, mean, low, high = on_grid(run.curves, name)
    shown = _thinned(len(x))
    return {
        key: _numbers(values[shown])
        for key, values in (("x", x), ("y", mean), ("low", low), ("high", high))
    }


def _thinned(length: int) -> np.ndarray:
    """Indices of all epochs, or of some, the first and the last among them."""
    if length <= MOST_POINTS:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, MOST_POINTS).round().astype(int))


def _evaluation(run: Gathered) -> dict[str, Any] | None:
    found = run.evaluation
    if found is None:
        return None
    return {
        "parameters": found["parameters"],
        "rows": [
            {key: row[key] for key in ("policy", "set", "returns")}
            for row in found["rows"]
        ],
        "tasks": {
            kind: {
                "before": _numbers(columns["return_0"]),
                "after": _numbers(columns[f"return_{run.step}"]),
                "values": {
                    name: _numbers(columns[name]) for name in found["parameters"]
                },
            }
            for kind, columns in run.tasks.items()
        },
        "step": run.step,
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers of eight digits, which is more than a picture shows and half the size."""
    return [_rounded(float(value)) for value in values]


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.8g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
