"""Every number of a study's page comes from its tables, which are in the checkout."""

import re
from pathlib import Path

import pytest
import studies_of_tests  # noqa: F401 - puts the checkout on the path

from experiments.engine.command import STUDIES, study_of
from experiments.engine.page import answers, filled
from experiments.engine.results import Results
from experiments.reproduction.writing import TARGET, TEMPLATE, verdict

ROOT = Path(__file__).parents[2]
NAMES = (
    r"[Ff]igure ?\d|Table I+|section IV|arXiv 2510\.00212|Directed-MAML|EMA\s+0\.9|"
    r"95 %|seed 1\b|PLOT_ONLY=1|BILL=1|table2"
)
"""What has digits and is no finding: names, and what the paper fixes."""


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_is_what_the_tables_make_of_it(name: str) -> None:
    """`make NAME PLOT_ONLY=1` writes it, and changes nothing more."""
    study = study_of(name)
    page = (study.home / "README.md").read_text("utf-8")
    assert page == filled(study, Results(study.home / "results"))


@pytest.mark.parametrize("name", STUDIES)
def test_the_text_has_no_numbers_of_its_own(name: str) -> None:
    """So that none can be wrong: each stands in a hole, which the tables fill."""
    assert not numbers_of(study_of(name).home / "page.md")


def numbers_of(page: Path) -> list[str]:
    """What has digits in a page's text, outside of holes, code, links and names."""
    text = re.sub(r"\{[^{}\n]+\}|`[^`]*`|\]\([^)]*\)", "", page.read_text("utf-8"))
    return re.findall(r"\S*\d\S*", re.sub(NAMES, "", text))


def test_the_verdict_is_what_all_tables_make_of_it() -> None:
    """`make verdict` writes it, its numbers come from them, its pictures are there."""
    assert TARGET.read_text("utf-8") == verdict()
    assert not numbers_of(TEMPLATE)
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEMPLATE.read_text("utf-8"))
    assert shown
    for picture in shown:
        assert (TARGET.parent / picture).exists(), picture


OF_README = {
    "needs {} of MAML's epochs": (
        "controls: cartpole/(b) Directed-MAML|ratio of epochs|cartpole/(a) MAML"
    ),
    "and {} of its environment steps": (
        "controls: cartpole/(b) Directed-MAML|ratio of steps|cartpole/(a) MAML"
    ),
    "On CartPole, {} seeds": "controls: cartpole/(b) Directed-MAML|seeds",
    "but ends at {}, MAML": "figure2: lunarlander-pg/Directed-MAML|final",
    "MAML at {} (`make figure2`)": "figure2: lunarlander-pg/MAML|final",
    "MAML reaches −5 on {} seeds": "controls: point/(a) MAML|reached",
    "and Directed-MAML with δ = α on {};": "controls: point/(b) Directed-MAML|reached",
    "of that δ it needs {} of MAML's epochs": (
        "controls: point/(g) δ = 0.02|ratio of epochs|point/(a) MAML"
    ),
    "MAML's epochs, on a random task {} (": (
        "controls: point/(c) random task of ρ, δ = 0.02|ratio of epochs|point/(a) MAML"
    ),
    "policy earns {} of 200": ("adaptation: return cartpole 0.001 medium task alone 0"),
    "greatest drop in 10 seeds is {} of 200": "figure3: exact/FOMAML|greatest drop",
    "else {} (`make figure3`)": "figure3: rounding/FOMAML|greatest drop",
}
"""What the front page says of the studies, and the questions behind it."""


@pytest.mark.parametrize("sentence", OF_README)
def test_the_front_page_says_what_the_tables_say(sentence: str) -> None:
    """Without the intervals, for which there is no room."""
    name, _, question = OF_README[sentence].partition(": ")
    results = Results(study_of(name).home / "results")
    answer = answers(study_of(name), results)(question).partition(" [")[0]
    page = " ".join((ROOT / "README.md").read_text("utf-8").split())
    short = answer.partition(" of ")[0] if ";" in sentence else answer
    assert sentence.format(short) in page


@pytest.mark.parametrize("name", STUDIES)
def test_tables_are_small_and_pictures_are_there(name: str) -> None:
    home = study_of(name).home
    for table in (home / "results").glob("*.csv"):
        assert table.stat().st_size < 300_000, table
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (home / "page.md").read_text("utf-8"))
    for picture in shown:
        assert (home / picture).read_bytes().startswith(b"\x89PNG"), picture


@pytest.mark.parametrize("name", STUDIES)
def test_what_a_page_says_of_seeds_is_what_has_ended(name: str) -> None:
    """A run has as many rows of seeds as it says, and no seed twice."""
    results = Results(study_of(name).home / "results")
    declared = {own.name: own for own in study_of(name).runs}
    for row in results.runs:
        seeds = [own["seed"] for own in results.seeds if own["run"] == row["run"]]
        assert len(seeds) == len(set(seeds)) == int(row["seeds"]) <= int(row["asked"])
        run = results.resolved(declared[row["run"]])
        assert run is not None and results.run(run) is row
        assert {int(seed) for seed in seeds} <= set(run.seeds)
