"""The report's page, put together from its sections, data, style and scripts."""

import datetime
from collections.abc import Sequence
from importlib import resources
from typing import Any

from dmaml_jax.build.environment import law_in_words
from dmaml_jax.report import sections, verdict
from dmaml_jax.report.gathered import Gathered
from dmaml_jax.report.markup import Markup, data, tag
from dmaml_jax.report.payload import payload
from dmaml_jax.results.curves import Summary, common_threshold, summarise

_MOST_NOTES = 6
# Nothing may be fetched: what the page shows is in it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # noqa: E501


def page(runs: Sequence[Gathered]) -> str:
    """The HTML of the whole page.

    Args:
        runs: one run or more, as `gather` returns them; differences are to the first.
    """
    threshold = common_threshold([run.curves for run in runs])
    rows = summarise([run.curves for run in runs], threshold)
    title = _title(runs)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("style", _asset("page.css")),
    )
    body = tag(
        "body",
        _header(runs, rows, threshold, title),
        tag(
            "main",
            _notes(runs),
            sections.learning(runs, rows, threshold),
            sections.adaptation(runs),
            sections.episodes(runs),
            sections.reruns(runs),
            sections.circumstances(runs),
            id="main",
        ),
        _footer(),
        data("data", payload(runs, threshold)),
        tag("script", _asset("chart.js")),
        tag("script", _asset("pointer.js")),
        tag("script", _asset("page.js")),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _asset(name: str) -> Markup:
    return Markup(
        (resources.files("dmaml_jax.report") / "assets" / name).read_text("utf-8")
    )


def _title(runs: Sequence[Gathered]) -> str:
    envs = list(dict.fromkeys(run.curves.config.run.env for run in runs))
    if len(runs) == 1:
        return f"{runs[0].curves.config.run.algo} on {envs[0]}"
    return f"{len(runs)} runs on {', '.join(envs)}"


def _header(
    runs: Sequence[Gathered],
    rows: Sequence[Summary],
    threshold: float | None,
    title: str,
) -> Markup:
    said = verdict.verdicts(runs, rows, threshold)
    facts = _facts(runs[0]) if len(runs) == 1 else []
    return tag(
        "header",
        tag("a", "Skip to the figures", href="#main", class_="skip"),
        tag(
            "div",
            tag("p", "dmaml-jax report", class_="eyebrow"),
            tag("button", "Dark", type="button", id="theme", hidden=True),
            class_="bar",
        ),
        tag("h1", title),
        tag("p", said[0], class_="verdict", id="verdict"),
        *(tag("p", sentence, class_="said") for sentence in said[1:]),
        tag("dl", *facts, class_="facts") if facts else None,
    )


def _facts(run: Gathered) -> list[Markup]:
    config, seeds = run.curves.config, run.curves.seeds
    program = run.record.get("program") or {}
    facts = {
        "seeds": f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        "epochs": f"{len(run.curves.smoothed):,}",
        "tasks": ", ".join(config.tasks.vary) or law_in_words(config.run.env),
        "device": str(program.get("device") or program.get("platform") or "unknown"),
        "started": _day(run.record.get("started")),
    }
    return [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items()
    ]


def _day(started: Any) -> str:
    try:
        return datetime.datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M")
    except (TypeError, ValueError):
        return "unknown"


def _notes(runs: Sequence[Gathered]) -> Markup | None:
    said = list(verdict.between(runs))
    for run in runs:
        start = f"{run.curves.label}: " if len(runs) > 1 else ""
        said += [start + note for note in verdict.notes(run)]
    if not said:
        return None
    listed = tag("ul", *(tag("li", note) for note in said))
    if len(said) > _MOST_NOTES:
        listed = tag("details", tag("summary", f"{len(said)} notes"), listed)
    return tag("div", listed, class_="notes", id="notes")


def _footer() -> Markup:
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return tag("footer", tag("p", f"Written by dmaml-jax on {now}."))
