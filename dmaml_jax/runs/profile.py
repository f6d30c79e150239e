"""What `--profile` does: a trace of two epochs, and a table of where the time goes.

The first epoch of a profiled run warms up, some more are timed, and the next ones are
traced; then the run goes on as any other. Tracing takes time itself, so the trace gives
the parts' shares, and the timed epochs the seconds that are shared out.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_csv
from dmaml_jax.runs.course import Course
from dmaml_jax.training import trace
from dmaml_jax.training.ceilings import Ceilings, measured
from dmaml_jax.training.program import Metrics

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
        """Take a course that has epochs left, and its run folder."""
        self._course = course
        self._folder = folder
        self._chunks = 0
        self._ended = 0.0
        self._told: trace.Told | None = None
        self._traced_epochs = 1
        self.seconds = self.host = self.steps = 0.0

    def chunk(self) -> Metrics:
        """Do the next chunk: warm up, time, trace, or just go on."""
        self._chunks += 1
        if self._chunks == 1:
            return self._course.chunk(1)
        if self._chunks == 2:
            return self._timed()
        if self._chunks == 3:
            self.host = time.perf_counter() - self._ended
            return self._traced()
        return self._course.chunk()

    def lines(self) -> list[Line]:
        """The table; empty where the run ended before there was a trace."""
        if self._told is None:
            return []
        program = self._course.program
        limits = measured(program.seed_devices * program.task_devices)
        return [*self._times(self._told), *self._arithmetic(self._told, limits)]

    def write(self) -> list[Line]:
        """Write the table into the run folder; returns its lines."""
        lines = self.lines()
        if lines:
            write_csv(self._folder / TABLE, [Line._fields, *lines])
        return lines

    def _timed(self) -> Metrics:
        left = self._course.config.run.epochs - self._course.epoch
        most = min(_TIMED, self._course.program.chunk_epochs, left - 1)
        begin = time.perf_counter()
        metrics = self._course.chunk(most)
        self._ended = time.perf_counter()
        epochs = len(metrics["loss"])
        self.seconds = (self._ended - begin) / epochs
        self.steps = float(np.sum(metrics["env_steps"], dtype=np.int64)) / epochs
        return metrics

    def _traced(self) -> Metrics:
        place = self._folder / FOLDER
        before = {*place.rglob("*.xplane.pb")}
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # it would slow the host down
        jax.profiler.start_trace(
            str(place), create_perfetto_trace=True, profiler_options=options
        )
        try:
            metrics = self._course.chunk(_TRACED)
        finally:
            jax.profiler.stop_trace()
        (file,) = {*place.rglob("*.xplane.pb")} - before
        self._told = trace.read(file, self._course.program.text())
        self._traced_epochs = len(metrics["loss"])
        return metrics

    def _times(self, told: trace.Told) -> Iterator[Line]:
        """Seconds of an epoch by part, and the host's, shared out over a chunk."""
        host = self.host / self._course.program.chunk_epochs
        whole = sum(told.seconds.values())
        yield Line("an epoch", self.seconds + host, "s")
        for name, seconds in told.seconds.items():
            share = seconds / whole if whole else 0.0
            yield Line(f"  {name.replace('_', ' ')}", share * self.seconds, "s")
        yield Line("  host", host, "s")
        yield Line("environment steps", self.steps, "")

    def _arithmetic(self, told: trace.Told, limits: Ceilings) -> Iterator[Line]:
        """FLOPs and bytes, against what the devices reach at most."""
        flops = told.flops / self._traced_epochs
        counted = self._course.program.analysis()
        xla, moved = counted.get("flops", 0.0), counted.get("bytes accessed", 0.0)
        yield Line("FLOP of matrix products", flops, "")
        yield Line("  in a second", flops / self.seconds, "FLOP/s")
        yield Line("XLA's FLOP, loop bodies once", xla, "")
        yield Line("XLA's bytes, loop bodies once", moved, "B")
        yield Line("a large matrix product", limits.flops, "FLOP/s")
        yield Line("a large copy", limits.bytes, "B/s")
        yield Line(
            "share of the matrix product", flops / self.seconds / limits.flops, ""
        )
        if xla and moved:
            roof = min(limits.flops, xla / moved * limits.bytes)
            yield Line("arithmetic intensity", xla / moved, "FLOP/B")
            yield Line("roofline at that intensity", roof, "FLOP/s")
            yield Line("share of the roofline", flops / self.seconds / roof, "")


def table_of(lines: list[Line]) -> str:
    """The table for people."""
    width = max(len(line.what) for line in lines)
    return "\n".join(
        f"{line.what:<{width}}  {line.value:>10.4g} {line.unit}".rstrip()
        for line in lines
    )
