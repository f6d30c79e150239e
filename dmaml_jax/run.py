"""The train command: a configuration becomes a run folder."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import jax
import numpy as np

from dmaml_jax.algos import objective
from dmaml_jax.factory import build
from dmaml_jax.plots import draw_curves
from dmaml_jax.presets import TrainConfig
from dmaml_jax.progress import Progress
from dmaml_jax.records import (
    MetricsWriter,
    create_run_folder,
    describe_run,
    json_values,
    read_metrics,
    shown,
    write_params,
)
from dmaml_jax.statistics import ema, epochs_to_threshold
from dmaml_jax.training import Program, devices_per_seed, train_step

DONE, FAILED = 0, 1
_EMA_FACTOR = 0.9


class Stop:
    """Whether a signal asked to stop, and which."""

    received: signal.Signals | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Remember the first signal; a second one stops at once."""
        if self.received is not None:
            print("stopped at once; finished chunks are kept", file=sys.stderr)
            os._exit(128 + number)
        self.received = signal.Signals(number)


def train(config: TrainConfig, out: str | None) -> int:
    """Train, and write the run folder as it goes.

    Args:
        config: validated values, the number of CPU devices settled.
        out: the run folder, or None for a new one under `runs/`.

    Returns:
        The exit code: 0 done, 1 no seed left alive, 128 + signal if one stopped it.

    Raises:
        UsageError: wrong input, before anything is compiled.
        OSError: the disk is full.
    """
    problem, learner = build(config)
    seeds = range(config.seed, config.seed + config.seeds)
    devices = jax.devices()
    program = Program(
        *train_step(problem, learner, config.num_tasks),
        seeds=seeds,
        chunk_epochs=min(config.chunk_epochs, config.epochs),
        devices=devices,
        task_devices=devices_per_seed(len(devices), config.seeds, config.num_tasks),
    )
    device = jax.devices()[0]
    layout = {
        "platform": device.platform,
        "device": device.device_kind,
        "seed_devices": program.seed_devices,
        "task_devices": program.task_devices,
        "seeds_per_device": program.width,
        "matmul_precision": config.matmul_precision,
        "x64": bool(jax.config.read("jax_enable_x64")),
    }
    folder = create_run_folder(
        out,
        f"{config.env}-{config.algo}",
        describe_run(json_values(config), objective=objective(config), program=layout),
    )
    many = f"seeds {seeds[0]} to {seeds[-1]}"
    lanes = many if config.seeds > 1 else f"seed {seeds[0]}"
    print(
        f"{config.algo} on {config.env}, {lanes}, {config.epochs} epochs, on "
        f"{program.seed_devices * program.task_devices} x {device.device_kind} "
        f"({device.platform})\n"
        f"objective {objective(config)}\n"
        f"run folder: {shown(folder)}\ncompiling ...",
        flush=True,
    )
    with _stopping_gently() as stop:
        return _Run(config, program, folder, seeds, stop).train()


@contextmanager
def _stopping_gently() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM take effect at the end of a chunk."""
    stop = Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


class _Run:
    """The host's side of a run: what happens between chunks."""

    def __init__(
        self,
        config: TrainConfig,
        program: Program,
        folder: Path,
        seeds: range,
        stop: Stop,
    ) -> None:
        self.config = config
        self.program = program
        self.folder = folder
        self.seeds = seeds
        self.stop = stop
        self.writer = MetricsWriter(folder, seeds)
        self.smoothed: np.ndarray | None = None
        self.failed_at = np.zeros(len(seeds), np.int32)
        self.seconds = 0.0
        self.epoch = 0

    def train(self) -> int:
        compile_seconds = self.program.compile()
        progress = Progress(self.config.epochs)
        try:
            while self._goes_on():
                self._chunk(progress)
        finally:
            progress.close()
            self._keep()
        return self._report(compile_seconds)

    def _goes_on(self) -> bool:
        unfinished = self.epoch < self.config.epochs
        return unfinished and not self.stop.received and not self.failed_at.all()

    def _chunk(self, progress: Progress) -> None:
        start = time.perf_counter()
        num_epochs = min(self.program.chunk_epochs, self.config.epochs - self.epoch)
        metrics = self.program.run(self.epoch, num_epochs)
        before = self.seconds
        self.seconds += time.perf_counter() - start
        self.writer.append(self.epoch, metrics, before, self.seconds)
        for lane in np.flatnonzero((self.failed_at == 0) & (metrics["failed_at"] > 0)):
            progress.say(
                f"seed {self.seeds[lane]} is frozen from epoch "
                f"{metrics['failed_at'][lane]} on: its loss, meta-gradient or "
                "parameters are no longer finite"
            )
        self.failed_at = metrics["failed_at"]
        self._smooth(metrics["return_after"])
        self.epoch += num_epochs
        assert self.smoothed is not None
        progress.update(
            self.epoch, self.seconds, int(self.writer.env_steps.sum()), self.smoothed
        )

    def _smooth(self, returns: np.ndarray) -> None:
        past = [] if self.smoothed is None else [self.smoothed]
        latest = ema(np.array([*past, *returns]), _EMA_FACTOR)[-1]
        self.smoothed = np.where(self.failed_at > 0, np.nan, latest)

    def _keep(self) -> None:
        """Write what is written at the end, also of a run that was stopped."""
        write_params(self.folder, self.program.params(), self.seeds)
        if self.epoch:
            draw_curves(
                read_metrics(self.folder),
                self.folder / "curves.png",
                title=f"{self.config.algo} on {self.config.env}",
                threshold=self.config.threshold,
            )

    def _report(self, compile_seconds: float) -> int:
        if self.epoch:
            self._print_table(compile_seconds)
        if self.stop.received:
            print(
                f"{self.stop.received.name}: stopped after epoch {self.epoch} of "
                f"{self.config.epochs}; everything up to there is in the run folder."
            )
            return 128 + self.stop.received
        if self.failed_at.all():
            print("No seed is left alive: try smaller step sizes.")
            return FAILED
        return DONE

    def _print_table(self, compile_seconds: float) -> None:
        smoothed = ema(read_metrics(self.folder)["return_after"], _EMA_FACTOR)
        threshold = self.config.threshold
        reached, head = [""] * len(self.seeds), ""
        if threshold is not None:
            first = epochs_to_threshold(smoothed, threshold)
            reached = [str(epoch or "never") for epoch in first]
            head = f"epochs to {threshold:g}"
        print(f"\n{'seed':>6}  {head:>13}  final return")
        for lane, seed in enumerate(self.seeds):
            final = smoothed[-1, lane]
            failed = self.failed_at[lane]
            end = f"frozen at epoch {failed}" if failed else f"{final:.1f}"
            print(f"{seed:>6}  {reached[lane]:>13}  {end:>12}")
        print(
            f"\n{self.seconds:.1f} s training, {compile_seconds:.1f} s compiling, "
            f"{self.writer.env_steps.sum():,} environment steps"
        )
        names = ", ".join(sorted(p.name for p in self.folder.iterdir()))
        print(f"in {shown(self.folder)}: {names}")
