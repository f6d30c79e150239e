"""Reading what a report shows from a run folder; what is not there becomes None."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dmaml_jax.results.curves import Curves, read_runs
from dmaml_jax.results.wording import interval_of
from dmaml_jax.runs.stored import read_record

MOST_EPISODES = 3


class Gathered(NamedTuple):
    """A run with everything that a report shows of it.

    Attributes:
        curves: the run's learning curves and its configuration.
        record: what the run's config.json holds.
        evaluation: what its evaluation.json holds; None if it is missing or broken.
        tasks: means over the seeds of the meta-learned start, `[tasks]`, by kind of
            tasks and by column: the parameters, and `return_0` and on.
        episodes: the rendered GIFs, the newest first, `MOST_EPISODES` at most.
        left_out: the number of older GIFs that the page does not show.
    """

    curves: Curves
    record: dict[str, Any]
    evaluation: dict[str, Any] | None
    tasks: dict[str, dict[str, np.ndarray]]
    episodes: list[Path]
    left_out: int

    @property
    def step(self) -> int:
        """The number of adaptation steps that the page looks at: as in training."""
        assert self.evaluation is not None
        most = max(len(row["returns"]) for row in self.evaluation["rows"]) - 1
        return min(self.curves.config.learner.num_adaptations, most)

    @property
    def epoch(self) -> int:
        """The number of epochs that the run has done."""
        return len(self.curves.smoothed)

    @property
    def evaluated_at(self) -> int | None:
        """The epoch at which the run was evaluated; None where the file says none."""
        epoch = (self.evaluation or {}).get("epoch")
        return epoch if isinstance(epoch, int) else None

    @property
    def is_stale(self) -> bool:
        """Whether the evaluation is not known to be of the run as it is now."""
        return self.evaluation is not None and self.evaluated_at != self.epoch

    @property
    def frozen(self) -> dict[int, int]:
        """The epoch from which on each frozen seed has no numbers, by seed."""
        finite = np.isfinite(self.curves.smoothed)
        return {
            seed: int(np.argmin(alive)) + 1
            for seed, alive in zip(self.curves.seeds, finite.T, strict=True)
            if not alive.all()
        }


def gather(folders: Sequence[str]) -> list[Gathered]:
    """Read everything that a report shows from run folders.

    Raises:
        UsageError: one of them holds no run, or no finished epoch.
    """
    return [_gathered(curves) for curves in read_runs(folders)]


def _gathered(curves: Curves) -> Gathered:
    folder = curves.folder
    evaluation = _evaluation(folder)
    # Of other names, such as episode-gravity=12.gif, is none but what render writes.
    gifs = sorted(
        folder.glob("episode-*.gif"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    return Gathered(
        curves,
        read_record(folder),
        evaluation,
        _tasks(folder, evaluation.get("epoch")) if evaluation else {},
        gifs[:MOST_EPISODES],
        len(gifs[MOST_EPISODES:]),
    )


def rendered_at(path: Path) -> int | None:
    """The epoch whose policy a rendered episode shows; None where it does not say."""
    try:
        with Image.open(path) as film:
            comment = film.info.get("comment", b"")
    except (OSError, ValueError):
        return None
    found = re.fullmatch(rb"epoch (\d+)", comment)
    return int(found[1]) if found else None


def _evaluation(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / "evaluation.json").read_text("utf-8"))
        for row in found["rows"]:
            _require_row(row)
        whole = found["rows"] and found["command"] and found["parameters"] is not None
        return found if whole else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _require_row(row: dict[str, Any]) -> None:
    """Look at all that the page takes of a row; what is not there raises."""
    steps = len(row["returns"])
    if not (steps == len(row["gains"]) == len(row["negative_shares"]) > 0):
        raise ValueError
    for each in (*row["returns"], *row["gains"]):
        interval_of(each)
    int(row["num_tasks"])
    if not {"policy", "set"} <= set(row):
        raise KeyError


def _tasks(folder: Path, epoch: Any) -> dict[str, dict[str, np.ndarray]]:
    """Means over the seeds, task by task; nothing if they are of another epoch."""
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with open(folder / "evaluation.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["policy"] == "meta"]
        if any(row.get("epoch") not in (None, str(epoch)) for row in rows):
            return {}
        for kind in dict.fromkeys(row["set"] for row in rows):
            own = [row for row in rows if row["set"] == kind]
            numbers = [int(row["task"]) for row in own]
            which = np.unique(numbers, return_inverse=True)[1]
            counts = np.bincount(which)
            columns = [name for name in own[0] if name not in _NOT_NUMBERS]
            found[kind] = {
                name: np.bincount(which, [float(row[name]) for row in own]) / counts
                for name in columns
            }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found


_NOT_NUMBERS = ("policy", "set", "task", "seed", "epoch")
