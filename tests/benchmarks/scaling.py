"""How an epoch's time grows with its sizes; writes docs/scaling.md and its picture.

python tests/benchmarks/scaling.py
python tests/benchmarks/scaling.py --repetitions 1 --most 16   # a look
"""

import argparse
import datetime
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from figures import Quartiles, quartiles, say

DOCS = Path(__file__).parents[2] / "docs"
INTRODUCTION = """# How an epoch grows

Directed-MAML with policy gradient on CartPole, Table I, on a CPU: seconds of an epoch
of all lanes, compile apart, when one size grows and the others stay. Nobody terminates,
so that an epoch of H steps simulates H. A value is the median [quartiles] of `n` epochs
from the same parameters, the sizes of a curve in turn. The *exponent* is the slope of a
straight line through the logarithms of the medians: 1 is proportional, 0 is free.
`make bench-scaling` writes this page.

![seconds of an epoch against each size](scaling.png)"""
LANES, DEVICES = 64, 2


class Curve(NamedTuple):
    """One size that grows.

    Attributes:
        name: what it is, for people.
        values: the sizes.
        program: `(size) -> ` the program of that size.
    """

    name: str
    values: Sequence[int]
    program: Callable[[int], Any]


def program(*, lanes: int = 1, devices: int = DEVICES, **sizes: int) -> Any:
    """A run's program in which no episode ends early."""
    from dmaml_jax import envs
    from dmaml_jax.build import configuration
    from dmaml_jax.build.learner import build
    from dmaml_jax.build.program import devices_of
    from dmaml_jax.tasks.distributions import uniform
    from dmaml_jax.training.chunk import train_step
    from dmaml_jax.training.program import Program

    config = configuration("cartpole", seeds=lanes, cpu_devices=devices, **sizes)
    env, ranges = envs.make("cartpole")
    endless = env.default_params.replace(
        theta_threshold=math.inf,
        x_threshold=math.inf,
        max_steps_in_episode=config.sampling.horizon,
    )
    problem, learner = build(config, env=env, tasks=uniform(endless, **ranges))
    return Program(
        *train_step(problem, learner, config.sampling.num_tasks),
        seeds=range(1, lanes + 1),
        chunk_epochs=1,
        devices=devices_of(config),
    )


def curves(most: int) -> list[Curve]:
    """The sizes that grow, none beyond `most` lanes, tasks or hundreds of steps."""

    def up_to(*values: int) -> list[int]:
        return [value for value in values if value <= most]

    return [
        Curve(
            "lanes (seeds)",
            up_to(1, 4, 16, 64, 256, 1024),
            lambda size: program(lanes=size),
        ),
        Curve(
            "tasks M",
            up_to(1, 4, 16, 64),
            lambda size: program(num_tasks=size),
        ),
        Curve(
            "horizon H",
            [100 * value for value in up_to(1, 2, 5, 10)],
            lambda size: program(horizon=size),
        ),
        Curve(
            f"devices, {min(LANES, most)} lanes",
            up_to(1, 2, 4, 8),
            lambda size: program(lanes=min(LANES, most), devices=size),
        ),
    ]


def measured(curve: Curve, repetitions: int) -> list[Quartiles]:
    """Seconds of an epoch at every size, the sizes in turn, the first ones left out."""
    programs = [curve.program(size) for size in curve.values]
    for size, each in zip(curve.values, programs, strict=True):
        say(f"  {curve.name} {size}: compiled in {each.compile():.1f} s")
    starts = [each.state for each in programs]
    rounds = [
        [_epoch(each, start) for each, start in zip(programs, starts, strict=True)]
        for _ in range(repetitions + 1)
    ]
    return [quartiles(times) for times in zip(*rounds[1:], strict=True)]


def _epoch(each: Any, start: Any) -> float:
    import jax

    each.state = jax.block_until_ready(jax.tree.map(jax.numpy.copy, start))
    begin = time.perf_counter()
    metrics = each.run(0, 1)
    jax.block_until_ready(each.state)
    took = time.perf_counter() - begin
    assert not metrics["failed_at"].any()
    return took


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms, by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def page(found: list[tuple[Curve, list[Quartiles]]]) -> str:
    """The page, of the curves that are measured."""
    from importlib.metadata import version

    now = datetime.datetime.now(datetime.UTC)
    lines = [
        INTRODUCTION,
        "",
        f"- {now:%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} usable cores, "
        f"{DEVICES} devices where it does not say another number",
        f"- Python {platform.python_version()}, jax {version('jax')}",
        "",
        "| what grows | size | seconds of an epoch | n | exponent, all | last two |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for curve, times in found:
        medians = [each.median for each in times]
        slopes = [exponent(curve.values, medians)]
        slopes.append(exponent(curve.values[-2:], medians[-2:]))
        for place, (size, each) in enumerate(zip(curve.values, times, strict=True)):
            last = place == len(times) - 1
            ends = " | ".join(f"{x:.2f}" if last else "" for x in slopes)
            lines.append(
                f"| {curve.name} | {size} | {each.text()} | {each.count} | {ends} |"
            )
    return "\n".join(lines) + "\n"


def draw(found: list[tuple[Curve, list[Quartiles]]]) -> None:
    """The curves side by side, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (3.2 * len(found), 3)
    figure, _ = pyplot.subplots(1, len(found), figsize=size, sharey=True)
    for axis, (curve, times) in zip(figure.axes, found, strict=True):
        medians = [each.median for each in times]
        spread = [[m - t.low, t.high - m] for m, t in zip(medians, times, strict=True)]
        axis.errorbar(curve.values, medians, list(zip(*spread, strict=True)), fmt="o-")
        slope = exponent(curve.values, medians)
        axis.set(xscale="log", yscale="log", xlabel=curve.name)
        axis.set_title(f"exponent {slope:.2f}", fontsize=10)
        axis.set_xticks(curve.values, [str(value) for value in curve.values])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("seconds of an epoch")
    figure.tight_layout()
    figure.savefig(DOCS / "scaling.png", dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure, and write page and picture as far as they go after each curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--most", type=int, default=1024)
    given = parser.parse_args()
    from dmaml_jax.training import devices

    devices.configure("cpu", 8)
    found: list[tuple[Curve, list[Quartiles]]] = []
    for curve in curves(given.most):
        found.append((curve, measured(curve, given.repetitions)))
        (DOCS / "scaling.md").write_text(page(found))
        draw(found)


if __name__ == "__main__":
    main()
