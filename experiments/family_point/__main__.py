"""Every learner on point navigation with its preset: what a few steps are worth.

Trains each of them into a run folder under runs/family-point, measures it on fresh
goals, adds its seeds to results/seeds.csv, and writes docs/family-point.md anew from
that table after each. What the table has is not run again, and a run that was stopped
goes on: stop it and start it as often as you like.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from dmaml_jax.build import configuration
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.learners.registry import gradient_learners
from dmaml_jax.training import devices
from experiments.engine.measured import read_rows, when, write_rows

SEED, SEEDS, EPOCHS = 1, 10, 100
GOALS, EPISODES, STEPS = 40, 20, 3
ROOT = Path(__file__).parents[2]
RUNS, TARGET = ROOT / "runs" / "family-point", ROOT / "docs" / "family-point.md"
TABLE = Path(__file__).parent / "results" / "seeds.csv"
BASE = "maml"
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {"algo": BASE},
    "promp": {"algo": "promp"},
    **{
        algo: {"algo": algo}
        for algo in gradient_learners()
        if algo not in (BASE, "promp")
    },
    "sharp-maml, up": {"algo": "sharp-maml", "sharpness": "up"},
    "sharp-maml, both": {"algo": "sharp-maml", "sharpness": "both"},
    "directed-maml": {"algo": "directed-maml"},
    "fomaml, trust region": {"algo": "fomaml", "outer_optimizer": "trust-region"},
    "maml, trust region": {"algo": "maml", "outer_optimizer": "trust-region"},
}


Rows = list[dict[str, Any]]


class Row(NamedTuple):
    """What a learner has come to.

    Attributes:
        returns: mean over fresh goals after 0 … 3 steps, `[seeds, steps + 1]`.
        end: the smoothed return after adaptation at the end of training, `[seeds]`.
        epochs: the epoch that first reached MAML's mean end, ∞ for never, `[seeds]`.
        seconds: of an epoch of all seeds.
    """

    returns: Any
    end: Any
    epochs: Any
    seconds: float


def rows_of(name: str, values: dict[str, Any], bar: float | None) -> Rows:
    """Train and measure a learner: a row of the table for each seed.

    Args:
        name: what it is called in the table.
        values: of the configuration.
        bar: the return that counts as reached; None for the learner's own mean end.
    """
    import numpy as np

    from dmaml_jax.results.evaluation import measure, task_sets
    from dmaml_jax.runs.loading import load
    from dmaml_jax.runs.metrics import read_metrics
    from dmaml_jax.statistics import ema, epochs_to_threshold

    folder = RUNS / name.replace(", ", "-").replace(" ", "-")
    config = configuration("point", seed=SEED, seeds=SEEDS, epochs=EPOCHS, **values)
    _train(config.replace(cpu_devices=devices.usable_cores()), folder)
    run = load(folder)
    ((_, returns),) = measure(
        run,
        {"meta": run.states},
        task_sets(run, num_tasks=GOALS, out_of_range=("none",)),
        num_steps=STEPS,
        num_trajectories=config.sampling.num_trajectories,
        num_episodes=EPISODES,
    ).items()
    metrics = read_metrics(folder)
    curve = ema(metrics["return_after"])
    passed = epochs_to_threshold(curve, curve[-1].mean() if bar is None else bar)
    seconds = float(np.nanmax(metrics["seconds"])) / EPOCHS
    return [
        {
            "learner": name,
            "seed": seed,
            "epochs": EPOCHS,
            **{f"after_{step}": float(own[step]) for step in range(STEPS + 1)},
            "end": float(curve[-1, lane]),
            "reached": passed[lane],
            "seconds": seconds,
        }
        for lane, (seed, own) in enumerate(
            zip(run.seeds, returns.mean(axis=1), strict=True)
        )
    ]


def row_of(name: str, rows: Rows) -> Row:
    """A learner's rows as arrays."""
    import numpy as np

    own = [row for row in rows if row["learner"] == name]
    returns = [[float(row[f"after_{k}"]) for k in range(STEPS + 1)] for row in own]
    return Row(
        np.array(returns),
        np.array([float(row["end"]) for row in own]),
        np.array([float(row["reached"] or "inf") for row in own]),
        float(own[0]["seconds"]),
    )


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

    from dmaml_jax.statistics import stratified_bootstrap

    def interval(values: Any) -> str:
        # A seed that runs away would be all that a mean tells.
        found = stratified_bootstrap(values)
        return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"

    returns, usual, epochs = row.returns, base.returns, row.epochs
    middle = float(np.median(epochs))
    reached = f"{np.isfinite(epochs).sum()} of {len(epochs)}"
    if np.isfinite(middle):
        reached += f", {middle:.0f}, {middle * row.seconds:.0f}"
    against = "-" if name == BASE else interval(returns[:, 1] - usual[:, 1])
    after = " | ".join(interval(returns[:, step]) for step in range(STEPS + 1))
    ratio = row.seconds / base.seconds
    return f"| {name} | {after} | {against} | {reached} | {ratio:.2f} |"


def page(rows: Rows) -> str:
    """The page, made of the table."""
    seen = {row["learner"] for row in rows}
    names = [name for name in VARIANTS if name in seen]
    base = row_of(BASE, rows)
    missing = [name for name in VARIANTS if name not in seen]
    state = f" Not run yet: {'; '.join(missing)}." if missing else ""
    return "\n".join(
        [
            "# Every learner on point navigation",
            "",
            f"Seeds {SEED} to {SEED + SEEDS - 1}, {EPOCHS} epochs, each learner's "
            "preset;",
            f"made by `make family-point`, last row {when(rows)}.{state}",
            "",
            "Returns (minus squared distances, summed) on "
            f"{GOALS} fresh goals, {EPISODES} episodes each, before",
            "adaptation and after one to three steps: interquartile mean and 95 % "
            "interval over the",
            "seeds. Beside them the difference from MAML after one step, seed by seed; "
            "on how many",
            "seeds the smoothed return after adaptation reached MAML's last one in "
            "training, and the",
            "median epoch and second at which; and the time of an epoch over MAML's, "
            "on a machine",
            "that may have been shared.",
            "",
            "| learner | before | 1 step | 2 steps | 3 steps | 1 step, minus MAML "
            "| reached, epoch, second | time |",
            "|---|---|---|---|---|---|---|---|",
            *(line_of(name, row_of(name, rows), base) for name in names),
            "",
        ]
    )


def main() -> int:
    """Run what is left to run and write the page."""
    devices.configure("cpu", min(devices.usable_cores(), SEEDS))
    for name, values in VARIANTS.items():
        rows = read_rows(TABLE)
        if not any(row["learner"] == name for row in rows):
            bar = None if name == BASE else row_of(BASE, rows).end.mean()
            write_rows(TABLE, [*rows, *rows_of(name, values, bar)])
        rows = read_rows(TABLE)
        TARGET.write_text(page(rows))
        print(line_of(name, row_of(name, rows), row_of(BASE, rows)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
