"""The benchmark: what an epoch costs here, and what it costs in PyTorch and Gymnasium.

    python tests/benchmarks/bench.py                     # writes docs/benchmarks.md
    python tests/benchmarks/bench.py --quick --rows 1,5  # a smoke run, printed only

Needs the extra `bench`. A row of the table is a function here; `measure.py` beside
it holds the candidates and how they are timed.
"""

import argparse
import contextlib
import dataclasses
import datetime
import functools
import importlib.metadata
import math
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lander import kept_section
from measure import (
    Load,
    MeasurementError,
    Ours,
    Quartiles,
    Sample,
    TorchWorkers,
    in_process,
    interleave,
    plural,
    quartiles,
    ratio,
    say,
    seconds,
)

OUT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TASKS, TRAJECTORIES, HORIZON = 5, 10, 200
CHUNK = 20  # steps between two looks at who is alive, and of a piece of a gradient
FORMS = ("sync", "list", "vector")
PACKAGES = ("dmaml-jax", "jax", "jaxlib", "torch", "gymnasium", "numpy")
INTRODUCTION = """# Benchmarks

Directed-MAML with policy gradient on CartPole: M = 5 tasks, K = 10 trajectories,
H = 200 steps, an MLP of 2 × 64, float32, on a CPU; where a row says otherwise, that.
*full*: nobody ever terminates, (1 + 2M)·K·H = 22,000 environment steps in an epoch.
*fresh*: untrained, so episodes are short. A sample is one epoch of every seed, from
new parameters, compile apart; the candidates take turns. Whatever takes less than half
a second, ours or not, runs once untimed before each sample. A ratio is the median
[quartiles] of the ratios of neighbouring samples. PyTorch steps its environments with
Gymnasium's SyncVectorEnv (*sync*), in a Python loop (*list*: the strongest that we
could write for any environment) or with Gymnasium's NumPy CartPole (*vector*), on one
thread or two, whichever is faster (`tests/benchmarks/torch_baseline.py`)."""

COSTS = """Row 10; with its preset, so Reptile takes two inner steps; MAML² after its
warm-up, with five categories that cost no sorting. *ac*: actor-critic with two
networks. GFLOP: the matrix products of an epoch, counted in its program with loops as
often as they turn. MiB: XLA's temporary memory of a chunk of epochs, by which
it peaks above its arguments and results."""


