"""How processes come together, and how a job ends when one of them dies.

JAX's distributed runtime does both. Each process sends it heartbeats; where one's stay
out, it ends all others at once, from a thread of its own and past Python. A process's
last words are therefore left with a child of it beforehand.
"""

import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax

from dmaml_jax.errors import UsageError
from dmaml_jax.training import last_words

HEARTBEAT_SECONDS = 30
"""After so long without a sign of life a process is taken for dead."""
START_SECONDS = 300
"""So long processes wait for each other at the start."""
_END_SECONDS = 3600  # the first process may have much to write
# How errors begin that XLA raises where another process is gone.
_GONE = re.compile(
    "(UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED):"
)
_LEAVING_SECONDS = 10  # an error that all have takes no longer to reach them


class LastWords:
    """What is said, and written into a file, should this process end unexpectedly."""

    _current: "LastWords | None" = None

    def __init__(self) -> None:
        """Start the child that waits for the end."""
        command = [sys.executable, "-I", "-S", last_words.__file__]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, start_new_session=True
        )
        LastWords._current = self

    def are(self, words: str, file: Path | None = None) -> None:
        """Settle them; empty ones are not said.

        Args:
            words: the last words, which are said if this process dies.
            file: the file that is to hold them, in a folder that exists.
        """
        assert self._child.stdin is not None
        content = f"{words}{last_words.OF}{file or ''}{last_words.NEXT}"
        with suppress(OSError):  # the child was killed: then nobody says them
            self._child.stdin.write(content.encode("utf-8", "surrogateescape"))
            self._child.stdin.flush()

    def forget(self) -> None:
        """End well, without a word."""
        self.are("")
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.close()
        self._child.wait()
        LastWords._current = None


def leave_word(how_to_go_on: str, file: Path | None = None) -> None:
    """Say how to go on, should this process or another one die; alone it does nothing.

    Args:
        how_to_go_on: a sentence that says how to go on with what was interrupted.
        file: the file that is to hold the last words, on the first process.
    """
    if LastWords._current is not None:
        who = f"process {jax.process_index()} of {jax.process_count()} (from 0)"
        LastWords._current.are(f"{_ended(who)} {how_to_go_on}", file)


@contextmanager
def joined(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Iterator[None]:
    """Run as one of several processes, which do the same and end together.

    Args:
        coordinator: `HOST:PORT` of the first process, whose port it opens; None leaves
            it to what JAX finds of SLURM or Open MPI.
        num_processes: how many processes there are; None leaves it to JAX as well.
        process_id: the number of this process, from 0; None leaves it to JAX as well.

    Raises:
        UsageError: they do not find each other.
    """
    last = LastWords()
    last.are(f"error: {_not_met()}")  # JAX aborts whoever has waited for too long
    try:
        _connect(coordinator, num_processes, process_id)
    except BaseException:
        last.forget()
        raise
    last.are(_ended("this process"))
    try:
        yield
    except SystemExit:
        last.forget()
        raise
    except UsageError as error:  # of all processes alike, most of the time
        last.forget()
        print(f"error: {error}", file=sys.stderr)
        _leave(2)
    except OSError as error:
        what = error.strerror or error
        print(f"error: {what}; what was written before is whole.", file=sys.stderr)
        _leave(1, wait=False)
    except Exception as error:
        # On a CPU a collective fails as soon as its other end is gone.
        if _GONE.match(str(error)):
            print(f"note: {_in_a_line(error)}", file=sys.stderr)
        else:
            traceback.print_exc()
        _leave(1, wait=False)
    jax.distributed.shutdown()
    last.forget()


def _connect(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, which is to stop a run gently.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_END_SECONDS,
        )
    except ValueError as error:
        if coordinator is not None:
            raise
        raise UsageError(
            "--distributed finds neither SLURM nor Open MPI around it "
            f"({str(error).rstrip('.')}): give --coordinator HOST:PORT, "
            "--num-processes and --process-id."
        ) from None
    except RuntimeError as error:
        raise UsageError(f"{_not_met()} JAX says: {_in_a_line(error)}.") from None


def _not_met() -> str:
    return (
        f"The processes have not met within {START_SECONDS} s: start all of them, each "
        "with a --process-id of its own, and give all the same --coordinator."
    )


def _ended(who: str) -> str:
    return (
        f"error: {who} has ended before the work was done. All end when one of them "
        f"dies, {HEARTBEAT_SECONDS} s later at most; what was written before is whole."
    )


def _leave(code: int, *, wait: bool = True) -> None:
    """End this process, and thereby the others, whatever they wait for."""
    sys.stdout.flush()
    sys.stderr.flush()
    if wait:
        end = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        end.start()
        end.join(_LEAVING_SECONDS)
    # Python's own end would wait for processes that wait for this one.
    os._exit(code)


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
