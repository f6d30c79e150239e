"""A wave: lanes that one program trains at once, and what it has written.

Its folder is that of a run whose seeds are lanes: metrics.csv, and the last checkpoint.
A lane is counted over the whole sweep: setting · seeds + seed, each from 0.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_text
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.loop import Stop
from dmaml_jax.runs.metrics import FILE, MetricsWriter, read_metrics, whole_epochs
from dmaml_jax.runs.progress import Progress
from dmaml_jax.statistics import ema
from dmaml_jax.training.program import Program


class Wave:
    """Lanes, and the folder in which they are trained.

    Attributes:
        folder: of the wave.
        lanes: their numbers, in the order of the program's.
    """

    def __init__(self, folder: Path, lanes: Sequence[int]) -> None:
        """Take a folder that may not exist yet."""
        self.folder = folder
        self.lanes = list(lanes)
        self._checkpoints = Checkpoints(folder, keep=1)

    def state(self, like: Any) -> tuple[int, Any] | None:
        """Epoch and state of the last checkpoint; None where there is none.

        Args:
            like: the state of any number of lanes, or its shapes.

        Raises:
            UsageError: there are checkpoints, and none that can be used.
        """
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(self.lanes), *x.shape[1:]), x.dtype),
            like,
        )
        causes: list[str] = []
        rows = whole_epochs(self.folder, self.lanes)
        found = self._checkpoints.latest(shapes, at_most=rows, say=causes.append)
        if found is None and self._checkpoints.epochs():
            causes.append(f"metrics.csv there holds whole rows up to epoch {rows}.")
            raise UsageError(
                f"{self.folder} holds no checkpoint that can be used. "
                f"{' '.join(causes)} Remove that folder to train its lanes anew."
            )
        return found

    def rows(self) -> tuple[list[str], dict[int, list[list[str]]]]:
        """Names of the columns, and the cells of each lane's rows."""
        head, *lines = (self.folder / FILE).read_text().splitlines()
        found: dict[int, list[list[str]]] = {lane: [] for lane in self.lanes}
        for line in lines:
            cells = line.split(",")
            found[int(cells[1])].append(cells)
        return head.split(","), found

    def train(
        self,
        program: Program,
        config: TrainConfig,
        end: int,
        *,
        before: tuple[int, Any, list[str], dict[int, list[list[str]]]] | None,
        stop: Stop,
        progress: Progress,
    ) -> int:
        """Train the lanes, which the program has taken, up to an epoch.

        Args:
            program: compiled, and at its beginning.
            config: of one of the settings.
            end: the epoch.
            before: where the lanes begin in the middle, the epochs done, their state,
                and their columns and rows so far.
            stop: asked after each chunk.
            progress: what tells a person.

        Returns:
            The epoch reached.

        Raises:
            OSError: the disk is full; what was written before is whole.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        epoch, failed = self._begin(program, before)
        writer = MetricsWriter(self.folder, self.lanes, epoch)
        saved = epoch
        smoothed = ema(read_metrics(self.folder)["return_after"])[-1:] if epoch else []
        progress.begin(epoch, writer.seconds)
        every = config.run.checkpoint_every
        while epoch < end and not stop.received:
            due = every - epoch % every if every else end
            count = min(program.chunk_epochs, end - epoch, due)
            metrics, seconds = _chunk(program, epoch, count, failed)
            writer.append(epoch, metrics, writer.seconds, writer.seconds + seconds)
            for lane in np.flatnonzero((failed == 0) & (metrics["failed_at"] > 0)):
                progress.say(
                    f"lane {self.lanes[lane] + 1} is frozen from epoch "
                    f"{metrics['failed_at'][lane]} on: no longer finite",
                    detail=True,
                )
            failed, epoch = metrics["failed_at"], epoch + count
            smoothed = ema(np.array([*smoothed, *metrics["return_after"]]))[-1:]
            if every and epoch % every == 0:
                self._checkpoints.save(epoch, program.seeds_state())
                saved = epoch
            now = np.where(failed > 0, np.nan, smoothed[-1])
            steps = int(writer.env_steps.sum())
            progress.update(epoch, writer.seconds, steps, now)
        progress.close()
        if saved != epoch:
            self._checkpoints.save(epoch, program.seeds_state())
        return epoch

    def _begin(self, program: Program, before: Any) -> tuple[int, np.ndarray]:
        """Where the lanes go on: from a checkpoint, an earlier rung, or the start."""
        found = self.state(program.shapes())
        if found is not None:
            program.restore(found[1])
            return found[0], program.failed_at()
        if before is None:
            return 0, program.failed_at()
        epoch, state, columns, rows = before
        program.restore(state)
        lines = [",".join(columns)]
        for index in range(epoch):
            lines += [",".join(rows[lane][index]) for lane in self.lanes]
        write_text(self.folder / FILE, "\n".join(lines) + "\n")
        return epoch, program.failed_at()


def _chunk(
    program: Program, epoch: int, count: int, failed: np.ndarray
) -> tuple[dict[str, np.ndarray], float]:
    """Metrics of some epochs, and the seconds that they took."""
    if failed.all():  # nothing would change any more
        nothing = np.full((count, len(failed)), np.nan)
        names = ("loss", "return_after", "env_steps")
        return {**dict.fromkeys(names, nothing), "failed_at": failed}, 0.0
    return timed(lambda: program.run(epoch, count))


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds that it took."""
    start = time.perf_counter()
    found = act()
    return found, time.perf_counter() - start
