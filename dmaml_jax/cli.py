"""The command line; imports JAX only once it is needed."""

import argparse
import dataclasses
import importlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Literal, TypeVar

from dmaml_jax.commands.algos import table
from dmaml_jax.commands.options import Compare, Evaluate, Export, Render, Report
from dmaml_jax.config.presets import EstimatorsConfig, TrainConfig, preset
from dmaml_jax.config.rules import check_unchanged, validated, validated_estimators
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.stored import read_config, read_values

USAGE = 2
Config = TypeVar("Config", TrainConfig, EstimatorsConfig)


@dataclasses.dataclass(frozen=True)
class Train(TrainConfig):
    """Train a learner on an environment and write a run folder.

    Example: dmaml-jax train --env cartpole --algo directed-maml --seeds 5
    """

    out: str = ""
    """The run folder itself; runs/ENV-ALGO-TIME if empty."""
    config: str = ""
    """A run's config.json: that run again; other flags override it."""
    resume: str = ""
    """A run folder: go on where its last checkpoint left it, bit for bit."""
    log: Literal["none", "tensorboard", "wandb"] = "none"
    """Where metrics go beside metrics.csv; wandb writes offline runs."""
    verbosity: Literal["quiet", "normal", "verbose"] = "normal"
    """How much is printed; -q and -v are short for quiet and verbose."""


@dataclasses.dataclass(frozen=True)
class Estimators(EstimatorsConfig):
    """Hold every estimator of the meta-gradient against the exact one.

    On a small MDP drawn from the seed, by summing over every data set and by sampling
    with the learners themselves. Example: dmaml-jax estimators --seed 3
    """

    out: str = ""
    """The folder for table and picture; runs/estimators-TIME if empty."""


@dataclasses.dataclass(frozen=True)
class Algos:
    """List the learners: what they estimate, what they cost, who described them."""


@dataclasses.dataclass(frozen=True)
class Envs:
    """List the environments: spaces, limits, and the parameters that tasks may vary."""


COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "export": Export,
    "render": Render,
    "report": Report,
    "algos": Algos,
    "envs": Envs,
    "estimators": Estimators,
}
OnRuns = Evaluate | Compare | Export | Render | Report
Command = Train | OnRuns | Algos | Envs | Estimators
_ON_RUNS = ("evaluate", "compare", "export", "render", "report")
_HOMES = {
    Evaluate: ("results.evaluation", "evaluate"),
    Compare: ("commands.compare", "compare"),
    Export: ("commands.export", "export"),
    Render: ("commands.render", "render"),
    Report: ("commands.report", "report"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as on the command line, without the program's name.

    Returns:
        The exit code: 0 done, 1 failed while running, 2 wrong input, 130 Ctrl-C,
        143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # While Python and JAX import, an exception may land where nobody passes it on;
    # there is nothing to lose yet.
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _leave_at_once) for number in signals]
    try:
        return _run(_parse(arguments))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        what = error.strerror or error
        print(f"error: {what}; what was written before is whole.", file=sys.stderr)
        return 1
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


def _parse(arguments: list[str]) -> Command:
    import tyro

    if arguments[:1] == ["--version"]:
        print(importlib.metadata.version("dmaml-jax"))
        raise SystemExit(0)
    config = (tyro.conf.FlagConversionOff,)
    if arguments[:1] == ["train"]:
        return tyro.cli(
            Train,
            prog="dmaml-jax train",
            default=_defaults(arguments),
            args=_gathered(arguments[1:]),
            config=config,
        )
    if arguments[:1] and arguments[0] in _ON_RUNS:
        return tyro.cli(
            COMMANDS[arguments[0]],
            prog=f"dmaml-jax {arguments[0]}",
            args=_gathered(arguments[1:]),
        )
    # With no command, or an unknown one, this prints help or what is allowed.
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="dmaml-jax",
        description="Gradient-based meta-reinforcement-learning on the device.",
        args=arguments,
        config=config,
    )


