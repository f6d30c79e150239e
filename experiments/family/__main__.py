"""Every learner with both methods on CartPole: how fast, and what adaptation gains.

With its preset for the epochs to 190; with α = 0.01 for the gain, as at Table I's
α = 0.001 it is lost in noise. Writes docs/family.md.
"""

import datetime
import sys
from pathlib import Path
from typing import Any

from dmaml_jax.build import configuration
from dmaml_jax.config.values import Run
from dmaml_jax.learners.registry import gradient_learners
from dmaml_jax.training import devices

SEED, SEEDS = 1, 5
GAIN_ALPHA, GAIN_EPOCHS = 0.01, 120
TARGET = Path(__file__).parents[2] / "docs" / "family.md"


def gain(metrics: dict[str, Any]) -> tuple[float, float]:
    """Mean of after − before while learning, and half of its 95 % interval over seeds.

    While learning: the smoothed return before adaptation lies between 30 and 150.
    """
    import numpy as np
    from scipy import stats

    from dmaml_jax.statistics import ema

    before, after = metrics["return_before"], metrics["return_after"]
    smoothed = ema(before)
    learning = (smoothed >= 30) & (smoothed <= 150)
    gains = [
        np.mean((after - before)[learning[:, lane], lane])
        for lane in range(before.shape[1])
        if learning[:, lane].any()
    ]
    if len(gains) < 2:
        return np.nan, np.nan
    error = stats.sem(gains)
    return float(np.mean(gains)), float(error * stats.t.ppf(0.975, len(gains) - 1))


def row_of(algo: str, method: Any) -> str:
    """A learner's line of the table."""
    import numpy as np

    from dmaml_jax.statistics import ema, epochs_to_threshold
    from experiments.shared.training import trained

    base = configuration("cartpole", algo, method=method, seed=SEED, seeds=SEEDS)
    metrics = trained(base)
    smoothed = ema(metrics["return_after"])
    reached = epochs_to_threshold(smoothed, base.run.threshold)
    found = sorted(int(epoch) for epoch in reached if epoch)
    adapting = base.replace(inner_lr=GAIN_ALPHA, epochs=GAIN_EPOCHS)
    mean, half = gain(trained(adapting))
    epochs = f"{found[0]} to {found[-1]}" if found else "-"
    return (
        f"| {algo} | {method} | {len(found)} of {SEEDS} | {epochs} "
        f"| {np.median(smoothed[-1]):.0f} | {mean:.1f} ± {half:.1f} "
        f"| {1000 * metrics['seconds']:.0f} |"
    )


def main() -> int:
    """Run every pair and write the table."""
    devices.configure("cpu", min(devices.usable_cores(), SEEDS))
    lines = [
        "# Every learner on CartPole",
        "",
        f"Seeds {SEED} to {SEED + SEEDS - 1}, {Run.epochs} epochs, each "
        f"learner's preset, CPU, {datetime.date.today()}; made by `make family`.",
        "",
        "Gain: return after adaptation minus before, mean and 95 % interval over the",
        f"seeds, at α = {GAIN_ALPHA:g}, in the first {GAIN_EPOCHS} epochs as far as",
        "the smoothed return before adaptation lies between 30 and 150. Milliseconds:",
        f"an epoch of all {SEEDS} seeds, on a machine that may have been shared.",
        "",
        "| learner | method | reached 190 | epochs | last return, median | gain | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in ("pg", "ac"):
        for algo in gradient_learners():
            lines.append(row_of(algo, method))
            print(lines[-1], flush=True)
            TARGET.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
