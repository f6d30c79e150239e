"""The train command: what its flags are for a chosen environment and learner.

JAX is imported once it is known how it has to be set up, and not at all for the bare
`--help`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dmaml_jax.commands.forms import read
from dmaml_jax.commands.processes import Processes, together
from dmaml_jax.commands.words import flags_of, no_such_flag
from dmaml_jax.config.composition import (
    CHOICES,
    TrainConfig,
    assembled,
    is_known,
    refusal,
)
from dmaml_jax.config.rules import check_unchanged
from dmaml_jax.config.values import (
    Directed,
    GradientRun,
    Policy,
    PolicyGradient,
    Run,
    Sampling,
    Tasks,
)
from dmaml_jax.envs import registry as environments
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import flag, named

_OTHERS = """
Shown is what applies to --env cartpole, --algo directed-maml and --method pg. What
another choice takes, a learner's own options among it, is shown by dmaml-jax train
--help with --env, --algo, --method and other choices beside it.
"""


@dataclasses.dataclass(frozen=True)
class Train(Processes):
    """Train a learner on an environment and write a run folder.

    Example: dmaml-jax train --env cartpole --algo directed-maml --seeds 5
    """

    out: str = ""
    """The run folder to make; runs/ENV-ALGO-TIME if empty."""
    config: str = ""
    """A run's config.json to train again; other flags override its values."""
    resume: str = ""
    """A run folder to go on with where its last checkpoint left it, bit for bit."""
    dry_run: bool = False
    """Say how much memory and time it would take, and write nothing."""
    profile: bool = False
    """Trace two epochs, and say where the time of one goes and what it computes."""
    log: Literal["none", "tensorboard", "wandb"] = "none"
    """Where metrics go beside metrics.csv; wandb writes offline runs."""
    verbosity: Literal["quiet", "normal", "verbose"] = "normal"
    """How much is printed; -q and -v are short for quiet and verbose."""


def main(words: Sequence[str]) -> int:
    """Train as the words after `train` say.

    Returns:
        The exit code.

    Raises:
        UsageError: wrong input, before anything is compiled.
        OSError: the disk is full.
    """
    flags = flags_of(words)
    chosen = {"--config", "--resume", *map(flag, CHOICES)}
    if "--help" in flags and not chosen & set(flags):
        read(Train, _common_owners(), ["--help"], about=_OTHERS)
    with together(flags):
        return _main(words)


def _main(words: Sequence[str]) -> int:
    config, own = arguments(words)
    from dmaml_jax.runs import training
    from dmaml_jax.training.devices import usable_cores
    from dmaml_jax.training.hosts import from_first

    used = min(from_first(usable_cores), config.run.seeds * config.sampling.num_tasks)
    config = config.replace(cpu_devices=config.run.cpu_devices or used)
    if own.dry_run and own.profile:
        raise UsageError(
            "--dry-run writes nothing, and --profile a trace: leave one of them out."
        )
    if own.dry_run:
        from dmaml_jax.sweeps.estimate import tell_run

        return tell_run(config)
    out = own.out or None
    how: dict[str, Any] = {"log": own.log, "verbosity": own.verbosity}
    if own.profile:
        _name_parts()
        how["profile"] = True
    if own.resume:
        return training.resume(config, own.resume, out, **how)
    return training.train(config, out, **how)


def _name_parts() -> None:
    """Have a program that was compiled before its parts had names compiled again."""
    import jax

    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)


def arguments(words: Sequence[str]) -> tuple[TrainConfig, Train]:
    """The configuration that the words after `train` give, and the other flags.

    Raises:
        UsageError: a flag that does not exist or belongs to another choice, or values
            that make no sense.
        SystemExit: tyro has printed help.
    """
    flags = flags_of(words)
    if "--resume" in flags and "--config" in flags:
        raise UsageError(
            "--resume takes the configuration from the run folder: leave --config out."
        )
    _set_up_jax(flags)
    stored = _stored(flags)
    base = _chosen(flags, stored)
    names = [named(name) for name in flags if name]
    offered = {*base.flat(), *Train.__dataclass_fields__}
    for name in names:
        if name not in offered and name != "help":
            raise _refused(name, offered, base)
    owners = {name: getattr(base, name) for name in base.nested()}
    found = read(Train, owners, words)
    given = {
        name: getattr(getattr(found, owner), name)
        for owner, own in base.nested().items()
        for name in own
        if name in names and name != "env"
    }
    config = base.replace(**given)
    if found.resume:
        assert stored is not None
        check_unchanged(stored, config)
    own = {name: getattr(found, name) for name in Train.__dataclass_fields__}
    return config, Train(**own)


def _refused(name: str, offered: set[str], base: TrainConfig) -> UsageError:
    """Why a flag cannot be given: it belongs to another choice, or there is none."""
    from dmaml_jax.build.environment import named_environment

    if is_known(name):
        return refusal(name, [type(getattr(base, owner)) for owner in base.nested()])
    env = base.world.name
    if name in vars(named_environment(env).default_params):
        return UsageError(
            f"There is no flag {flag(name)}, but {env} has a parameter {name}: give "
            f"--set {name}=NUMBER, the same for all tasks, or --vary {name}=LOW:HIGH."
        )
    return no_such_flag(flag(name), "train", [flag(each) for each in offered])


def _set_up_jax(flags: Mapping[str, list[str]]) -> None:
    """Choose devices as flags or the stored run say, before JAX starts."""
    from dmaml_jax.runs.stored import read_record
    from dmaml_jax.training import devices

    values: dict[str, Any] = {}
    for name in ("--config", "--resume"):
        if path := _last(flags, name):
            record = read_record(path, f"{name} {path}")
            values = record["values"].get("run", record["values"])
            # That run again, or on with it: its numbers are part of what it is.
            devices.adopt(record.get("program", {}))
    device = _last(flags, "--device") or values.get("device")
    number = _last(flags, "--cpu-devices") or str(values.get("cpu_devices"))
    devices.configure(
        "cpu" if device == "cpu" else "gpu" if device == "gpu" else "auto",
        int(number) if number.isdecimal() and int(number) else devices.usable_cores(),
    )


def _stored(flags: Mapping[str, list[str]]) -> TrainConfig | None:
    """The configuration of the run that --config or --resume names."""
    from dmaml_jax.runs.stored import read_config

    run, file = _last(flags, "--resume"), _last(flags, "--config")
    if run:
        return read_config(run, f"--resume {run}")
    return read_config(file, f"--config {file}") if file else None


def _chosen(flags: Mapping[str, list[str]], stored: TrainConfig | None) -> TrainConfig:
    """What the flags start from: a stored run or presets, with the choices taken."""
    from dmaml_jax.build.environment import world_of

    kept = {} if stored is None else stored.flat()
    choices = {name: _last(flags, flag(name)) for name in CHOICES}
    given = {name: choice for name, choice in choices.items() if choice}
    env = given.pop("env", kept.get("env", Run.env))
    return assembled(world_of(env), given, kept=kept)


def _last(flags: Mapping[str, list[str]], name: str) -> str:
    return (flags.get(name) or [""])[-1]


def _common_owners() -> dict[str, Any]:
    """The owners of the default choice, known without JAX."""
    vary = environments.ENVIRONMENTS[Run.env].vary
    return {
        "run": GradientRun(),
        "sampling": Sampling(),
        "tasks": Tasks(vary=vary),
        "policy": Policy(),
        "method": PolicyGradient(),
        "learner": GradientOptions(),
        "directed": Directed(),
    }
