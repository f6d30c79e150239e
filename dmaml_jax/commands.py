"""The commands that show what runs have learned: their flags.

Pure Python, so that `--help` and a wrong flag answer without importing JAX.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Render:
    """Write a GIF of one episode before and after adaptation, side by side.

    Both sides have the same random numbers; an MP4 is written too where ffmpeg is
    found. Example: dmaml-jax render runs/mine --task gravity=12
    """

    run: str
    """The run folder."""
    task: tuple[str, ...] = ()
    """NAME=VALUE ... of the task; the others are those of the medium task."""
    seed: int | None = None
    """Which of the trained seeds; the first if not given."""
    steps: int = 1
    """Adaptation steps, on episodes of their own."""
    episode: int = 1
    """Which random numbers of that seed, counted from 1."""
    solver: Literal["trained", "exact", "fast"] = "trained"
    """The lander's physics."""
    fps: float = 25.0
    """Frames a second at most, 1 to 50."""
    out: str = ""
    """A .gif or .mp4 file, or another folder; the run folder if empty."""

    def __call__(self) -> int:
        """Do it; returns the exit code."""
        from dmaml_jax.rendering import render

        return render(self)
