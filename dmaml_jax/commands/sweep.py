"""The sweep command: settings and seeds as lanes of few programs."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dmaml_jax.commands import processes
from dmaml_jax.commands.fixed_flags import (
    Fixed,
    bases_of,
    last,
    left_out,
    values_of,
)
from dmaml_jax.commands.forms import read
from dmaml_jax.commands.table import read_table
from dmaml_jax.commands.words import flags_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.grid import MOST_LANES, parse_grid, points
from dmaml_jax.config.rules import schedules_that_end
from dmaml_jax.config.settings import Setting, settings_of
from dmaml_jax.config.values import Run
from dmaml_jax.errors import UsageError
from dmaml_jax.options import flag, named


@dataclasses.dataclass(frozen=True)
class Sweep(processes.Processes):
    """Train many settings with many seeds, side by side in few programs.

    Every flag of dmaml-jax train is one here too: it holds for all settings. A grid
    crosses values, NAME=A,B,C or NAME=LOW:HIGH:5 or NAME=LOW:HIGH:log5.
    Example: dmaml-jax sweep --algo directed maml --seeds 16 --grid inner_lr=0.001,0.01
    """

    env: tuple[str, ...] = (Run.env,)
    """Environments; dmaml-jax envs lists them."""
    algo: tuple[str, ...] = (Run.algo,)
    """Learners; dmaml-jax algos lists them."""
    grid: tuple[str, ...] = ()
    """What varies, NAME=FORM ...; each is crossed with the others."""
    samples: int = 0
    """Settings to draw from the grid; 0 takes all. Ranges need no number then."""
    sample_seed: int = 0
    """What the drawn settings follow from."""
    table: str = ""
    """A CSV file of settings: names of values in its head, a setting in each row."""
    halve: int = 0
    """Keep the best one of so many settings at each rung; 0 keeps all."""
    at: int = 50
    """Epochs between two rungs of --halve."""
    waves: str = "auto"
    """Waves that a program's lanes go in; auto asks how much memory there is."""
    out: str = ""
    """The folder to make; runs/sweep-ENV-ALGO-TIME if empty."""
    resume: str = ""
    """A sweep's folder to go on with."""
    dry_run: bool = False
    """Say what would be trained and how long it would take, and write nothing."""
    verbosity: Literal["quiet", "normal", "verbose"] = "normal"
    """How much is printed; -q and -v are short for quiet and verbose."""


OWN = tuple(Sweep.__dataclass_fields__)


def main(words: Sequence[str]) -> int:
    """Sweep as the words after `sweep` say; returns the exit code.

    Raises:
        UsageError: wrong input, before anything is compiled.
        OSError: the disk is full.
    """
    flags = flags_of(words)
    with processes.together(flags):
        return _main(flags)


def _main(flags: Mapping[str, list[str]]) -> int:
    own, fixed = _apart(flags)
    options: Sweep = read(Sweep, {}, own)
    if options.resume:
        return _resume(options, [*own, *fixed])
    _check(options)
    from dmaml_jax.training import devices
    from dmaml_jax.training.hosts import from_first, is_first

    _set_up(fixed)
    bases = bases_of(options.env, options.algo, fixed, OWN)
    settings, notes = _settings(options, bases, fixed)
    notes += left_out(fixed, settings, bases)
    _check_rungs(options, settings)
    count = len(settings) * bases[0].run.seeds
    used = min(from_first(devices.usable_cores), count)
    settings = [
        own._replace(
            config=own.config.replace(cpu_devices=own.config.run.cpu_devices or used)
        )
        for own in settings
    ]
    for note in notes if is_first() else ():
        print(note)
    from dmaml_jax.sweeps import folder, sweeping

    at = options.at if options.halve else 0
    plan = folder.Sweep(tuple(settings), _waves(options), options.halve, at)
    if options.dry_run:
        from dmaml_jax.sweeps.estimate import tell

        return tell(plan)
    return sweeping.begin(plan, options.out or None, verbosity=options.verbosity)


