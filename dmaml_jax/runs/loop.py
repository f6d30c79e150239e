"""The host's side of a run: what happens between chunks of epochs."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.pictures.plots import draw_curves
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.folder import resume_command, shown, write_params
from dmaml_jax.runs.metrics import MetricsWriter, read_metrics
from dmaml_jax.runs.progress import Progress
from dmaml_jax.runs.sinks import Sink
from dmaml_jax.statistics import ema, epochs_to_threshold
from dmaml_jax.training.program import Metrics, Program

DONE, FAILED = 0, 1
_EMA_FACTOR = 0.9


class Stop:
    """Whether a signal asked to stop, and which.

    Attributes:
        received: the first signal, None before there is one.
        kept: from what a run goes on that is stopped at once, in words.
    """

    def __init__(self) -> None:
        """Nothing is received yet, and nothing kept."""
        self.received: signal.Signals | None = None
        self.kept: Callable[[], str] = lambda: "from the beginning"

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Remember the first signal and say so; a second one stops at once."""
        if self.received is not None:
            _say_now(f"stopped at once; --resume goes on {self.kept()}")
            os._exit(128 + number)
        self.received = signal.Signals(number)
        _say_now(
            f"{self.received.name}: finishing the chunk of epochs and keeping it; "
            "again to stop at once"
        )


def _say_now(line: str) -> None:
    """To standard error past Python's buffers, which the signal may have interrupted.

    A reader that has gone away must not keep a run from stopping well.
    """
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode("utf-8", "backslashreplace"))


