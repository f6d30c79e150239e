"""What the commands on finished runs take, in pure Python.

Training's own values are in `presets.py`.
"""

import dataclasses
import math
from typing import Annotated, Literal

import tyro

from dmaml_jax.errors import UsageError

RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
RunFolders = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")
]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Adapt a trained run to tasks that it has not seen, and measure.

    Writes evaluation.csv, evaluation.json and evaluation.png into the run folder.
    Example: dmaml-jax evaluate runs/mine --tasks 100 --steps 5 --shots 10
    """

    run: RunFolder
    """The run folder."""
    tasks: int = 100
    """Tasks of each kind, all from one draw that every run and seed shares."""
    steps: int = 5
    """Adaptation steps at most."""
    shots: int = 0
    """Trajectories per adaptation step; 0: as many as in training."""
    episodes: int = 20
    """Episodes that measure each policy, the same random numbers before and after."""
    out_of_range: tuple[str, ...] = ("auto",)
    """NAME=LOW:HIGH ... of tasks beyond training's; auto: next to its ranges; none."""
    task_seed: int = 0
    """Which draw of tasks."""
    baselines: bool = False
    """Beside it: a random start, and a policy trained on the medium task alone."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Of the lander: exact by default, whichever it trained with."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to run."""
    out: str = ""
    """Folder for the files; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        for name, least in (
            ("tasks", 1),
            ("steps", 1),
            ("shots", 0),
            ("episodes", 1),
            ("task_seed", 0),
        ):
            _require_whole(name, getattr(self, name), least)


@dataclasses.dataclass(frozen=True)
class Compare:
    """One table and one figure of several runs, with their paired differences.

    Writes comparison.csv and comparison.png into the current folder.
    Example: dmaml-jax compare runs/maml runs/directed --x steps
    """

    runs: RunFolders
    """Run folders; differences are to the first."""
    x: Literal["epochs", "steps", "seconds"] = "epochs"
    """The figure's horizontal axis."""
    threshold: float | None = None
    """Return that counts as solved; that of the runs, where they agree, if None."""
    out: str = "."
    """Folder for the files."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: no runs, or a threshold that is not finite.
        """
        _require_runs(self.runs, "compare")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(
                f"--threshold is {self.threshold}, but it must be a finite number."
            )


@dataclasses.dataclass(frozen=True)
class Export:
    """Write one policy of a run as plain arrays, with a NumPy program that runs it.

    Writes policy.npz and policy.py. Example: dmaml-jax export runs/mine --seed 1
    --task gravity=12 --steps 1
    """

    run: RunFolder
    """The run folder."""
    seed: int | None = None
    """Which of its seeds; the first if None."""
    task: tuple[str, ...] = ()
    """NAME=VALUE ... of the task to adapt to; others as in the medium task."""
    steps: int = 0
    """Adaptation steps; 0: the meta-policy itself."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Of the lander, to adapt with; the one it trained with by default."""
    out: str = ""
    """Folder for the files; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        _require_whole("steps", self.steps, 0)
        if self.seed is not None:
            _require_whole("seed", self.seed, 0)
        if self.task and not self.steps:
            raise UsageError(
                "--task is what --steps adapt to, and --steps is 0: give --steps 1 or "
                "more, or leave --task out."
            )


@dataclasses.dataclass(frozen=True)
class Render:
    """Write a GIF of one episode before and after adaptation, side by side.

    Both sides have the same random numbers; an MP4 is written too where ffmpeg is
    found. Example: dmaml-jax render runs/mine --task gravity=12
    """

    run: RunFolder
    """The run folder."""
    task: tuple[str, ...] = ()
    """NAME=VALUE ... of the task; others as in the medium task."""
    seed: int | None = None
    """Which of its seeds; the first if None."""
    steps: int = 1
    """Adaptation steps, on episodes of their own."""
    episode: int = 1
    """Which random numbers of that seed, counted from 1."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Of the lander; the one it trained with by default."""
    fps: float = 25.0
    """Frames a second at most, 1 to 50."""
    out: str = ""
    """A .gif or .mp4 file, or another folder; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        _require_whole("steps", self.steps, 1)
        _require_whole("episode", self.episode, 1)
        if self.seed is not None:
            _require_whole("seed", self.seed, 0)
        if not 1 <= self.fps <= 50:
            raise UsageError(
                f"--fps is {self.fps:g}, but it must be from 1 to 50, as GIFs count "
                "hundredths of a second."
            )


@dataclasses.dataclass(frozen=True)
class Report:
    """One page of a run, or of several, in a file that opens offline.

    Writes report.html into the run folder; of several runs, into the current one.
    Example: dmaml-jax report runs/mine
    """

    runs: RunFolders
    """Run folders; differences are to the first."""
    out: str = ""
    """Another .html file, or another folder."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: no runs.
        """
        _require_runs(self.runs, "report on")


def _require_runs(runs: tuple[str, ...], what: str) -> None:
    if not runs:
        raise UsageError(f"There is nothing to {what}: give one run folder or more.")


def _require_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(
            f"--{name.replace('_', '-')} is {value}, but it must be a whole number, "
            f"{least} or more."
        )
