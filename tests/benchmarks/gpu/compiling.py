"""Programs that are traced one after another and compiled side by side."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from benchmarks.figures import say


class Candidate:
    """A program to be measured: traced, then compiled, then ready."""

    name: str
    compiled: Any = None
    error: str | None = None
    traced_seconds: float | None = None
    compiled_seconds: float | None = None

    def lower(self) -> Any:
        """Trace; returns what has a method `compile`."""
        raise NotImplementedError

    def prepare(self, compiled: Any) -> None:
        """Make what the first call needs; in a thread, after compiling."""

    def why_not(self) -> str | None:
        """Why it cannot be measured, or None where it can."""
        if self.compiled is not None:
            return None
        return self.error or "it did not compile in time"

    def memory(self) -> float | None:
        """GiB that a call needs beside its arguments and results, if XLA tells."""
        try:
            return self.compiled.memory_analysis().temp_size_in_bytes / 2**30
        except Exception:  # a backend without this analysis has its own way to say so
            return None

    def analysis(self, name: str) -> float | None:
        """A figure of XLA's cost analysis, which counts a loop's body once."""
        try:
            found = self.compiled.cost_analysis()
        except Exception:  # as above
            return None
        # Older releases give a list with one dictionary for each program.
        found = found[0] if isinstance(found, list | tuple) and found else found
        return found.get(name) if isinstance(found, dict) else None


class Compiler:
    """Threads that compile.

    A cold epoch takes XLA many seconds on one core, and there are dozens of programs.
    XLA works outside Python's lock, so they compile side by side in threads; tracing
    needs the lock, so this thread traces one after the other and hands them over.
    While XLA compiles it also times kernels on the GPU, to choose among them, and it
    keeps the cores busy that launch kernels: so a wave compiles to its end before
    anything of it is measured. What is late at a wave's deadline is left out.
    """

    def __init__(self, threads: int) -> None:
        """Make the threads."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compile")
        self._running: dict[Future[None], Candidate] = {}

    def wave(
        self, candidates: Iterable[Candidate], until: float
    ) -> Iterator[list[Candidate]]:
        """Compile those that are new; ends when all are done or at the deadline.

        Args:
            candidates: the most important ones first.
            until: deadline, in seconds of `time.monotonic`.

        Yields:
            The candidates that were traced so far.
        """
        traced = []
        for candidate in candidates:
            if candidate.traced_seconds is not None or candidate.error:
                continue
            if time.monotonic() > until:
                candidate.error = "the budget left no time to compile it"
                continue
            traced.append(candidate)
            self._hand_over(candidate)
            yield traced
        wait(self._running, timeout=max(until - time.monotonic(), 0))
        self.late()
        yield traced

    def late(self) -> list[str]:
        """Names of programs that are still being compiled."""
        self._running = {f: c for f, c in self._running.items() if not f.done()}
        return [candidate.name for candidate in self._running.values()]

    def close(self) -> None:
        """Start no more; what compiles cannot be stopped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self, candidate: Candidate) -> None:
        begin = time.monotonic()
        try:
            lowered = candidate.lower()
        except Exception as error:  # the others go on
            candidate.error = f"tracing failed: {one_line(error)}"
            return
        candidate.traced_seconds = time.monotonic() - begin
        say(f"  {candidate.name}: traced in {candidate.traced_seconds:.1f} s")
        self._running[self._pool.submit(_compile, candidate, lowered)] = candidate


def _compile(candidate: Candidate, lowered: Any) -> None:
    begin = time.monotonic()
    try:
        compiled = lowered.compile()
        candidate.compiled_seconds = time.monotonic() - begin
        candidate.prepare(compiled)
        candidate.compiled = compiled
    except Exception as error:  # out of memory, or a bug in the compiler
        candidate.error = f"compiling failed: {one_line(error)}"
    took = time.monotonic() - begin
    say(f"  {candidate.name}: {candidate.why_not() or f'compiled in {took:.1f} s'}")


def one_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says, short enough for a table."""
    text = str(error).strip().split("\n", 1)[0].replace("|", "/")
    return f"{type(error).__name__}: {text}"[:200]
