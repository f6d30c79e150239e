"""Tables of what a study measures apart from training, in small steps."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dmaml_jax.files import write_csv
from experiments.engine.declared import Run
from experiments.engine.results import Results
from experiments.engine.work import Part, Work, machine


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
    told = circumstances_now()
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{**told, **row} for row in rows]
    head = list(full[-1])
    cells = [[_cell(row[name]) for name in head] for row in full]
    write_csv(path, [head, *cells])


def circumstances_now() -> dict[str, str]:
    """Date, device, version of JAX and commit."""
    from dmaml_jax.runs.folder import circumstances

    about = circumstances()
    return {
        "date": about["started"][:10],
        "device": machine(),
        "jax": about["versions"]["jax"],
        "commit": (about["commit"] or "")[:12],
    }


class RunTable:
    """A table of what is measured of each run once it was trained.

    The rows of a run have its panel, its label and its `id`.
    """

    def __init__(self, path: Path, panel: str, label: str) -> None:
        """Read the table; the columns of panel and label are named by the study."""
        self._path, self._names = path, (panel, label)
        self._rows = read_rows(path)

    def lacking(
        self,
        declared: Iterable[Run],
        quick: bool,
        raw: Path,
        chunk: Callable[[Run], int] = lambda run: len(run.seeds),
    ) -> Iterator[tuple[Run, Part]]:
        """Runs that were trained, but are not here as they are declared now.

        Args:
            declared: the runs of the study.
            quick: whether their toy versions are meant.
            raw: the folder of raw runs.
            chunk: how many seeds of a run were trained together, and are measured so;
                of a toy all of them.
        """
        results, work = Results(self._path.parent), Work(raw)
        for own in declared:
            run = results.resolved(own.quick() if quick else own)
            if run is None:
                continue
            together = len(run.seeds) if quick else chunk(run)
            self._drop_others([each.id for each in run.chunks(together)], run)
            known = {row["id"] for row in self._rows if self._is(row, run)}
            for each, part in work.parts(run, together):
                if each.id not in known:
                    yield each, part

    def put(self, run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the table with rows of a run, or of some of its seeds, besides."""
        panel, label = self._names
        about = {panel: run.panel, label: run.label, "id": run.id}
        self._rows = [*self._rows, *({**about, **row} for row in rows)]
        write_rows(self._path, self._rows)

    def _drop_others(self, ids: Sequence[str], run: Run) -> None:
        """Forget, at the next writing, a run as it was declared before."""
        self._rows = [
            row for row in self._rows if not self._is(row, run) or row["id"] in ids
        ]

    def _is(self, row: Mapping[str, Any], run: Run) -> bool:
        return tuple(row[name] for name in self._names) == (run.panel, run.label)


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
