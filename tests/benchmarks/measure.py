"""How the benchmark measures: samples in turn, ratios, load, worker processes."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_HERE = Path(__file__).parent
_WARM_UP_BELOW = 0.5  # seconds


class MeasurementError(Exception):
    """A process died, or a side did not do the work that was asked for."""


class Sample(NamedTuple):
    """One epoch of every seed: its wall time and what was done in it."""

    seconds: float
    env_steps: int
    loss: float


class Quartiles(NamedTuple):
    """Median and quartiles of some numbers."""

    low: float
    median: float
    high: float
    count: int

    def text(self, digits: int = 3, scale: float = 1.0) -> str:
        """`median [low, high]`."""
        low, median, high = (f"{x * scale:.{digits}g}" for x in self[:3])
        return f"{median} [{low}, {high}]"


Candidate = Callable[[], Sample]
Samples = dict[str, list[Sample]]


def say(message: str) -> None:
    """Tell the person who waits."""
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles, interpolated."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0], 1)
    return Quartiles(
        *statistics.quantiles(values, n=4, method="inclusive"), len(values)
    )


def ratio(above: Sequence[Sample], below: Sequence[Sample]) -> Quartiles:
    """Quartiles of the ratios of samples taken one after the other."""
    pairs = zip(above, below, strict=True)
    return quartiles([a.seconds / b.seconds for a, b in pairs])


def seconds(samples: Sequence[Sample]) -> Quartiles:
    """Quartiles of the samples' wall times."""
    return quartiles([sample.seconds for sample in samples])


def interleave(candidates: dict[str, Candidate], repetitions: int) -> Samples:
    """Sample the candidates in turn, A B A B …

    An epoch of some milliseconds would mostly measure the caches that the candidate
    before it left behind. So whatever takes less than half a second, on either side,
    runs once untimed before each sample.
    """
    first = {name: candidate() for name, candidate in candidates.items()}
    shown = ", ".join(f"{name} {s.seconds:.3g} s" for name, s in first.items())
    say(f"  first epochs: {shown}")
    samples: Samples = {name: [] for name in candidates}
    for repetition in range(repetitions):
        for name, candidate in candidates.items():
            if first[name].seconds < _WARM_UP_BELOW:
                candidate()
            samples[name].append(candidate())
        if (repetition + 1) % 5 == 0:
            say(f"  {repetition + 1} of {repetitions} repetitions")
    return samples


class TorchWorkers:
    """The PyTorch baseline in processes of its own; a sample is all their seeds."""

    def __init__(
        self, form: str, *, full: bool, threads: int, seeds: int = 1, processes: int = 1
    ) -> None:
        self.name = f"PyTorch {form}, {threads} thread{'s' if threads > 1 else ''}"
        each = seeds // processes
        command = [sys.executable, str(_HERE / "torch_baseline.py"), "--worker"]
        command += ["--form", form, "--threads", str(threads), "--seeds", str(each)]
        self._processes = [
            subprocess.Popen(
                [*command, "--seed", str(1 + n * each), *["--full"] * full],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(processes)
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
            process.communicate()

    def __call__(self) -> Sample:
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write("epoch\n")
                process.stdin.flush()
            except OSError:
                raise self._death(process) from None
        replies = [self._reply(process) for process in self._processes]
        return Sample(
            max(reply["seconds"] for reply in replies),
            sum(reply["env_steps"] for reply in replies),
            statistics.fmean(reply["loss"] for reply in replies),
        )

    def _reply(self, process: "subprocess.Popen[str]") -> dict[str, float]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise self._death(process)
        return json.loads(line)

    def _death(self, process: "subprocess.Popen[str]") -> MeasurementError:
        return MeasurementError(f"a worker of {self.name} died, exit {process.wait()}")


def in_process(job: str, number: int, cache: Path) -> dict[str, float]:
    """What `bench.py --apart JOB NUMBER` prints, with that compilation cache."""
    command = [sys.executable, str(_HERE / "bench.py"), "--apart", job, str(number)]
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise MeasurementError(f"{' '.join(command[1:])}: exit {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


class Load:
    """CPU seconds of this process and its children, and of all others, in a `with`.

    Children count once they have been waited for.
    """

    def __enter__(self) -> "Load":
        self._start = time.perf_counter(), sum(os.times()[:4]), _busy_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu, busy = self._start
        self.wall = time.perf_counter() - wall
        self.cpu = sum(os.times()[:4]) - cpu
        self.average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        end = _busy_seconds()
        known = busy is not None and end is not None
        self.others = max(0.0, end - busy - self.cpu) / self.wall if known else None


def _busy_seconds() -> float | None:
    """Seconds that all CPUs together have worked, the hypervisor's thefts included."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_model() -> str:
    """The CPU by name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return models[0] if models else platform.processor() or platform.platform()


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)
