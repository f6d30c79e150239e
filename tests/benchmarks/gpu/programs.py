"""The program that `dmaml-jax train` runs, and how its epochs are timed."""

import dataclasses
import functools
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.figures import plural
from benchmarks.flops import matrix_flops
from benchmarks.gpu.compiling import Candidate

from dmaml_jax import envs
from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.program import Program

CHUNK = 20  # steps between two looks of a rollout at who is alive
SAMPLE = 0.4  # seconds that a sample of several epochs is to take
# Initialisers call LAPACK, which can hang when two threads run it at once on a CPU.
_ONE_AT_A_TIME = threading.Lock()


class NotFiniteError(Exception):
    """A program's numbers are no longer finite, so its time says nothing."""


class Sample(NamedTuple):
    """An epoch of every seed: seconds, and environment steps that were taken."""

    seconds: float
    env_steps: float


@dataclasses.dataclass(frozen=True)
class What:
    """Which learner on which environment; `full`: nobody ever terminates."""

    env: str = "cartpole"
    algo: str = "directed-maml"
    full: bool = False
    precision: Any = "highest"
    values: tuple[tuple[str, Any], ...] = ()

    def config(self) -> TrainConfig:
        """The preset, and what differs from it."""
        values = {"matmul_precision": self.precision, **dict(self.values)}
        return configuration(self.env, self.algo, epochs=100, **values)

    def name(self) -> str:
        """In words."""
        kind = "full" if self.full else "fresh"
        short = "" if self.precision == "highest" else f", {self.precision} precision"
        return f"{self.env}, {self.algo}, {kind}{short}"


# Programs of one learner with several numbers of seeds are traced from the same
# functions, whose inner parts JAX then traces only once.
@functools.cache
def learner_of(what: What) -> tuple[Any, Any, Any]:
    """Problem, `init` and `step`."""
    config = what.config()
    tasks = env = None
    if what.full:
        env, ranges = envs.make(what.env)
        endless = {"theta_threshold": math.inf, "x_threshold": math.inf}
        tasks = uniform(env.default_params.replace(**endless), **ranges)
    problem, learner = build(config, env=env, tasks=tasks)
    return problem, *train_step(problem, learner, config.sampling.num_tasks)


class Epochs(Candidate):
    """Seeds that train in one program on the first device."""

    def __init__(self, what: What, seeds: int) -> None:
        """Name it; nothing is traced yet."""
        self.what, self.seeds = what, seeds
        self.name = f"{what.name()}, {plural(seeds, 'seed')}"
        self.program: Any = None
        self._start: Any = None
        self._epochs = 1

    def lower(self) -> Any:
        """Trace the chunk of epochs, as `Program.compile` does."""
        config = self.what.config()
        _, init, step = learner_of(self.what)
        self.program = program = Program(
            init,
            step,
            seeds=range(1, self.seeds + 1),
            chunk_epochs=config.run.chunk_epochs,
            devices=jax.devices()[:1],
        )
        # The first state is made in a thread later; here its shapes will do.
        program.state = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=program._by_seed, weak_type=x.weak_type
            ),
            jax.eval_shape(program._init, program._first_lanes),
        )
        return program._chunk.lower(*program._arguments(0, 0))

    def prepare(self, compiled: Any) -> None:
        """Make the first state."""
        lanes = self.program._first_lanes
        init = self.program._init.lower(lanes).compile()
        with _ONE_AT_A_TIME:
            first = jax.block_until_ready(init(lanes))
        self._start = jax.device_put(first, self.program._by_seed)
        self.program._compiled = compiled

    def run(self, first_epoch: int, num_epochs: int) -> tuple[float, Any]:
        """Epochs from the first parameters on: seconds, and their metrics.

        Copying the parameters, which a run donates, is outside the time; metrics go
        to the host within it, as they do in training.
        """
        copy = jax.tree.map(jnp.copy, self._start)
        self.program.state = jax.block_until_ready(copy)
        return self.go_on(first_epoch, num_epochs)

    def go_on(self, first_epoch: int, num_epochs: int) -> tuple[float, Any]:
        """The same from where the last call ended."""
        begin = time.perf_counter()
        metrics = self.program.run(first_epoch, num_epochs)
        jax.block_until_ready(self.program.state)
        took = time.perf_counter() - begin
        if metrics["failed_at"].any():
            raise NotFiniteError(f"{self.name}: numbers are no longer finite")
        return took, metrics

    def warm_up(self) -> None:
        """First calls, which allocate; then choose how many epochs make a sample."""
        self.run(0, 1)
        took, _ = self.run(0, 1)
        most = self.program.chunk_epochs
        self._epochs = min(max(round(SAMPLE / took), 1), most)

    def __call__(self) -> Sample:
        """Some epochs, in one call of the program."""
        took, metrics = self.run(0, self._epochs)
        steps = np.sum(metrics["env_steps"], dtype=np.int64)
        return Sample(took / self._epochs, float(steps) / self._epochs)

    def flops(self) -> float:
        """Of the matrix products in an epoch of all seeds, nobody terminating."""
        _, init, step = learner_of(self.what)
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(init, key)
        turns = -(-self.what.config().sampling.horizon // CHUNK)
        return self.seeds * matrix_flops(step, key, state, loop_turns=turns)


def sampled(
    call: Callable[[], Any], allotment: float, repetitions: tuple[int, int]
) -> list[Any]:
    """Samples until the allotment is used up, or there are enough.

    A call so long that even the least number would take thrice the allotment is
    repeated less often.
    """
    least, most = repetitions
    begin, samples = time.perf_counter(), []
    while len(samples) < most:
        samples.append(call())
        spent = time.perf_counter() - begin
        ahead = spent / len(samples)
        limit = allotment if len(samples) >= least else 3 * allotment
        if spent + ahead > limit:
            break
    return samples


def interleaved(
    candidates: Sequence[Epochs], allotment: float, repetitions: tuple[int, int]
) -> list[list[Sample]]:
    """Samples of several programs that take turns: a list of each."""
    for candidate in candidates:
        candidate.warm_up()
    rounds = sampled(
        lambda: [candidate() for candidate in candidates],
        allotment * len(candidates),
        repetitions,
    )
    return [list(column) for column in zip(*rounds, strict=True)]
