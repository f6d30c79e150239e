"""Flags of commands that may run as several processes, on one host or many."""

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from dmaml_jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Processes:
    """How a command meets the other processes that do the same."""

    distributed: bool = False
    """Share the work with other processes, started alike by SLURM, Open MPI or by hand;
    when one of them dies, all end within 30 s and can be resumed."""
    coordinator: str = ""
    """By hand: HOST:PORT of the first process, which opens that port."""
    num_processes: int = 0
    """By hand: how many processes there are."""
    process_id: int = 0
    """By hand: which one this is, from 0; the first one writes and prints."""


NAMES = tuple(Processes.__dataclass_fields__)
_BY_HAND = ("--coordinator", "--num-processes", "--process-id")


def together(flags: Mapping[str, list[str]]) -> AbstractContextManager[None]:
    """What a command runs in: with the other processes, if flags say so, or alone.

    It comes before JAX is set up.

    Args:
        flags: the flags of the command line, each with the words given for it.

    Raises:
        UsageError: they do not go together, or a value is wrong.
    """
    given = [name for name in _BY_HAND if name in flags]
    wanted = flags.get("--distributed", ["False"]) == ["True"]
    if given and not wanted:
        raise UsageError(
            f"{given[0]} belongs to --distributed: give that too, or leave it out."
        )
    if not wanted or "--help" in flags:
        return nullcontext()
    for name in ("--dry-run", "--profile"):
        if flags.get(name, ["False"]) != ["False"]:
            raise UsageError(
                f"{name} looks at one process: leave --distributed out beside it."
            )
    if given and len(given) < len(_BY_HAND):
        raise UsageError(
            "--coordinator, --num-processes and --process-id go together: give all "
            "three, or none where SLURM or Open MPI starts the processes."
        )
    from dmaml_jax.training.joining import joined

    if not given:
        return joined(None, None, None)
    address, count, number = (" ".join(flags[name]) for name in _BY_HAND)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UsageError(
            f"--coordinator is {address}, but it must be HOST:PORT, as in node1:9911."
        )
    if not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"--num-processes is {count}, but it must be a whole number, 1 or more."
        )
    if not number.isdecimal() or int(number) >= int(count):
        raise UsageError(
            f"--process-id is {number}, but it must be a whole number from 0 below "
            f"--num-processes, {count}."
        )
    return joined(address, int(count), int(number))
