"""What `python -m experiments` does: bills, trains, gathers, draws and writes."""

import argparse
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.engine.declared import HERE, Block, Run, Study
from experiments.engine.page import write_page
from experiments.engine.results import Results

STUDIES = (
    "figure2",
    "figure3",
    "table2",
    "controls",
    "mechanism",
    "adaptation",
    "sgmrl",
    "distributions",
    "context",
    "lifetimes",
)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(words)
    names = STUDIES if given.studies == ["all"] else given.studies
    if len(names) > 1 and given == parser.parse_args([*given.studies, "--quick"]):
        return _side_by_side(names)
    if given.quick:
        _compile_fast()
    for name in names:
        code = run(
            study_of(name),
            quick=given.quick,
            only=given.only,
            first=given.first,
            plot_only=given.plot_only,
            bill_only=given.bill,
            gather_only=given.gather,
            again=given.again,
            work=given.work,
            out=given.out,
        )
        if code:
            return code
    return 0


def _side_by_side(names: Sequence[str]) -> int:
    """Toy studies, each in a process of its own: they compile most of the time.

    Ctrl-C reaches these processes too. What has not begun when one stops is left out.
    """
    from concurrent.futures import ThreadPoolExecutor

    from dmaml_jax.training.devices import usable_cores

    codes: list[int] = []

    def one(name: str) -> None:
        if not any(codes):
            command = [sys.executable, "-m", "experiments", name, "--quick"]
            codes.append(subprocess.run(command, check=False).returncode)

    # A handler, as children would ignore what their parent ignores.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(one, names))
    finally:
        signal.signal(signal.SIGINT, before)
    return next((code for code in codes if code), 0)


def _compile_fast() -> None:
    """Let XLA optimise little: toys run for seconds, and would compile for minutes."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    if jax.__version_info__ < (0, 11):  # newer ones know the flag no more
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m experiments",
        description="Train what a study still lacks, and write its tables, figures and "
        "page. It may be stopped at any time, and goes on when it is called again.",
    )
    parser.add_argument(
        "studies", nargs="+", choices=[*STUDIES, "all"], metavar="STUDY",
        help=f"{', '.join(STUDIES)}, or all",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="toy sizes, into runs/studies-quick"
    )
    parser.add_argument(
        "--bill", action="store_true", help="say what there is to train, and stop"
    )
    parser.add_argument(
        "--plot-only", action="store_true", help="figures and page from the tables"
    )
    parser.add_argument(
        "--gather",
        action="store_true",
        help="tables from what was trained, and no more",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="train what the tables have and the raw runs lack",
    )
    parser.add_argument(
        "--only", default="", metavar="WORDS",
        help="blocks, or runs PANEL/LABEL, with these words alone",
    )  # fmt: skip
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="N seeds of each run for now"
    )
    parser.add_argument("--work", type=Path, help="raw runs; runs/studies by default")
    parser.add_argument("--out", type=Path, help="in place of the study's own folder")
    return parser


def study_of(name: str) -> Study:
    """A study by the name of its folder."""
    return importlib.import_module(f"experiments.{name}.study").STUDY


def run(
    study: Study,
    *,
    quick: bool = False,
    only: str = "",
    first: int = 0,
    plot_only: bool = False,
    bill_only: bool = False,
    gather_only: bool = False,
    again: bool = False,
    work: Path | None = None,
    out: Path | None = None,
) -> int:
    """Train what a study lacks, and write what follows from it.

    Args:
        study: the whole study.
        quick: whether its runs have toy sizes; then it writes elsewhere.
        only: words that the titles of the blocks to train have, or names of runs.
        first: how many seeds of each run are trained at most; 0 trains all of them. The
            others are asked for all the same, and the tables say so.
        plot_only: whether figures and page are made of the tables that there are.
        bill_only: whether the bill is all that is wanted.
        gather_only: whether the tables are made anew of what was trained before.
        again: whether the tables do not count, so that what the raw runs lack is
            trained, and all rows are made anew.
        work: the folder of raw runs.
        out: where tables, figures and page go.

    Returns:
        The exit code: 0 done, 128 + signal if one stopped it.
    """
    study = study.quick() if quick else study
    runs = HERE.parent / "runs"
    toys = runs / "studies-quick"  # a folder each, as they may be trained side by side
    raw = toys / study.name if quick else runs / "studies"
    folder = out or (toys / "pages" / study.name if quick else study.home)
    code = 0
    if not plot_only:
        code = _trained(
            study, work or raw, folder, only=only, first=first, bill_only=bill_only,
            gather_only=gather_only, again=again, quick=quick,
        )  # fmt: skip
    if not bill_only:
        show(study, folder)
        print(f"{folder / 'README.md'} and its figures are up to date", flush=True)
    return code


def show(study: Study, folder: Path) -> None:
    """Draw a study's figures and write its page, and the verdict, from its tables."""
    results = Results(folder / "results")
    folder.mkdir(parents=True, exist_ok=True)
    study.draw(results, folder)
    write_page(study, results, folder)
    if study.name in STUDIES and folder == study.home:
        from experiments.reproduction.writing import write  # which asks for studies

        write()


def _trained(
    study: Study,
    raw: Path,
    folder: Path,
    *,
    only: str,
    first: int,
    bill_only: bool,
    gather_only: bool,
    again: bool,
    quick: bool,
) -> int:
    from dmaml_jax.training import devices

    devices.configure("auto", devices.usable_cores())
    # Only now: what imports gymnax starts JAX.
    from experiments.engine.bill import Speeds, bill, told
    from experiments.engine.gathering import gather
    from experiments.engine.work import Work

    results = Results(folder / "results")
    wanted = study.only(only)
    known = [Results(HERE / name / "results") for name in STUDIES]
    unknown = results if not again else Results(folder / "nothing")
    lines = bill(wanted, Work(raw), unknown, Speeds(known), first)
    print("\n".join(told(wanted, lines)), flush=True)
    if bill_only:
        return 0
    gather(study, Work(raw), results, anew=gather_only)
    if gather_only:
        return 0
    for block in wanted.blocks:
        code = _block(study, block, raw, folder, results, again, first, quick)
        if code:
            return code
    if study.measure is not None and not only:
        study.measure(folder / "results", quick, raw)
    return 0


def _block(
    study: Study,
    block: Block,
    raw: Path,
    folder: Path,
    results: Results,
    again: bool,
    first: int,
    quick: bool,
) -> int:
    """Train a block: first what its choices are made of, then its runs."""
    from experiments.engine.gathering import candidates_of, gather
    from experiments.engine.training import train
    from experiments.engine.work import Work

    def done(run: Run) -> bool:
        seeds = len(run.first(first, block.chunk).seeds)
        return not again and results.is_whole(run, seeds)

    def gathered() -> None:
        gather(study, Work(raw), results, anew=again)
        # So that a kill leaves a page that goes with its tables. Of toys the page is
        # made once, at the end: drawing takes as long as training one.
        if not quick:
            show(study, folder)

    candidates = candidates_of(block, results)
    if candidates is not None:
        code = train(
            candidates, Work(raw), done=lambda run: False, switches=study.switches,
            gathered=gathered,
        )  # fmt: skip
        if code:
            return code
        gathered()
    runs = [results.resolved(run) for run in block.runs]
    whole = Block(block.title, tuple(run for run in runs if run), block.chunk)
    return train(
        whole, Work(raw), done=done, switches=study.switches, gathered=gathered,
        first=first,
    )  # fmt: skip
