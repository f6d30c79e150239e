"""The host's side of a sweep: rungs, programs and waves, one after the other."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from dmaml_jax.build.lanes import part_of
from dmaml_jax.config.settings import Group, groups_of
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_json
from dmaml_jax.runs.progress import Progress
from dmaml_jax.runs.stopping import Stop
from dmaml_jax.sweeps.folder import WAVES, Sweep
from dmaml_jax.sweeps.halving import best_of, can_halve
from dmaml_jax.sweeps.programs import (
    Compiled,
    compiled,
    configs_of,
    identity,
    laid_out,
    with_lanes_of,
)
from dmaml_jax.sweeps.waves import Before, Wave
from dmaml_jax.training.devices import free_memory, numbers
from dmaml_jax.training.hosts import from_first, is_first, least

Verbosity = Literal["quiet", "normal", "verbose"]


class Training:
    """A sweep in training, of which every process has one; the first keeps it.

    Attributes:
        reached: the epochs that each setting was trained for, by its number.
        signal: the number of the signal that stopped it, 0 without one.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, *, stop: Stop, verbosity: Verbosity
    ) -> None:
        """Take a sweep and its folder, which the caller has locked."""
        self.sweep = sweep
        self.folder = folder
        self.stop = stop
        self.reached = dict.fromkeys(range(len(sweep.settings)), 0)
        self.signal = 0
        # Asked once: later, what is in use would count twice.
        self._room = least(free_memory(jax.local_devices()[0]))
        self._verbosity: Verbosity = verbosity if is_first() else "quiet"
        self._progress = Progress(sweep.epochs, self._verbosity)
        self._where: dict[int, tuple[Wave, int]] = {}
        self._like: dict[Path, Any] = {}
        # The last wave that was read, as its lanes are asked for one by one.
        self._last_state: tuple[Path, Any] | None = None
        self._last_rows: tuple[Path, Any] | None = None

    def run(self) -> bool:
        """Train all settings; whether the end was reached.

        Raises:
            OSError: the disk is full; what was written before is whole.
            UsageError: what an earlier process wrote cannot be used.
        """
        sweep, alive, epoch = self.sweep, list(range(len(self.sweep.settings))), 0
        programs: dict[Any, Compiled] = {}
        rung = 0
        while epoch < sweep.epochs:
            halving = bool(sweep.halve) and can_halve(sweep, alive)
            end = min(epoch + sweep.at, sweep.epochs) if halving else sweep.epochs
            programs = self._rung(rung, alive, epoch, end, programs)
            if self.signal:
                return False
            self.reached.update(dict.fromkeys(alive, end))
            if end < sweep.epochs:
                kept = from_first(lambda alive=alive: best_of(sweep, alive, self.rows))
                self._progress.say(
                    f"epoch {end}: the best {len(kept)} of {len(alive)} settings go on"
                )
                alive = kept
            epoch, rung = end, rung + 1
        return True

    def lanes_of(self, setting: int) -> list[int]:
        """The numbers of a setting's lanes."""
        count = len(self.sweep.seeds)
        return list(range(setting * count, (setting + 1) * count))

    def rows(self, setting: int) -> tuple[list[str], list[list[list[str]]]]:
        """The columns of a setting's metrics, and the rows of each of its seeds."""
        columns: list[str] = []
        found = []
        for lane in self.lanes_of(setting):
            wave, _ = self._where[lane]
            columns, rows = self._rows(wave)
            found.append(rows[lane])
        return columns, found

    def state(self, lanes: Sequence[int]) -> Any:
        """The states of lanes at the end of the last rung that they were in."""
        leaves = []
        for lane in lanes:
            wave, row = self._where[lane]
            state = self._state(wave)
            leaves.append(jax.tree.map(lambda leaf, row=row: leaf[row], state))
        return jax.tree.map(lambda *rows: np.stack(rows), *leaves)

    def _rung(
        self,
        rung: int,
        alive: Sequence[int],
        epoch: int,
        end: int,
        programs: dict[Any, Compiled],
    ) -> dict[Any, Compiled]:
        """Train those that are alive from an epoch to another."""
        settings = [self.sweep.settings[number] for number in alive]
        groups = [
            Group(tuple(alive[index] for index in group.numbers), group.varying)
            for group in groups_of(settings)
        ]
        where: dict[int, tuple[Wave, int]] = {}
        new: dict[Any, Compiled] = {}
        with ThreadPoolExecutor(1) as pool:
            ahead = _ahead(pool, self, rung, groups, end, programs)
            for index, (group, made) in enumerate(zip(groups, ahead, strict=False)):
                if made.program.is_compiled and end < self.sweep.epochs:
                    new[identity(self.sweep, group)] = made  # for another rung
                where |= self._group(f"{rung}-{index}", group, made, epoch, end)
                if self.signal:
                    break
        self._where |= where
        return new

    def plan(self, name: str, group: Group, end: int) -> tuple[int, bool]:
        """What an earlier process left of a group.

        Returns:
            Lanes in a wave, 0 where it has not begun; and whether all waves are done.
        """

        def found() -> tuple[int, bool]:
            file = self.folder / WAVES / f"{name}.json"
            if not file.exists():
                return 0, False
            made = laid_out(self.sweep, group, _width(file))
            like = made.program.shapes()
            states = (wave.state(like) for wave in self._waves(name, made))
            return made.width, all(own is not None and own[0] >= end for own in states)

        return from_first(found)

    def program(
        self, name: str, group: Group, plan: tuple[int, bool], kept: Compiled | None
    ) -> Compiled:
        """The program of a group: of an earlier rung, a new one, or none to run.

        Args:
            name: the name of the group's files.
            group: the settings that one program trains.
            plan: the width, and whether all waves are done, as `plan` returns them.
            kept: the program of a group like this one at the rung before, if any.
        """
        (width, done), total = plan, len(group.numbers) * len(self.sweep.seeds)
        if kept and (kept.width == width if width else 2 * total > kept.width):
            made = with_lanes_of(self.sweep, group, kept)
        elif done:
            made = laid_out(self.sweep, group, width)
        else:
            fitting = total if kept else 0  # fewer than fitted before
            made = compiled(self.sweep, group, width or fitting, room=self._room)
        if not width and is_first():
            file = self.folder / WAVES / f"{name}.json"
            file.parent.mkdir(exist_ok=True)
            write_json(file, {"width": made.width})
        return made

    def _waves(self, name: str, made: Compiled) -> list[Wave]:
        return [
            Wave(self.folder / WAVES / f"{name}-{index}", made.numbers[part])
            for index, part in enumerate(made.waves)
        ]

    def _group(
        self, name: str, group: Group, made: Compiled, epoch: int, end: int
    ) -> dict[int, tuple[Wave, int]]:
        """Train the waves of a group; where each of its lanes then is."""
        config = configs_of(self.sweep, group)[0]
        waves = made.waves
        self._progress.say(
            f"{config.run.algo} on {config.run.env}: {len(group.numbers)} settings x "
            f"{len(self.sweep.seeds)} seeds = {len(made.numbers)} lanes in "
            f"{len(waves)} wave{'s' if len(waves) > 1 else ''} "
            f"({made.seconds:.1f} s compiling)"
        )
        where = {}
        like = made.program.shapes()
        for part, wave in zip(waves, self._waves(name, made), strict=True):
            where |= {lane: (wave, row) for row, lane in enumerate(wave.lanes)}
            self._like[wave.folder] = like
            if self._is_done(wave, end):
                continue
            made.program.take(part_of(made.lanes, part))
            wave.train(
                made.program,
                config,
                end,
                before=self._before(wave, epoch),
                stop=self.stop,
                progress=Progress(end, self._verbosity),
            )
            self.signal = self.stop.agreed(made.program.heard)
            if self.signal:
                break
        made.program.state = None
        return where

    def _is_done(self, wave: Wave, end: int) -> bool:
        def found() -> bool:
            state = wave.state(self._like[wave.folder])
            return state is not None and state[0] >= end

        return from_first(found)

    def _before(self, wave: Wave, epoch: int) -> Before | None:
        """What the lanes of a wave bring from the rung before."""
        if not epoch:
            return None

        def lines() -> list[str]:
            rows: dict[int, list[list[str]]] = {}
            columns: list[str] = []
            for lane in wave.lanes:
                columns, own = self._rows(self._where[lane][0])
                rows[lane] = own[lane]
            found = [",".join(columns)]
            for index in range(epoch):
                found += [",".join(rows[lane][index]) for lane in wave.lanes]
            return found

        return Before(epoch, from_first(lambda: self.state(wave.lanes)), lines)

    def _rows(self, wave: Wave) -> Any:
        if self._last_rows is None or self._last_rows[0] != wave.folder:
            self._last_rows = (wave.folder, wave.rows())
        return self._last_rows[1]

    def _state(self, wave: Wave) -> Any:
        if self._last_state is None or self._last_state[0] != wave.folder:
            found = wave.state(self._like[wave.folder])
            assert found is not None
            self._last_state = (wave.folder, found[1])
        return self._last_state[1]


