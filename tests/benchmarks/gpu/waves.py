"""What is compiled, in two waves, and shared by the parts that measure."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu.compiling import Candidate, Compiler
from benchmarks.gpu.programs import Epochs, What
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.steps import Steps

LEARNERS = ("directed-maml", "maml", "fomaml")


class Bench:
    """Programs that several parts share, and what has been measured before."""

    def __init__(self, sizes: Sizes, compiler: Compiler, parts: dict[str, Any]) -> None:
        """Take the record's parts, where later ones find what earlier ones measured."""
        self.sizes, self.compiler, self.parts = sizes, compiler, parts
        self._programs: dict[Any, Any] = {}

    def epochs(self, seeds: int, **what: Any) -> Epochs:
        """A training program, the same one each time."""
        key = What(values=tuple(self.sizes.values.items()), **what), seeds
        return self._programs.setdefault(key, Epochs(*key))

    def steps(self, env: str) -> list[Steps]:
        """An environment's programs, smallest batch first."""
        steps, batches = self.sizes.steps[env], self.sizes.batches[env]
        return [
            self._programs.setdefault((env, batch), Steps(env, batch, steps))
            for batch in batches
        ]

    def learners(self, seeds: int) -> list[Epochs]:
        """Directed-MAML, MAML and FOMAML."""
        return [self.epochs(seeds, algo=algo, full=True) for algo in LEARNERS]

    def tf32(self) -> list[Epochs]:
        """CartPole's epochs in the device's default precision.

        Fresh ones: where nobody ends, all returns are equal and the gradient is 0.
        """
        return [
            self.epochs(seeds, precision="default")
            for seeds in sorted({self.sizes.many, self.sizes.most})
        ]

    def data(self, part: str) -> Any:
        """What a part measured, None if nothing."""
        return self.parts.get(part, {}).get("data")

    def first_wave(self, until: float) -> Iterator[dict[str, Any]]:
        """CartPole: its epochs, with those that later parts share, and its steps."""
        sizes = self.sizes
        shared = sizes.few, sizes.many, sizes.most
        # Those that other parts need too come first.
        seeds = sorted(sizes.seeds, key=lambda count: count not in shared)
        full = [self.epochs(count, full=True) for count in seeds]
        fresh = [self.epochs(count) for count in seeds]
        yield from self._compiled([*full, *self.steps("cartpole"), *fresh], until)

    def second_wave(self, until: float) -> Iterator[dict[str, Any]]:
        """The landers, which take XLA longest, then what compares programs."""
        sizes = self.sizes
        landers = [self.epochs(n, env=sizes.lander) for n in sizes.lander_seeds]
        steps = [each for env in sizes.landers for each in self.steps(env)]
        others = [*self.learners(sizes.many), *self.learners(sizes.few), *self.tf32()]
        yield from self._compiled([*landers, *steps, *others], until)

    def _compiled(
        self, candidates: Sequence[Candidate], until: float
    ) -> Iterator[dict[str, Any]]:
        begin = time.monotonic()
        for traced in self.compiler.wave(candidates, until):
            yield {
                "threads": self.compiler.threads,
                "wall": time.monotonic() - begin,
                "late": self.compiler.late(),
                "rows": [_row(candidate) for candidate in traced],
            }


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "trace": candidate.traced_seconds,
        "compile": candidate.compiled_seconds,
        "temporary": candidate.memory(),
        "why": candidate.why_not(),
    }
