"""A wave: lanes that one program trains at once, and what it has written.

Its folder is that of a run whose seeds are lanes: metrics.csv, and the last checkpoint.
A lane is counted over the whole sweep: setting · seeds + seed, each from 0.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_text
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.metrics import FILE, MetricsWriter, read_metrics, whole_epochs
from dmaml_jax.runs.progress import Progress
from dmaml_jax.runs.stopping import Stop
from dmaml_jax.statistics import ema
from dmaml_jax.training.hosts import from_first, is_first
from dmaml_jax.training.program import Metrics, Program


class Before(NamedTuple):
    """What lanes bring along that begin in the middle.

    Attributes:
        epoch: the epochs that they have done.
        state: the state of these lanes after those epochs.
        lines: makes the lines of their metrics.csv so far; for the first process.
    """

    epoch: int
    state: Any
    lines: Callable[[], list[str]]


class Wave:
    """Lanes, and the folder in which they are trained.

    Attributes:
        folder: the folder of the wave.
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
        before: Before | None,
        stop: Stop,
        progress: Progress,
    ) -> int:
        """Train the lanes, which the program has taken, up to an epoch.

        Args:
            program: the compiled program, at its beginning.
            config: the configuration of one of the settings.
            end: the epoch at which training ends.
            before: what the lanes bring along, where they begin in the middle.
            stop: what remembers a signal; it is asked after each chunk.
            progress: what tells a person where training stands.

        Returns:
            The epoch reached.

        Raises:
            OSError: the disk is full; what was written before is whole.
        """
        epoch, failed = self._begin(program, before)
        log = _Log(self, epoch, progress) if is_first() else None
        saved, every = epoch, config.run.checkpoint_every
        while epoch < end and not stop.agreed(program.heard):
            due = every - epoch % every if every else end
            count = min(program.chunk_epochs, end - epoch, due)
            metrics, seconds = _chunk(program, epoch, count, failed, stop)
            if log:
                log.note(epoch, metrics, seconds, failed)
            failed, epoch = metrics["failed_at"], epoch + count
            if every and epoch % every == 0:
                self._save(epoch, program)
                saved = epoch
        progress.close()
        if saved != epoch:
            self._save(epoch, program)
        return epoch

    def _save(self, epoch: int, program: Program) -> None:
        state = program.seeds_state()
        if is_first():
            self._checkpoints.save(epoch, state)

    def _begin(self, program: Program, before: Before | None) -> tuple[int, np.ndarray]:
        """Where the lanes go on: from a checkpoint, an earlier rung, or the start."""
        like = program.shapes()
        found = from_first(lambda: self.state(like))
        epoch = 0
        if found is not None:
            epoch, state = found
            program.restore(state)
        elif before is not None:
            epoch = before.epoch
            program.restore(before.state)
        if is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            if found is None and before is not None:
                write_text(self.folder / FILE, "\n".join(before.lines()) + "\n")
        return epoch, program.failed_at()


class _Log:
    """The first process's metrics.csv of a wave, and what it shows of them."""

    def __init__(self, wave: Wave, epoch: int, progress: Progress) -> None:
        self._lanes = wave.lanes
        self._progress = progress
        self._writer = MetricsWriter(wave.folder, wave.lanes, epoch)
        self._smoothed: Sequence[np.ndarray] | np.ndarray = []
        if epoch:
            self._smoothed = ema(read_metrics(wave.folder)["return_after"])[-1:]
        progress.begin(epoch, self._writer.seconds)

    def note(
        self, epoch: int, metrics: Metrics, seconds: float, failed: np.ndarray
    ) -> None:
        """Write a chunk and show where the lanes stand.

        Args:
            epoch: how many epochs were done before the chunk.
            metrics: the metrics of the chunk, by name.
            seconds: how long the chunk took, s.
            failed: the epochs at which lanes had failed before.
        """
        writer, now_failed = self._writer, metrics["failed_at"]
        writer.append(epoch, metrics, writer.seconds, writer.seconds + seconds)
        for lane in np.flatnonzero((failed == 0) & (now_failed > 0)):
            self._progress.say(
                f"lane {self._lanes[lane] + 1} is frozen from epoch "
                f"{now_failed[lane]} on: no longer finite",
                detail=True,
            )
        past = [*self._smoothed, *metrics["return_after"]]
        self._smoothed = ema(np.array(past))[-1:]
        alive = np.where(now_failed > 0, np.nan, self._smoothed[-1])
        done = epoch + len(metrics["loss"])
        self._progress.update(done, writer.seconds, int(writer.env_steps.sum()), alive)


def _chunk(
    program: Program, epoch: int, count: int, failed: np.ndarray, stop: Stop
) -> tuple[dict[str, np.ndarray], float]:
    """Metrics of some epochs, and the seconds that they took."""
    if failed.all():  # nothing would change any more
        nothing = np.full((count, len(failed)), np.nan)
        names = ("loss", "return_after", "env_steps")
        return {**dict.fromkeys(names, nothing), "failed_at": failed}, 0.0
    return timed(lambda: program.run(epoch, count, stop.told))


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds that it took."""
    start = time.perf_counter()
    found = act()
    return found, time.perf_counter() - start
