"""The lander's benchmark: steps per second of every lander, and an epoch's time.

    python tests/benchmarks/lander.py  # writes a section of docs/benchmarks.md
    python tests/benchmarks/lander.py --batches 64 --repetitions 3 --out /dev/stdout

Run by `make bench-lander`. Needs the extra `bench`; EnvPool is measured where it is
installed. `measure.py` holds what is common to all benchmarks.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from landers import STEPS, EnvPool, Gymnasium, Lander, OurEpoch
from measure import (
    Load,
    Quartiles,
    Sample,
    TorchWorkers,
    interleave,
    quartiles,
    ratio,
    say,
    seconds,
)

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TITLE = "## LunarLander"
BATCHES = (64, 256, 1024, 4096)
SOLVERS = ("exact", "fast")
INTRODUCTION = """Random actions at g = 10 m/s², on a CPU. Gymnasium steps one lander
in one process and resets it after each end; EnvPool does so in every lane, on all
cores. Ours are a batch that is reset and then takes 100 steps; only the steps of
landers that still fly are counted (*alive*), though the others cost as much. The
candidates take turns; a ratio is the median [quartiles] of the ratios of neighbouring
samples' steps per second. Compile time is apart: a cold process each, without a
cache. *Epoch*: Directed-MAML with the fast solver, M = 5 tasks, K = 10 trajectories,
H = 200 steps, an MLP of 2 × 64; *full*: landers fly on after their end, 22,000 steps,
*fresh*: episodes end as an untrained policy's do. PyTorch steps all environments in a
list with one batched policy call (`tests/benchmarks/torch_lander.py`), on one thread
or two, whichever is faster; five seeds share two such processes of one thread."""


def compiling(solver: str, what: str) -> None:
    """Print seconds of wall and CPU time that a program of 1024 lanes takes."""
    import jax
    import jax.numpy as jnp

    from dmaml_jax.envs.lunar_lander import LunarLander

    jax.config.update("jax_enable_compilation_cache", False)
    env = LunarLander(solver=solver)
    params, keys = env.default_params, jax.random.split(jax.random.key(0), 1024)
    begin, cpu = time.perf_counter(), sum(os.times()[:2])
    if what == "rollout":
        Lander(solver, 1024)
    else:
        reset = jax.vmap(lambda key: env.reset_env(key, params)[1])
        state = jax.eval_shape(reset, keys)
        begin, cpu = time.perf_counter(), sum(os.times()[:2])
        step = jax.vmap(lambda k, s, a: env.step_env(k, s, a, params))
        jax.jit(step).lower(keys, state, jnp.zeros(1024, jnp.int32)).compile()
    print(json.dumps([time.perf_counter() - begin, sum(os.times()[:2]) - cpu]))


def speed(above: Sequence[Sample], below: Sequence[Sample]) -> Quartiles:
    """Quartiles of the ratios of steps per second, of neighbouring samples."""

    def per_step(samples: Sequence[Sample]) -> list[Sample]:
        return [s._replace(seconds=s.seconds / s.env_steps) for s in samples]

    return ratio(per_step(below), per_step(above))


@dataclasses.dataclass
class Section:
    """What has been measured so far."""

    repetitions: int
    ratios: list[Sequence[str]] = dataclasses.field(default_factory=list)
    times: list[Sequence[str]] = dataclasses.field(default_factory=list)
    loads: list[Sequence[str]] = dataclasses.field(default_factory=list)

    def add(self, what: str, value: Quartiles, target: str = "", unit: str = "×"):
        """A line of the first table; `target` is like `≥ 10`, empty for the record."""
        met = "–"
        if target:
            limit, above = float(target[2:]), target[0] == "≥"
            held = value.median >= limit if above else value.median <= limit
            met, target = "yes" if held else "**no**", f"{target} {unit}"
        shown = f"{value.text()} {unit}"
        self.ratios.append((what, shown, str(value.count), target or "–", met))
        say(f"  {what}: {shown} {target}")

    def batch(self, size: int, cores: int) -> None:
        """All landers at one batch size."""
        candidates: list[Any] = [Gymnasium()]
        try:
            candidates.append(EnvPool(size, cores))
        except ImportError:
            say("  EnvPool is not installed: its row is left out")
        candidates += [Lander(solver, size) for solver in SOLVERS]
        samples = interleave(candidates, self.repetitions)
        for candidate in candidates:
            rates = [s.env_steps / s.seconds / 1e3 for s in samples[candidate.name]]
            slots = size * STEPS if isinstance(candidate, Lander) else 0
            alive = quartiles([s.env_steps for s in samples[candidate.name]]).median
            share = f"{alive / slots:.0%}" if slots else "–"
            self.times.append(
                (str(size), candidate.name, f"{quartiles(rates).text()} k", share)
            )
        exact, fast, theirs = (samples[n] for n in ("exact", "fast", "Gymnasium"))
        goals = {64: "≥ 10", 1024: "≥ 20"}
        value = speed(fast, theirs)
        self.add(f"batch {size}: fast / Gymnasium", value, goals.get(size, ""))
        target = "≥ 1.5" if size == 1024 else ""
        self.add(f"batch {size}: exact / Gymnasium", speed(exact, theirs), target)
        target = "≥ 10" if size == 1024 else ""
        self.add(f"batch {size}: fast / exact", speed(fast, exact), target)
        if pools := [each for each in candidates if isinstance(each, EnvPool)]:
            value = speed(fast, samples[pools[0].name])
            self.add(f"batch {size}: fast / {pools[0].name}", value)

    def epoch(self, full: bool, cores: int) -> None:
        """An epoch against PyTorch's on its better number of threads."""
        ours, kind = OurEpoch(full), "full" if full else "fresh"
        workers = [
            TorchWorkers("list", full=full, threads=n, script="torch_lander.py")
            for n in range(1, min(2, cores) + 1)
        ]
        try:
            for worker in workers:
                worker.__enter__()
            samples = interleave([ours, *workers], self.repetitions)
        finally:
            for worker in workers:
                worker.__exit__()
        for each in (ours, *workers):
            took, steps = seconds(samples[each.name]), samples[each.name][0].env_steps
            cells = f"{took.text(1e3)} ms", f"{steps:,} steps"
            self.times.append((f"epoch, {kind}", each.name, *cells))
        best = min(workers, key=lambda w: seconds(samples[w.name]).median).name
        value = ratio(samples[best], samples[ours.name])
        target = "≥ 6" if full else "≥ 3"
        self.add(f"epoch, {kind}: {best} / ours", value, target)

    def seeds(self, count: int, cores: int) -> None:
        """Full epochs of several seeds against as many in PyTorch's processes."""
        ours = OurEpoch(True, count)
        workers = TorchWorkers(
            "list",
            full=True,
            threads=1,
            seeds=count,
            processes=min(2, cores),
            script="torch_lander.py",
        )
        with workers:
            samples = interleave([ours, workers], self.repetitions)
        for each in (ours, workers):
            took, steps = seconds(samples[each.name]), samples[each.name][0].env_steps
            cells = f"{took.text(1e3)} ms", f"{steps:,} steps"
            self.times.append((f"epoch of {count} seeds, full", each.name, *cells))
        value = ratio(samples[workers.name], samples[ours.name])
        what = f"epoch of {count} seeds, full: {workers.name} / ours"
        self.add(what, value, "≥ 8")

    def compiles(self) -> None:
        """Cold processes without a cache."""
        for solver, target in (("fast", "≤ 15"), ("exact", "≤ 40")):
            for what in ("step", "rollout"):
                command = [sys.executable, __file__, "--compiling", solver, what]
                runs = []
                for _ in range(min(self.repetitions, 3)):
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                    runs.append(json.loads(done.stdout))
                walls, cpus = (quartiles(column) for column in zip(*runs, strict=True))
                self.add(f"compiling a {what}, {solver}", walls, target, "s")
                self.add(f"compiling a {what}, {solver}, CPU time", cpus, "", "s")

    def measured(self, what: str, measure: Callable[[], None]) -> None:
        """Measure, and note what else the machine did."""
        say(what)
        with Load() as load:
            measure()
        cells = f"{load.wall:.0f}", f"{load.others:.2f}", f"{load.average:.2f}"
        self.loads.append((what, *cells))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def written(section: Section, cores: int) -> str:
    """The Markdown of the section."""
    from bench import cpu_model

    names = ("jax", "gymnasium", "envpool", "torch")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    about = [
        f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; {cpu_model()}, "
        f"{cores} usable cores; {', '.join(versions)}",
        f"{section.repetitions} repetitions unless the column n says otherwise",
    ]
    parts = [
        TITLE,
        INTRODUCTION,
        "\n".join(f"- {line}" for line in about),
        table(("what", "median [quartiles]", "n", "target", "met"), section.ratios),
        table(("batch", "candidate", "steps/s, or time", "alive"), section.times),
        table(("part", "wall s", "cores busy otherwise", "load"), section.loads),
    ]
    return "\n\n".join(parts) + "\n"


def kept_section(page: Path) -> str:
    """The section of an existing page, with which another benchmark's page ends."""
    text = page.read_text() if page.is_file() else ""
    return "\n" + text[text.index(TITLE) :] if TITLE in text else ""


def main() -> int:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batches", type=int, nargs="*", default=BATCHES)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--out", type=Path, help="instead of the page in docs/")
    parser.add_argument("--compiling", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.compiling:
        compiling(*given.compiling)
        return 0
    from dmaml_jax.training import devices

    cores = devices.usable_cores()
    devices.configure("cpu", cores)
    section = Section(given.repetitions)
    for size in given.batches:
        section.measured(f"batch {size}", lambda size=size: section.batch(size, cores))
    for kind in ("full", "fresh"):
        full = kind == "full"
        section.measured(f"epoch, {kind}", lambda full=full: section.epoch(full, cores))
    section.measured("epoch, five seeds", lambda: section.seeds(5, cores))
    section.measured("compiling", section.compiles)
    text = written(section, cores)
    if given.out:
        given.out.write_text(text)
        return 0
    page = PAGE.read_text() if PAGE.is_file() else ""
    before = page[: page.index(TITLE)] if TITLE in page else page.rstrip() + "\n\n"
    PAGE.write_text(before + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
