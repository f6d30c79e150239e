"""The page and the file of numbers beside it."""

import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.plan import DONE
from benchmarks.gpu.sections import SECTIONS, short, table

INTRODUCTION = """# What a GPU does

`make gpu-report` wrote this page and `gpu.json`, which has the same numbers. An *epoch*
is one of Directed-MAML with policy gradient, as `dmaml-jax train` runs it: the same
compiled chunk of epochs, on one device, with the preset's M tasks, K trajectories, H
steps and network, in float32. *Full*: nobody ever terminates. *Fresh*: untrained, so
episodes are short. A time is the median [quartiles] of several calls after a warm-up,
each of as many epochs as take about 0.4 s (20 at most); the first parameters are put
back before each call, outside the time."""


def write(record: dict[str, Any], folder: Path) -> None:
    """Write both files, each aside first, so that none is ever half written."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"gpu.md": page(record), "gpu.json": json.dumps(_plain(record)) + "\n"}
    for name, text in texts.items():
        aside = folder / f".{name}.{os.getpid()}"
        aside.write_text(text)
        aside.replace(folder / name)


def page(record: dict[str, Any]) -> str:
    """The Markdown of a record."""
    parts = record["parts"]
    about = [f"- {name}: {text}" for name, text in record["about"].items()]
    blocks = [INTRODUCTION, "\n".join(about), "## Marks", marks(parts)]
    if missing := [
        f"- {name}: {part['status']}"
        for name, part in parts.items()
        if part["status"] != DONE
    ]:
        blocks += ["## Not measured, failed or cut short", "\n".join(missing)]
    for name, tabulated in SECTIONS.items():
        if data := parts.get(name, {}).get("data"):
            blocks += [f"## {name[0].upper()}{name[1:]}", tabulated(data)]
    spent = ", ".join(f"{name} {p['seconds']:.0f}" for name, p in parts.items())
    blocks += ["## Seconds that each part took", spent]
    return "\n\n".join(blocks) + "\n"


def marks(parts: dict[str, Any]) -> str:
    """What was to be reached, and whether it was."""
    rows = []
    for what, limit, found in (
        ("CartPole, steps/s", 30e6, _best(parts, "CartPole steps", "cartpole")),
        (
            "exact lander, steps/s",
            10e6,
            _best(parts, "lander steps", "lunarlander-exact"),
        ),
        ("seeds at twice one seed's time", 256, _seeds_at_twice(parts)),
    ):
        met = "not measured"
        if found is not None:
            met = "reached" if found >= limit else "**missed**"
        rows.append((what, f"≥ {short(limit)}", short(found), met))
    return table(("what", "mark", "measured", ""), rows)


def seeds_at_twice(points: Sequence[tuple[int, float]]) -> float | None:
    """Seeds whose epoch takes twice one seed's: a straight line between logarithms.

    Args:
        points: seeds and seconds, by number of seeds.

    Returns:
        None without a point at one seed; the greatest number measured where even that
        takes less than twice as long.
    """
    if not points or points[0][0] != 1:
        return None
    limit = 2 * points[0][1]
    for (few, before), (many, after) in itertools.pairwise(points):
        if after > limit:
            share = math.log(limit / before) / math.log(after / before)
            return few * (many / few) ** share
    return points[-1][0]


def _seeds_at_twice(parts: dict[str, Any]) -> float | None:
    rows = (parts.get("CartPole epochs") or {}).get("data") or []
    measured = [row for row in rows if row["full"] and "seconds" in row]
    return seeds_at_twice([(row["seeds"], row["seconds"][1]) for row in measured])


def _best(parts: dict[str, Any], name: str, env: str) -> float | None:
    rows = (parts.get(name) or {}).get("data") or []
    rates = [r["rate"][1] for r in rows if r["env"] == env and "rate" in r]
    return max(rates, default=None)


def _plain(value: Any) -> Any:
    """The same in what JSON has: no infinities, numbers of a few digits."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
