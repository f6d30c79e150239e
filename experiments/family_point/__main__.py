"""Every learner on point navigation with its preset: what a few steps are worth.

Trains each of them into a run folder under runs/family-point, measures it on fresh
goals, and writes docs/family-point.md anew after each. A learner that is trained or
measured already is not again: stop it and start it as often as you like.
"""

import datetime
import sys
from pathlib import Path
from typing import Any, NamedTuple

from dmaml_jax.build import configuration
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.learners.registry import gradient_learners
from dmaml_jax.training import devices

SEED, SEEDS, EPOCHS = 1, 10, 100
GOALS, EPISODES, STEPS = 40, 20, 3
ROOT = Path(__file__).parents[2]
RUNS, TARGET = ROOT / "runs" / "family-point", ROOT / "docs" / "family-point.md"
BASE = "maml"
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {"algo": BASE},
    "promp": {"algo": "promp"},
    "maml, trust region": {"algo": "maml", "outer_optimizer": "trust-region"},
    "fomaml, trust region": {"algo": "fomaml", "outer_optimizer": "trust-region"},
    **{
        algo: {"algo": algo}
        for algo in gradient_learners()
        if algo not in (BASE, "promp")
    },
    "sharp-maml, up": {"algo": "sharp-maml", "sharpness": "up"},
    "sharp-maml, both": {"algo": "sharp-maml", "sharpness": "both"},
    "directed-maml": {"algo": "directed-maml"},
}


class Row(NamedTuple):
    """What a learner has come to.

    Attributes:
        returns: on fresh goals after 0 … 3 steps, `[seeds, goals, steps + 1]`.
        curve: the smoothed return after adaptation in training, `[epochs, seeds]`.
        seconds: of an epoch of all seeds.
    """

    returns: Any
    curve: Any
    seconds: float


def row_of(name: str, values: dict[str, Any]) -> Row:
    """Train and measure a learner, as far as that is not done yet."""
    import numpy as np

    from dmaml_jax.results.evaluation import measure, task_sets
    from dmaml_jax.runs.loading import load
    from dmaml_jax.runs.metrics import read_metrics
    from dmaml_jax.statistics import ema

    folder = RUNS / name.replace(", ", "-").replace(" ", "-")
    config = configuration("point", seed=SEED, seeds=SEEDS, epochs=EPOCHS, **values)
    _train(config.replace(cpu_devices=devices.usable_cores()), folder)
    found = folder / "returns.npy"
    if not found.exists():
        run = load(folder)
        sets = task_sets(run, num_tasks=GOALS, out_of_range=("none",))
        ((_, returns),) = measure(
            run,
            {"meta": run.states},
            sets,
            num_steps=STEPS,
            num_trajectories=config.sampling.num_trajectories,
            num_episodes=EPISODES,
        ).items()
        np.save(found, returns)
    metrics = read_metrics(folder)
    curve, seconds = ema(metrics["return_after"]), np.nanmax(metrics["seconds"])
    return Row(np.load(found), curve, float(seconds) / EPOCHS)


def _train(config: TrainConfig, folder: Path) -> None:
    """Train into the folder, or go on where it was left."""
    from dmaml_jax.runs import training

    if (folder / "config.json").exists():
        code = training.resume(config, str(folder), None, verbosity="quiet")
    else:
        code = training.train(config, str(folder), verbosity="quiet")
    if code:
        sys.exit(code)


def line_of(name: str, row: Row, base: Row) -> str:
    """A learner's line of the table."""
    import numpy as np
    from scipy import stats

    def interval(values: Any) -> str:
        half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        return f"{np.mean(values):.2f} ± {half:.2f}"

    returns, usual = (each.returns.mean(axis=1) for each in (row, base))
    bar = base.curve[-1].mean()
    passed = row.curve >= bar
    epochs = np.where(passed.any(axis=0), passed.argmax(axis=0) + 1, np.inf)
    middle = float(np.median(epochs))
    reached = f"{np.isfinite(epochs).sum()} of {SEEDS}"
    if np.isfinite(middle):
        reached += f", {middle:.0f}, {middle * row.seconds:.0f}"
    against = "-" if row is base else interval(returns[:, 1] - usual[:, 1])
    after = " | ".join(interval(returns[:, step]) for step in range(STEPS + 1))
    ratio = row.seconds / base.seconds
    return f"| {name} | {after} | {against} | {reached} | {ratio:.2f} |"


def page(lines: list[str], *, finished: bool) -> str:
    """The page, with what it is of."""
    state = "" if finished else " Not finished yet: lines are missing."
    return "\n".join(
        [
            "# Every learner on point navigation",
            "",
            f"Seeds {SEED} to {SEED + SEEDS - 1}, {EPOCHS} epochs, each learner's "
            f"preset, CPU, {datetime.date.today()};",
            f"made by `make family-point`.{state}",
            "",
            f"Returns (minus squared distances, summed) on {GOALS} fresh goals, "
            f"{EPISODES} episodes each,",
            "before adaptation and after one to three steps: mean and 95 % interval "
            "over the seeds.",
            "Beside them the difference from MAML after one step, seed by seed; on how "
            "many seeds the",
            "smoothed return after adaptation reached MAML's last one in training, and "
            "the median",
            "epoch and second at which; and the time of an epoch over MAML's, on a "
            "machine that may",
            "have been shared.",
            "",
            "| learner | before | 1 step | 2 steps | 3 steps | 1 step, minus MAML "
            "| reached, epoch, second | time |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


def main() -> int:
    """Run what is left to run and write the page."""
    devices.configure("cpu", min(devices.usable_cores(), SEEDS))
    rows: dict[str, Row] = {}
    for name, values in VARIANTS.items():
        rows[name] = row_of(name, values)
        lines = [line_of(each, row, rows[BASE]) for each, row in rows.items()]
        print(lines[-1], flush=True)
        TARGET.write_text(page(lines, finished=len(rows) == len(VARIANTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
