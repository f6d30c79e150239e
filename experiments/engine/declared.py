"""What a study declares: its runs in blocks, its switches, its figures and its page.

This file imports no JAX, so that a figure can be drawn again at once.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.engine.results import Results

HERE = Path(__file__).parent.parent
_QUICK = {"horizon": 10, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}
_QUICK_EPOCHS, _QUICK_SEEDS = 6, 3


@dataclasses.dataclass(frozen=True)
class Choice:
    """Values that training chooses: the best of a grid, on seeds of its own.

    The best one has the greatest interquartile mean, over those seeds, of the smoothed
    return's mean over the epochs. No table or figure shows these seeds.

    Attributes:
        grid: the values by name to choose from.
        seeds: the seeds to choose on, none of which the winner is trained with.
    """

    grid: tuple[Mapping[str, Any], ...]
    seeds: range


@dataclasses.dataclass(frozen=True)
class Run:
    """One line of a study: a learner with its values, and the seeds that train it.

    Attributes:
        panel: the table and the figure that it stands in, such as "cartpole-pg".
        label: what it is called there.
        env: the environment's name.
        algo: the learner's name.
        epochs: how many there are.
        seeds: their numbers.
        values: further values by name, as `dmaml_jax.configuration` takes them.
        choice: what is to be chosen before it can be trained, if anything.
        switch: the name of one of the study's switches; empty for the product as it is.
    """

    panel: str
    label: str
    env: str
    algo: str
    epochs: int
    seeds: range
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    choice: Choice | None = None
    switch: str = ""

    @property
    def name(self) -> str:
        """What it is called in the tables of its study."""
        return f"{self.panel}/{self.label}"

    @property
    def method(self) -> str:
        """How its gradients are estimated: pg or ac."""
        return self.values.get("method", "pg")

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that follow from all that was declared of it.

        Two studies that declare the same run share what was trained. A default of the
        package that changes does not change it; the commit stands in the tables.
        """
        seeds = [self.seeds.start, self.seeds.stop]
        values = {name: self.values[name] for name in sorted(self.values)}
        said = [self.env, self.algo, self.epochs, seeds, values, self.switch]
        return _digest(said)

    @property
    def choice_id(self) -> str:
        """The same of the candidates that it is chosen from."""
        return _digest([own.id for own in self.candidates()])

    def on(self, seeds: range) -> "Run":
        """The same with other seeds."""
        return dataclasses.replace(self, seeds=seeds)

    def chosen(self, values: Mapping[str, Any]) -> "Run":
        """The same with the values that were chosen."""
        return dataclasses.replace(self, values={**self.values, **values}, choice=None)

    def candidates(self) -> tuple["Run", ...]:
        """The runs that it is chosen from."""
        if self.choice is None:
            return ()
        own = dataclasses.replace(self, choice=None, seeds=self.choice.seeds)
        return tuple(
            dataclasses.replace(
                own,
                label=f"{self.label}: {written(point)}",
                values={**self.values, **point},
            )
            for point in self.choice.grid
        )

    def chunks(self, size: int) -> Iterator["Run"]:
        """The same in parts of so many seeds, each of which may be trained alone."""
        for first in range(self.seeds.start, self.seeds.stop, size):
            yield self.on(range(first, min(first + size, self.seeds.stop)))

    def first(self, number: int, chunk: int) -> "Run":
        """The same with its first seeds alone, in whole chunks; 0 leaves it."""
        return self.on(self.seeds[: -(-number // chunk) * chunk]) if number else self

    def quick(self) -> "Run":
        """The same at a size that takes seconds, and says nothing."""
        choice = self.choice
        if choice is not None:
            choice = Choice(choice.grid[:2], choice.seeds[:2])
        return dataclasses.replace(
            self,
            epochs=_QUICK_EPOCHS,
            seeds=self.seeds[:_QUICK_SEEDS],
            values={**self.values, **_QUICK},
            choice=choice,
        )


def _digest(said: Any) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def written(values: Mapping[str, Any]) -> str:
    """Values by name, for people and for a table's cell."""
    return " ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return "+".join(map(_shown, value))
    return str(value)


@dataclasses.dataclass(frozen=True)
class Block:
    """Runs that are trained side by side, some seeds of each before more of any.

    Attributes:
        title: what it is called in the bill; `--only` looks for words in it.
        runs: its runs, the most telling first.
        chunk: how many seeds of each run are trained before the next ones.
        quick: labels of those runs that the quick version has; None for all of them.
    """

    title: str
    runs: tuple[Run, ...]
    chunk: int = 10
    quick: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Study:
    """A question, the runs that answer it, and what is shown of them.

    Attributes:
        name: of its folder under `experiments/` and of its target in the Makefile.
        title: what it is, in a line.
        blocks: its runs, in the order in which they are trained.
        draw: `(results, folder)` writes the figures, from the tables alone.
        texts: `(results) -> texts by name` for the page, beyond those that every page
            may ask for.
        thresholds: by panel, the smoothed return that counts as having learned.
        settled: the epoch from whose end on steadiness is measured; 0 for not at all.
        switches: by name, what holds while the runs of that switch are trained.
        measure: `(folder, quick, raw)` measures what training leaves no trace of, such
            as seconds on a quiet machine, and writes a table; raw runs are in `raw`.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    draw: Callable[["Results", Path], None]
    texts: Callable[["Results"], Mapping[str, str]] = lambda results: {}
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    settled: int = 0
    switches: Mapping[str, Callable[[], AbstractContextManager[None]]] = (
        dataclasses.field(default_factory=dict)
    )
    measure: Callable[[Path, bool, Path], None] | None = None

    @property
    def home(self) -> Path:
        """The folder of the study in the checkout."""
        return HERE / self.name

    @property
    def runs(self) -> tuple[Run, ...]:
        """All its runs."""
        return tuple(run for block in self.blocks for run in block.runs)

    def quick(self) -> "Study":
        """The same with few runs at toy sizes."""
        blocks = tuple(
            dataclasses.replace(
                block,
                runs=tuple(
                    run.quick()
                    for run in block.runs
                    if block.quick is None or run.label in block.quick
                ),
                chunk=_QUICK_SEEDS,  # all of them: compiling is most of a toy
            )
            for block in self.blocks
        )
        kept = tuple(block for block in blocks if block.runs)
        return dataclasses.replace(self, blocks=kept, settled=min(self.settled, 2))

    def only(self, words: str) -> "Study":
        """The same with less to train: the blocks or runs whose name has these words.

        A run is called PANEL/LABEL; a block keeps all of its runs if its title matches.
        """
        words = words.lower()
        blocks = tuple(
            block
            if words in block.title.lower()
            else dataclasses.replace(
                block,
                runs=tuple(run for run in block.runs if words in run.name.lower()),
            )
            for block in self.blocks
        )
        kept = tuple(block for block in blocks if block.runs)
        return dataclasses.replace(self, blocks=kept)
