"""The parts of the report: what each measures and tells, in order of importance."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from benchmarks.figures import quartiles
from benchmarks.gpu import machine, precision
from benchmarks.gpu.compiling import Candidate, one_line
from benchmarks.gpu.plan import Part
from benchmarks.gpu.profiled import kernels
from benchmarks.gpu.programs import Epochs, Sample, interleaved, sampled
from benchmarks.gpu.steps import Steps
from benchmarks.gpu.waves import Bench

from dmaml_jax.statistics import (
    ema,
    epochs_to_threshold,
    interquartile_mean,
    median_with_never,
)

Row = dict[str, Any]
SATURATED = 1.1  # times the rate of the batch before: less is no gain
CURVE_SECONDS = 60.0
THRESHOLD = 190.0


def plan(bench: Bench, *, profile: bool) -> list[Part]:
    """What matters most comes first, in case the budget ends.

    The estimates are of a GPU of 2023 beside 16 CPU cores.
    """
    measure = _measuring
    return [
        measure("machine", 8, lambda: machine.ceilings(bench.sizes)),
        Part("compiling CartPole", 90, bench.first_wave, compiles=True, share=0.45),
        measure("CartPole epochs", 45, lambda: cartpole_epochs(bench)),
        measure("roofline", 8, lambda: roofline(bench)),
        measure("CartPole steps", 12, lambda: step_rows(bench, "cartpole")),
        Part("compiling the rest", 180, bench.second_wave, compiles=True),
        measure("lander steps", 25, lambda: lander_steps(bench)),
        measure("lander epochs", 35, lambda: lander_epochs(bench)),
        measure("ratios", 15, lambda: ratios(bench)),
        measure("precision", 25, lambda: precisions(bench)),
        *([measure("kernels", 15, lambda: profiles(bench))] if profile else []),
        measure("curve", 45, lambda: curve(bench)),
    ]


def _measuring(name: str, seconds: float, run: Callable[[], Any]) -> Part:
    # One result of these takes seconds; that they stop between two is soon enough.
    return Part(name, seconds, lambda _: run())


def cartpole_epochs(bench: Bench) -> Iterator[list[Row]]:
    """An epoch's time by number of seeds, full and fresh."""
    programs = [
        bench.epochs(seeds, full=full)
        for full in (True, False)
        for seeds in bench.sizes.seeds
    ]
    yield from _epoch_rows(bench, programs)


def lander_epochs(bench: Bench) -> Iterator[list[Row]]:
    """The same of the lander's preset, fresh."""
    env, seeds = bench.sizes.lander, bench.sizes.lander_seeds
    yield from _epoch_rows(bench, [bench.epochs(n, env=env) for n in seeds])


def _epoch_rows(bench: Bench, programs: Sequence[Epochs]) -> Iterator[list[Row]]:
    def measured(program: Epochs) -> Row:
        program.warm_up()
        samples = sampled(program, bench.sizes.allotment, bench.sizes.repetitions)
        return {
            "seconds": [*quartiles([sample.seconds for sample in samples])],
            "env_steps": statistics.median(sample.env_steps for sample in samples),
            "compile": program.compiled_seconds,
            "temporary": program.memory(),
            "peak": machine.peak_memory(),
        }

    rows: list[Row] = []
    for program in programs:
        found = _tried(program, measured)
        rows.append({"seeds": program.seeds, "full": program.what.full, **found})
        yield rows


def _tried(program: Any, measure: Callable[[Any], Row]) -> Row:
    """A program's row, or why there is none."""
    why = program.why_not()
    if why is None:
        try:
            return measure(program)
        except Exception as error:  # out of memory: smaller ones may still fit
            why = one_line(error)
    return {"why": why}


def roofline(bench: Bench) -> Iterator[list[Row]]:
    """Arithmetic and bytes of full epochs over what the machine can do."""
    limits, sizes = bench.data("machine"), bench.sizes
    times = {
        row["seeds"]: row["seconds"][1]
        for row in bench.data("CartPole epochs") or []
        if row["full"] and "seconds" in row
    }
    rows: list[Row] = []
    for seeds in sorted({sizes.few, sizes.many, sizes.most} & times.keys()):
        program, took = bench.epochs(seeds, full=True), times[seeds]
        flops, moved = program.flops(), program.analysis("bytes accessed")
        row: Row = {"seeds": seeds, "gflop": flops / 1e9, "xla_bytes": moved}
        row["flops_share"] = flops / took / limits["float32"]
        row["bytes_share"] = moved and moved / took / limits["bytes"]
        rows.append(row)
        yield rows


def lander_steps(bench: Bench) -> Iterator[list[Row]]:
    """Steps per second of both solvers, the exact one first."""
    before: list[Row] = []
    for env in bench.sizes.landers:
        rows: list[Row] = []
        for rows in step_rows(bench, env):
            yield [*before, *rows]
        before += rows


