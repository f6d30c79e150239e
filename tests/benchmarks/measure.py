"""What the benchmark measures, and how: candidates, samples in turn, ratios, load.

`python measure.py JOB NUMBER` does what has to be measured in a process of its own and
prints it as JSON.
"""

import contextlib
import io
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from figures import Quartiles, plural, quartiles, say
from flops import matrix_flops

_HERE = Path(__file__).parent
_WARM_UP_BELOW = 0.5  # seconds


class MeasurementError(Exception):
    """A process died, or a candidate's numbers are not finite."""


class Sample(NamedTuple):
    """One epoch of every seed: its wall time and what was done in it."""

    seconds: float
    env_steps: int
    loss: float


def seconds(samples: Sequence[Sample]) -> Quartiles:
    """Quartiles of the samples' wall times."""
    return quartiles([sample.seconds for sample in samples])


def ratio(above: Sequence[Sample], below: Sequence[Sample]) -> Quartiles:
    """Quartiles of the ratios of samples taken one after the other."""
    pairs = zip(above, below, strict=True)
    return quartiles([a.seconds / b.seconds for a, b in pairs])


# An epoch of MAML² as it is after the warm-up, and between two sortings.
OWN_VALUES = {"maml2": {"warm_up_epochs": 0, "sorting": "random", "categories": 5}}


def make_program(
    algo: str, seeds: int, full: bool, method: Any = "pg", **values: Any
) -> tuple[Any, tuple[Any, Any]]:
    """The program that `dmaml-jax train` runs, and its init and step.

    With `full`, nobody terminates. Further values are the configuration's.
    """
    import jax

    from dmaml_jax import envs
    from dmaml_jax.build import configuration
    from dmaml_jax.build.learner import build
    from dmaml_jax.tasks.distributions import uniform
    from dmaml_jax.training.chunk import train_step
    from dmaml_jax.training.devices import devices_per_seed
    from dmaml_jax.training.program import Program

    values = {**OWN_VALUES.get(algo, {}), **values}
    config = configuration("cartpole", algo, method=method, seeds=seeds, **values)
    env, ranges = envs.make("cartpole")
    limits = {"theta_threshold": math.inf, "x_threshold": math.inf} if full else {}
    tasks = uniform(env.default_params.replace(**limits), **ranges)
    problem, learner = build(config, env=env, tasks=tasks)
    devices = jax.devices()
    num_tasks = config.sampling.num_tasks
    pair = train_step(problem, learner, num_tasks)
    program = Program(
        *pair,
        seeds=range(1, seeds + 1),
        chunk_epochs=config.run.chunk_epochs,
        devices=devices,
        task_devices=devices_per_seed(len(devices), seeds, num_tasks),
    )
    return program, pair


class Ours:
    """A compiled program; called, it runs another epoch from its first parameters."""

    def __init__(
        self,
        algo: str,
        seeds: int,
        full: bool,
        method: str = "pg",
        outer_optimizer: str = "adam",
    ) -> None:
        self.name, self.algo, self.seeds = f"ours, {algo}", algo, seeds
        self.name += "" if outer_optimizer == "adam" else f" by {outer_optimizer}"
        self.name += " ac" * (method == "ac") + f", {plural(seeds, 'seed')}"
        self.program, self._pair = make_program(
            algo, seeds, full, method, outer_optimizer=outer_optimizer
        )
        say(f"  {self.name}: compiled in {self.program.compile():.1f} s")
        self._start, self._epoch = self.program.state, 0

    def __call__(self) -> Sample:
        import jax

        copy = jax.tree.map(jax.numpy.copy, self._start)  # a run donates its state
        self.program.state = jax.block_until_ready(copy)
        self._epoch += 1
        begin = time.perf_counter()
        metrics = self.program.run(self._epoch, 1)
        jax.block_until_ready(self.program.state)
        took = time.perf_counter() - begin
        if metrics["failed_at"].any():
            raise MeasurementError(f"{self.name}: numbers are no longer finite")
        loss = float(metrics["loss"].mean())
        return Sample(took, int(metrics["env_steps"].sum()), loss)

    def flops(self, loop_turns: int) -> float:
        """Of the matrix products in an epoch of one seed."""
        import jax

        init, step = self._pair
        key = jax.random.key(0)
        return matrix_flops(step, key, init(key), loop_turns=loop_turns)

    def temporary_bytes(self) -> int:
        """What the compiled chunk needs beside its arguments and results."""
        return self.program._compiled.memory_analysis().temp_size_in_bytes


