"""The benchmark: what an epoch costs here, and what it costs in PyTorch and Gymnasium.

    python tests/benchmarks/bench.py                    # writes docs/benchmarks.md
    python tests/benchmarks/bench.py --quick --rows 1,5 # a smoke run, printed only

On a CPU. M = 5 tasks, K = 10 trajectories, H = 200, policy gradient, an MLP of 2 × 64,
float32, Directed-MAML on CartPole unless a row says otherwise. A sample is one epoch
of every seed from new parameters, the candidates take turns, and a ratio is the median
of the ratios of neighbouring samples. Needs the extra `bench`.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measure import (
    MeasurementError,
    Quartiles,
    Sample,
    Samples,
    interleave,
    quartiles,
    say,
    seconds,
)

OUT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TASKS, TRAJECTORIES, HORIZON = 5, 10, 200
COLLECTIONS = {"directed-maml": 11, "maml": 10, "fomaml": 10}
PACKAGES = ("dmaml-jax", "jax", "jaxlib", "torch", "gymnasium", "numpy")


def make_program(algo: str = "directed-maml", seeds: int = 1, full: bool = False):
    """The program that `dmaml-jax train` runs; `full` never terminates."""
    import jax

    from dmaml_jax import envs
    from dmaml_jax.factory import build
    from dmaml_jax.presets import TrainConfig, validated
    from dmaml_jax.tasks import uniform
    from dmaml_jax.training import Program, train_step

    config = validated(TrainConfig(algo=algo, seeds=seeds))
    if full:
        env, ranges = envs.make("cartpole")
        endless = {"theta_threshold": math.inf, "x_threshold": math.inf}
        tasks = uniform(env.default_params.replace(**endless), **ranges)
        problem, learner = build(config, env=env, tasks=tasks)
    else:
        problem, learner = build(config)
    return Program(
        *train_step(problem, learner, config.num_tasks),
        seeds=range(1, seeds + 1),
        chunk_epochs=config.chunk_epochs,
        devices=jax.devices()[:seeds],
    )


class Ours:
    """A compiled program; called, it runs another epoch from its first state."""

    def __init__(self, algo: str, seeds: int, full: bool) -> None:
        self.program = make_program(algo, seeds, full)
        took = self.program.compile()
        say(f"  compiled {algo}, {seeds} seed(s) in {took:.1f} s")
        self._start, self._epoch = self.program.state, 0

    def __call__(self) -> Sample:
        import jax

        copy = jax.tree.map(jax.numpy.copy, self._start)  # a run donates its state
        self.program.state = jax.block_until_ready(copy)
        self._epoch += 1
        start = time.perf_counter()
        metrics = self.program.run(self._epoch, 1)
        jax.block_until_ready(self.program.state)
        took = time.perf_counter() - start
        if metrics["failed_at"].any():
            raise MeasurementError("a seed failed: its numbers are not finite")
        loss = float(metrics["loss"].mean())
        return Sample(took, int(metrics["env_steps"].sum()), loss)


class Line(NamedTuple):
    """A row of the table of targets."""

    row: int
    what: str
    measured: str
    repetitions: int
    target: str
    met: str


@dataclasses.dataclass
class Bench:
    """What has been measured so far, and how."""

    repetitions: int
    quick: bool
    cores: int
    cache: Path
    lines: list[Line] = dataclasses.field(default_factory=list)
    samples: list[Sequence[Any]] = dataclasses.field(default_factory=list)
    loads: list[Sequence[Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.ours = functools.cache(Ours)

    def add(
        self, row: int, what: str, value: Quartiles, target: str = "", unit: str = "×"
    ) -> None:
        """A line; `target` is like `>=30` or `<=1.5`, empty for the record."""
        met = "–"
        if target:
            limit = float(target[2:])
            better = (
                value.median >= limit if target[0] == ">" else value.median <= limit
            )
            met = "yes" if better else "**no**"
        shown = (
            f"{target[:2].replace('>=', '≥').replace('<=', '≤')} {target[2:]} {unit}"
        )
        measured = f"{value.text()} {unit}"
        self.lines.append(
            Line(row, what, measured, value.count, shown if target else "–", met)
        )
        say(f"  {what}: {measured} {f'(target {shown})' if target else ''}")

    def take(
        self, row: int, candidates: dict[str, Any], times: int = 1, full: bool = True
    ) -> Samples:
        """Sample in turn and keep what was seen; see that the work is the same."""
        samples = interleave(candidates, self.repetitions * times)
        for name, taken in samples.items():
            steps = quartiles([s.env_steps for s in taken]).median
            loss = quartiles([abs(s.loss) for s in taken]).median
            took = seconds(taken)
            cells = f"{steps:,.0f}", f"{steps / took.median / 1e6:.3g} M"
            self.samples.append(
                (row, name, took.text(scale=1e3), *cells, f"{loss:.2g}")
            )
            seeds = getattr(candidates[name], "seeds", 1)
            if full:
                pass
        return samples


def torch_forms(bench: Bench, full: bool, stack: contextlib.ExitStack):
    pass
