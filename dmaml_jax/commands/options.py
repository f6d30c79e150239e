"""Types and checks of flags that several commands have."""

from typing import Annotated, Literal

import tyro

from dmaml_jax.errors import UsageError
from dmaml_jax.options import flag

RunFolder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
RunFolders = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")
]


def require_runs(runs: tuple[str, ...], what: str) -> None:
    """Refuse an empty list of run folders.

    Raises:
        UsageError: it is empty.
    """
    if not runs:
        raise UsageError(f"There is nothing to {what}: give one run folder or more.")


def require_whole(name: str, value: int, least: int) -> None:
    """Refuse what is no whole number, or a smaller one.

    Raises:
        UsageError: the value of that name is such.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(
            f"{flag(name)} is {value}, but it must be a whole number, {least} or more."
        )


def compute_as(run: str, device: Literal["auto", "cpu", "gpu"], cores: int) -> None:
    """Set JAX up for a stored run: devices, and its precision and random numbers.

    Args:
        run: the path of the run folder.
        device: the kind of device to run on; "auto" leaves the choice to JAX.
        cores: how many devices to make of a CPU's cores.

    Raises:
        UsageError: it is no run folder, or there is no GPU.
    """
    from dmaml_jax.runs.stored import read_record
    from dmaml_jax.training import devices

    record = read_record(run)
    devices.configure(device, cores)
    devices.adopt(record.get("program", {}))
