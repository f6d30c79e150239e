"""The first process's side of a run: what it keeps between chunks of epochs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.pictures.plots import draw_curves
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.course import Course
from dmaml_jax.runs.folder import resume_command, shown, write_params
from dmaml_jax.runs.metrics import MetricsWriter, read_metrics
from dmaml_jax.runs.profile import FOLDER as PROFILE
from dmaml_jax.runs.profile import TABLE, Profile, table_of
from dmaml_jax.runs.progress import Progress
from dmaml_jax.runs.sinks import Sink
from dmaml_jax.runs.stopping import Stop
from dmaml_jax.statistics import ema, epochs_to_threshold
from dmaml_jax.training.program import Metrics

_EMA_FACTOR = 0.9


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
    """A run on its course, its folder, and what a person sees of it."""

    def __init__(
        self,
        course: Course,
        folder: Path,
        *,
        stop: Stop,
        progress: Progress,
        profile: bool = False,
    ) -> None:
        """Take a course at its beginning, and a folder that holds config.json.

        Args:
            course: the run's program on its way, at its beginning.
            folder: the run folder, which the caller has locked.
            stop: what remembers a signal, and says what is kept.
            progress: what tells a person where training stands.
            profile: whether some of its epochs are timed and traced.
        """
        self.course = course
        self.config = course.config
        self.folder = folder
        self.seeds = course.config.seed_numbers
        self.progress = progress
        self.checkpoints = Checkpoints(folder, self.config.run.keep_checkpoints)
        stop.kept = self._kept
        self.smoothed: np.ndarray | None = None
        self.failed_at = course.failed_at
        self._profile = Profile(course, folder) if profile else None

    def restore(self, epoch: int, state: Any) -> None:
        """Go back to a checkpoint; later ones, which cannot be used, are set aside.

        Args:
            epoch: how many epochs had been done at the checkpoint.
            state: the program's state, as the checkpoint holds it.
        """
        self.course.restore(epoch, state)
        self.failed_at = self.course.failed_at
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
        epoch = self.course.epoch
        self.writer = MetricsWriter(self.folder, self.seeds, epoch)
        if epoch:
            self._smooth(read_metrics(self.folder)["return_after"])
        self.progress.begin(epoch, self.writer.seconds)
        try:
            while self.course.goes_on():
                self._chunk(sink)
        finally:
            self.progress.close()
            sink.close()
        if self.course.is_stopped_by_nan():
            self._say_nan()
        else:
            metrics = read_metrics(self.folder)
            self._keep(metrics)
            self._report(metrics)
        if self._profile:
            self._tell(self._profile)
        return self.course.exit_code()

    def _tell(self, profile: Profile) -> None:
        """Write and print where an epoch's time went."""
        lines = profile.write()
        if lines:
            self.progress.say(
                f"\n{table_of(lines)}\nin {shown(self.folder)}: {TABLE}, and in "
                f"{PROFILE} a trace for Perfetto or TensorBoard"
            )

    def _kept(self) -> str:
        """From what the run would go on now."""
        written = self.checkpoints.epochs()
        if not written:
            return "from the beginning, as no checkpoint was due yet"
        return (
            f"after epoch {written[-1]}, the last checkpoint; {self.course.epoch} were "
            "done"
        )

    def _chunk(self, sink: Sink) -> None:
        first, start = self.course.epoch, time.perf_counter()
        metrics = (self._profile or self.course).chunk()
        before = self.writer.seconds
        after = before + time.perf_counter() - start
        self.writer.append(first, metrics, before, after)
        sink.write(first, metrics)
        self._notice_failures(metrics)
        self._smooth(metrics["return_after"])
        epoch = self.course.epoch
        if self.course.is_checkpoint_due():
            self._checkpoint(self.course.program.seeds_state())
        assert self.smoothed is not None
        self.progress.update(
            epoch, after, int(self.writer.env_steps.sum()), self.smoothed
        )
        self.progress.detail(epoch, metrics)

    def _checkpoint(self, state: Any) -> None:
        epoch = self.course.epoch
        self.checkpoints.save(epoch, state)
        self.progress.say(f"checkpoint of epoch {epoch}", detail=True)

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
        state, epoch = self.course.program.seeds_state(), self.course.epoch
        write_params(self.folder, state.learner.params, self.seeds)
        if epoch:
            draw_curves(
                metrics,
                self.folder / "curves.png",
                title=f"{self.config.run.algo} on {self.config.run.env}",
                threshold=self.config.run.threshold,
            )
            if epoch not in self.checkpoints.epochs():
                self._checkpoint(state)

    def _say_nan(self) -> None:
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

    def _report(self, metrics: Metrics) -> None:
        epoch = self.course.epoch
        if epoch:
            self._print_table(ema(metrics["return_after"], _EMA_FACTOR))
        if self.course.signal():
            self.progress.say(
                f"{self.course.signal_name()}: stopped after epoch {epoch} of "
                f"{self.config.run.epochs}; everything up to there is in the run "
                f"folder. To go on:\n  {resume_command(self.folder)}"
            )
        elif self.failed_at.all():
            self.progress.warn("No seed is left alive: try smaller step sizes.")

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
            f"\n{self.writer.seconds:.1f} s training, "
            f"{self.course.compile_seconds:.1f} s compiling, "
            f"{self.writer.env_steps.sum():,} environment steps"
        )
        names = sorted(path.name for path in self.folder.iterdir())
        visible = ", ".join(name for name in names if not name.startswith("."))
        self.progress.say(f"in {shown(self.folder)}: {visible}")
