"""What a recorded trace tells of a compiled program: seconds by part, and arithmetic.

The profiler records when each operation of a program ran, by its name in that program.
The program's text says to which part the operation belongs (`learners/parts.py`), and
of a matrix product what it multiplies. An operation's time is without that of those
that run within it, as a loop's body does. A fused operation counts to the part of its
last step.
"""

import collections
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dmaml_jax.learners.parts import OTHER, PARTS, part_of

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = \(?\w+\[([\d,]*)\]")
_OPERATION = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(
    r"(?:calls|to_apply|body|(?:true|false)_computation)=%?([\w.-]+)"
    r"|branch_computations=\{([^}]*)\}"
)
_PRODUCT = re.compile(
    r" (?:dot|custom-call)\((?:\w+\[[\d,]*\]\S* )?%?([\w.-]+),"
    r".*lhs_contracting_dim(?:s=\{|ensions\":\[)([\d,\"]+)"
)


class Event(NamedTuple):
    """An operation that ran on one thread or stream, in nanoseconds."""

    begin: float
    end: float
    name: str


class Operation(NamedTuple):
    """What a program's text says of an operation.

    Attributes:
        part: the part of an epoch that it belongs to.
        flops: how many floating-point operations its matrix products take each time
            that it runs, two for each multiply-add; those in a loop's body count there.
    """

    part: str
    flops: float


class Told(NamedTuple):
    """What a trace tells.

    Attributes:
        seconds: how long each part took, and whatever belongs to no part, summed over
            all threads or streams, s.
        flops: how many floating-point operations all matrix products took.
    """

    seconds: dict[str, float]
    flops: float


def read(file: Path, text: str) -> Told:
    """What the trace of a program tells.

    Args:
        file: what `jax.profiler` wrote, an `.xplane.pb`.
        text: the text of the compiled program that ran.
    """
    operations = operations_of(text)
    seconds, flops = dict.fromkeys((*PARTS, OTHER), 0.0), 0.0
    for line in _lines(file):
        ran = [event for event in line if event.name in operations]
        flops += sum(operations[event.name].flops for event in ran)
        for name, nanoseconds in own_times(ran).items():
            seconds[operations[name].part] += nanoseconds / 1e9
    return Told(seconds, flops)


def operations_of(text: str) -> dict[str, Operation]:
    """Every operation of a compiled program, by its name.

    One whose own name says nothing, as that of a copy which the compiler adds, belongs
    to where most of what it runs or of what stands beside it belongs.
    """
    own: dict[str, str | None] = {}
    flops: dict[str, float] = {}
    shapes: dict[str, list[int]] = {}
    called: dict[str, list[str]] = {}
    fused: dict[str, list[str]] = {}
    inside: dict[str, list[str]] = collections.defaultdict(list)
    place: dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            computation = head[1]
        elif found := _INSTRUCTION.match(line):
            name, named = found[1], _OPERATION.search(line)
            shapes[name] = [int(size) for size in found[2].split(",") if size]
            own[name] = part_of(named[1]) if named else None
            flops[name] = _product(line, shapes, name)
            called[name] = _computations(line)
            fused[name] = called[name] if " fusion(" in line else []
            inside[computation].append(name)
            place[name] = computation

    def most(computations: Iterable[str]) -> str | None:
        near = [own[each] for c in computations for each in inside[c]]
        count = collections.Counter(part for part in near if part)
        return count.most_common(1)[0][0] if count else None

    usual = {computation: most([computation]) for computation in inside}
    return {
        name: Operation(
            part or most(called[name]) or usual[place[name]] or OTHER,
            flops[name] + sum(flops[each] for c in fused[name] for each in inside[c]),
        )
        for name, part in own.items()
    }


def _computations(line: str) -> list[str]:
    """The computations that a line runs."""
    written = [word for found in _CALLED.findall(line) for word in found]
    return re.findall(r"[\w.-]+", " ".join(written))


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


def _product(line: str, shapes: dict[str, list[int]], name: str) -> float:
    """FLOPs of a line's matrix product, which cuBLAS may do; 0 of any other line."""
    found = _PRODUCT.search(line)
    if found is None or found[1] not in shapes:
        return 0.0
    axes = [int(axis) for axis in found[2].replace('"', "").split(",") if axis]
    summed = math.prod(shapes[found[1]][axis] for axis in axes)
    return 2.0 * math.prod(shapes[name]) * summed


def _lines(file: Path) -> list[list[Event]]:
    """What ran on each of the device's streams, or on each of the CPU's threads."""
    planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    lines = [
        line
        for plane in on_gpu or planes
        for line in plane.lines
        # Others of a GPU's lines tell the same time again, by module or operation.
        if not on_gpu or line.name.startswith("Stream")
    ]
    return [[_event(each, bool(on_gpu)) for each in line.events] for line in lines]


def _event(recorded: Any, on_gpu: bool) -> Event:
    name = recorded.name
    if on_gpu:  # a kernel has a name of its own, and its operation's beside it
        name = str(dict(recorded.stats).get("hlo_op", name))
    begin = recorded.start_ns
    return Event(begin, begin + recorded.duration_ns, name.lstrip("%"))
