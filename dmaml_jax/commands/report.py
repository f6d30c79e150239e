"""The report command: one page of a run or of several, in one file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dmaml_jax.commands.options import RunFolders, require_runs
from dmaml_jax.commands.words import parsed
from dmaml_jax.files import write_text
from dmaml_jax.report.gathered import gather
from dmaml_jax.report.page import page
from dmaml_jax.report.verdict import notes
from dmaml_jax.runs.folder import output_file, output_folder, shown
from dmaml_jax.training import devices

NAME = "report.html"


@dataclasses.dataclass(frozen=True)
class Report:
    """One page of a run, or of several, in a file that opens offline.

    Writes report.html into the run folder; of several runs, into the current one.
    Example: dmaml-jax report runs/mine
    """

    runs: RunFolders
    """Run folders; every difference is to the first of them."""
    out: str = ""
    """An .html file to write, or a folder to write report.html into."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: no runs.
        """
        require_runs(self.runs, "report on")


def main(words: Sequence[str]) -> int:
    """Write a report as the words after `report` say; returns the exit code."""
    options = parsed(Report, "report", words)
    options.check()
    devices.only_cpu()
    return report(options)


def report(options: Report) -> int:
    """Write one page of one run or more.

    Args:
        options: the command's flags; `check` has been called.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: a folder holds no run, or `--out` cannot be written.
        OSError: the disk is full.
    """
    runs = gather(options.runs)
    path = _path(options, runs[0].curves.folder)
    text = page(runs)
    write_text(path, text)
    for run in runs:
        for note in notes(run):
            print(f"note: {run.curves.label}: {note}")
    print(f"wrote {shown(path.resolve())} ({len(text) / 1e6:.1f} MB)")
    return 0


def _path(options: Report, folder: Path) -> Path:
    """The file to write: in a single run's folder, or in the current one."""
    if not options.out:
        several = len(options.runs) > 1
        return output_folder("", Path(".") if several else folder) / NAME
    return output_file(options.out, NAME, (".html", ".htm"))
