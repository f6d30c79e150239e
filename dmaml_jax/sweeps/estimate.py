"""What a sweep would take: its programs, lanes, waves, memory and time."""

from dmaml_jax.config.grid import groups_of
from dmaml_jax.sweeps.folder import Sweep
from dmaml_jax.sweeps.programs import compiled, configs_of
from dmaml_jax.sweeps.waves import timed

_MEASURED_EPOCHS = 3


def tell(sweep: Sweep) -> int:
    """Print it, and write nothing; returns the exit code, 0.

    Every program is compiled, and run for a few epochs. The first is left out of the
    time, as caches are cold.

    Raises:
        UsageError: not even one lane fits into memory.
    """
    seeds, epochs = len(sweep.seeds), sweep.epochs
    print(
        f"{len(sweep.settings)} settings x {seeds} seeds = "
        f"{len(sweep.settings) * seeds} lanes, {epochs} epochs"
        + (" at most" if sweep.halve else "")
    )
    total = 0.0
    for group in groups_of(sweep.settings):
        made = compiled(sweep, group)
        config, count = configs_of(sweep, group)[0], len(made.waves)
        chunk = min(made.program.chunk_epochs, _MEASURED_EPOCHS)
        made.program.run(0, 1)
        metrics, seconds = timed(lambda m=made, n=chunk: m.program.run(1, n))
        each = seconds / chunk
        total += made.seconds + each * epochs * count
        per_epoch = metrics["env_steps"].mean() * len(made.numbers)
        varying = ", ".join(group.varying) or "nothing but seeds"
        print(
            f"\n{config.run.algo} on {config.run.env}, {len(group.numbers)} settings "
            f"that differ in {varying}:\n"
            f"  {len(made.numbers)} lanes in {count} wave{'s' if count > 1 else ''} of "
            f"{made.width}\n"
            f"  {made.program.memory() / 2**20:,.0f} MiB on each device\n"
            f"  {made.seconds:.1f} s to compile, {each:.3g} s an epoch of a wave, "
            f"{per_epoch * epochs:,.0f} environment steps"
        )
    print(f"\nabout {_span(total)} in all; nothing was written")
    return 0


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
