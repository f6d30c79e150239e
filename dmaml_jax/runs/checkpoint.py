"""Checkpoints: the whole state of a run, written aside and moved into place."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dmaml_jax.files import require_room, set_aside, write_json, writing

FOLDER = "checkpoints"
_SUMS = "sha256.json"
_SLACK = 64 * 1024  # bytes that a checkpoint takes beside its arrays


class Checkpoints:
    """The checkpoints of a run folder, `checkpoints/EPOCH/`, the last k of them.

    Each holds the state as Orbax writes it and the SHA-256 of its files. It appears
    under its name only when it is whole, so that a run killed at any moment leaves
    whole checkpoints behind; what damages one later is found by its sums.
    """

    def __init__(self, folder: Path, keep: int = 1) -> None:
        """Look at a run folder; nothing is written yet.

        Args:
            folder: the run folder, in which `checkpoints/` is.
            keep: k, the number of checkpoints to keep.
        """
        self._folder = (folder / FOLDER).absolute()
        self._keep = keep

    def epochs(self) -> list[int]:
        """The epochs that have a checkpoint, whole or damaged, in rising order."""
        if not self._folder.is_dir():
            return []
        names = [path.name for path in self._folder.iterdir()]
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, epoch: int, state: Any) -> None:
        """Write a checkpoint, then remove those that are too old.

        Args:
            epoch: the number of epochs done, which names the checkpoint.
            state: the state, a pytree of arrays on the host.

        Raises:
            OSError: the disk is full; the checkpoints before are whole.
        """
        self._folder.mkdir(exist_ok=True)
        self._sweep()
        final = self._folder / str(epoch)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        try:
            with writing(final) as aside:
                aside.mkdir()
                # Orbax would report a full disk from several threads at once.
                require_room(aside, size + _SLACK)
                with _quiet(), _checkpointer() as checkpointer:
                    checkpointer.save(aside / "state", state)
                write_json(aside / _SUMS, _sums(aside))
                shutil.rmtree(final, ignore_errors=True)  # damaged, of the same epoch
        # TensorStore has exceptions of its own for what the system refuses.
        except (OSError, ValueError, RuntimeError) as error:
            raise OSError(
                getattr(error, "errno", None),
                f"the checkpoint of epoch {epoch} cannot be written "
                f"({_in_a_line(error)})",
            ) from error
        for old in self.epochs()[: -self._keep]:
            shutil.rmtree(self._folder / str(old))

    def latest(
        self,
        like: Any,
        *,
        at_most: int | None = None,
        say: Callable[[str], None] = print,
    ) -> tuple[int, Any] | None:
        """Read the newest whole checkpoint.

        Args:
            like: a pytree of arrays or of their shapes, with the structure and types
                that the state must have.
            at_most: the greatest epoch that counts; any by default.
            say: a function that is told of each damaged checkpoint passed over.

        Returns:
            Its epoch and its state, on the host; None if there is none.
        """
        for epoch in reversed(self.epochs()):
            if at_most is not None and epoch > at_most:
                continue
            try:
                return epoch, self._read(epoch, like)
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                say(
                    f"The checkpoint of epoch {epoch} is damaged "
                    f"({_in_a_line(error)}): looking at the one before."
                )
        return None

    def set_aside(self, after: int) -> list[str]:
        """Rename the checkpoints of later epochs, so that they do not count any more.

        Args:
            after: the epoch from which a run goes on.

        Returns:
            Their new names, `EPOCH.aside`.
        """
        names = []
        for epoch in self.epochs():
            if epoch > after:
                names.append(set_aside(self._folder / str(epoch)).name)
        return names

    def _read(self, epoch: int, like: Any) -> Any:
        path = self._folder / str(epoch)
        if json.loads((path / _SUMS).read_text("utf-8")) != _sums(path):
            raise ValueError("its files are not those that were written")
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like
        )
        how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        with _quiet(), _checkpointer() as checkpointer:
            state = checkpointer.restore(
                path / "state",
                args=ocp.args.PyTreeRestore(item=shapes, restore_args=how),
            )
        found = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
        if found != [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(shapes)]:
            raise ValueError("it is of another program: its arrays have other shapes")
        return state

    def _sweep(self) -> None:
        """Remove what a killed process left unfinished."""
        for path in self._folder.glob(".[0-9]*"):
            shutil.rmtree(path, ignore_errors=True)


def _checkpointer() -> ocp.Checkpointer:
    """Orbax's, for a state that one process holds whole, whoever else there is."""
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix="alone"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax from logging errors, which come as exceptions anyway."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _sums(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != _SUMS
    }


def _in_a_line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split())[:200] or type(error).__name__
