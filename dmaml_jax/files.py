"""How every file is written: aside in the same folder, then moved into place.

A file or folder appears under its name only when it is whole, so a process that is
killed at any moment leaves whole files behind. The one exception is metrics.csv, which
grows by appending.
"""

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give the name to write at; what is there at the end is moved to `path`.

    The name begins with a dot and ends with the process's number, so that two processes
    that write the same file do not meet: the last one to finish wins. After an error
    nothing is left aside, and what was at `path` before is still there.

    Args:
        path: where a file is to be, or a folder that does not exist yet or is empty.

    Yields:
        Path in the same folder, at which nothing is yet; it may be made a folder.

    Raises:
        OSError: it cannot be written there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with writing(folder / "a.txt") as aside:
        ...     _ = aside.write_text("one")
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file or folder to NAME.aside, so that it does not count any more.

    What was set aside under that name before is removed.

    Returns:
        Its new path.

    Raises:
        OSError: it cannot be renamed.
    """
    place = path.with_name(f"{path.name}.aside")
    if place.is_dir():
        shutil.rmtree(place)
    os.replace(path, place)
    return place


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of these bytes.

    Raises:
        OSError: it cannot be written there.
    """
    with writing(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    r"""Write a file of this text, in UTF-8 with its line ends as they are (`\n`).

    Raises:
        OSError: it cannot be written there.
    """
    # Names of files that are not UTF-8 come as surrogates, and go back as they were.
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON.

    Raises:
        OSError: it cannot be written there.
        TypeError: JSON has no such value.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows, the head among them, as comma-separated text.

    Raises:
        OSError: it cannot be written there.
    """
    with writing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as NumPy's `.npz`, without pickles.

    Raises:
        OSError: it cannot be written there.
    """
    # Into an open file, as NumPy would add a suffix to a name.
    with writing(path) as aside, open(aside, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def require_room(folder: Path, size: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: where something is to be written.
        size: how many bytes are to be written.

    Raises:
        OSError: there is less room.
    """
    path = folder / f".room.{os.getpid()}"
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        path.unlink(missing_ok=True)


def is_text(path: Path) -> bool:
    """Whether every name on the way to a path is text in this locale.

    Others reach Python as surrogates, with which TensorStore and Matplotlib fail.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


class _Patient(io.TextIOBase):
    """A text stream whose reader may go away: what is written then goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do not."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered, or do not."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:
            # Python flushes once more at its end: let that find a place to write to.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def fileno(self) -> int:
        """Of the stream itself."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream itself is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How the stream itself writes characters."""
        return self._stream.encoding


@contextmanager
def surviving_readers() -> Iterator[None]:
    """Go on where a reader of standard output or error leaves, as `| head` does.

    What a process is doing, such as training, is worth more than who looks at it. So
    characters that the reader's encoding lacks are written as escapes, and a stream
    that was closed before the start takes everything.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Patient(_tolerant(stream)) for stream in before)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def _tolerant(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
