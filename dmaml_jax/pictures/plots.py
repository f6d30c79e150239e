"""The pictures of runs: learning curves, comparisons, evaluations, estimators."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dmaml_jax.files import writing
from dmaml_jax.statistics import crossed_bootstrap, ema, interquartile_mean

matplotlib.use("Agg")
from matplotlib import pyplot as plt

plt.rcParams["text.parse_math"] = False  # a folder's name may have dollars


def draw_curves(
    metrics: dict[str, np.ndarray], path: Path, *, title: str, threshold: float | None
) -> None:
    """Draw smoothed returns after adaptation against epochs.

    Every seed is a thin line, the interquartile mean over the seeds a thick one, the
    threshold a dashed one.

    Args:
        metrics: the columns by name, as `runs.metrics.read_metrics` returns them.
        path: the PNG file to write.
        title: the picture's title, such as the learner and the environment.
        threshold: the return that counts as solved, or None to draw no line.
    """
    smoothed = ema(metrics["return_after"])
    epochs = np.arange(1, len(smoothed) + 1)
    figure, axes = plt.subplots(figsize=(7, 4), dpi=150, layout="constrained")
    several = smoothed.shape[1] > 1
    if several:
        axes.plot(epochs, smoothed, color="tab:blue", linewidth=0.8, alpha=0.35)
        axes.plot([], [], color="tab:blue", linewidth=0.8, alpha=0.5, label="each seed")
    axes.plot(
        epochs,
        interquartile_mean(smoothed),
        color="tab:blue",
        linewidth=2.2,
        label="interquartile mean" if several else "the one seed",
    )
    if threshold is not None:
        axes.axhline(
            threshold,
            color="tab:gray",
            linestyle="--",
            linewidth=1,
            label=f"threshold {threshold:g}",
        )
    axes.set(
        title=title,
        xlabel="epoch",
        ylabel="return after adaptation (EMA 0.9)",
        xlim=(1, max(len(epochs), 2)),
    )
    # Returns above 0 are shown from 0 on; costs, below it, fill the picture.
    if np.nanmin(smoothed, initial=np.inf) >= 0:
        axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    save(figure, path)


def draw_estimators(
    rows: Sequence[Any], norms: dict[str, np.ndarray], path: Path, *, title: str
) -> None:
    """Draw bias and variance of estimators against K, and where following them leads.

    Lines are sums over all data sets, points with standard errors are samples.

    Args:
        rows: one `exact.comparison.Row` for each estimator and K.
        norms: for each estimator, ‖∇J^II‖ along the ascent by its expectation.
        path: the PNG file to write.
        title: the picture's title, which says what was compared.
    """
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(14, 5.2), dpi=130, layout="constrained"
    )
    names = list(dict.fromkeys(row.estimator for row in rows))
    for index, name in enumerate(names):
        own = [row for row in rows if row.estimator == name]
        color = f"C{index}"
        sizes = np.array([row.num_trajectories for row in own], float)
        # Side by side, so that points that agree do not hide each other.
        aside = sizes + 0.02 * (index - (len(names) - 1) / 2)
        label = f"{name} (J {own[0].objective})"
        left.plot(sizes, [row.error for row in own], color=color, label=label)
        left.errorbar(
            aside,
            [row.sampled_error for row in own],
            [row.sampled_error_stderr for row in own],
            fmt="o",
            markersize=3.5,
            linewidth=1,
            color=color,
        )
        middle.plot(sizes, [row.variance for row in own], color=color)
        middle.plot(
            aside, [row.sampled_variance for row in own], "o", ms=3.5, color=color
        )
        if name in norms:
            steps = np.arange(1, len(norms[name]) + 1)
            right.plot(steps, norms[name], color=color)
    ticks = sorted({row.num_trajectories for row in rows})
    for axes, label in (
        (left, "bias: length of E g − ∇J"),
        (middle, "variance of one task's g (trace)"),
    ):
        axes.set(xlabel="K, trajectories per data set", ylabel=label, xticks=ticks)
    middle.set_yscale("log")
    right.set(
        xlabel="iterations of ascent by E g, K = 1, two opposite tasks",
        ylabel="length of the exact ∇J II",
        xscale="log",
        yscale="log",
    )
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{title}. Lines: sums over all data sets; points: sampled")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    save(figure, path)


def draw_comparison(
    curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    path: Path,
    *,
    x: str,
    threshold: float | None,
) -> None:
    """Draw the learning curves of several runs with their intervals.

    Args:
        curves: for each run's label `(x, mean, low, high)`.
        path: the PNG file to write.
        x: the label of the horizontal axis.
        threshold: the return that counts as solved, or None to draw no line.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.4), dpi=150, layout="constrained")
    for index, (label, (grid, mean, low, high)) in enumerate(curves.items()):
        # Matplotlib leaves out of a legend what begins with an underscore.
        shown = f" {label}" if label.startswith("_") else label
        axes.plot(grid, mean, color=f"C{index}", linewidth=2, label=shown)
        axes.fill_between(grid, low, high, color=f"C{index}", alpha=0.18, linewidth=0)
    if threshold is not None:
        axes.axhline(threshold, color="tab:gray", linestyle="--", linewidth=1)
    axes.set(
        xlabel=x,
        ylabel="return after adaptation (EMA 0.9)\ninterquartile mean, 95 % interval",
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    save(figure, path)


def draw_evaluation(
    returns: dict[tuple[str, str], np.ndarray],
    values: dict[str, dict[str, np.ndarray]],
    path: Path,
    *,
    labels: dict[str, str],
    title: str,
) -> None:
    """Draw returns against adaptation steps, and before and after by parameter.

    Args:
        returns: for each policy and kind of tasks, `[seeds, tasks, steps + 1]`.
        values: for each kind of tasks, every varied parameter's values `[tasks]`.
        path: the PNG file to write.
        labels: how each policy is called in the picture.
        title: the picture's title, which says what was evaluated.
    """
    parameters = list(next(iter(values.values())))[:3]
    figure, panels = plt.subplots(
        1,
        1 + len(parameters),
        figsize=(5.2 * (1 + len(parameters)), 4.4),
        dpi=130,
        layout="constrained",
        squeeze=False,
    )
    _draw_steps(panels[0, 0], returns, labels)
    for axes, parameter in zip(panels[0, 1:], parameters, strict=True):
        _draw_by_parameter(axes, parameter, returns, values)
    for axes in panels.flat:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    save(figure, path)


_COLOURS = {
    "meta": "tab:blue",
    "random": "tab:gray",
    "medium": "tab:orange",
    "scratch": "tab:green",
}


def _draw_steps(
    axes: Any, returns: dict[tuple[str, str], np.ndarray], labels: dict[str, str]
) -> None:
    steps = np.arange(next(iter(returns.values())).shape[2])
    for (policy, kind), table in returns.items():
        intervals = [crossed_bootstrap(table[:, :, step]) for step in steps]
        mean, low, high = np.array(intervals).T
        outside = kind == "out-of-range"
        axes.plot(
            steps,
            mean,
            "o--" if outside else "o-",
            ms=4,
            color=_COLOURS[policy],
            mfc="white" if outside else None,
            label=f"{labels[policy]}, {kind}",
        )
        axes.fill_between(steps, low, high, color=_COLOURS[policy], alpha=0.12, lw=0)
    axes.set(
        xlabel="adaptation steps",
        ylabel="return (mean, 95 % interval)",
        xticks=steps,
    )
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False, fontsize="small")


