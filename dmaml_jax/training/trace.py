"""Which part of an epoch a recorded trace's time goes into.

The profiler records when each operation of a compiled program ran, by its name in that
program; the program's text says to which part the operation belongs
(`learners/parts.py`). An operation counts without those that run within it, as a loop's
body does. A fused operation counts to the part of its last step.
"""

import collections
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dmaml_jax.learners.parts import OTHER, PARTS, part_of

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = ")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_OPERATION = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.-]+)")


class Event(NamedTuple):
    """An operation that ran on one thread or stream, in nanoseconds."""

    begin: float
    end: float
    name: str


def seconds_by_part(folder: Path, text: str) -> dict[str, float]:
    """Seconds of each part and of what belongs to none, over all threads and streams.

    Args:
        folder: where `jax.profiler` wrote a trace, a single one.
        text: of the compiled program that it ran.
    """
    parts = parts_of(text)
    found = dict.fromkeys((*PARTS, OTHER), 0.0)
    for line in _lines(folder):
        for name, nanoseconds in own_times(e for e in line if e.name in parts).items():
            found[parts[name]] += nanoseconds / 1e9
    return found


def parts_of(text: str) -> dict[str, str]:
    """The part of every operation of a compiled program, by the operation's name.

    One whose own name says nothing, as that of a loop made by the compiler, belongs to
    where most of what it calls belongs.
    """
    own: dict[str, str | None] = {}
    called: dict[str, list[str]] = {}
    inside: dict[str, list[str]] = collections.defaultdict(list)
    computation = ""
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            computation = head[1]
        elif found := _INSTRUCTION.match(line):
            name, named = found[1], _OPERATION.search(line)
            own[name] = part_of(named[1]) if named else None
            called[name] = _CALLED.findall(line)
            inside[computation].append(name)

    def most(name: str) -> str | None:
        below = [own[each] for c in called[name] for each in inside[c]]
        count = collections.Counter(each for each in below if each)
        return count.most_common(1)[0][0] if count else None

    return {name: part or most(name) or OTHER for name, part in own.items()}


def own_times(events: Iterable[Event]) -> dict[str, float]:
    """Time of each name on a line, without the events that lie within its events."""
    found: dict[str, float] = collections.defaultdict(float)
    around: list[Event] = []
    for event in sorted(events, key=lambda e: (e.begin, -e.end)):
        while around and around[-1].end <= event.begin:
            around.pop()
        found[event.name] += event.end - event.begin
        if around:
            found[around[-1].name] -= event.end - event.begin
        around.append(event)
    return dict(found)


def _lines(folder: Path) -> list[list[Event]]:
    """What ran on each of the device's streams, or on each of the CPU's threads."""
    (file,) = folder.rglob("*.xplane.pb")
    planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    lines = [
        line
        for plane in on_gpu or planes
        for line in plane.lines
        # Others of a GPU's lines tell the same time again, by module or operation.
        if not on_gpu or line.name.startswith("Stream")
    ]
    return [[_event(each) for each in line.events] for line in lines]


def _event(recorded: Any) -> Event:
    # A GPU's kernel has a name of its own, and its operation's beside it.
    stats = dict(recorded.stats) if recorded.name.find("%") else {}
    name = str(stats.get("hlo_op", recorded.name)).lstrip("%")
    return Event(recorded.start_ns, recorded.start_ns + recorded.duration_ns, name)
