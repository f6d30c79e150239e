"""The programs of a sweep: how wide they are, and what they need."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from dmaml_jax.build.lanes import lanes_of, part_of, program_of_lanes
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.settings import Group
from dmaml_jax.errors import UsageError
from dmaml_jax.sweeps.folder import Sweep
from dmaml_jax.training.chunk import Lanes
from dmaml_jax.training.devices import free_memory
from dmaml_jax.training.program import Program


class Compiled(NamedTuple):
    """The compiled program of a group, and the waves in which its lanes go.

    Attributes:
        program: the program, with as many lanes as the widest wave has.
        lanes: seeds and values of all lanes.
        numbers: the numbers of the lanes, counted over the whole sweep.
        width: how many lanes a wave has; the last wave may have fewer.
        seconds: how long compiling took, s.
    """

    program: Program
    lanes: Lanes
    numbers: tuple[int, ...]
    width: int
    seconds: float

    @property
    def waves(self) -> list[slice]:
        """Which lanes each wave has."""
        total = len(self.numbers)
        return [
            slice(first, min(first + self.width, total))
            for first in range(0, total, self.width)
        ]


def configs_of(sweep: Sweep, group: Group) -> list[TrainConfig]:
    """The configurations of a group's settings."""
    return [sweep.settings[number].config for number in group.numbers]


def lane_numbers(sweep: Sweep, settings: Sequence[int]) -> tuple[int, ...]:
    """The lanes of settings, seeds inside."""
    count = len(sweep.seeds)
    return tuple(s * count + seed for s in settings for seed in range(count))


def laid_out(sweep: Sweep, group: Group, width: int) -> Compiled:
    """The program of a group in a given width, without compiling it."""
    configs = configs_of(sweep, group)
    lanes = lanes_of(configs, group.varying, sweep.seeds)
    program = program_of_lanes(configs[0], part_of(lanes, slice(0, width)))
    return Compiled(program, lanes, lane_numbers(sweep, group.numbers), width, 0.0)


def compiled(
    sweep: Sweep, group: Group, width: int = 0, *, room: int | None = None
) -> Compiled:
    """Compile the program of a group, in a width that the devices have memory for.

    What a program takes grows with its lanes, so one that takes too much is compiled
    again with as many as fit, shared out evenly.

    Args:
        sweep: the whole sweep.
        group: the settings that one program trains.
        width: how many lanes a wave has; 0 takes what the sweep says.
        room: how many bytes are free; None asks the first device.

    Raises:
        UsageError: not even one lane fits.
    """
    config = configs_of(sweep, group)[0]
    total = len(group.numbers) * len(sweep.seeds)
    given = bool(width or sweep.waves)
    width = width or -(-total // max(sweep.waves, 1))
    seconds = 0.0
    room = free_memory(jax.local_devices()[0]) if room is None else room
    while True:
        made = laid_out(sweep, group, width)
        seconds += made.program.compile()
        need = made.program.memory()
        if given or need <= room:
            return made._replace(seconds=seconds)
        fits = width * room // need
        if fits < 1 or width == 1:
            raise UsageError(
                f"{width} lanes of {config.run.algo} on {config.run.env} need "
                f"{need / 2**20:,.0f} MiB, and {room / 2**20:,.0f} MiB are free: make "
                "--num-trajectories, --num-tasks or --hidden-sizes smaller, or say "
                "--waves NUMBER to try all the same."
            )
        count = -(-total // fits)
        width = min(-(-total // count), width - 1)


def with_lanes_of(sweep: Sweep, group: Group, kept: Compiled) -> Compiled:
    """A compiled program with the lanes of a group in place of those that it had."""
    lanes = lanes_of(configs_of(sweep, group), group.varying, sweep.seeds)
    own = lane_numbers(sweep, group.numbers)
    return kept._replace(lanes=lanes, numbers=own, seconds=0.0)


def identity(sweep: Sweep, group: Group) -> Any:
    """What tells programs apart: the values that they hold, and what their lanes vary.

    Groups of equal identity, of two rungs, can be trained by one program.
    """
    config = configs_of(sweep, group)[0]
    varying = group.varying
    return varying, str({n: v for n, v in config.flat().items() if n not in varying})
