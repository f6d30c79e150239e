"""A run from its configuration: it begins in a new folder, or goes on in its own."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import jax

from dmaml_jax.build.environment import solver_of
from dmaml_jax.build.program import layout, program_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.rules import objective
from dmaml_jax.runs.course import DONE, Course, follow
from dmaml_jax.runs.folder import (
    STOPPED,
    create_run_folder,
    describe_run,
    json_values,
    resume_command,
    shown,
)
from dmaml_jax.runs.loop import Run, saying_how_to_go_on
from dmaml_jax.runs.profile import require_epochs
from dmaml_jax.runs.progress import Progress
from dmaml_jax.runs.resuming import going_on_from, hold, note_resuming, opened
from dmaml_jax.runs.sinks import open_sink, require_sink
from dmaml_jax.runs.stopping import Stop, stopping_gently
from dmaml_jax.training.hosts import from_first, is_first
from dmaml_jax.training.joining import leave_word
from dmaml_jax.training.program import Program

Log = Literal["none", "tensorboard", "wandb"]
Verbosity = Literal["quiet", "normal", "verbose"]


def train(
    config: TrainConfig,
    out: str | None,
    *,
    log: Log = "none",
    verbosity: Verbosity = "normal",
    profile: bool = False,
) -> int:
    """Train, and write the run folder as it goes.

    Of several processes, which all call it alike, the first one writes and prints.

    Args:
        config: the values of the run, with the number of CPU devices settled.
        out: the run folder to make, or None for a new one under `runs/`.
        log: where metrics go beside metrics.csv.
        verbosity: how much is printed, as `Progress` takes it.
        profile: whether some epochs are timed and traced; of a single process.

    Returns:
        The exit code: 0 done, 1 no seed left alive, 128 + signal if one stopped it.

    Raises:
        UsageError: wrong input, before anything is compiled.
        OSError: the disk is full.
    """
    require_sink(log)
    if profile:
        require_epochs(config.run.epochs)
    program = program_of(config)
    folder = from_first(
        lambda: create_run_folder(
            out,
            f"{config.run.env}-{config.run.algo}",
            describe_run(
                json_values(config.nested()),
                objective=objective(config),
                environment=solver_of(config.run.env),
                program=layout(config, program),
            ),
        )
    )
    with ExitStack() as held:
        from_first(lambda: hold(folder, held))
        return _run(config, program, folder, log, verbosity, profile=profile)


def resume(
    config: TrainConfig,
    run: str,
    out: str | None,
    *,
    log: Log = "none",
    verbosity: Verbosity = "normal",
    profile: bool = False,
) -> int:
    """Go on with a run where its last checkpoint left it, or from its start.

    Args:
        config: the configuration of the run, perhaps with more epochs.
        run: the path of the run folder.
        out: a new folder, into which the run is copied to go on there; None goes on
            in its own.
        log: where metrics go beside metrics.csv.
        verbosity: how much is printed, as `Progress` takes it.
        profile: whether some epochs are timed and traced; of a single process.

    Returns:
        The exit code, as `train`; 0 also where there is nothing left to do.

    Raises:
        UsageError: another process writes the run, or `out` holds one.
        OSError: the disk is full.
    """
    require_sink(log)
    with ExitStack() as held:
        folder = from_first(lambda: opened(run, out, held))
        program = program_of(config)
        found = from_first(lambda: going_on_from(folder, config, program.shapes()))
        if found and found[0] >= config.run.epochs:
            if is_first():
                print(
                    f"{shown(folder)} is finished: all of its {config.run.epochs} "
                    "epochs are done. A greater --epochs would go on."
                )
            return DONE
        found = found or (0, None)
        if profile:
            require_epochs(config.run.epochs - found[0])
        from_first(lambda: note_resuming(config, program, folder))
        return _run(
            config, program, folder, log, verbosity, found=found, profile=profile
        )


def _run(
    config: TrainConfig,
    program: Program,
    folder: Path,
    log: Log,
    verbosity: Verbosity,
    *,
    found: tuple[int, Any] | None = None,
    profile: bool = False,
) -> int:
    with stopping_gently() as stop:
        if is_first():
            progress = Progress(config.run.epochs, verbosity)
            how = {"stop": stop, "progress": progress, "profile": profile}
            return _lead(config, program, folder, log, found, **how)
        leave_word(_how_to_go_on(folder))
        course = Course(config, program, stop)
        if found and found[0]:
            course.restore(*found)
        return follow(course)


def _lead(
    config: TrainConfig,
    program: Program,
    folder: Path,
    log: Log,
    found: tuple[int, Any] | None,
    *,
    stop: Stop,
    **how: Any,
) -> int:
    """Train as the first process, or the only one."""
    (folder / STOPPED).unlink(missing_ok=True)
    leave_word(_how_to_go_on(folder), folder / STOPPED)
    progress: Progress = how["progress"]
    _introduce(config, program, folder, progress)
    seeds = config.seed_numbers
    run = Run(Course(config, program, stop), folder, stop=stop, **how)
    if found is not None:
        epoch, state = found
        if epoch:
            run.restore(epoch, state)
        progress.say(f"going on after epoch {epoch} of {config.run.epochs}")
    epoch = run.course.epoch
    sink = open_sink(log, folder, seeds, epoch, json_values(config.flat()))
    with saying_how_to_go_on(resume_command(folder)):
        return run.train(sink)


def _introduce(
    config: TrainConfig, program: Program, folder: Path, progress: Progress
) -> None:
    """Say what is trained, on what, and where it is kept."""
    seeds = config.seed_numbers
    lanes = f"seed {seeds[0]}"
    if len(seeds) > 1:
        lanes = f"seeds {seeds[0]} to {seeds[-1]}"
    device, count = jax.devices()[0], jax.process_count()
    processes = f", {count} processes" if count > 1 else ""
    solver = solver_of(config.run.env)
    progress.say(
        f"{config.run.algo} on {config.run.env}, {lanes}, {config.run.epochs} epochs, "
        f"on {program.seed_devices * program.task_devices} x {device.device_kind} "
        f"({device.platform}{processes})"
    )
    progress.say(f"objective {objective(config)}")
    if solver:
        progress.say(f"solver {solver['solver']}: {solver['conformance']}")
    progress.say(f"run folder: {shown(folder)}\ncompiling ...")


def _how_to_go_on(folder: Path) -> str:
    return (
        "To go on where the last checkpoint left it, with any number of processes: "
        f"{resume_command(folder)}, and --distributed beside it if there are several."
    )