def step_rows(bench: Bench, env: str) -> Iterator[list[Row]]:
    """Steps per second with batches that grow until the rate hardly does."""

    def measured(program: Steps) -> Row:
        program()
        took = sampled(program, bench.sizes.allotment, bench.sizes.repetitions)
        return {
            "rate": [*quartiles([program.rate(seconds) for seconds in took])],
            "alive": program.alive,
            "compile": program.compiled_seconds,
        }

    rows: list[Row] = []
    before = 0.0
    for program in bench.steps(env):
        row = {"env": env, "batch": program.batch, **_tried(program, measured)}
        rows.append(row)
        yield rows
        if "rate" in row:
            if row["rate"][1] < SATURATED * before:
                return
            before = row["rate"][1]


def ratios(bench: Bench) -> Iterator[list[Row]]:
    """Learners that take turns, their epochs' times over each other's."""
    rows: list[Row] = []
    for seeds in (bench.sizes.few, bench.sizes.many):
        programs = bench.learners(seeds)
        if why := _why_not(programs):
            rows.append({"seeds": seeds, "why": why})
        else:
            directed, maml, fomaml = _in_turn(bench, programs)
            for what, above, below in (
                ("MAML / FOMAML", maml, fomaml),
                ("Directed-MAML / MAML", directed, maml),
            ):
                found = _ratio(above, below)
                rows.append({"seeds": seeds, "what": what, "ratio": found})
        yield rows


def precisions(bench: Bench) -> Iterator[dict[str, Any]]:
    """Full float32 against TF32: time, and the meta-gradient."""
    rows: list[Row] = []
    for fast in bench.tf32():
        exact = bench.epochs(fast.seeds)
        row: Row = {"seeds": fast.seeds}
        rows.append(row)
        if why := _why_not([exact, fast]):
            row["why"] = why
        else:
            row["ratio"] = _ratio(*_in_turn(bench, [exact, fast]))
            row.update(precision.epoch_differences(exact, fast))
        yield {"rows": rows}
    values = tuple(bench.sizes.values.items())
    yield {"rows": rows, "same_data": precision.on_the_same_data(values)}


def _why_not(programs: Sequence[Candidate]) -> str:
    reasons = {program.name: program.why_not() for program in programs}
    return "; ".join(f"{name}: {why}" for name, why in reasons.items() if why)


def _in_turn(bench: Bench, programs: Sequence[Epochs]) -> list[list[Sample]]:
    return interleaved(programs, bench.sizes.allotment, bench.sizes.repetitions)


def _ratio(above: Sequence[Sample], below: Sequence[Sample]) -> list[float]:
    """Quartiles of the ratios of neighbouring samples."""
    pairs = zip(above, below, strict=True)
    return [*quartiles([a.seconds / b.seconds for a, b in pairs])]


def profiles(bench: Bench) -> Iterator[list[Row]]:
    """The kernels in which an epoch's time goes."""
    rows: list[Row] = []
    for seeds in (bench.sizes.few, bench.sizes.most):
        program = bench.epochs(seeds, full=True)
        rows.append({"seeds": seeds, **_tried(program, kernels)})
        yield rows


def curve(bench: Bench) -> Iterator[dict[str, Any]]:
    """Returns after adaptation while CartPole is learned, and the time it takes."""
    program = bench.epochs(bench.sizes.many)
    if why := program.why_not():
        raise RuntimeError(why)
    chunk, wanted = program.what.config().run.chunk_epochs, bench.sizes.curve_epochs
    began, wall, returns = time.monotonic(), 0.0, []
    for first in range(0, wanted, chunk):
        run = program.run if first == 0 else program.go_on
        took, metrics = run(first, min(chunk, wanted - first))
        wall += took
        returns.extend(metrics["return_after"].tolist())
        yield _curve(returns, wall, program.seeds)
        if time.monotonic() - began > CURVE_SECONDS:
            return


def _curve(returns: list[list[float]], wall: float, seeds: int) -> dict[str, Any]:
    """The curve at about ten epochs, and the epochs until it has reached 190."""
    curves = np.array(returns)
    means = interquartile_mean(curves)
    reached = epochs_to_threshold(ema(curves), THRESHOLD)
    costs = np.array([np.inf if epoch is None else epoch for epoch in reached])
    shown = sorted({round(1 + (len(curves) - 1) * k / 10) for k in range(11)})
    return {
        "seeds": seeds,
        "epochs": len(curves),
        "wall": wall,
        "points": [[epoch, float(means[epoch - 1])] for epoch in shown],
        "median_to_190": median_with_never(costs),
        "reached": int(np.isfinite(costs).sum()),
    }
