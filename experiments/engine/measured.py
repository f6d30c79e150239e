"""Tables of what a study measures apart from training, in small steps."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dmaml_jax.files import write_csv


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; none before anything was measured."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table; rows that do not say yet when and on what they were measured do.

    Args:
        path: the file, whose folder need not exist.
        rows: all rows, those that were read before too; all have the same columns.
    """
    from dmaml_jax.runs.folder import circumstances
    from experiments.engine.work import machine

    about = circumstances()
    told = {
        "date": about["started"][:10],
        "device": machine(),
        "jax": about["versions"]["jax"],
        "commit": (about["commit"] or "")[:12],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{**told, **row} for row in rows]
    head = list(full[-1])
    cells = [[_cell(row[name]) for name in head] for row in full]
    write_csv(path, [head, *cells])


def when(rows: Sequence[Mapping[str, Any]]) -> str:
    """The last row's date, device, version of JAX and commit, in words."""
    last = rows[-1]
    return (
        f"{last['date']}, {last['device']}, jax {last['jax']}, commit "
        f"{last['commit'][:7]}"
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else value
