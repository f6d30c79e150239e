"""What a person sees while training: a bar, or plain lines without a terminal."""

import os
import sys
import time
from typing import Literal

import numpy as np
from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Epochs done, speed, current smoothed return over the seeds, time left."""

    def __init__(
        self,
        num_epochs: int,
        verbosity: Literal["quiet", "normal", "verbose"] = "normal",
    ) -> None:
        """Prepare, and print nothing yet.

        Args:
            num_epochs: the number of epochs of the whole run.
            verbosity: how much is printed: quiet has warnings only, verbose tells
                more about each chunk.
        """
        self._num_epochs = num_epochs
        self._verbosity = verbosity
        self._bar = None
        self._first = (0, 0.0)

    def begin(self, done: int = 0, seconds: float = 0.0) -> None:
        """Begin where a run begins or goes on.

        Args:
            done: the number of epochs that earlier processes did.
            seconds: the seconds of training that they took.
        """
        self._last_line = time.perf_counter()
        self._first = (done, seconds)
        bar = self._verbosity != "quiet" and sys.stdout.isatty() and _has_rows()
        if bar:
            self._bar = tqdm(
                total=self._num_epochs,
                initial=done,
                file=sys.stdout,
                unit="epoch",
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}% |{bar}| {n}/{total} epochs "
                "[{remaining} left, {rate_noinv_fmt}{postfix}]",
            )

    def update(
        self, done: int, seconds: float, env_steps: int, smoothed: np.ndarray
    ) -> None:
        """Show where training stands.

        Args:
            done: the number of epochs done so far.
            seconds: the seconds of training so far.
            env_steps: the environment steps of all seeds so far.
            smoothed: the current smoothed return after adaptation, `[seeds]`.
        """
        speed = f"{env_steps / seconds / 1e6:.2f}M steps/s"
        alive = smoothed[np.isfinite(smoothed)]
        low, middle, high = (
            np.quantile(alive, [0, 0.5, 1]) if alive.size else [np.nan] * 3
        )
        returns = f"return min {low:.0f} median {middle:.0f} max {high:.0f}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{speed}, {returns}", refresh=False)
            self._bar.update(done - self._bar.n)
            return
        if self._verbosity == "quiet":
            return
        now = time.perf_counter()
        if now - self._last_line < _SECONDS_BETWEEN_LINES and done < self._num_epochs:
            return
        self._last_line = now
        first, before = self._first
        rate = (done - first) / max(seconds - before, 1e-9)
        left = (self._num_epochs - done) / rate
        print(
            f"epoch {done}/{self._num_epochs}  {rate:.1f} epochs/s  "
            f"{speed}  {returns}  {left:.0f} s left",
            flush=True,
        )

    def detail(self, done: int, metrics: dict[str, np.ndarray]) -> None:
        """With `verbose`: the last epoch's medians over the seeds.

        Args:
            done: the number of epochs done so far.
            metrics: the chunk's metrics, as `Program.run` returns them.
        """
        medians = [
            f"{name} {np.nanmedian(table[-1]):.4g}"
            for name, table in metrics.items()
            if name not in ("failed_at", "env_steps") and np.isfinite(table[-1]).any()
        ]
        self.say(f"epoch {done}: {', '.join(medians)}", detail=True)

    def say(self, message: str, *, detail: bool = False) -> None:
        """Print a line without tearing the bar, unless asked to be quiet.

        Args:
            message: the line to print, without its end.
            detail: whether it is printed with `verbose` only.
        """
        if self._verbosity == "verbose" or (self._verbosity == "normal" and not detail):
            tqdm.write(message, file=sys.stdout)
            sys.stdout.flush()

    def warn(self, message: str) -> None:
        """Print a line to standard error, whatever the verbosity."""
        tqdm.write(message, file=sys.stderr)

    def close(self) -> None:
        """Close the bar, which leaves its last state on the terminal."""
        if self._bar is not None:
            self._bar.close()


def _has_rows() -> bool:
    """Whether the terminal says that it has any: without, tqdm draws nothing."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines > 0
    except OSError:  # it does not say
        return True