def _width(file: Path) -> int:
    """Lanes in a wave, as an earlier process wrote it down."""
    try:
        width = json.loads(file.read_text())["width"]
        if type(width) is not int or width < 1:
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{file} is broken: remove it and the folders of that name beside it, "
            f"{file.stem}-0 and so on, to train their lanes anew."
        ) from None
    return width


def _ahead(
    pool: ThreadPoolExecutor,
    training: Training,
    rung: int,
    groups: Sequence[Group],
    end: int,
    kept: dict[Any, Compiled],
) -> Iterator[Compiled]:
    """The program of each group; the next one is compiled while one is in use."""
    x64 = numbers()["x64"]  # what a context sets is not known in a thread
    # Before, as processes talk to each other in one thread only.
    plans = [
        training.plan(f"{rung}-{index}", group, end)
        for index, group in enumerate(groups)
    ]

    def make(index: int) -> Compiled:
        with jax.enable_x64(x64):
            own = kept.get(identity(training.sweep, groups[index]))
            name = f"{rung}-{index}"
            return training.program(name, groups[index], plans[index], own)

    following: Future[Compiled] | None = None
    for index in range(len(groups)):
        made = make(index) if following is None else following.result()
        if made.width != least(made.width):
            raise UsageError(
                "The processes would cut the lanes into waves of different widths, as "
                "they have different memory: say --waves NUMBER."
            )
        more = index + 1 < len(groups)
        following = pool.submit(make, index + 1) if more else None
        yield made
