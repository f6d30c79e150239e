"""The run folder: config.json, metrics.csv, params.npz."""

import csv
import dataclasses
import datetime
import errno
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.training import Metrics

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
_FILES = (
    "config.json",
    "metrics.csv",
    "params.npz",
    "curves.png",
    "estimators.csv",
    "estimators.png",
)


def describe_run(values: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """What config.json keeps: all that is needed to run the same again.

    Args:
        values: fields of the configuration.
        **parts: what else belongs there, such as the layout of the compiled program.
    """
    packages = ("dmaml-jax", "jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
    return {
        "values": values,
        **parts,
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in packages},
        },
        "commit": _commit(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def create_run_folder(out: str | None, name: str, config: dict[str, Any]) -> Path:
    """Make the folder of a run; it appears with its config.json in it.

    Args:
        out: the folder itself, or None for `runs/NAME-TIME`, with a counter where
            that is taken.
        name: of the run; characters unfit for a file name become hyphens.
        config: what `describe_run` returns.

    Returns:
        The folder.

    Raises:
        UsageError: the folder holds a run already, or cannot be written.
    """
    try:
        if out is not None:
            return _create(Path(out).expanduser().resolve(), config)
        time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{time}")
        for count in range(1, 1000):
            folder = Path("runs", stem if count == 1 else f"{stem}-{count}")
            if not folder.exists():
                return _create(folder, config)
        raise UsageError(f"runs/{stem} and its like are taken: give --out FOLDER.")
    except (OSError, RuntimeError) as error:  # RuntimeError: no such home folder
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The run folder {out or 'runs'} cannot be written ({reason}): "
            "give --out a folder that can."
        ) from None


def _create(folder: Path, config: dict[str, Any]) -> Path:
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken:
        raise UsageError(
            f"{folder} holds another run ({taken[0]}): give --out a new folder, or "
            "remove that one."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.parent / f".{folder.name}.{os.getpid()}"
    aside.mkdir()
    try:
        (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # A folder that holds other things keeps them.
            os.replace(aside / "config.json", folder / "config.json")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def read_values(path: str) -> dict[str, Any]:
    """The values in a run's config.json (or of the run folder that is named).

    Raises:
        UsageError: there is no such file, or it is no configuration of a run.
    """
    try:
        file = Path(path).expanduser()
        file = file / "config.json" if file.is_dir() else file
        values = json.loads(file.read_text())["values"]
        if not isinstance(values, dict):
            raise TypeError
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"--config {path} cannot be read "
            f"({getattr(error, 'strerror', None) or error}): give the config.json "
            "of a run."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"--config {path} is not the config.json of a run, or it is broken: give "
            "one that a training run wrote."
        ) from None
    return values


class MetricsWriter:
    """Appends finished chunks to metrics.csv, each in one write.

    Attributes:
        path: the file.
        env_steps: steps of living lanes so far, per seed.
    """

    def __init__(self, folder: Path, seeds: Sequence[int]) -> None:
        """Begin the file with its header."""
        self.path = folder / "metrics.csv"
        self.env_steps = np.zeros(len(seeds), np.int64)
        self._seeds = seeds
        self.path.write_text(",".join(COLUMNS) + "\n")

    def append(
        self, first_epoch: int, metrics: Metrics, started: float, ended: float
    ) -> None:
        """Write a chunk: one row per epoch and seed, both counted from 1.

        Args:
            first_epoch: epochs before the chunk.
            metrics: as `Program.run` returns them.
            started: training seconds before the chunk, compiling excluded.
            ended: after it; the epochs between are interpolated.
        """
        num_epochs = len(metrics["loss"])
        lines = []
        for index in range(num_epochs):
            epoch = first_epoch + index + 1
            seconds = started + (ended - started) * (index + 1) / num_epochs
            for lane, seed in enumerate(self._seeds):
                failed_at = metrics["failed_at"][lane]
                if 0 < failed_at < epoch:
                    lines.append(f"{epoch},{seed}" + "," * (len(COLUMNS) - 2))
                    continue
                self.env_steps[lane] += metrics["env_steps"][index, lane]
                head = f"{epoch},{seed},{self.env_steps[lane]},{seconds:.3f}"
                cells = [_cell(metrics.get(c), index, lane) for c in COLUMNS[4:]]
                lines.append(",".join([head, *cells]))
        with open(self.path, "ab", buffering=0) as file:
            file.write(("\n".join(lines) + "\n").encode())


def read_metrics(folder: Path | str) -> dict[str, np.ndarray]:
    """Read metrics.csv back.

    Args:
        folder: the run folder.

    Returns:
        Column name to `[epochs, seeds]`, NaN where empty; a last row that was cut
        short is left out with its epoch.
    """
    with open(Path(folder) / "metrics.csv", newline="") as file:
        header, *rows = csv.reader(file)
    rows = [row for row in rows if len(row) == len(header)]
    num_seeds = len({row[1] for row in rows})
    rows = rows[: len(rows) - len(rows) % max(num_seeds, 1)]
    table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    table = table.reshape(-1, max(num_seeds, 1), len(header))
    return {name: table[..., i] for i, name in enumerate(header)}


def write_params(folder: Path, params: Any, seeds: Sequence[int]) -> None:
    """Keep θ of every seed in params.npz: one array per leaf, seeds on axis 0.

    Leaves are named by their path, such as `Dense_0/kernel`; `seed` numbers the rows.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }
    aside = folder / ".params.npz"
    with open(aside, "wb") as file:
        np.savez(file, allow_pickle=False, seed=np.asarray(seeds), **arrays)
    os.replace(aside, folder / "params.npz")


def json_values(config: Any) -> dict[str, Any]:
    """The fields of a configuration as JSON keeps them."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def shown(folder: Path) -> str:
    """A path as short as it is unambiguous from here."""
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)


def _cell(column: np.ndarray | None, index: int, lane: int) -> str:
    if column is None or not np.isfinite(column[index, lane]):
        return ""
    return str(column[index, lane])  # the shortest text that reads back to the bit


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree that the package runs from, if it is one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
