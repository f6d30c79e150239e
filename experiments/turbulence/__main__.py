"""How steady CartPole's return stays after convergence, and what steadies it.

The paper reports turbulence at β = 0.02 and leaves it open. Every remedy is one change
to Directed-MAML at that rate; the controls have no pre-step. Writes docs/turbulence.md.
"""

import datetime
import sys
from pathlib import Path
from typing import Any

from dmaml_jax.training import devices

BASE = {"outer_lr": 0.02, "epochs": 500, "seed": 201, "seeds": 10}
SETTLED = 100
VARIANTS: dict[str, dict[str, Any]] = {
    "Directed-MAML": {},
    "δ: cosine to 0": {"directed_schedule": "cosine"},
    "δ: off after a plateau": {"directed_gate": "until-plateau"},
    "δ: skipped when opposed": {"directed_gate": "unless-opposed"},
    "clipped to norm 1": {"clip_norm": 1.0},
    "β: cosine to 0": {"outer_schedule": "cosine"},
    "δ and β: cosine to 0": {
        "directed_schedule": "cosine",
        "outer_schedule": "cosine",
    },
    "pre-step with Adam": {"directed_optimizer": "adam"},
    "MAML": {"algo": "maml"},
    "MAML, β: cosine to 0": {"algo": "maml", "outer_schedule": "cosine"},
}
TARGET = Path(__file__).parents[2] / "docs" / "turbulence.md"


def row_of(name: str, returns: Any) -> str:
    """One line of the table; the worst over the seeds beside the median."""
    import numpy as np

    from dmaml_jax.statistics import ema, epochs_to_threshold

    smoothed = ema(returns)
    reached = epochs_to_threshold(smoothed, 190.0)
    first = [int(epoch) if epoch else len(returns) + 1 for epoch in reached]
    late, late_smoothed = returns[SETTLED:], smoothed[SETTLED:]
    plateau = np.median(late, axis=0)
    spread = late.std(axis=0)
    drop = plateau - late_smoothed.min(axis=0)
    under = np.mean(late < 0.95 * plateau, axis=0) * 100

    def both(values: Any, digits: int = 1) -> str:
        return f"{np.median(values):.{digits}f}, {np.max(values):.{digits}f}"

    return (
        f"| {name} | {both(first, 0)} | {np.median(plateau):.1f}, {plateau.min():.1f} "
        f"| {both(spread)} | {both(drop)} | {both(under)} |"
    )


def main() -> int:
    """Run every variant and write the table."""
    devices.configure("cpu", min(devices.usable_cores(), BASE["seeds"]))
    # Only now: what imports gymnax starts JAX.
    from dmaml_jax.build import configuration
    from experiments.shared.training import trained

    beta, epochs, first, seeds = BASE.values()
    lines = [
        "# Turbulence after convergence",
        "",
        f"CartPole, β = {beta:g}, {epochs} epochs, seeds {first} to "
        f"{first + seeds - 1}, CPU, {datetime.date.today()}; made by "
        "`make turbulence`.",
        f"Epochs to 190: of the smoothed return (EMA 0.9). The rest is of epochs "
        f"{SETTLED + 1} to {epochs}:",
        "the plateau is the median return after adaptation, the drop is from there to",
        "the lowest smoothed return. Each cell: median over the seeds, worst seed.",
        "",
        "| | epochs to 190 | plateau | standard deviation | worst drop | % of epochs "
        "under 95 % of the plateau |",
        "|---|---|---|---|---|---|",
    ]
    for name, change in VARIANTS.items():
        config = configuration(**{**BASE, **change})
        lines.append(row_of(name, trained(config)["return_after"]))
        print(lines[-1], flush=True)
        TARGET.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
