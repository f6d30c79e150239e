"""metrics.csv: a row per epoch and seed, appended chunk by chunk, read back.

Ten columns come first, in their order; what a learner has to show beside them (the
extras of its `Info`) follows, by name.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dmaml_jax.files import write_text
from dmaml_jax.training.program import Metrics

FILE = "metrics.csv"
COLUMNS = (
    "epoch",
    "seed",
    "env_steps",
    "seconds",
    "return_before",
    "return_after",
    "return_medium",
    "loss",
    "meta_grad_norm",
    "cos_medium_meta",
)
_NO_COLUMNS = ("failed_at",)


class MetricsWriter:
    """Appends finished chunks to metrics.csv.

    Attributes:
        path: the path of the file in the run folder.
        columns: the names in its header, in their order.
        env_steps: the environment steps of living lanes so far, per seed.
        seconds: the seconds of training so far, compiling excluded.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], epochs: int = 0) -> None:
        """Begin the file with its header, or cut it back to where a run goes on.

        Args:
            folder: the run folder that holds the file.
            seeds: the numbers of the run's seeds.
            epochs: how many of the file's epochs to keep, at most `whole_epochs`.
        """
        self.path = folder / FILE
        self.env_steps = np.zeros(len(seeds), np.int64)
        self.seconds = 0.0
        self._seeds = seeds
        lines = [",".join(COLUMNS)]
        if epochs:
            lines = self.path.read_text("utf-8").splitlines()[: 1 + epochs * len(seeds)]
            for lane in range(len(seeds)):
                self._count(lines[1 + lane :: len(seeds)], lane)
        self.columns = lines[0].split(",")
        self._write(lines)

    def _write(self, lines: Sequence[str]) -> None:
        write_text(self.path, "\n".join(lines) + "\n")

    def _widen(self, names: Iterable[str]) -> None:
        """Make a column of every name that has none yet, empty in the rows so far."""
        new = [name for name in names if name not in (*self.columns, *_NO_COLUMNS)]
        if not new:
            return
        self.columns = [*self.columns, *new]
        _, *rows = self.path.read_text("utf-8").splitlines()
        self._write([",".join(self.columns), *(row + "," * len(new) for row in rows)])

    def _count(self, rows: Sequence[str], lane: int) -> None:
        spent = [row.split(",")[2:4] for row in rows]
        # Rows of a frozen seed are empty.
        steps, seconds = next((cells for cells in reversed(spent) if cells[0]), (0, 0))
        self.env_steps[lane] = int(steps)
        self.seconds = max(self.seconds, float(seconds))

    def append(
        self, first_epoch: int, metrics: Metrics, started: float, ended: float
    ) -> None:
        """Write a chunk: one row per epoch and seed, both counted from 1.

        Args:
            first_epoch: the number of epochs before the chunk.
            metrics: the chunk's metrics, as `Program.run` returns them.
            started: the seconds of training before the chunk, compiling excluded.
            ended: the seconds of training after it; each epoch's are interpolated.
        """
        self._widen(metrics)
        num_epochs = len(metrics["loss"])
        lines = []
        for index in range(num_epochs):
            epoch = first_epoch + index + 1
            seconds = started + (ended - started) * (index + 1) / num_epochs
            for lane, seed in enumerate(self._seeds):
                failed_at = metrics["failed_at"][lane]
                if 0 < failed_at < epoch:
                    lines.append(f"{epoch},{seed}" + "," * (len(self.columns) - 2))
                    continue
                self.env_steps[lane] += metrics["env_steps"][index, lane]
                head = f"{epoch},{seed},{self.env_steps[lane]},{seconds:.3f}"
                cells = [_cell(metrics.get(c), index, lane) for c in self.columns[4:]]
                lines.append(",".join([head, *cells]))
        with open(self.path, "ab", buffering=0) as file:
            rest = memoryview(("\n".join(lines) + "\n").encode())
            while rest:  # a disk that fills up takes a part, and raises at the next
                rest = rest[file.write(rest) :]
        self.seconds = ended


def whole_epochs(folder: Path, seeds: Sequence[int]) -> int:
    """How many epochs of metrics.csv, from the first on, have a whole row per seed."""
    try:
        text = (folder / FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return 0
    header, *lines = text.split("\n")
    columns = header.split(",")
    if tuple(columns[: len(COLUMNS)]) != COLUMNS:
        return 0
    lines = lines[:-1]  # what follows the last line's end: nothing, or half a row
    for index, line in enumerate(lines):
        epoch, lane = divmod(index, len(seeds))
        cells = line.split(",")
        named = cells[:2] == [str(epoch + 1), str(seeds[lane])]
        if not named or len(cells) != len(columns):
            return epoch
    return len(lines) // len(seeds)


def read_metrics(folder: Path | str) -> dict[str, np.ndarray]:
    """Read metrics.csv back.

    Args:
        folder: the run folder that holds the file.

    Returns:
        Column name to `[epochs, seeds]`, NaN where empty; a last row that was cut
        short is left out with its epoch.
    """
    with open(Path(folder) / "metrics.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    rows = [row for row in rows if len(row) == len(header)]
    num_seeds = len({row[1] for row in rows})
    rows = rows[: len(rows) - len(rows) % max(num_seeds, 1)]
    table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    table = table.reshape(-1, max(num_seeds, 1), len(header))
    return {name: table[..., i] for i, name in enumerate(header)}


def _cell(column: np.ndarray | None, index: int, lane: int) -> str:
    if column is None or not np.isfinite(column[index, lane]):
        return ""
    return str(column[index, lane])  # the shortest text that reads back to the bit
