"""The estimators command: every estimator held against the exact meta-gradient."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dmaml_jax.config.presets import EstimatorsConfig
from dmaml_jax.config.rules import MOST_TERMS
from dmaml_jax.exact import bias
from dmaml_jax.exact.data_sets import num_data_sets
from dmaml_jax.exact.estimators import ESTIMATORS, Estimator
from dmaml_jax.exact.setting import Setting, draw, exact_gradient
from dmaml_jax.pictures.plots import draw_estimators
from dmaml_jax.runs.folder import create_run_folder, describe_run, json_values, shown

_COLUMNS = (
    "estimator",
    "objective",
    "num_trajectories",
    "exact_norm",
    "error",
    "variance",
    "sampled_error",
    "sampled_error_stderr",
    "sampled_variance",
    "sampled_deviation",
)


class Row(NamedTuple):
    """One estimator at one K; NaN where a sum would have too many terms.

    Attributes:
        estimator: its name.
        objective: whose gradient it estimates, "I" or "II".
        num_trajectories: K.
        exact_norm: ‖∇J‖.
        error: ‖E g − ∇J‖, E by summing over all data sets.
        variance: trace of the covariance of g, one task's gradient, likewise.
        sampled_error: the same error from samples, what noise adds taken off.
        sampled_error_stderr: its standard error.
        sampled_variance: the same variance from samples.
        sampled_deviation: the largest deviation of a component of the samples' mean
            from the sum over all data sets, in standard errors.
    """

    estimator: str
    objective: str
    num_trajectories: int
    exact_norm: float
    error: float
    variance: float
    sampled_error: float
    sampled_error_stderr: float
    sampled_variance: float
    sampled_deviation: float


def estimators(config: EstimatorsConfig, out: str | None) -> int:
    """Compare, print a table, write it and a picture.

    Args:
        config: validated values.
        out: the folder, or None for a new one under `runs/`.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: the folder cannot be written.
    """
    folder = create_run_folder(
        out, "estimators", describe_run(json_values(config), precision="float64")
    )
    num_paths = (config.states * config.actions) ** config.horizon
    print(
        f"an MDP of {config.states} states, {config.actions} actions and horizon "
        f"{config.horizon}: {num_paths} trajectories\n"
        f"folder: {shown(folder)}\nsumming over all data sets, and sampling ...",
        flush=True,
    )
    jax.config.update("jax_enable_x64", True)
    rows, norms = compare(config)
    with open(folder / "estimators.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    draw_estimators(rows, norms, folder / "estimators.png", title=_title(config))
    _print(rows, norms)
    names = ", ".join(sorted(path.name for path in Path(folder).iterdir()))
    print(f"in {shown(folder)}: {names}")
    return 0


def compare(config: EstimatorsConfig) -> tuple[list[Row], dict[str, np.ndarray]]:
    """All that the table and the picture show.

    Returns:
        A row per estimator and K, and by estimator ‖∇J^II‖ along its ascent.
    """
    setting = draw(
        config.seed,
        num_states=config.states,
        num_actions=config.actions,
        horizon=config.horizon,
        discount=config.discount,
        inner_lr=config.inner_lr,
        num_inner_steps=config.inner_steps,
    )
    free = [e for e in ESTIMATORS if not e.coupled]
    with ThreadPoolExecutor(2) as pool:  # compiling takes most of the time
        batches = [
            pool.submit(_at, setting, config, num)
            for num in sorted(set(config.num_trajectories), reverse=True)
        ]
        iterations = _affordable_iterations(setting, config)
        curves = pool.submit(bias.ascent, setting, free, iterations, config.outer_lr)
        rows = [row for batch in reversed(batches) for row in batch.result()]
        norms = curves.result()
    return rows, {e.name: norms[:, i] for i, e in enumerate(free)}


def _at(setting: Setting, config: EstimatorsConfig, num_trajectories: int) -> list[Row]:
    """The rows of one K."""
    num_paths = len(setting.ways.lengths)
    num_sets = num_data_sets(num_paths, num_trajectories)
    steps = setting.num_inner_steps

    def exact(size: int | None) -> np.ndarray:
        gradient = jax.jit(
            lambda: exact_gradient(setting, setting.params, setting.mdp, size)
        )
        return np.asarray(gradient()).ravel()

    targets = {"I": exact(None), "II": np.full(setting.params.size, np.nan)}
    if num_sets**steps <= MOST_TERMS:
        targets["II"] = exact(num_trajectories)
    sums: dict[str, tuple[np.ndarray, float]] = {}
    for coupled in (False, True):
        group = [e for e in ESTIMATORS if e.coupled == coupled]
        if num_sets ** (steps + coupled) * num_paths <= MOST_TERMS:
            means, variances = bias.enumerated(setting, group, num_trajectories)
            for estimator, mean, variance in zip(group, means, variances, strict=True):
                sums[estimator.name] = mean, variance
    samples = bias.sampled(
        setting, num_trajectories, config.samples, config.seed + num_trajectories
    )
    return [
        _row(
            estimator,
            num_trajectories,
            targets[estimator.target],
            sums.get(estimator.name),
            samples[:, index],
        )
        for index, estimator in enumerate(ESTIMATORS)
    ]


def _row(
    estimator: Estimator,
    num_trajectories: int,
    target: np.ndarray,
    summed: tuple[np.ndarray, float] | None,
    samples: np.ndarray,
) -> Row:
    mean, variance = summed or (np.full(target.shape, np.nan), np.nan)
    # The tasks of an epoch may share a baseline: only epochs are independent.
    epochs = samples.mean(axis=1)
    num = len(epochs)
    error = epochs.mean(axis=0) - target
    covariance = np.atleast_2d(np.cov(epochs, rowvar=False)) / num
    length = float(np.linalg.norm(error))
    along = error / length if length > 0 else error
    # A noisy vector is longer than the vector without noise.
    corrected = np.sqrt(max(length**2 - np.trace(covariance), 0))
    noise = np.sqrt(np.diag(covariance))
    deviations = np.abs(epochs.mean(axis=0) - mean) / np.where(noise > 0, noise, np.inf)
    return Row(
        estimator.name,
        estimator.target,
        num_trajectories,
        float(np.linalg.norm(target)),
        float(np.linalg.norm(mean - target)),
        float(variance),
        float(corrected if np.isfinite(length) else np.nan),
        float(np.sqrt(along @ covariance @ along)),
        float(samples.var(axis=0, ddof=1).sum(axis=-1).mean()),
        float(deviations.max()),
    )


def _affordable_iterations(setting: Setting, config: EstimatorsConfig) -> int:
    terms = len(setting.ways.lengths) ** (config.inner_steps + 1)
    return max(min(config.iterations, 10 * MOST_TERMS // terms), 1)


def _title(config: EstimatorsConfig) -> str:
    return (
        f"{config.states} states, {config.actions} actions, horizon {config.horizon}, "
        f"seed {config.seed}; inner steps {config.inner_steps} of "
        f"α = {config.inner_lr:g}, γ = {config.discount:g}"
    )


def _print(rows: list[Row], norms: dict[str, np.ndarray]) -> None:
    sizes = sorted({row.num_trajectories for row in rows})
    width = max(len(row.estimator) for row in rows) + 2
    names = list(dict.fromkeys(row.estimator for row in rows))
    table = {(row.estimator, row.num_trajectories): row for row in rows}

    def block(title: str, value: Callable[[Row], str]) -> None:
        heads = "".join(f"{f'K = {size}':>10}" for size in sizes)
        print(f"\n{title:<{width + 5}}{heads}")
        for name in names:
            row = table[name, sizes[0]]
            cells = "".join(f"{value(table[name, size]):>10}" for size in sizes)
            print(f"{name:<{width}}{row.objective:<5}{cells}")

    block("error of the expectation, against", lambda row: _number(row.error))
    block("variance of a task's gradient", lambda row: _number(row.variance))
    block("length of the exact gradient", lambda row: _number(row.exact_norm))
    print(
        "\nafter ascent by the expectation (K = 1, the task and its opposite), "
        f"{len(next(iter(norms.values())))} iterations: length of the gradient of J II"
    )
    for name, values in norms.items():
        print(f"{name:<{width + 5}}{_number(values[-1]):>10}")
    deviations = np.array([row.sampled_deviation for row in rows])
    if not np.isfinite(deviations).any():
        print("\nsampled only: at these K there are too many data sets to sum over")
        return
    print(
        f"\nsampling with the learners: off the sums by at most "
        f"{np.nanmax(deviations):.1f} standard errors, in "
        f"{np.isfinite(deviations).sum()} gradients"
    )


def _number(value: Any) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.0e}" if 0 < value < 1e-4 else f"{value:.4f}"
