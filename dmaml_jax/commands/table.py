"""Settings of a sweep that stand in a file, a row each."""

import csv
from pathlib import Path

from dmaml_jax.errors import UsageError
from dmaml_jax.options import named


def read_table(path: str) -> list[dict[str, str]]:
    """The rows of a CSV file, each one a setting; an empty cell gives no value.

    Raises:
        UsageError: it cannot be read, or holds no row.
    """
    try:
        with open(Path(path).expanduser(), newline="", encoding="utf-8-sig") as file:
            head, *rows = [row for row in csv.reader(file) if row]
    except (OSError, RuntimeError, ValueError, csv.Error) as error:
        broken = isinstance(error, UnicodeDecodeError | csv.Error)
        reason = "it is no UTF-8 text with commas" if broken else "it holds no row"
        reason = getattr(error, "strerror", None) or reason
        if isinstance(error, RuntimeError):
            reason = "there is no such home folder"
        raise UsageError(
            f"--table {path} cannot be read ({reason}): give a CSV file with the names "
            "of values in its first line and a setting in each further one."
        ) from None
    names = [named(name.strip()) for name in head]
    for index, row in enumerate(rows):
        if len(row) != len(names):
            raise UsageError(
                f"--table {path}: row {index + 1} has {len(row)} cells, but the head "
                f"has {len(names)}."
            )
    if not rows or len(set(names)) < len(names) or "" in names:
        raise UsageError(
            f"--table {path} must have a head of different names and a row or more "
            "below it."
        )
    return [
        {n: cell.strip() for n, cell in zip(names, row, strict=True) if cell.strip()}
        for row in rows
    ]
