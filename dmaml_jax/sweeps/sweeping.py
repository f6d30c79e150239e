"""A sweep from its settings: it begins in a new folder, or goes on in its own."""

import shlex
import shutil
import sys
from pathlib import Path

from dmaml_jax.pictures.sweeps import draw_sweep
from dmaml_jax.runs.folder import shown
from dmaml_jax.runs.locks import locked
from dmaml_jax.runs.loop import DONE, FAILED, saying_how_to_go_on, stopping_gently
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

_SHOWN_CURVES = 5


def begin(sweep: Sweep, out: str | None, *, verbosity: Verbosity = "normal") -> int:
    """Train a sweep in a new folder.

    Args:
        sweep: what it is to do.
        out: the folder, or None for a new one under `runs/`.
        verbosity: how much is printed.

    Returns:
        The exit code: 0 done, 1 no seed left alive, 128 + signal if one stopped it.

    Raises:
        UsageError: the folder holds something, or the lanes need too much memory.
        OSError: the disk is full.
    """
    folder = create(sweep, out)
    with locked(folder):
        return _run(sweep, folder, verbosity)


def go_on(run: str, *, waves: int = 0, verbosity: Verbosity = "normal") -> int:
    """Go on with the sweep of a folder.

    Args:
        run: the path of the folder.
        waves: the number of waves of programs that have not begun; 0 leaves it.
        verbosity: how much is printed.

    Returns:
        The exit code, as that of `begin`.

    Raises:
        UsageError: it holds no sweep, or one that cannot go on.
        OSError: the disk is full.
    """
    folder = folder_of(run).resolve()
    sweep = read(folder)
    if waves:
        sweep = sweep._replace(waves=waves)
    with locked(folder):
        if is_finished(folder):
            shutil.rmtree(folder / WAVES, ignore_errors=True)
            print(f"{shown(folder)} is finished: see {LEADERBOARD} there.")
            return DONE
        return _run(sweep, folder, verbosity)


def resume_command(folder: Path) -> str:
    """The command that goes on with a sweep, quoted for a shell."""
    return shlex.join(["dmaml-jax", "sweep", "--resume", shown(folder)])


def _run(sweep: Sweep, folder: Path, verbosity: Verbosity) -> int:
    (folder / WAVES).mkdir(exist_ok=True)
    if verbosity != "quiet":
        print(f"sweep folder: {shown(folder)}\ncompiling ...", flush=True)
    with stopping_gently() as stop:
        stop.kept = lambda: "from the last checkpoint of the lanes in training"
        training = Training(sweep, folder, stop=stop, verbosity=verbosity)
        with saying_how_to_go_on(resume_command(folder)):
            if not training.run():
                assert stop.received
                print(
                    f"{stop.received.name}: stopped; what was trained is kept. To go "
                    f"on:\n  {resume_command(folder)}"
                )
                return 128 + stop.received
            rows = _conclude(training)
    if verbosity != "quiet":
        _tell(sweep, rows, folder)
    if any(row.alive for row in rows):
        return DONE
    print("No lane is left alive: try smaller step sizes.", file=sys.stderr)
    return FAILED


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
