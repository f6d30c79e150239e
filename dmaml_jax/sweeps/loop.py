"""The host's side of a sweep: rungs, programs and waves, one after the other."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from dmaml_jax.build.lanes import lanes_of, part_of
from dmaml_jax.config.settings import Group, groups_of
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_json
from dmaml_jax.runs.loop import Stop
from dmaml_jax.runs.progress import Progress
from dmaml_jax.statistics import ema, interquartile_mean
from dmaml_jax.sweeps.folder import WAVES, Sweep
from dmaml_jax.sweeps.programs import Compiled, compiled, configs_of, lane_numbers
from dmaml_jax.sweeps.waves import Wave
from dmaml_jax.training.devices import free_memory, numbers

Verbosity = Literal["quiet", "normal", "verbose"]


class Training:
    """A sweep in training.

    Attributes:
        reached: the epochs that each setting was trained for, by its number.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, *, stop: Stop, verbosity: Verbosity
    ) -> None:
        """Take a sweep and its folder, which the caller has locked."""
        self.sweep = sweep
        self.folder = folder
        self.stop = stop
        self.reached = dict.fromkeys(range(len(sweep.settings)), 0)
        # Asked once: later, what is in use would count twice.
        self._room = free_memory(jax.devices()[0])
        self._verbosity: Verbosity = verbosity
        self._progress = Progress(sweep.epochs, verbosity)
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
            halving = bool(sweep.halve) and max(map(len, self._by_env(alive))) > 1
            end = min(epoch + sweep.at, sweep.epochs) if halving else sweep.epochs
            programs = self._rung(rung, alive, epoch, end, programs)
            if self.stop.received:
                return False
            self.reached.update(dict.fromkeys(alive, end))
            if end < sweep.epochs:
                kept = self._kept(alive)
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
            ahead = _ahead(pool, self, rung, groups, programs)
            for index, (group, made) in enumerate(zip(groups, ahead, strict=False)):
                if end < self.sweep.epochs:  # there may be another rung
                    new[_key(self.sweep, group)] = made
                where |= self._group(f"{rung}-{index}", group, made, epoch, end)
                if self.stop.received:
                    break
        self._where |= where
        return new

    def _program(self, name: str, group: Group, kept: Compiled | None) -> Compiled:
        """The program of a group: one of an earlier rung, or a new one."""
        file = self.folder / WAVES / f"{name}.json"
        total = len(group.numbers) * len(self.sweep.seeds)
        if file.exists():
            width = _width(file)
            if kept is None or kept.width != width:
                return compiled(self.sweep, group, width, room=self._room)
        elif kept is None or 2 * total <= kept.width:
            width = total if kept else 0
            made = compiled(self.sweep, group, width, room=self._room)
            file.parent.mkdir(exist_ok=True)
            write_json(file, {"width": made.width})
            return made
        else:
            write_json(file, {"width": kept.width})
        lanes = lanes_of(configs_of(self.sweep, group), group.varying, self.sweep.seeds)
        own = lane_numbers(self.sweep, group.numbers)
        return kept._replace(lanes=lanes, numbers=own, seconds=0.0)

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
        for index, part in enumerate(waves):
            wave = Wave(self.folder / WAVES / f"{name}-{index}", made.numbers[part])
            where |= {lane: (wave, row) for row, lane in enumerate(wave.lanes)}
            self._like[wave.folder] = made.program.shapes()
            found = wave.state(self._like[wave.folder])
            if found is not None and found[0] >= end:
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
            if self.stop.received:
                break
        made.program.state = None
        return where

    def _before(self, wave: Wave, epoch: int) -> Any:
        """What the lanes of a wave bring from the rung before."""
        if not epoch:
            return None
        rows: dict[int, list[list[str]]] = {}
        columns: list[str] = []
        for lane in wave.lanes:
            columns, own = self._rows(self._where[lane][0])
            rows[lane] = own[lane]
        return epoch, self.state(wave.lanes), columns, rows

    def _by_env(self, settings: Sequence[int]) -> list[list[int]]:
        """The settings of each environment."""
        found: dict[str, list[int]] = {}
        for number in settings:
            env = self.sweep.settings[number].config.run.env
            found.setdefault(env, []).append(number)
        return list(found.values())

    def _kept(self, settings: Sequence[int]) -> list[int]:
        """The settings that are kept at a rung: of each environment the best."""
        kept = []
        for own in self._by_env(settings):
            kept += self._best(own, -(-len(own) // self.sweep.halve))
        return sorted(kept)

    def _best(self, settings: list[int], count: int) -> list[int]:
        finals = []
        for number in settings:
            columns, rows = self.rows(number)
            place = columns.index("return_after")
            curves = [[float(r[place] or "nan") for r in own] for own in rows]
            finals.append(ema(np.array(curves).T)[-1])
        order = ranked(np.array(finals))
        return [settings[index] for index in order[:count]]

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


def ranked(finals: np.ndarray) -> list[int]:
    """Settings from the best to the worst.

    Args:
        finals: the smoothed return of each setting's seeds, `[settings, seeds]`; NaN,
            of a frozen seed, is taken for the lowest number of all.
    """
    alive = np.isfinite(finals)
    worst = np.min(finals, where=alive, initial=np.inf)
    filled = np.where(alive, finals, worst if alive.any() else 0)
    return list(np.argsort(-interquartile_mean(filled), kind="stable"))


def _key(sweep: Sweep, group: Group) -> Any:
    config = configs_of(sweep, group)[0]
    varying = group.varying
    return varying, str({n: v for n, v in config.flat().items() if n not in varying})


def _ahead(
    pool: ThreadPoolExecutor,
    training: Training,
    rung: int,
    groups: Sequence[Group],
    kept: dict[Any, Compiled],
) -> Iterator[Compiled]:
    """The program of each group; the next one is compiled while one is in use."""
    x64 = numbers()["x64"]  # what a context sets is not known in a thread

    def make(index: int) -> Compiled:
        with jax.enable_x64(x64):
            group = groups[index]
            own = kept.get(_key(training.sweep, group))
            return training._program(f"{rung}-{index}", group, own)

    following: Future[Compiled] | None = None
    for index in range(len(groups)):
        made = make(index) if following is None else following.result()
        more = index + 1 < len(groups)
        following = pool.submit(make, index + 1) if more else None
        yield made
