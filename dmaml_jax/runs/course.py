"""A program on its way through the epochs: where it stands, and what comes next.

Every process of a run has one and takes the same steps; the first of them keeps what
comes of it (`loop.Run`), and the others follow.
"""

import signal
from typing import Any

import numpy as np

from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.runs.stopping import Stop
from dmaml_jax.training.program import Metrics, Program

DONE, FAILED = 0, 1


class Course:
    """Where a run stands.

    Attributes:
        config: the values of the run.
        program: the compiled program that trains all seeds.
        epoch: how many epochs have been done.
        failed_at: the epoch at which each seed failed, 0 where it has not.
        compile_seconds: how long compiling took, s.
    """

    def __init__(self, config: TrainConfig, program: Program, stop: Stop) -> None:
        """Compile the program.

        Args:
            config: the values of the run, which make sense together.
            program: the program that `build.program_of` made of them.
            stop: what remembers a signal; training ends after the chunk in which
                one came.
        """
        self.config = config
        self.program = program
        self.epoch = 0
        self.failed_at = np.zeros(config.run.seeds, np.int32)
        self._stop = stop
        self.compile_seconds = program.compile()

    def restore(self, epoch: int, state: Any) -> None:
        """Go back to a checkpoint.

        Args:
            epoch: how many epochs had been done at the checkpoint.
            state: the program's state, as the checkpoint holds it.
        """
        self.epoch = epoch
        self.program.restore(state)
        self.failed_at = self.program.failed_at()

    def chunk(self, most: int | None = None) -> Metrics:
        """Do the next epochs, up to a chunk of them or the next checkpoint.

        Args:
            most: how many at most; by default the program decides.
        """
        count = min(
            most or self.program.chunk_epochs,
            self.config.run.epochs - self.epoch,
            self._to_next_checkpoint(),
        )
        metrics = self.program.run(self.epoch, count, self._stop.told)
        self.epoch += count
        self.failed_at = metrics["failed_at"]
        return metrics

    def goes_on(self) -> bool:
        """Whether there are epochs left, and nothing stops it."""
        unfinished = self.epoch < self.config.run.epochs
        alive = not self.failed_at.all() and not self.is_stopped_by_nan()
        return unfinished and alive and not self.signal()

    def is_stopped_by_nan(self) -> bool:
        """Whether a seed failed that stops all of them."""
        return self.config.run.on_nan == "stop" and bool(self.failed_at.any())

    def is_checkpoint_due(self) -> bool:
        """Whether the last chunk ended where a checkpoint is asked for."""
        due = self._to_next_checkpoint() == self.config.run.checkpoint_every
        return due and not self.is_stopped_by_nan()

    def signal(self) -> int:
        """The number of the signal that stops it, 0 without one."""
        return self._stop.agreed(self.program.heard)

    def exit_code(self) -> int:
        """The exit code of a run that ends here."""
        if self.is_stopped_by_nan():
            return FAILED
        if self.signal():
            return 128 + self.signal()
        return FAILED if self.failed_at.all() else DONE

    def signal_name(self) -> str:
        """The name of the signal that stops it."""
        return signal.Signals(self.signal()).name

    def _to_next_checkpoint(self) -> int:
        """Epochs until the next checkpoint is due; a whole period right after one."""
        every = self.config.run.checkpoint_every
        return every - self.epoch % every if every else self.config.run.epochs


def follow(course: Course) -> int:
    """Train beside the first process, which alone keeps what comes of it.

    Returns:
        The exit code, which is the first one's too.
    """
    while course.goes_on():
        course.chunk()
        if course.is_checkpoint_due():
            course.program.seeds_state()  # a gather, which the first one waits for
    if not course.is_stopped_by_nan():
        course.program.seeds_state()
    return course.exit_code()
