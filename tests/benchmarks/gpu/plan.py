"""Parts in order of importance, a budget of seconds, and what came of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.figures import say
from benchmarks.gpu.compiling import one_line

DONE = "measured"
LEAST = 2.0  # seconds: with less than that nothing is started


class Part(NamedTuple):
    """One thing to measure.

    Attributes:
        name: under which the record keeps it.
        seconds: that it should take, an estimate.
        run: of its deadline, in seconds of `time.monotonic`; yields its data so far.
        compiles: whether it is a wave of compiling. Its deadline then leaves room for
            the parts up to the next wave, for which it compiles.
        share: of the time left that a wave may take; what is late then is left out.
    """

    name: str
    seconds: float
    run: Callable[[float], Iterator[Any]]
    compiles: bool = False
    share: float = 1.0


def carry_out(
    parts: Sequence[Part],
    end: float,
    record: dict[str, Any],
    written: Callable[[], None],
) -> None:
    """Do the parts one by one; what fails is recorded and the rest goes on.

    A part is stopped at the first of its results that comes after the end, and those
    behind it are recorded as not measured.

    Args:
        parts: the most important ones first.
        end: of the budget, in seconds of `time.monotonic`.
        record: gets an entry for each part: what came of it, seconds and data.
        written: called whenever the record has become more.
    """
    # All at once, so that what a killed run did not reach is named too.
    for part in parts:
        status = "not measured: the run ended before it"
        record[part.name] = {"status": status, "seconds": 0.0, "data": None}
    for place, part in enumerate(parts):
        entry = record[part.name]
        left = end - time.monotonic()
        if left < LEAST:
            entry["status"] = "not measured: the budget ended before it"
            written()
            continue
        until = end
        if part.compiles:
            until -= max(reserved(parts[place + 1 :]), (1 - part.share) * left)
        say(f"{part.name}: about {part.seconds:.0f} s; {left:.0f} s left")
        begin = time.monotonic()
        entry["status"] = "not measured: the run ended during it"
        try:
            for data in part.run(until):
                entry["data"], entry["seconds"] = data, time.monotonic() - begin
                written()
                if time.monotonic() > end:
                    entry["status"] = "cut short: the budget ended"
                    break
            else:
                entry["status"] = DONE
        except Exception as error:  # whatever it is, the other parts can be measured
            entry["status"] = f"failed: {one_line(error)}"
        entry["seconds"] = time.monotonic() - begin
        say(f"{part.name}: {entry['status']}, {entry['seconds']:.0f} s")
        written()


def reserved(following: Sequence[Part]) -> float:
    """Seconds that the parts up to the next wave of compiling should take."""
    total = 0.0
    for part in following:
        if part.compiles:
            break
        total += part.seconds
    return total
