"""How training is stopped by a signal: at the end of a chunk, or at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from dmaml_jax.training.hosts import are_several


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

    def told(self) -> int:
        """The number of the signal, 0 before there is one."""
        return int(self.received or 0)

    def agreed(self, heard: int) -> int:
        """The number of the signal that stops all processes, 0 without one.

        Args:
            heard: the greatest of what the processes told at the end of a chunk.
        """
        return heard if are_several() else self.told()


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