def _draw_by_parameter(
    axes: Any,
    parameter: str,
    returns: dict[tuple[str, str], np.ndarray],
    values: dict[str, dict[str, np.ndarray]],
) -> None:
    last = next(iter(returns.values())).shape[2] - 1
    # The wider points behind show where adaptation changes nothing.
    for step, colour, size, label in (
        (0, "0.55", 40, "before"),
        (last, _COLOURS["meta"], 12, f"after {last} step{'s' if last > 1 else ''}"),
    ):
        for kind, own in values.items():
            table = returns["meta", kind][:, :, step]
            outside = kind == "out-of-range"
            axes.scatter(
                own[parameter],
                table.mean(axis=0),
                s=size,
                color="none" if outside else colour,
                edgecolors=colour,
                label=None if outside else label,
            )
    inside = next(iter(values.values()))[parameter]
    axes.axvspan(
        inside.min(), inside.max(), color="0.5", alpha=0.07, lw=0, label="fresh tasks"
    )
    axes.set(xlabel=parameter, ylabel="return, mean over the seeds")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False, fontsize="small")


def save(figure: Any, path: Path) -> None:
    """Write a figure as a PNG file, and close it."""
    with writing(path) as aside, warnings.catch_warnings():
        # A folder's name may have characters that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(aside, format="png")
    plt.close(figure)
