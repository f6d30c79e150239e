"""Writes docs/reproduction.md: page.md with its holes filled from all studies.

A hole is `{STUDY: QUESTION}`; the question is one that the study's own page may ask.
"""

from functools import cache

from dmaml_jax.files import write_text
from experiments.engine.command import study_of
from experiments.engine.declared import HERE
from experiments.engine.page import answers, with_holes_filled
from experiments.engine.results import Results
from experiments.reproduction.picture import draw

TEMPLATE = HERE / "reproduction" / "page.md"
TARGET = HERE.parent / "docs" / "reproduction.md"
_MADE_BY = (
    "<!-- Made of experiments/reproduction/page.md and the studies' tables by "
    "`make verdict`. -->"
)


def verdict() -> str:
    """The whole page.

    Raises:
        KeyError: it asks what nobody answers.
    """
    asked = cache(
        lambda name: answers(study_of(name), Results(HERE / name / "results"))
    )

    def answer(question: str) -> str:
        name, _, rest = question.partition(": ")
        return asked(name)(rest)

    text = with_holes_filled(TEMPLATE.read_text("utf-8"), answer)
    return f"{_MADE_BY}\n\n{text.rstrip()}\n"


def write() -> None:
    """Write docs/reproduction.md and its picture."""
    write_text(TARGET, verdict())
    draw()
