"""What a sweep costs beside single runs; writes docs/sweep-speed.md.

python tests/benchmarks/sweeps.py
python tests/benchmarks/sweeps.py --epochs 10 --repetitions 1   # the runs' part
"""

import argparse
import contextlib
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from figures import quartiles, say

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sweep-speed.md"
RATES = "inner_lr=0.001,0.003,0.01,0.03", "directed_lr=0.003,0.01"
INTRODUCTION = """# What a sweep costs

Directed-MAML with policy gradient on CartPole, Table I, on a CPU. A ratio is the median
[quartiles] of the ratios of neighbouring samples, the two sides in turn; `n` is how
many. *Lanes*: a chunk of five epochs from untrained parameters, compile apart. *Runs*:
8 settings of two step sizes with 8 seeds each, by the clock from the command to its
end, against one `dmaml-jax train` of 8 seeds after the other, each from an empty
compilation cache. `make bench-sweep` writes this page."""


def chunk(program: Any) -> Callable[[], float]:
    """Five epochs from the first parameters, and the seconds that they took."""
    import jax

    program.compile()
    start = jax.tree.map(jax.numpy.copy, program.state)

    def run() -> float:
        program.state = jax.block_until_ready(jax.tree.map(jax.numpy.copy, start))
        begin = time.perf_counter()
        program.run(0, 5)
        jax.block_until_ready(program.state)
        return time.perf_counter() - begin

    return run


def lanes(number: int, differing: bool, devices: int = 2) -> Callable[[], float]:
    """A chunk of lanes whose step sizes are constants, or differ and are traced."""
    import numpy as np

    from dmaml_jax.build import configuration
    from dmaml_jax.build.lanes import program_of_lanes
    from dmaml_jax.build.program import program_of
    from dmaml_jax.training.chunk import Lanes

    config = configuration("cartpole", seeds=number, cpu_devices=devices)
    if not differing:
        return chunk(program_of(config))
    # Nearly equal, so that all lanes do the same work: faster learners live longer.
    flat, factors = config.flat(), np.linspace(1, 1.001, number)
    values = {
        name: np.float32(flat[name] * factors)
        for name in ("inner_lr", "outer_lr", "directed_lr")
    }
    seeds = np.arange(1, number + 1, dtype=np.uint32)
    return chunk(program_of_lanes(config, Lanes(seeds, values)))


def turns(
    above: Callable[[], float], below: Callable[[], float], count: int
) -> list[float]:
    """Ratios of samples that are taken in turn, the first ones left out."""
    pairs = [(above(), below()) for _ in range(count + 1)][1:]
    return [a / b for a, b in pairs]


def command(*words: str) -> float:
    """Seconds of a dmaml-jax command in a process of its own, from an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-m", "dmaml_jax", *words, "-q"], check=True, env=env
        )
        return time.perf_counter() - begin


def runs(epochs: int) -> tuple[float, float]:
    """Seconds of 8 runs one after the other, and of the sweep that is the same."""
    common = ["--seeds", "8", "--epochs", str(epochs)]
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", f"{folder}/sweep"]
        sweep = command("sweep", "--grid", *RATES, *common, *out)
        single = 0.0
        inner, directed = (item.partition("=")[2].split(",") for item in RATES)
        for alpha in inner:
            for delta in directed:
                rates = ["--inner-lr", alpha, "--directed-lr", delta]
                out = ["--out", f"{folder}/{alpha}-{delta}"]
                single += command("train", *rates, *common, *out)
    return single, sweep


def host_share(epochs: int) -> float:
    """The share of a sweep's training, 64 lanes, that its program is not running."""
    from dmaml_jax.build import configuration
    from dmaml_jax.config.grid import parse_grid, points
    from dmaml_jax.config.settings import settings_of
    from dmaml_jax.runs.stopping import Stop
    from dmaml_jax.sweeps import waves
    from dmaml_jax.sweeps.folder import Sweep, create
    from dmaml_jax.sweeps.loop import Training

    base = configuration("cartpole", seeds=8, epochs=epochs, cpu_devices=2)
    settings, _ = settings_of([base], points(parse_grid(RATES, drawn=False)))
    inside: list[float] = []
    plain_run, plain_train = waves.timed, waves.Wave.train

    def timed(act: Callable[[], Any]) -> tuple[Any, float]:
        found, seconds = plain_run(act)
        inside.append(seconds)
        return found, seconds

    def train(*args: Any, **named: Any) -> Any:
        found, seconds = plain_run(lambda: plain_train(*args, **named))
        whole.append(seconds)
        return found

    whole: list[float] = []
    waves.timed, waves.Wave.train = timed, train
    with tempfile.TemporaryDirectory() as folder, silent():
        place = create(Sweep(tuple(settings)), f"{folder}/sweep")
        Training(Sweep(tuple(settings)), place, stop=Stop(), verbosity="quiet").run()
    waves.timed, waves.Wave.train = plain_run, plain_train
    return 100 * (1 - sum(inside) / sum(whole))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Print nothing."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def main() -> None:
    """Measure, and write the page as far as it goes after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--epochs", type=int, nargs="*", default=[10, 300])
    given = parser.parse_args()
    from dmaml_jax.training import devices

    devices.configure("cpu", 2)
    rows: list[tuple[str, str, int, str, bool]] = []

    def row(what: str, values: list[float], unit: str, mark: float, most: bool) -> None:
        low, middle, high, _ = quartiles(values)
        met = middle <= mark if most else middle >= mark
        text = f"{middle:.3g} [{low:.3g}, {high:.3g}] {unit}"
        rows.append((what, text, len(values), f"{'≤' if most else '≥'} {mark:g}", met))
        say(f"  {what}: {text}")
        write(rows)

    n = given.repetitions
    same, differing = lanes(64, False), lanes(64, True)
    what = "64 lanes of differing step sizes / 64 of one"
    row(what, turns(differing, same, n), "×", 1.1, True)
    what = "64 seeds / 8 seeds"
    row(what, turns(same, lanes(8, False), n), "×", 8.5, True)
    what = "64 lanes on one device / on two, two cores"
    row(what, turns(lanes(64, True, 1), differing, n), "×", 1.15, False)
    row("host's share of 100 epochs, 64 lanes", [host_share(100)], "%", 3, True)
    for epochs in given.epochs:
        single, sweep = runs(epochs)
        say(f"  8 runs {single:.0f} s, the sweep {sweep:.0f} s")
        what = f"8 runs of {epochs} epochs ({single:.0f} s) / a sweep ({sweep:.0f} s)"
        row(what, [single / sweep], "×", 4 if epochs < 100 else 1.2, False)


def write(rows: list[tuple[str, str, int, str, bool]]) -> None:
    """Write the page."""
    from importlib.metadata import version

    now = datetime.datetime.now(datetime.UTC)
    lines = [
        INTRODUCTION,
        "",
        f"- {now:%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} usable cores",
        f"- Python {platform.python_version()}, jax {version('jax')}",
        "",
        "| what | median [quartiles] | n | target | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    for what, text, count, target, met in rows:
        lines.append(
            f"| {what} | {text} | {count} | {target} | {'yes' if met else '**no**'} |"
        )
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
