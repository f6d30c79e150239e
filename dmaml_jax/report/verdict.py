"""What a report says in sentences: the verdict, and what is missing."""

import shlex
from collections.abc import Sequence

from dmaml_jax.options import flag
from dmaml_jax.report.gathered import Gathered, rendered_at
from dmaml_jax.results.comparable import cautions, of_one_environment
from dmaml_jax.results.curves import Summary
from dmaml_jax.results.wording import amount, interval_of, text, verdict
from dmaml_jax.runs.folder import shown


def verdicts(
    runs: Sequence[Gathered], rows: Sequence[Summary], threshold: float | None
) -> list[str]:
    """What the runs show, the most important first.

    Args:
        runs: the runs, as `gather` returns them.
        rows: the runs' summaries, in the same order.
        threshold: the return that counts as solved, if the runs have one.
    """
    if len(runs) == 1:
        said = [alone(runs[0], rows[0], threshold)]
        return said + ([adapted(runs[0])] if runs[0].evaluation else [])
    said, first = [], runs[0].curves
    for run, row in zip(runs[1:], rows[1:], strict=True):
        said += cautions(run.curves, first)
        # Returns in different environments do not compare.
        if of_one_environment(run.curves, first):
            said.append(verdict(row, rows[0]))
    for run, row in zip(runs, rows, strict=True):
        said.append(f"{row.label}: {alone(run, row, threshold)}")
    return said


def alone(run: Gathered, row: Summary, threshold: float | None) -> str:
    """One run's learning, in a sentence."""
    algo = run.curves.config.run.algo
    final = text(row.final)
    if row.seeds > 1:
        final += f" over {_count(row.alive, 'seed')}"
    if not row.alive:
        return f"{algo} has no seed left alive."
    if threshold is None or row.reached is None:
        epochs = len(run.curves.smoothed)
        return f"{algo} ends with a return of {final}, after {_count(epochs, 'epoch')}."
    if row.reached == 0:
        none = f" on any of {row.seeds} seeds" if row.seeds > 1 else ""
        return (
            f"{algo} does not reach the threshold of {threshold:g}{none}; its final "
            f"return is {final}."
        )
    if row.seeds == 1:
        return (
            f"{algo} reaches the threshold of {threshold:g} at epoch "
            f"{amount(row.to_threshold['epochs'])}; its final return is {final}."
        )
    when = amount(row.to_threshold["epochs"])
    median = f"median epoch {when}" if when != "never" else "so half or more never do"
    return (
        f"{algo} reaches the threshold of {threshold:g} on {row.reached} of "
        f"{_count(row.seeds, 'seed')}, {median}; its final return is {final}."
    )


def adapted(run: Gathered) -> str:
    """What adaptation is worth on tasks that training did not use."""
    assert run.evaluation is not None
    rows = [row for row in run.evaluation["rows"] if row["policy"] == "meta"]
    row = (rows or run.evaluation["rows"])[0]
    gain, worse = row["gains"][run.step], row["negative_shares"][run.step]
    done = "does not change the return significantly:"
    if gain["low"] is not None and gain["low"] > 0:
        done = "raises the return by"
    elif gain["high"] is not None and gain["high"] < 0:
        done = "lowers the return by"
    when = f"{staleness(run)}: on" if run.is_stale else "On"
    return (
        f"{when} {_count(row['num_tasks'], row['set'] + ' task')}, adaptation by "
        f"{_count(run.step, 'step')} {done} {text(interval_of(gain), '+', 2)}; "
        f"{worse:.0%} of tasks and seeds do worse than before."
    )


def staleness(run: Gathered) -> str:
    """That an evaluation is not of the run as it is now."""
    if run.evaluated_at is None:
        return "Evaluated at an epoch that its file does not say"
    return (
        f"Evaluated at epoch {run.evaluated_at}, while the run is at epoch {run.epoch}"
    )


def notes(run: Gathered) -> list[str]:
    """What is unusual about a run, or missing from its folder."""
    config, folder = run.curves.config, shlex.quote(shown(run.curves.folder))
    said = []
    done = len(run.curves.smoothed)
    if done < config.run.epochs:
        said.append(
            f"{done} of {config.run.epochs} epochs are done: the run was stopped, or "
            f"goes on (dmaml-jax train --resume {folder})."
        )
    for seed, epoch in run.frozen.items():
        said.append(
            f"Seed {seed} is frozen from epoch {epoch} on, where its numbers stopped "
            "being finite; it counts as never reaching what it had not reached, and "
            "not in the final return."
        )
    if len(run.curves.seeds) == 1:
        said.append("There is one seed, so there are no intervals over seeds.")
    damaged = (run.curves.folder / "evaluation.json").exists()
    if run.evaluation is None and damaged:
        said.append(
            "Its evaluation.json is damaged and left out (dmaml-jax evaluate "
            f"{folder} measures it anew)."
        )
    elif run.evaluation is None:
        said.append(
            f"It was not evaluated on unseen tasks (dmaml-jax evaluate {folder})."
        )
    if run.is_stale:
        said.append(
            f"{staleness(run)}: what is said of adaptation may be out of date "
            f"(dmaml-jax evaluate {folder} measures it anew)."
        )
    for path in run.episodes:
        epoch = rendered_at(path)
        if epoch is not None and epoch != run.epoch:
            said.append(
                f"{path.name} shows the policy of epoch {epoch}, while the run is at "
                f"epoch {run.epoch} (dmaml-jax render {folder} shows it anew)."
            )
    if not run.episodes:
        said.append(f"No episode was rendered (dmaml-jax render {folder}).")
    if run.left_out:
        said.append(
            f"{_count(run.left_out, 'older rendered episode')} in its folder "
            f"{'is' if run.left_out == 1 else 'are'} left out."
        )
    return said


def between(runs: Sequence[Gathered]) -> list[str]:
    """What makes several runs hard to compare."""
    said = []
    if len({run.curves.config.run.env for run in runs}) > 1:
        said.append("The runs are of different environments: returns do not compare.")
    if len({len(run.curves.smoothed) for run in runs}) > 1:
        said.append(
            "The runs have different numbers of epochs: each ends where it ended."
        )
    how = {run.curves.label: _measured(run) for run in runs if run.evaluation}
    if len(set(how.values())) > 1:
        told = "; ".join(f"{label}: {words}" for label, words in how.items())
        said.append(f"The runs were not evaluated in the same way: {told}.")
    if len({run.curves.config.run.threshold for run in runs}) > 1:
        said.append("The runs have different thresholds: none is shown.")
    return said


_OF_AN_EVALUATION = (
    "tasks",
    "shots",
    "episodes",
    "task_seed",
    "out_of_range",
    "solver",
)


def _measured(run: Gathered) -> str:
    """How an evaluation was made, as far as its numbers depend on it."""
    options = (run.evaluation or {}).get("options") or {}
    given = {name: options.get(name) for name in _OF_AN_EVALUATION}
    given["shots"] = given["shots"] or run.curves.config.sampling.num_trajectories
    return ", ".join(
        f"{flag(name)} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in given.items()
        if value is not None
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