@contextmanager
def stopping_gently() -> Iterator[Stop]:
    """Ctrl-C, SIGTERM and SIGHUP take effect at the end of a chunk.

    One that is ignored, as SIGHUP is under nohup, stays so.
    """
    stop = Stop()
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def saying_how_to_go_on(command: str) -> Iterator[None]:
    """A disk that fills up is told with the command that goes on afterwards.

    Raises:
        OSError: the one that came, in those words.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror or error}: make room, then go on with {command}",
        ) from error


class Run:
    """A program, its folder, and where they stand."""

    def __init__(
        self,
        config: TrainConfig,
        program: Program,
        folder: Path,
        *,
        stop: Stop,
        progress: Progress,
    ) -> None:
        """Take a program that is not yet compiled, and a folder that holds config.json.

        Args:
            config: the values of the run, which make sense together.
            program: the program that `build.program_of` made of them.
            folder: the run folder, which the caller has locked.
            stop: what remembers a signal; training ends after the chunk in which
                one came.
            progress: what tells a person where training stands.
        """
        self.config = config
        self.program = program
        self.folder = folder
        self.seeds = config.seed_numbers
        self.stop = stop
        self.progress = progress
        self.checkpoints = Checkpoints(folder, config.run.keep_checkpoints)
        stop.kept = self._kept
        self.smoothed: np.ndarray | None = None
        self.failed_at = np.zeros(len(self.seeds), np.int32)
        self.epoch = 0
        self.compile_seconds = program.compile()

    def restore(self, epoch: int, state: Any) -> None:
        """Go back to a checkpoint; later ones, which cannot be used, are set aside.

        Args:
            epoch: the epochs done.
            state: what the checkpoint holds.
        """
        self.epoch = epoch
        self.program.restore(state)
        self.failed_at = self.program.failed_at()
        if aside := self.checkpoints.set_aside(epoch):
            self.progress.warn(
                f"Later checkpoints are kept as {', '.join(aside)}; remove them once "
                "they are of no use."
            )

    def train(self, sink: Sink) -> int:
        """Run to the end, or until something stops it.

        Args:
            sink: a second place for everything that metrics.csv gets.

        Returns:
            The exit code.

        Raises:
            OSError: the disk is full; what was written before is whole.
        """
        self.writer = MetricsWriter(self.folder, self.seeds, self.epoch)
        if self.epoch:
            self._smooth(read_metrics(self.folder)["return_after"])
        self.progress.begin(self.epoch, self.writer.seconds)
        try:
            while self._goes_on():
                self._chunk(sink)
        finally:
            self.progress.close()
            sink.close()
        if self._stopped_by_nan():
            return self._say_nan()
        metrics = read_metrics(self.folder)
        self._keep(metrics)
        return self._report(metrics)

    def _kept(self) -> str:
        """From what the run would go on now."""
        written = self.checkpoints.epochs()
        if not written:
            return "from the beginning, as no checkpoint was due yet"
        return f"after epoch {written[-1]}, the last checkpoint; {self.epoch} were done"

    def _goes_on(self) -> bool:
        unfinished = self.epoch < self.config.run.epochs
        alive = not self.failed_at.all() and not self._stopped_by_nan()
        return unfinished and alive and not self.stop.received

    def _stopped_by_nan(self) -> bool:
        return self.config.run.on_nan == "stop" and bool(self.failed_at.any())

    def _chunk(self, sink: Sink) -> None:
        num_epochs = min(
            self.program.chunk_epochs,
            self.config.run.epochs - self.epoch,
            self._to_next_checkpoint(),
        )
        start = time.perf_counter()
        metrics = self.program.run(self.epoch, num_epochs)
        before = self.writer.seconds
        after = before + time.perf_counter() - start
        self.writer.append(self.epoch, metrics, before, after)
        sink.write(self.epoch, metrics)
        self._notice_failures(metrics)
        self._smooth(metrics["return_after"])
        self.epoch += num_epochs
        if self._to_next_checkpoint() == self.config.run.checkpoint_every:
            self._checkpoint()
        assert self.smoothed is not None
        self.progress.update(
            self.epoch, after, int(self.writer.env_steps.sum()), self.smoothed
        )
        self.progress.detail(self.epoch, metrics)

    def _to_next_checkpoint(self) -> int:
        """Epochs until the next checkpoint is due; a whole period right after one."""
        every = self.config.run.checkpoint_every
        return every - self.epoch % every if every else self.config.run.epochs

    def _checkpoint(self) -> None:
        if not self._stopped_by_nan():
            self.checkpoints.save(self.epoch, self.program.seeds_state())
            self.progress.say(f"checkpoint of epoch {self.epoch}", detail=True)

    def _notice_failures(self, metrics: Metrics) -> None:
        for lane in np.flatnonzero((self.failed_at == 0) & (metrics["failed_at"] > 0)):
            self.progress.warn(
                f"seed {self.seeds[lane]} is frozen from epoch "
                f"{metrics['failed_at'][lane]} on: its loss, meta-gradient or "
                "parameters are no longer finite"
            )
        self.failed_at = metrics["failed_at"]

    def _smooth(self, returns: np.ndarray) -> None:
        past = [] if self.smoothed is None else [self.smoothed]
        latest = ema(np.array([*past, *returns]), _EMA_FACTOR)[-1]
        self.smoothed = np.where(self.failed_at > 0, np.nan, latest)

    def _keep(self, metrics: Metrics) -> None:
        """Write the files of the end, also where the run was stopped before.

        The checkpoint comes last: where it is, everything else is there too.
        """
        write_params(self.folder, self.program.params(), self.seeds)
        if self.epoch:
            draw_curves(
                metrics,
                self.folder / "curves.png",
                title=f"{self.config.run.algo} on {self.config.run.env}",
                threshold=self.config.run.threshold,
            )
            if self.epoch not in self.checkpoints.epochs():
                self._checkpoint()

    def _say_nan(self) -> int:
        lane = int(np.argmax(self.failed_at > 0))
        written = self.checkpoints.epochs()
        last = (
            f"the last good checkpoint is {shown(self.folder)}/checkpoints/"
            f"{written[-1]}, of epoch {written[-1]}"
            if written
            else "no checkpoint was due before (--checkpoint-every)"
        )
        self.progress.warn(
            f"Stopped: seed {self.seeds[lane]} is no longer finite at epoch "
            f"{self.failed_at[lane]}; {last}. Try smaller step sizes."
        )
        return FAILED

    def _report(self, metrics: Metrics) -> int:
        if self.epoch:
            self._print_table(ema(metrics["return_after"], _EMA_FACTOR))
        if self.stop.received:
            self.progress.say(
                f"{self.stop.received.name}: stopped after epoch {self.epoch} of "
                f"{self.config.run.epochs}; everything up to there is in the run "
                f"folder. To go on:\n  {resume_command(self.folder)}"
            )
            return 128 + self.stop.received
        if self.failed_at.all():
            self.progress.warn("No seed is left alive: try smaller step sizes.")
            return FAILED
        return DONE

    def _print_table(self, smoothed: np.ndarray) -> None:
        threshold = self.config.run.threshold
        reached, head = [""] * len(self.seeds), ""
        if threshold is not None:
            first = epochs_to_threshold(smoothed, threshold)
            reached = [str(epoch or "never") for epoch in first]
            head = f"epochs to {threshold:g}"
        self.progress.say(f"\n{'seed':>6}  {head:>13}  final return")
        for lane, seed in enumerate(self.seeds):
            failed = self.failed_at[lane]
            final = smoothed[-1, lane]
            end = f"frozen at epoch {failed}" if failed else f"{final:.1f}"
            self.progress.say(f"{seed:>6}  {reached[lane]:>13}  {end:>12}")
        self.progress.say(
            f"\n{self.writer.seconds:.1f} s training, {self.compile_seconds:.1f} s "
            f"compiling, {self.writer.env_steps.sum():,} environment steps"
        )
        names = sorted(path.name for path in self.folder.iterdir())
        visible = ", ".join(name for name in names if not name.startswith("."))
        self.progress.say(f"in {shown(self.folder)}: {visible}")
