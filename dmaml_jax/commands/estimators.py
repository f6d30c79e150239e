"""The estimators command: every estimator held against the exact meta-gradient."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from dmaml_jax.commands.forms import read
from dmaml_jax.config.estimators import EstimatorsConfig, validated_estimators
from dmaml_jax.files import write_csv
from dmaml_jax.pictures.plots import draw_estimators
from dmaml_jax.runs.folder import create_run_folder, describe_run, json_values, shown
from dmaml_jax.training import devices

if TYPE_CHECKING:
    from dmaml_jax.exact.comparison import Row

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


@dataclasses.dataclass(frozen=True)
class Estimators:
    """Hold every estimator of the meta-gradient against the exact one.

    On a small MDP drawn from the seed, by summing over every data set and by sampling
    with the learners themselves. Example: dmaml-jax estimators --seed 3
    """

    out: str = ""
    """The folder for table and picture; runs/estimators-TIME if empty."""


def main(words: Sequence[str]) -> int:
    """Compare as the words after `estimators` say; returns the exit code."""
    found = read(Estimators, {"comparison": EstimatorsConfig()}, words)
    values = vars(found.comparison)
    config = validated_estimators(EstimatorsConfig(**values))
    devices.configure("cpu", 1)
    return estimators(config, found.out or None)


def estimators(config: EstimatorsConfig, out: str | None) -> int:
    """Compare, print a table, write it and a picture.

    Args:
        config: the values, which `validated_estimators` has accepted.
        out: the folder to write into, or None for a new one under `runs/`.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: the folder cannot be written.
    """
    # Its environment starts JAX, which had to be set up before.
    from dmaml_jax.exact.comparison import compare

    folder = create_run_folder(
        out, "estimators", describe_run(json_values(vars(config)), precision="float64")
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
    write_csv(folder / "estimators.csv", [_COLUMNS, *rows])
    draw_estimators(rows, norms, folder / "estimators.png", title=_title(config))
    _print(rows, norms)
    names = ", ".join(sorted(path.name for path in Path(folder).iterdir()))
    print(f"in {shown(folder)}: {names}")
    return 0


def _title(config: EstimatorsConfig) -> str:
    return (
        f"{config.states} states, {config.actions} actions, horizon {config.horizon}, "
        f"seed {config.seed}; inner steps {config.inner_steps} of "
        f"α = {config.inner_lr:g}, γ = {config.discount:g}"
    )


def _print(rows: list["Row"], norms: dict[str, np.ndarray]) -> None:
    sizes = sorted({row.num_trajectories for row in rows})
    width = max(len(row.estimator) for row in rows) + 2
    names = list(dict.fromkeys(row.estimator for row in rows))
    table = {(row.estimator, row.num_trajectories): row for row in rows}

    def block(title: str, value: Callable[["Row"], str]) -> None:
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
