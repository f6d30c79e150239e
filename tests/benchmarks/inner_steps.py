"""What N inner steps cost: compile time, memory and run time of an epoch.

    python tests/benchmarks/inner_steps.py
    python tests/benchmarks/inner_steps.py --against FOLDER   # beside another version

FOLDER holds another version's `dmaml_jax` (with `envs` as `dmaml_jax/envs`). Each
version runs in a process of its own, and the two take turns. Writes docs/inner-loop.md.
"""

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from figures import quartiles, say

PAGE = Path(__file__).parents[2] / "docs" / "inner-loop.md"
CASES = [(env, steps) for env in ("cartpole", "lunarlander") for steps in (1, 5)]
REPETITIONS = {"cartpole": 25, "lunarlander": 7}
INTRODUCTION = """# What an inner step costs

One epoch of MAML with policy gradient, one seed, as `make_train_step` gives it, jitted,
on a CPU with one device, from an empty compilation cache. CartPole: M = 5 tasks,
K = 10 trajectories, H = 200 steps, nobody ever terminates. LunarLander: its preset
(K = 20, H = 400), episodes of an untrained policy. *Compile* and *trace* are CPU
seconds; *memory* is XLA's temporary memory; a time is the median [quartiles] of epochs
from the same parameters, the versions in turn. `make bench-inner AGAINST=folder`
writes this page."""


def prepared(env_name: str, num_inner_steps: int) -> tuple[Any, dict[str, float]]:
    """A compiled epoch as a function without arguments, and what compiling took."""
    import jax

    from dmaml_jax import make_train_step, uniform
    from dmaml_jax.envs import make

    values: dict[str, Any] = {"num_inner_steps": num_inner_steps}
    env: Any = env_name
    if env_name == "cartpole":
        env, ranges = make("cartpole")
        endless = {"theta_threshold": math.inf, "x_threshold": math.inf}
        values["tasks"] = uniform(env.default_params.replace(**endless), **ranges)
    init, step = make_train_step(env, "maml", **values)
    state = jax.jit(init)(jax.random.key(0))
    began = time.process_time()
    lowered = jax.jit(step).lower(jax.random.key(1), state)
    traced = time.process_time()
    compiled = lowered.compile()
    costs = {
        "trace": traced - began,
        "compile": time.process_time() - traced,
        "mib": compiled.memory_analysis().temp_size_in_bytes / 2**20,
    }
    return lambda: jax.block_until_ready(compiled(jax.random.key(1), state)), costs


def work() -> None:
    """Answer lines on standard input: prepare a case, or run it once."""
    epoch: Any = None
    for line in sys.stdin:
        order, *rest = json.loads(line)
        if order == "prepare":
            epoch, answer = prepared(*rest)
            epoch()
        else:
            began = time.perf_counter()
            epoch()
            answer = time.perf_counter() - began
        print(json.dumps(answer), flush=True)


class Version:
    """A process with one version of the package."""

    def __init__(self, name: str, folder: Path | None) -> None:
        """Start it; `folder` comes before the installed package."""
        self.name = name
        path = {"PYTHONPATH": str(folder)} if folder else {}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **path, "JAX_ENABLE_COMPILATION_CACHE": "0"},
        )

    def ask(self, *order: Any) -> Any:
        """Its answer to an order."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def rows_of(case: tuple[str, int], folder: Path | None) -> list[str]:
    """Table rows of one case, a row per version."""
    versions = [Version("this version", None)]
    versions += [Version("the one before", folder)] if folder else []
    costs = [version.ask("prepare", *case) for version in versions]
    taken = [[] for _ in versions]
    for _ in range(REPETITIONS[case[0]]):
        for version, seconds in zip(versions, taken, strict=True):
            seconds.append(version.ask("run"))
    rows = []
    for version, cost, seconds in zip(versions, costs, taken, strict=True):
        pairs = zip(seconds, taken[0], strict=True)
        times = quartiles([a / b for a, b in pairs]).text()
        rows.append(
            f"| {case[0]} | {case[1]} | {version.name} | {cost['trace']:.1f} | "
            f"{cost['compile']:.1f} | {cost['mib']:.1f} | "
            f"{quartiles(seconds).text(1e3)} | {times} |"
        )
        version.close()
    return rows


def main() -> None:
    """Measure every case and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--work", action="store_true")
    arguments = parser.parse_args()
    if arguments.work:
        return work()
    head = "| environment | N | | trace s | compile s | MiB | ms | × this version |"
    lines = [head, "| --- " * 8 + "|"]
    for case in CASES:
        say(f"{case[0]}, {case[1]} inner steps")
        lines += rows_of(case, arguments.against and arguments.against.resolve())
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    cores = len(os.sched_getaffinity(0))
    where = f"{today}, Python {platform.python_version()}, {cores} cores."
    PAGE.write_text("\n\n".join([INTRODUCTION, where, "\n".join(lines)]) + "\n")


if __name__ == "__main__":
    main()
