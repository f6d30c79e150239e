"""What `--profile` does: a trace of one chunk, and a table of where the time goes.

The first epoch of a profiled run warms up, some more are timed, and the next ones are
traced; then the run goes on as any other. Tracing takes time itself, so that the trace
gives the parts' shares, and the timed epochs the seconds that are shared out.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_csv
from dmaml_jax.runs.course import Course
from dmaml_jax.training.ceilings import Ceilings, measured
from dmaml_jax.training.program import Metrics
from dmaml_jax.training.trace import seconds_by_part

FOLDER, TABLE = "profile", "profile.csv"
_LEAST_EPOCHS = 3
_TIMED, _TRACED = 10, 2


class Line(NamedTuple):
    """A line of the table."""

    what: str
    value: float
    unit: str


def require_epochs(left: int) -> None:
    """Refuse to profile what is over too soon.

    Raises:
        UsageError: there are too few epochs left.
    """
    if left < _LEAST_EPOCHS:
        raise UsageError(
            f"--profile takes {_LEAST_EPOCHS} epochs, one to warm up, one to time and "
            f"one to trace, but the run has {left} left: give more --epochs."
        )


class Profile:
    """The profile of a run, in its folder."""

    def __init__(self, course: Course, folder: Path) -> None:
        """Take a course that has epochs left."""
        require_epochs(course.config.run.epochs - course.epoch)
        self._course = course
        self._folder = folder
        self._chunks = 0
        self._ended = 0.0
        self._seconds = self._host = self._steps = 0.0
        self._parts: dict[str, float] = {}

    def chunk(self) -> Metrics:
        """Do the next chunk: warm up, time, trace, or just go on."""
        self._chunks += 1
        if self._chunks == 1:
            return self._course.chunk(1)
        if self._chunks == 2:
            return self._timed()
        if self._chunks == 3:
            self._host = time.perf_counter() - self._ended
            return self._traced()
        return self._course.chunk()

    def _timed(self) -> Metrics:
        left = self._course.config.run.epochs - self._course.epoch
        begin = time.perf_counter()
        metrics = self._course.chunk(
            min(_TIMED, self._course.program.chunk_epochs, left - 1)
        )
        self._ended = time.perf_counter()
        epochs = len(metrics["loss"])
        self._seconds = (self._ended - begin) / epochs
        self._steps = float(np.sum(metrics["env_steps"], dtype=np.int64)) / epochs
        return metrics

    def _traced(self) -> Metrics:
        place = self._folder / FOLDER
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # it would slow the host down
        before = {*place.rglob("*.xplane.pb")}
        jax.profiler.start_trace(
            str(place), create_perfetto_trace=True, profiler_options=options
        )
        try:
            metrics = self._course.chunk(_TRACED)
        finally:
            jax.profiler.stop_trace()
        (file,) = {*place.rglob("*.xplane.pb")} - before
        self._parts = seconds_by_part(file, self._course.program.text())
        return metrics

    def lines(self) -> list[Line]:
        """The table; empty where the run ended before there was a trace."""
        if not self._parts:
            return []
        program = self._course.program
        devices = program.seed_devices * program.task_devices
        return [
            *self._times(),
            *_arithmetic(self._course, self._seconds, measured(devices)),
        ]

    def write(self, lines: Sequence[Line]) -> None:
        """Write the table as comma-separated text."""
        write_csv(self._folder / TABLE, [Line._fields, *lines])

    def _times(self) -> Iterator[Line]:
        host = self._host / self._course.program.chunk_epochs
        yield Line("epoch", self._seconds + host, "s")
        busy = sum(self._parts.values()) or 1.0
        for name, seconds in self._parts.items():
            share = seconds / busy
            yield Line(name.replace("_", " "), share * self._seconds, "s")
        yield Line("host", host, "s")
        yield Line("environment steps", self._steps, "")


def _arithmetic(course: Course, seconds: float, limits: Ceilings) -> Iterator[Line]:
    program, sampling = course.program, course.config.sampling
    flops = program.flops(-(-sampling.horizon // 20))
    yield Line("FLOP of matrix products", flops, "")
    yield Line("FLOP/s", flops / seconds, "")
    yield Line("FLOP/s of a large matrix product", limits.flops, "")
    yield Line("B/s of a large copy", limits.bytes, "")


def told(lines: Sequence[Line]) -> str:
    """The table for people."""
    width = max(len(line.what) for line in lines)
    return "\n".join(
        f"{line.what:<{width}}  {line.value:>10.4g} {line.unit}".rstrip()
        for line in lines
    )
