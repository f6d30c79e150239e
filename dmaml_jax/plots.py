"""Pictures of a run."""

from pathlib import Path

import matplotlib
import numpy as np

from dmaml_jax.statistics import ema, interquartile_mean

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw_curves(
    metrics: dict[str, np.ndarray], path: Path, *, title: str, threshold: float
) -> None:
    """Draw smoothed returns after adaptation against epochs.

    Every seed is a thin line, the interquartile mean over the seeds a thick one, the
    threshold a dashed one.

    Args:
        metrics: as `records.read_metrics` returns them.
        path: of the PNG.
        title: what was run.
        threshold: in units of return.
    """
    smoothed = ema(metrics["return_after"])
    epochs = np.arange(1, len(smoothed) + 1)
    figure, axes = plt.subplots(figsize=(7, 4), dpi=150, layout="constrained")
    axes.plot(epochs, smoothed, color="tab:blue", linewidth=0.8, alpha=0.35)
    axes.plot([], [], color="tab:blue", linewidth=0.8, alpha=0.5, label="each seed")
    axes.plot(
        epochs,
        interquartile_mean(smoothed),
        color="tab:blue",
        linewidth=2.2,
        label="interquartile mean",
    )
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
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(smoothed, initial=0.0))))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    aside = path.with_name(f".{path.name}")
    figure.savefig(aside, format="png")
    plt.close(figure)
    aside.replace(path)
