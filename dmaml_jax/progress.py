"""What a person sees while training: a bar, or plain lines without a terminal."""

import os
import sys
import time

import numpy as np
from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Epochs done, speed, current smoothed return over the seeds, time left."""

    def __init__(self, num_epochs: int) -> None:
        """Begin at epoch 0."""
        self._num_epochs = num_epochs
        self._last_line = time.perf_counter()
        self._bar = None
        if sys.stdout.isatty() and _has_rows():
            self._bar = tqdm(
                total=num_epochs,
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
            done: epochs so far.
            seconds: of training so far.
            env_steps: of all seeds so far.
            smoothed: current smoothed return after adaptation, `[seeds]`.
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
        now = time.perf_counter()
        if now - self._last_line < _SECONDS_BETWEEN_LINES and done < self._num_epochs:
            return
        self._last_line = now
        left = seconds / done * (self._num_epochs - done)
        print(
            f"epoch {done}/{self._num_epochs}  {done / seconds:.1f} epochs/s  "
            f"{speed}  {returns}  {left:.0f} s left",
            flush=True,
        )

    def say(self, message: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(message, file=sys.stdout)

    def close(self) -> None:
        """Leave the last state standing."""
        if self._bar is not None:
            self._bar.close()


def _has_rows() -> bool:
    """Whether the terminal says that it has any: without, tqdm draws nothing."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines > 0
    except OSError:  # it does not say
        return True