@dataclasses.dataclass
class Bench:
    """What is being measured, and the tables that come of it."""

    repetitions: int
    quick: bool
    cores: int
    folder: Path
    lines: list[Sequence[Any]] = dataclasses.field(default_factory=list)
    times: list[Sequence[Any]] = dataclasses.field(default_factory=list)
    costs: list[Sequence[Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)
    loads: list[Sequence[Any]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.ours = functools.cache(Ours)
        self.row = 0

    def add(self, what: str, value: Quartiles, target: str = "", unit: str = "×"):
        """A line of the first table; `target` is like `≥ 30`, empty for the record."""
        shown, met = f"{value.text()} {unit}", "–"
        if target:
            limit = float(target[2:])
            above = target[0] == "≥"
            held = value.median >= limit if above else value.median <= limit
            met = "yes" if held else "**no**"
            target = f"{target} {unit}"
        self.lines.append((self.row, what, shown, value.count, target or "–", met))
        say(f"  {what}: {shown} {target and f'(target {target})'}")

    def take(
        self,
        candidates: Sequence[Ours | TorchWorkers],
        *,
        full: bool = True,
        times: int = 1,
    ) -> dict[str, list[Sample]]:
        """Sample in turn, and see that all do the same work."""
        samples = interleave(candidates, self.repetitions * times)
        medians = []
        for candidate in candidates:
            taken = samples[candidate.name]
            steps = quartiles([sample.env_steps for sample in taken])
            loss = quartiles([abs(sample.loss) for sample in taken]).median
            took = seconds(taken)
            speed = f"{steps.median / took.median / 1e6:.3g} M"
            kind = "full" if full else "fresh"
            cells = took.text(1e3), f"{steps.median:,.0f}", speed, f"{loss:.2g}"
            self.times.append((self.row, f"{candidate.name}, {kind}", *cells))
            medians.append((steps.median / candidate.seeds, loss))
            expected = env_steps(candidate.algo) * candidate.seeds
            if full and not steps.low == steps.high == expected:
                self.wrong.append(f"{candidate.name}: {steps}, not {expected} steps")
            elif not full and not (
                0.5 < steps.median / candidate.seeds / medians[0][0] < 2
                and 0.1 < loss / medians[0][1] < 10
            ):
                self.wrong.append(f"{candidate.name}: {steps} steps, loss {loss:.2g}")
        return samples


def one_seed(bench: Bench, *, full: bool, targets: dict[str, str]) -> None:
    """One seed against every form of PyTorch, on the better number of threads."""
    ours = bench.ours("directed-maml", 1, full)
    with contextlib.ExitStack() as stack:
        torch = {
            form: [
                stack.enter_context(TorchWorkers(form, full=full, threads=threads))
                for threads in range(1, min(2, bench.cores) + 1)
            ]
            for form in FORMS
        }
        everyone = [ours, *(worker for form in FORMS for worker in torch[form])]
        samples = bench.take(everyone, full=full)
    for form in FORMS:
        names = [worker.name for worker in torch[form]]
        best = min(names, key=lambda name: seconds(samples[name]).median)
        value = ratio(samples[best], samples[ours.name])
        kind = "full" if full else "fresh"
        bench.add(f"one seed, {kind}: {best} / ours", value, targets.get(form, ""))


def eight_seeds(bench: Bench) -> None:
    """Eight seeds in one program, against one seed and against PyTorch's eight."""
    one, eight = (bench.ours("directed-maml", seeds, True) for seeds in (1, 8))
    processes = next(n for n in (8, 4, 2) if n <= max(bench.cores, 2))
    workers = TorchWorkers("sync", full=True, threads=1, seeds=8, processes=processes)
    with workers:
        samples = bench.take([one, eight, workers])
    value = ratio(samples[eight.name], samples[one.name])
    bench.add("8 seeds / 1 seed, full", value, "≤ 5.5")
    value = ratio(samples[workers.name], samples[eight.name])
    bench.add(f"8 seeds, full: {workers.name} / ours", value, "≥ 25")


def many_seeds(bench: Bench) -> None:
    """No cliff where the seeds no longer fit the cache."""
    few, many = (2, 8) if bench.quick else (8, 64)
    both = [bench.ours("directed-maml", seeds, True) for seeds in (many, few)]
    samples = bench.take(both)
    value = ratio(*(samples[candidate.name] for candidate in both))
    target = "" if bench.quick else "≤ 8.5"
    bench.add(f"{many} seeds / {few} seeds, full", value, target)


def learners(
    bench: Bench, above: str, below: str, targets: dict[int, str], seeds: int = 1
) -> None:
    """One learner's epoch against another's."""
    both = [bench.ours(algo, seeds, True) for algo in (above, below)]
    samples = bench.take(both, times=3 if seeds == 1 else 1)
    value = ratio(*(samples[candidate.name] for candidate in both))
    what = f"{above} / {below}, {plural(seeds, 'seed')}, full"
    bench.add(what, value, targets.get(seeds, ""))


def second_order(bench: Bench) -> None:
    """What MAML's second derivatives cost over FOMAML."""
    for seeds in (1, 8 if bench.quick else 64):
        learners(bench, "maml", "fomaml", {1: "≤ 1.5", 64: "≤ 1.8"}, seeds)


def family(bench: Bench) -> None:
    """Every learner with both methods against MAML: time, memory and arithmetic."""
    from dmaml_jax.learners import registry

    algos = (
        ["maml", "fomaml"]
        if bench.quick
        else [*registry.gradient_learners(), "directed-maml"]
    )
    everyone = [
        candidate
        for method in ("pg", "ac")
        for candidate in (
            *(bench.ours(algo, 1, True, method) for algo in algos),
            bench.ours("maml", 1, True, method, "trust-region"),
        )
    ]
    samples = bench.take(everyone)
    for candidate in everyone:
        value = ratio(samples[candidate.name], samples[everyone[0].name])
        bench.costs.append(
            (
                candidate.name.split(", ")[1],
                value.text(),
                f"{env_steps(candidate.algo):,}",
                f"{candidate.flops(HORIZON // CHUNK) / 1e9:.3g}",
                f"{candidate.temporary_bytes() / 2**20:.3g}",
            )
        )


def env_steps(algo: str) -> int:
    """Environment steps of an epoch in which nobody terminates."""
    from dmaml_jax.build import configuration
    from dmaml_jax.learners import registry

    steps = configuration("cartpole", algo).learner.num_inner_steps
    return HORIZON * registry.episodes_per_epoch(algo, TASKS, TRAJECTORIES, steps)


def starts(bench: Bench) -> None:
    """First starts with an empty compilation cache, second ones with what they left."""
    for seeds, target in ((1, "≤ 10"), (8, "≤ 16")):
        compiling, shares = [], []
        for count in range(min(bench.repetitions, 5)):
            cache = bench.folder / f"{seeds}-{count}"
            first, second = (in_process("start", seeds, cache) for _ in range(2))
            compiling.append(first["compile"])
            shares.append(second["start"] / first["start"])
        name = plural(seeds, "seed")
        bench.add(f"compiling, {name}, empty cache", quartiles(compiling), target, "s")
        what = f"imports to epoch 1, {name}: second start / first"
        bench.add(what, quartiles(shares), "≤ 0.25")


def overhead(bench: Bench) -> None:
    """Share of a training run that is not spent in its program."""
    runs = [
        in_process("train", 300, bench.folder / "train")
        for _ in range(min(bench.repetitions, 5))
    ]
    value = quartiles([100 * (1 - run["inside"] / run["loop"]) for run in runs])
    bench.add("host's share of 300 training epochs, one seed", value, "≤ 3", "%")
    loop, end = (quartiles([run[k] for run in runs]).text() for k in ("loop", "end"))
    bench.notes.append(
        f"Row 8: those epochs took {loop} s; after them the table, the parameters and "
        f"the plot of the curves took {end} s, once per run."
    )


def roofline(bench: Bench) -> None:
    """Arithmetic of an epoch over what the machine can do."""
    many = 8 if bench.quick else 64
    candidates = [bench.ours("directed-maml", seeds, True) for seeds in (1, many)]
    samples = bench.take(candidates)
    first = 2 * 4 * 64  # the first layer, whose input needs no derivative
    forward = first + 2 * (64 * 64 + 64 * 2)
    gradient, product = 3 * forward - first, 8 * forward - 5 * first
    inner = TASKS * TRAJECTORIES * HORIZON
    steps = env_steps("directed-maml")
    flops = steps * (forward + gradient) + inner * product
    # Observation, action, log-probability, reward, advantage and two booleans are
    # written once and read by a gradient; those before adaptation once more.
    moved = 34 * (2 * steps + inner)
    bench.notes.append(
        f"Row 9: the matrix products of an epoch are {flops / 1e9:.3f} GFLOP: forward "
        f"F = {forward:,}, first layer f = {first}, gradient 3F − f, Hessian-vector "
        f"product 8F − 5f; {steps:,} × (F + gradient) + {inner:,} × product. At least "
        f"{moved / 1e6:.1f} MB are moved. tanh and physics are not counted."
    )
    analysis = candidates[0].program._compiled.cost_analysis() or {}
    counted = (analysis.get(key, math.nan) / 1e6 for key in ("flops", "bytes accessed"))
    bench.notes.append(
        "Row 9: XLA's cost analysis, which counts a loop's body once: "
        "{:.3g} MFLOP, {:.3g} MB.".format(*counted)
    )
    for candidate in candidates:
        threads = candidate.program.seed_devices * candidate.program.task_devices
        machine = in_process("machine", threads, bench.folder / "machine")
        took = seconds(samples[candidate.name]).median / candidate.seeds
        bench.notes.append(
            f"Row 9: {candidate.name}: {flops / took / 1e9:.3g} GFLOP/s, "
            f"{flops / took / machine['flops']:.0%} of a large matrix product's "
            f"{machine['flops'] / 1e9:.3g} on {plural(threads, 'thread')}; "
            f"{moved / took / machine['bytes']:.1%} of a large copy's "
            f"{machine['bytes'] / 1e9:.3g} GB/s."
        )


ROWS: dict[int, Callable[[Bench], None]] = {
    1: functools.partial(one_seed, full=True, targets={"sync": "≥ 30", "list": "≥ 9"}),
    2: functools.partial(one_seed, full=False, targets={"sync": "≥ 30", "list": "≥ 7"}),
    3: eight_seeds,
    4: many_seeds,
    5: second_order,
    6: functools.partial(
        learners, above="directed-maml", below="maml", targets={1: "≤ 1.15"}
    ),
    7: starts,
    8: overhead,
    9: roofline,
    10: family,
}


def cpu_model() -> str:
    """The CPU by name where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def report(bench: Bench, versions: dict[str, str]) -> str:
    """The Markdown of what has been measured."""
    about = [
        f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        f"{cpu_model()}, {plural(bench.cores, 'usable core')}, {platform.system()}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"{plural(bench.repetitions, 'repetition')} unless the column n says otherwise",
    ]
    wrong = [f"**Not the same work**: {text}" for text in bench.wrong]
    ratios = ("row", "what", "median [quartiles]", "n", "target", "met")
    steps = ("environment steps", "steps/s", "abs(loss)")
    times = ("row", "candidate", "ms per epoch of all seeds", *steps)
    loads = ("row", "wall s", "CPU s", "cores busy with other work", "load average")
    costs = ("learner", "epoch / MAML's", "environment steps", "GFLOP", "MiB")
    return "\n\n".join(
        [
            INTRODUCTION,
            "\n".join(f"- {item}" for item in about + wrong),
            markdown(ratios, bench.lines),
            "## Every learner, one seed, full",
            COSTS,
            markdown(costs, bench.costs),
            "## Seconds behind the ratios",
            markdown(times, bench.times),
            "\n".join(f"- {note}" for note in bench.notes),
            "## The machine meanwhile",
            markdown(loads, bench.loads),
        ]
    )


def row_numbers(text: str) -> list[int]:
    """`1,5` as numbers of rows."""
    rows = sorted({int(row) for row in text.split(",") if row.isdecimal()})
    if not rows or not set(rows) <= set(ROWS):
        raise argparse.ArgumentTypeError(f"rows are {min(ROWS)} to {max(ROWS)}")
    return rows


def main() -> int:
    """Measure, print, and write where all rows were measured in full."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="smoke run, not written")
    parser.add_argument("--rows", type=row_numbers, default=[*ROWS], help="as 1,5,6")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--out", type=Path, help=f"{OUT.name} of docs/ by default")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if args.repetitions < 1:
        parser.error("repetitions: 1 or more")
    try:
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        parser.error(f"{error.name} is missing: pip install -e '.[bench]'")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(folder, "own"))
        from dmaml_jax.training import devices

        cores = devices.usable_cores()
        devices.configure("cpu", cores)
        repetitions = 3 if args.quick else args.repetitions
        bench = Bench(repetitions, args.quick, cores, Path(folder))
        code = measure_rows(bench, args.rows)
    versions = {"Python": platform.python_version(), **versions}
    text = report(bench, versions)
    print(text)
    whole = not args.quick and args.rows == [*ROWS]
    if code == 0 and (args.out or whole):
        out = args.out or OUT
        out.parent.mkdir(parents=True, exist_ok=True)
        # The lander's section is another benchmark's (lander.py).
        out.write_text(text + "\n" + kept_section(out))
        say(f"written to {out}")
    return code


def measure_rows(bench: Bench, rows: Sequence[int]) -> int:
    """Measure rows until one fails; returns the exit code."""
    for bench.row in rows:
        say(f"row {bench.row}:")
        try:
            with Load() as load:
                ROWS[bench.row](bench)
        except (MeasurementError, KeyboardInterrupt) as error:
            say(f"row {bench.row} failed, the rest is left out: {error!r}")
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        cells = [f"{load.wall:.0f}", f"{load.cpu:.0f}"]
        cells += [f"{load.others:.2f}", f"{load.average:.2f}"]
        bench.loads.append((bench.row, *cells))
    for text in bench.wrong:
        say(f"NOT THE SAME WORK: {text}")
    return 1 if bench.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
