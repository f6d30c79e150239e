"""The evaluate command: a trained run on tasks that it has not seen."""

import dataclasses
import math
import shlex
from collections.abc import Sequence
from typing import Any, Literal

from dmaml_jax.build.environment import solver_of
from dmaml_jax.commands.options import RunFolder, compute_as, require_whole
from dmaml_jax.commands.words import parsed
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_json
from dmaml_jax.learners import registry
from dmaml_jax.options import flag
from dmaml_jax.pictures.plots import draw_evaluation
from dmaml_jax.results.evaluation import (
    Returns,
    measure,
    summarise,
    task_sets,
    values_of,
    varied,
    without_frozen,
    write_table,
)
from dmaml_jax.results.references import initial_states, states_of_medium_task
from dmaml_jax.results.scratch import from_scratch, rates_of
from dmaml_jax.results.wording import STARTS, interval_of, text
from dmaml_jax.runs.folder import circumstances, output_folder, shown
from dmaml_jax.runs.loading import Loaded, frozen, load
from dmaml_jax.runs.stored import read_config
from dmaml_jax.training import devices


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Adapt a trained run to tasks that it has not seen, and measure.

    Writes evaluation.csv, evaluation.json and evaluation.png into the run folder.
    Example: dmaml-jax evaluate runs/mine --tasks 100 --steps 5 --shots 10
    """

    run: RunFolder
    """The run folder."""
    tasks: int = 100
    """Tasks of each kind, all from one draw that every run and seed shares."""
    steps: int = 5
    """Steps of adaptation, or episodes of a memory's; measured after 0, 1, ..."""
    shots: int = 0
    """Trajectories per adaptation step; 0 takes as many as in training."""
    episodes: int = 20
    """Episodes that measure each policy, the same random numbers before and after."""
    out_of_range: tuple[str, ...] = ("auto",)
    """NAME=LOW:HIGH ... beyond training's; auto: next to its ranges, or none."""
    task_seed: int = 0
    """Number of the draw of tasks; another number gives other tasks."""
    baselines: bool = False
    """Measure a random start, the medium task alone, and learning from scratch too."""
    scratch_lr: tuple[float, ...] = ()
    """Adam's step sizes from scratch; the best counts. Empty: 1 to 30 times beta."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Solver of the lander; by default the exact one, whichever it trained with."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to run; auto takes a GPU where JAX finds one."""
    out: str = ""
    """Folder to write into; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        for name, least in (
            ("tasks", 1),
            ("steps", 1),
            ("shots", 0),
            ("episodes", 1),
            ("task_seed", 0),
        ):
            require_whole(name, getattr(self, name), least)
        for rate in self.scratch_lr:
            if not (math.isfinite(rate) and rate > 0):
                raise UsageError(
                    f"--scratch-lr is {rate:g}, but step sizes must be finite numbers "
                    "above 0."
                )
        if self.scratch_lr and not self.baselines:
            raise UsageError(
                "--scratch-lr belongs to --baselines: give both, or leave it out."
            )


def main(words: Sequence[str]) -> int:
    """Evaluate as the words after `evaluate` say; returns the exit code."""
    options = parsed(Evaluate, "evaluate", words)
    options.check()
    compute_as(options.run, options.device, devices.usable_cores())
    return evaluate(options)


def evaluate(options: Evaluate) -> int:
    """Adapt to unseen tasks, measure, and write table, summary and picture.

    Args:
        options: the command's flags; `check` has been called.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: no such run, or values that do not fit it.
    """
    run = load(options.run, solver=_solver(options))
    out = output_folder(options.out, run.folder)
    sets = task_sets(
        run,
        num_tasks=options.tasks,
        draw=options.task_seed,
        out_of_range=options.out_of_range,
    )
    states = _starts(options, run)
    print(
        f"adapting {run.config.run.algo} on {run.config.run.env} to "
        f"{len(sets) * options.tasks} tasks; compiling ...",
        flush=True,
    )
    returns, scratch = _measured(options, run, states, sets)
    lost = frozen(run)
    run, returns = without_frozen(run, returns)
    parameters = varied(run)
    summary = {
        "command": _command(options),
        "options": dataclasses.asdict(options),
        "environment": run.config.run.env,
        "epoch": run.epoch,
        "frozen_seeds": lost,
        "parameters": parameters,
        **scratch,
        **circumstances(),
        "rows": summarise(returns),
    }
    write_table(out / "evaluation.csv", run, returns, sets, parameters)
    write_json(out / "evaluation.json", summary)
    draw_evaluation(
        returns,
        {name: values_of(tasks, parameters) for name, tasks in sets.items()},
        out / "evaluation.png",
        labels=STARTS,
        title=f"{run.config.run.algo} on {run.config.run.env}, epoch {run.epoch}",
    )
    _print(summary, run, options)
    if lost:
        told = ", ".join(f"{seed} (at epoch {epoch})" for seed, epoch in lost.items())
        print(f"\nleft out, as they were frozen in training: seeds {told}")
    print(f"in {shown(out)}: evaluation.csv, evaluation.json, evaluation.png")
    return 0


def _starts(options: Evaluate, run: Loaded) -> dict[str, Any]:
    """The states that adaptation starts from, by name: the run's, and baselines.

    Raises:
        UsageError: step sizes for a learner that takes no gradient steps.
    """
    by_gradients = registry.takes_gradients(run.config.run.algo)
    if options.scratch_lr and not by_gradients:
        raise UsageError(
            f"--scratch-lr is of gradient steps, and {run.config.run.algo} adapts by "
            "its memory: leave it out."
        )
    states = {"meta": run.states}
    if options.baselines:
        states["random"] = initial_states(run)
    if options.baselines and by_gradients:
        states["medium"] = states_of_medium_task(run)
    elif options.baselines:
        print(
            f"note: {run.config.run.algo} adapts by its memory, so of the baselines a "
            "random start is measured alone: the others take gradient steps."
        )
    return states


def _measured(
    options: Evaluate, run: Loaded, states: dict[str, Any], sets: dict[str, Any]
) -> tuple[Returns, dict[str, Any]]:
    """The returns of all starts, and the step sizes of learning from scratch."""
    sizes: dict[str, Any] = {
        "num_steps": options.steps,
        "num_trajectories": _shots(options, run),
        "num_episodes": options.episodes,
    }
    returns = measure(run, states, sets, **sizes)
    if not (options.baselines and registry.takes_gradients(run.config.run.algo)):
        return returns, {}
    rates = options.scratch_lr or rates_of(run)
    alone, best = from_scratch(run, sets, rates, **sizes)
    return returns | alone, {"scratch_lr": best, "scratch_lr_tried": list(rates)}


def _solver(options: Evaluate) -> str | None:
    """The solver to measure with: where there are several, the exact one by default."""
    if options.solver != "default":
        return options.solver
    return "exact" if solver_of(read_config(options.run).run.env) else None


def _shots(options: Evaluate, run: Loaded) -> int:
    return options.shots or run.config.sampling.num_trajectories


def _command(options: Evaluate) -> str:
    words = ["dmaml-jax", "evaluate", options.run]
    for field in dataclasses.fields(options)[1:]:
        value = getattr(options, field.name)
        if value == field.default or field.name == "out":
            continue
        given = value if isinstance(value, tuple) else () if value is True else (value,)
        words += [flag(field.name), *map(str, given)]
    return shlex.join(words)


def _print(summary: dict[str, Any], run: Loaded, options: Evaluate) -> None:
    seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) > 1 else ''}"
    print(
        f"{run.config.run.algo} on {run.config.run.env} after {run.epoch} epochs, "
        f"{seeds}, {options.tasks} tasks of each kind, {_shots(options, run)} "
        "trajectories a step,\n"
        f"{options.episodes} other episodes to measure; mean [95 % interval over seeds "
        "and tasks]"
    )
    for row in summary["rows"]:
        print(f"\n{STARTS[row['policy']]}, {row['set']} tasks")
        print(f"{'steps':>7}  {'return':>26}  {'gain':>26}  {'worse than before':>18}")
        for step, value in enumerate(row["returns"]):
            gain = text(interval_of(row["gains"][step])) if step else ""
            worse = f"{row['negative_shares'][step]:.0%} of tasks" if step else ""
            found = text(interval_of(value))
            print(f"{step:>7}  {found:>26}  {gain:>26}  {worse:>18}")
        lost = row["not_finite"][-1]
        if lost:
            print(
                f"{lost} of {row['num_tasks'] * row['num_seeds']} adaptations end with "
                "numbers that are not finite: left out of the means, and worse"
            )
    if "scratch_lr" in summary:
        tried = ", ".join(f"{rate:g}" for rate in summary["scratch_lr_tried"])
        print(
            f"\nfrom scratch: Adam on each task alone, step size "
            f"{summary['scratch_lr']:g}, the best of {tried} on these very tasks"
        )
