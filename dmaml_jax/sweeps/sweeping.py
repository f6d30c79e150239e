"""A sweep from its settings: it begins in a new folder, or goes on in its own."""

import shlex
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from dmaml_jax.pictures.sweeps import draw_sweep
from dmaml_jax.runs.course import DONE, FAILED
from dmaml_jax.runs.folder import STOPPED, shown
from dmaml_jax.runs.locks import locked
from dmaml_jax.runs.loop import saying_how_to_go_on
from dmaml_jax.runs.stopping import stopping_gently
from dmaml_jax.runs.stored import folder_of
from dmaml_jax.statistics import curve_intervals
from dmaml_jax.sweeps.folder import (
    LEADERBOARD,
    PICTURE,
    ROWS,
    SETTINGS,
    WAVES,
    Sweep,
    create,
    is_finished,
    read,
    setting_folder,
)
from dmaml_jax.sweeps.loop import Training, Verbosity
from dmaml_jax.sweeps.results import (
    Standing,
    curves_of,
    leaderboard,
    short,
    standings,
    write_leaderboard,
    write_rows,
    write_settings,
)
from dmaml_jax.training.hosts import from_first, is_first
from dmaml_jax.training.joining import leave_word

_SHOWN_CURVES = 5


def begin(sweep: Sweep, out: str | None, *, verbosity: Verbosity = "normal") -> int:
    """Train a sweep in a new folder.

    Of several processes, which all call it alike, the first one writes and prints.

    Args:
        sweep: what it is to do.
        out: the folder, or None for a new one under `runs/`.
        verbosity: how much is printed: "quiet", "normal" or "verbose".

    Returns:
        The exit code: 0 done, 1 no seed left alive, 128 + signal if one stopped it.

    Raises:
        UsageError: the folder holds something, or the lanes need too much memory.
        OSError: the disk is full.
    """
    folder = from_first(lambda: create(sweep, out))
    with ExitStack() as held:
        from_first(lambda: _hold(folder, held))
        return _run(sweep, folder, verbosity)


def go_on(run: str, *, waves: int = 0, verbosity: Verbosity = "normal") -> int:
    """Go on with the sweep of a folder.

    Args:
        run: the path of the folder.
        waves: the number of waves of programs that have not begun; 0 leaves it.
        verbosity: how much is printed: "quiet", "normal" or "verbose".

    Returns:
        The exit code, as that of `begin`.

    Raises:
        UsageError: it holds no sweep, or one that cannot go on.
        OSError: the disk is full.
    """
    folder = folder_of(run).resolve()
    sweep = from_first(lambda: read(folder))
    if waves:
        sweep = sweep._replace(waves=waves)
    with ExitStack() as held:
        from_first(lambda: _hold(folder, held))
        if from_first(lambda: _was_finished(folder)):
            return DONE
        return _run(sweep, folder, verbosity)


def _hold(folder: Path, held: ExitStack) -> None:
    held.enter_context(locked(folder))


def _was_finished(folder: Path) -> bool:
    """Whether nothing is left to do, which is then said."""
    if not is_finished(folder):
        return False
    shutil.rmtree(folder / WAVES, ignore_errors=True)
    print(f"{shown(folder)} is finished: see {LEADERBOARD} there.")
    return True


def resume_command(folder: Path) -> str:
    """The command that goes on with a sweep, quoted for a shell."""
    return shlex.join(["dmaml-jax", "sweep", "--resume", shown(folder)])


def _run(sweep: Sweep, folder: Path, verbosity: Verbosity) -> int:
    from_first(lambda: _prepare(folder, verbosity))
    how = f"To go on, with any number of processes: {resume_command(folder)}"
    leave_word(
        f"{how}, and --distributed beside it if there are several.",
        folder / STOPPED if is_first() else None,
    )
    with stopping_gently() as stop:
        stop.kept = lambda: "from the last checkpoint of the lanes in training"
        training = Training(sweep, folder, stop=stop, verbosity=verbosity)
        with saying_how_to_go_on(resume_command(folder)):
            if not training.run():
                if is_first():
                    print(
                        f"{signal.Signals(training.signal).name}: stopped; what was "
                        f"trained is kept. To go on:\n  {resume_command(folder)}"
                    )
                return 128 + training.signal
            rows = from_first(lambda: _conclude(training))
    if verbosity != "quiet" and is_first():
        _tell(sweep, rows, folder)
    if any(row.alive for row in rows):
        return DONE
    if is_first():
        print("No lane is left alive: try smaller step sizes.", file=sys.stderr)
    return FAILED


def _prepare(folder: Path, verbosity: Verbosity) -> None:
    (folder / WAVES).mkdir(exist_ok=True)
    (folder / STOPPED).unlink(missing_ok=True)
    if verbosity != "quiet":
        print(f"sweep folder: {shown(folder)}\ncompiling ...", flush=True)


def _conclude(training: Training) -> list[Standing]:
    """Write everything that a finished sweep has; the leaderboard comes last."""
    sweep, folder = training.sweep, training.folder
    write_settings(training)
    write_rows(sweep, folder)
    runs = curves_of(sweep, folder)
    rows = standings(sweep, runs)
    draw_sweep(
        [{"env": row.env, "algo": row.algo, **row.values} for row in rows],
        [row.final for row in rows],
        {
            _label(row): curve_intervals(runs[row.number - 1].smoothed)
            for row in rows[:_SHOWN_CURVES]
        },
        folder / PICTURE,
        swept=sweep.swept,
    )
    write_leaderboard(sweep, rows, folder)
    shutil.rmtree(folder / WAVES, ignore_errors=True)
    return rows


def _label(row: Standing) -> str:
    values = [f"{n} {short(value)}" for n, value in row.values.items() if value != ""]
    return ", ".join([f"{row.number:03d} {row.algo}", *values])


def _tell(sweep: Sweep, rows: list[Standing], folder: Path) -> None:
    print()
    for line in leaderboard(sweep, rows):
        print(line)
    best = setting_folder(folder, rows[0].number - 1)
    again = ["dmaml-jax", "train", "--config", shown(best)]
    count, after = len(sweep.seeds), sweep.seeds[-1] + 1
    others = after if after + count <= 2**32 else max(sweep.seeds[0] - count, 0)
    again += ["--seed", str(others)]
    if len(rows) > 1:
        print(
            "\nThe best of many looks better than it is, on the seeds that it was "
            f"chosen by. To see it on others:\n  {shlex.join(again)}"
        )
    print(
        f"in {shown(folder)}: {LEADERBOARD}, {ROWS}, {PICTURE}; a run folder for each "
        f"setting in {SETTINGS}"
    )