def _defaults(arguments: list[str]) -> Train:
    """What flags override: `--config`'s values, or the preset of `--env`, `--algo`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # A flag without a value is left to tyro, which says so better.
    for name in ("--env", "--algo", "--config", "--resume"):
        parser.add_argument(name, nargs="?")
    given, _ = parser.parse_known_args(arguments)
    if given.resume:
        if given.config:
            raise UsageError(
                "--resume takes the configuration from the run folder: leave --config "
                "out."
            )
        stored = read_config(given.resume, f"--resume {given.resume}")
        return Train(**dataclasses.asdict(stored), resume=given.resume)
    if not given.config:
        values = preset(given.env or TrainConfig.env, given.algo or TrainConfig.algo)
        return Train(**dataclasses.asdict(values))
    values = read_values(given.config, f"--config {given.config}")
    # A value that is wrong there is said here, before tyro takes it for a default.
    merged = {**values, "env": given.env or values.get("env", TrainConfig.env)}
    try:
        preset(merged["env"])
        validated(TrainConfig(**merged))
    except (UsageError, TypeError) as error:
        raise UsageError(f"--config {given.config}: {error}") from None
    return Train(**values, config=given.config)


def _gathered(arguments: list[str]) -> list[str]:
    """`--vary a --vary b` as `--vary a b`, so that both ways of writing it work.

    And the short flags spelled out.
    """
    short = {"-q": ["--verbosity", "quiet"], "-v": ["--verbosity", "verbose"]}
    arguments = [part for word in arguments for part in short.get(word, [word])]
    lists = ("--vary", "--medium-values", "--task", "--out-of-range")
    several: dict[str, list[str]] = {name: [] for name in lists}
    rest: list[str] = []
    current = None
    for word in arguments:
        if word in several:
            current = word
            rest += [word] if word not in rest else []
        elif current and not word.startswith("--"):
            several[current].append(word)
        else:
            current = None
            rest.append(word)
    return [part for word in rest for part in (word, *several.get(word, ()))]


def _run(command: Command) -> int:
    if isinstance(command, Algos):
        print(table())
        return 0
    # XLA's own log lines, about caches, CPU features and long compiles, are for its
    # developers; what fails is raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if isinstance(command, Envs):
        from dmaml_jax.commands.envs import table as environments

        print(environments())
        return 0
    if isinstance(command, Estimators):
        return _run_estimators(command)
    if isinstance(command, Train):
        return _run_train(command)
    return _run_on_runs(command)


def _run_on_runs(command: OnRuns) -> int:
    command.check()
    from dmaml_jax.training import devices

    if isinstance(command, Evaluate):
        devices.configure(command.device, devices.usable_cores())
    elif isinstance(command, Render | Export):
        devices.configure("cpu", 1)  # one policy keeps no accelerator busy
    module, function = _HOMES[type(command)]
    return getattr(importlib.import_module(f"dmaml_jax.{module}"), function)(command)


def _run_train(command: Train) -> int:
    config = validated(_fields(command, TrainConfig))
    if command.resume:
        check_unchanged(read_config(command.resume), config)
    from dmaml_jax.training import devices

    cores = min(devices.usable_cores(), config.seeds * config.num_tasks)
    config = dataclasses.replace(config, cpu_devices=config.cpu_devices or cores)
    devices.configure(config.device, config.cpu_devices)
    from dmaml_jax.commands import train as run

    out = command.out or None
    if command.resume:
        return run.resume(
            config, command.resume, out, log=command.log, verbosity=command.verbosity
        )
    return run.train(config, out, log=command.log, verbosity=command.verbosity)


def _run_estimators(command: Estimators) -> int:
    config = validated_estimators(_fields(command, EstimatorsConfig))
    from dmaml_jax.training import devices

    devices.configure("cpu", 1)
    from dmaml_jax.commands.estimators import estimators

    return estimators(config, command.out or None)


def _fields(command: Any, config: type[Config]) -> Config:
    """The part of a command that its configuration knows."""
    names = [field.name for field in dataclasses.fields(config)]
    return config(**{name: getattr(command, name) for name in names})
