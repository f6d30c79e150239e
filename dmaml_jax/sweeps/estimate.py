"""What training would take, without doing it: programs, lanes, memory, time."""

from collections.abc import Sequence

from dmaml_jax.build.program import program_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.settings import groups_of
from dmaml_jax.learners.registry import episodes_per_epoch
from dmaml_jax.sweeps.folder import Sweep
from dmaml_jax.sweeps.programs import compiled, configs_of
from dmaml_jax.sweeps.waves import timed
from dmaml_jax.training.program import Program

_MEASURED_EPOCHS = 3


def tell_run(config: TrainConfig) -> int:
    """Print it for a single run, and write nothing; returns the exit code, 0."""
    program = program_of(config)
    seconds = program.compile()
    seeds = config.run.seeds
    print(
        f"{_what(config)}, "
        + (f"{seeds} seeds side by side:" if seeds > 1 else "1 seed:")
    )
    total = _tell(program, config, program.num_seeds, 1, seconds)
    print(f"\nabout {_span(total)} in all; nothing was written")
    return 0


def tell(sweep: Sweep) -> int:
    """Print it for a sweep, and write nothing; returns the exit code, 0.

    Raises:
        UsageError: not even one lane fits into memory.
    """
    seeds = len(sweep.seeds)
    print(
        f"{len(sweep.settings)} settings x {seeds} seeds = "
        f"{len(sweep.settings) * seeds} lanes, {sweep.epochs} epochs"
        + (" at most" if sweep.halve else "")
    )
    total = 0.0
    for group in groups_of(sweep.settings):
        made = compiled(sweep, group)
        config, count = configs_of(sweep, group)[0], len(made.waves)
        print(
            f"\n{_what(config)}, {len(group.numbers)} settings that differ in "
            f"{_listed(group.varying)}:\n"
            f"  {len(made.numbers)} lanes in {count} wave{'s' if count > 1 else ''} of "
            f"{made.width}"
        )
        lanes = len(made.numbers)
        total += _tell(made.program, config, lanes, count, made.seconds)
    print(f"\nabout {_span(total)} in all; nothing was written")
    return 0


def _tell(
    program: Program, config: TrainConfig, lanes: int, waves: int, compiling: float
) -> float:
    """Run a few epochs, print what a whole run takes, and return its seconds.

    The first epoch is left out of the time, as caches are cold.
    """
    epochs, chunk = config.run.epochs, min(program.chunk_epochs, _MEASURED_EPOCHS)
    program.run(0, 1)
    metrics, seconds = timed(lambda: program.run(1, chunk))
    each = seconds / chunk
    steps = metrics["env_steps"].mean() * lanes * epochs
    print(
        f"  {program.memory() / 2**20:,.1f} MiB on each device\n"
        f"  {compiling:.1f} s to compile, {each:.3g} s an epoch\n"
        f"  {episodes_of(config) * lanes * epochs:,} episodes to learn from, "
        f"{steps:.3g} environment steps if they stay as long as at first"
    )
    return compiling + each * epochs * waves


def episodes_of(config: TrainConfig) -> int:
    """Episodes that a lane learns from in an epoch."""
    own, num_trajectories = config.directed, config.sampling.num_trajectories
    return episodes_per_epoch(
        config.run.algo,
        config.sampling.num_tasks,
        num_trajectories,
        config.learner.num_adaptations,
        own.directed_placement if own else "epoch",
        config.learner.further_trajectories(num_trajectories),
    )


def _what(config: TrainConfig) -> str:
    return f"{config.run.algo} on {config.run.env}, {config.run.epochs} epochs"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing but seeds"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