def _resume(options: Sweep, words: Sequence[str]) -> int:
    others = [w for w in words if w.startswith("--")]
    free = ("resume", "verbosity", "waves", *processes.NAMES)
    others = [w for w in others if w not in map(flag, free)]
    if others:
        raise UsageError(
            f"--resume goes on with the sweep as it was: leave {', '.join(others)} out."
        )

    from dmaml_jax.runs.stored import read_json
    from dmaml_jax.training import devices

    record = read_json(options.resume, f"--resume {options.resume}")
    try:
        run = record["sweep"]["settings"][0]["values"]["run"]
        devices.adopt(record["program"])
        device, number = run["device"], int(run["cpu_devices"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise UsageError(
            f"--resume {options.resume} is not the folder of a sweep, or its "
            "config.json is broken."
        ) from None
    devices.configure(device, number)
    from dmaml_jax.sweeps import sweeping

    return sweeping.go_on(
        options.resume, waves=_waves(options), verbosity=options.verbosity
    )


def _waves(options: Sweep) -> int:
    """The number of waves; 0 stands for as many as memory asks for.

    Raises:
        UsageError: it is neither a number nor auto.
    """
    numbered = options.waves.isdecimal() and int(options.waves)
    if options.waves != "auto" and not numbered:
        raise UsageError(
            f"--waves is {options.waves}, but it must be auto or a whole number, 1 or "
            "more."
        )
    return int(numbered)


def _apart(flags: Mapping[str, list[str]]) -> tuple[list[str], Fixed]:
    """The words of the sweep's own flags, and those of a run by flag."""
    own = {f: words for f, words in flags.items() if f and named(f) in (*OWN, "help")}
    fixed = {f: words for f, words in flags.items() if f and f not in own}
    words = [part for f, values in own.items() for part in (f, *values)]
    return [*flags[""], *words], fixed


def _check(options: Sweep) -> None:
    for name, least in (("samples", 0), ("sample_seed", 0), ("halve", 0), ("at", 1)):
        if getattr(options, name) < least:
            raise UsageError(
                f"{flag(name)} is {getattr(options, name)}, but it must be a whole "
                f"number, {least} or more."
            )
    if options.halve == 1:
        raise UsageError(
            "--halve is 1, which would keep all settings: give 2 or more, or leave it "
            "out."
        )
    _waves(options)
    if not (options.env and options.algo):
        raise UsageError("--env and --algo need a name each.")
    if not (options.grid or options.table) and len(options.env + options.algo) < 3:
        raise UsageError(
            "Nothing varies: give --grid NAME=A,B, --table FILE, or several learners "
            "to --algo."
        )
    if options.samples and not options.grid:
        raise UsageError("--samples draws from a grid: give --grid NAME=LOW:HIGH.")


def _check_rungs(options: Sweep, settings: Sequence[Setting]) -> None:
    config = settings[0].config
    if config.run.on_nan == "stop":
        raise UsageError(
            "--on-nan stop does not go with a sweep, in which a lane that is no longer "
            "finite is frozen and the others go on: leave it out."
        )
    if options.halve and options.at >= config.run.epochs:
        raise UsageError(
            f"--at {options.at} leaves no rung before the end, at --epochs "
            f"{config.run.epochs}: make it smaller, or leave --halve out."
        )
    ending = [flag for own in settings for flag in schedules_that_end(own.config)]
    if options.halve and ending:
        raise UsageError(
            f"--halve compares settings in the middle of {ending[0]}, which ends with "
            "the epochs: leave one of the two out."
        )


def _set_up(fixed: Fixed) -> None:
    """Choose devices as the flags say, before JAX starts."""
    from dmaml_jax.training import devices

    device, number = (last(fixed, name) for name in ("--device", "--cpu-devices"))
    devices.configure(
        "cpu" if device == "cpu" else "gpu" if device == "gpu" else "auto",
        int(number) if number.isdecimal() and int(number) else devices.usable_cores(),
    )


def _settings(
    options: Sweep, bases: Sequence[TrainConfig], fixed: Fixed
) -> tuple[list[Setting], list[str]]:
    axes = parse_grid(options.grid, drawn=bool(options.samples))
    rows = read_table(options.table) if options.table else [{}]
    varied = {axis.name for axis in axes}.union(*rows)
    for name in varied & {named(word) for word in fixed}:
        raise UsageError(
            f"{flag(name)} is given, and --grid or --table varies it: give one of the "
            "two."
        )
    most = math.floor(MOST_LANES / (bases[0].run.seeds * len(bases)))
    found = points(
        axes, rows, samples=options.samples, seed=options.sample_seed, most=most
    )
    # Those that a base has, it has already.
    late = {
        name: words
        for name, words in fixed.items()
        if any(named(name) not in base.flat() for base in bases)
    }
    known: dict[Any, dict[str, Any]] = {}

    def held(config: TrainConfig) -> dict[str, Any]:
        kind = tuple(config.flat())
        if kind not in known:
            known[kind] = values_of(config, late)
        return known[kind]

    return settings_of(bases, found, held if late else lambda config: {})
