"""Where metrics go beside metrics.csv: to TensorBoard, or to Weights & Biases."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.training.program import Metrics


class Sink(Protocol):
    """A place that takes chunks of metrics, with one series per seed."""

    def write(self, first_epoch: int, metrics: Metrics) -> None:
        """Take a chunk; `metrics` as `Program.run` returns them."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...


class Nowhere:
    """The sink of runs whose metrics go to metrics.csv only."""

    def write(self, first_epoch: int, metrics: Metrics) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Event files in `tensorboard/seed-N`, so that seeds are runs of the same tags."""

    def __init__(self, folder: Path, seeds: Sequence[int], first_epoch: int) -> None:
        """Open one event file per seed; events after `first_epoch` are taken back."""
        from tensorboardX import SummaryWriter

        self._writers = [
            SummaryWriter(
                str(folder / "tensorboard" / f"seed-{seed}"),
                purge_step=first_epoch + 1 if first_epoch else None,
            )
            for seed in seeds
        ]

    def write(self, first_epoch: int, metrics: Metrics) -> None:
        """Write one scalar per metric, seed and epoch; epochs count from 1."""
        for lane, writer in enumerate(self._writers):
            for epoch, values in _of_lane(first_epoch, metrics, lane):
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch)
            writer.flush()

    def close(self) -> None:
        """Close the event files."""
        for writer in self._writers:
            writer.close()


class WeightsAndBiases:
    """An offline run in `wandb/`, to be sent by `wandb sync` when there is a network.

    A seed's metrics are named `NAME/seed-N`; the epoch is the step.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], values: Any) -> None:
        """Begin an offline run of the configuration's values."""
        wandb: Any = importlib.import_module("wandb")  # an extra: no types of it here
        self._seeds = seeds
        self._run = wandb.init(
            project="dmaml-jax",
            name=folder.name,
            dir=str(folder),
            config=values,
            mode="offline",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def write(self, first_epoch: int, metrics: Metrics) -> None:
        """Write one row per epoch, with all seeds in it."""
        lanes = [
            list(_of_lane(first_epoch, metrics, lane))
            for lane in range(len(self._seeds))
        ]
        by_epoch: dict[int, dict[str, float]] = {}
        for seed, rows in zip(self._seeds, lanes, strict=True):
            for epoch, values in rows:
                named = {f"{name}/seed-{seed}": v for name, v in values.items()}
                by_epoch.setdefault(epoch, {}).update(named)
        for epoch in sorted(by_epoch):
            self._run.log(by_epoch[epoch], step=epoch)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def require_sink(log: str) -> None:
    """Raise a UsageError if what `log` needs is not installed."""
    package = {"tensorboard": "tensorboardX", "wandb": "wandb"}.get(log)
    if package and importlib.util.find_spec(package) is None:
        raise UsageError(
            f"--log {log} needs the package {package}: pip install "
            f'"dmaml-jax[{log}]", or leave --log out.'
        )


def open_sink(
    log: str, folder: Path, seeds: Sequence[int], first_epoch: int, values: Any
) -> Sink:
    """Open the sink that `--log` names.

    Args:
        log: the name: "none", "tensorboard" or "wandb".
        folder: the run folder, into which it writes.
        seeds: the numbers of the run's seeds, each of which gets a series.
        first_epoch: the number of epochs that were written before.
        values: the configuration's values by name, for people to filter by.
    """
    if log == "tensorboard":
        return TensorBoard(folder, seeds, first_epoch)
    if log == "wandb":
        return WeightsAndBiases(folder, seeds, values)
    return Nowhere()


def _of_lane(
    first_epoch: int, metrics: Metrics, lane: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """Each epoch of one seed with its finite metrics, until the seed freezes."""
    failed_at = metrics["failed_at"][lane]
    for index in range(len(metrics["loss"])):
        epoch = first_epoch + index + 1
        if 0 < failed_at < epoch:
            return
        values = {
            name: float(table[index, lane])
            for name, table in metrics.items()
            if name != "failed_at" and np.isfinite(table[index, lane])
        }
        yield epoch, values