class TorchWorkers:
    """The PyTorch baseline in processes of its own; a sample is all their seeds."""

    def __init__(
        self,
        form: str,
        *,
        full: bool,
        threads: int,
        seeds: int = 1,
        processes: int = 1,
        script: str = "torch_baseline.py",
    ) -> None:
        self.name = f"PyTorch {form}, {plural(threads, 'thread')}"
        if processes > 1:
            self.name += f" in each of {processes} processes"
        self.algo, self.seeds = "directed-maml", seeds
        command = [sys.executable, str(_HERE / script), "--worker"]
        command += ["--form", form, "--threads", str(threads)]
        command += ["--full"] * full
        # Shares of the seeds that differ by one at most.
        bounds = [index * seeds // processes for index in range(processes + 1)]
        self._processes = [
            subprocess.Popen(
                [*command, "--seed", str(1 + first), "--seeds", str(end - first)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for first, end in itertools.pairwise(bounds)
        ]

    def __enter__(self) -> "TorchWorkers":
        try:
            for process in self._processes:
                self._reply(process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def __call__(self) -> Sample:
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # its reply will be missed
                process.stdin.write("epoch\n")
                process.stdin.flush()
        replies = [self._reply(process) for process in self._processes]
        return Sample(
            max(reply["seconds"] for reply in replies),
            sum(reply["env_steps"] for reply in replies),
            statistics.fmean(reply["loss"] for reply in replies),
        )

    def _reply(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            exit_code = process.wait()
            raise MeasurementError(f"a worker of {self.name} died, exit {exit_code}")
        return json.loads(line)


def interleave(
    candidates: Sequence[Ours | TorchWorkers], repetitions: int
) -> dict[str, list[Sample]]:
    """Sample the candidates in turn: A B A B and so on.

    An epoch of some milliseconds would mostly measure the caches that the candidate
    before it left behind. So whatever takes less than half a second, on either side,
    runs once untimed before each sample.
    """
    first = {candidate.name: candidate().seconds for candidate in candidates}
    samples: dict[str, list[Sample]] = {name: [] for name in first}
    for repetition in range(1, repetitions + 1):
        for candidate in candidates:
            if first[candidate.name] < _WARM_UP_BELOW:
                candidate()
            samples[candidate.name].append(candidate())
        if repetition % 5 == 0:
            say(f"  {repetition} of {repetitions} repetitions")
    return samples


class Load:
    """CPU seconds of this process and its children, and of all others, in a `with`.

    Children count once they have been waited for.
    """

    def __enter__(self) -> "Load":
        self._begin = time.perf_counter(), sum(os.times()[:4]), _busy_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu, busy = self._begin
        self.wall = time.perf_counter() - wall
        self.cpu = sum(os.times()[:4]) - cpu
        self.others = max(_busy_seconds() - busy - self.cpu, 0.0) / self.wall
        self.average = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan


def _busy_seconds() -> float:
    """Seconds that all CPUs together worked, other guests' included; NaN if unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return math.nan
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def in_process(job: str, number: int, cache: Path) -> dict[str, float]:
    """What `measure.py JOB NUMBER` prints, with that compilation cache."""
    command = [sys.executable, __file__, job, str(number)]
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise MeasurementError(f"{job} {number}: exit {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _start(seeds: int) -> dict[str, float]:
    """A start as a user's: seconds of compiling, and from the imports to epoch 1."""
    from dmaml_jax.training import devices

    devices.configure("cpu", devices.usable_cores())
    import dmaml_jax.commands.train  # noqa: F401

    begin = time.perf_counter()
    program, _ = make_program("directed-maml", seeds, full=False)
    compiling = program.compile()
    program.run(0, 1)
    return {"compile": compiling, "start": time.perf_counter() - begin}


def _train(epochs: int) -> dict[str, float]:
    """A training run with its bar: seconds of its loop, and of its program in that."""
    from dmaml_jax.training import devices

    devices.configure("cpu", 1)
    from dmaml_jax.build import configuration
    from dmaml_jax.runs import training as run

    calls: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str) -> Any:
        method = getattr(run.Program, name)

        def call(*args: Any) -> Any:
            begin = time.perf_counter()
            result = method(*args)
            calls.setdefault(name, []).append((begin, time.perf_counter()))
            return result

        return call

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("compile", "run", "seeds_state"):
        setattr(run.Program, name, timed(name))
    config = configuration("cartpole", epochs=epochs, cpu_devices=1)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(Terminal()):
            code = run.train(config, str(Path(folder, "run")))
        ended = time.perf_counter()
    assert code == run.DONE, code
    loop_begin, loop_end = calls["compile"][0][1], calls["seeds_state"][-1][0]
    inside = sum(end - begin for begin, end in calls["run"])
    return {"loop": loop_end - loop_begin, "inside": inside, "end": ended - loop_end}


def _machine(threads: int) -> dict[str, float]:
    """FLOP/s of a large float32 matrix product, and bytes/s of a large copy."""
    import torch

    torch.set_num_threads(threads)
    square, large = torch.rand(2048, 2048), torch.rand(2**26)
    product, copy = torch.empty_like(square), torch.empty_like(large)

    def best(work: Any) -> float:
        return min(timeit.repeat(work, number=1, repeat=20))

    return {
        "flops": 2 * 2048**3 / best(lambda: torch.mm(square, square, out=product)),
        "bytes": 2 * 4 * 2**26 / best(lambda: copy.copy_(large)),
    }


if __name__ == "__main__":
    job = {"start": _start, "train": _train, "machine": _machine}[sys.argv[1]]
    print(json.dumps(job(int(sys.argv[2]))))
