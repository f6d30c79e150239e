"""Where the time goes in which an epoch of the lander is compiled.

    python tests/benchmarks/epoch_size.py
    python tests/benchmarks/epoch_size.py --seeds 5 --inner-steps 5 --stages

Prints Markdown: seconds of tracing, lowering and compiling without a cache, and the
fusions of the compiled program by the place that wrote them. With `--stages` the
compiler's own stages are recorded too, which takes it a few seconds more.
"""

import argparse
import collections
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from dmaml_jax.training import devices

STAGES = {
    "spmd-partitioner (jit__lambda)": "partitioning over devices",
    "HLO passes through layout assignment (jit__lambda)": "passes until the layout",
    "HLO passes after layout assignment (jit__lambda)": "passes after it",
    "copy-insertion": "inserting copies",
    "ThunkEmitter::EmitEntryComputation": "emitting kernels",
    "ThunkEmitter::ConsumeKernels": "collecting kernels",
    "FusionCompiler::Compile": "MLIR of the fusions, summed over threads",
    "JitCompiler::Compile": "LLVM",
}


def place(name: str) -> str:
    """The part of an epoch that an operation belongs to, by its name."""
    # Tasks are one more axis than the seeds that the pre-step has.
    side = "tasks" if "vmap(vmap(" in name else "pre-step"
    if "jit(advanced)" in name:
        what = "a step's physics" if "jit(take_step)" in name else "a reset's physics"
    elif "jit(take_step)" in name:
        what = "policy and masks"
    elif "jit(collect)" in name:
        what = "keys, noise and buffers"
    elif "transpose" in name:
        return "backward pass"
    elif "closed_call" in name:
        return "gradients"
    else:
        return "optimisers, metrics and keys" if name else "without a name"
    return f"{what}, {side}"


def fusions_by_place(text: str) -> collections.Counter[str]:
    """How many fusions of a compiled program each part of an epoch has."""
    count: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        if " fusion(" in line:
            found = re.search(r'op_name="([^"]*)"', line)
            count[place(found[1] if found else "")] += 1
    return count


def seconds_by_stage(folder: str) -> dict[str, float]:
    """Seconds of the compiler's stages from a recorded profile."""
    path = next(Path(folder).rglob("*.xplane.pb"))
    took: collections.Counter[str] = collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in STAGES:
                    took[STAGES[event.name]] += event.duration_ns / 1e9
    return {name: took[name] for name in STAGES.values()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--inner-steps", type=int, default=1)
    parser.add_argument("--stages", action="store_true")
    given = parser.parse_args()
    devices.configure("cpu", devices.usable_cores())
    jax.config.update("jax_enable_compilation_cache", False)
    # The environments start JAX, whose devices must be settled before that.
    from lander_size import equations

    from dmaml_jax.build import configuration
    from dmaml_jax.build.program import program_of

    values = {"seeds": given.seeds, "num_inner_steps": given.inner_steps}
    program = program_of(configuration("lunarlander", "directed-maml", **values))
    print("| stage | s | CPU s |\n| --- | --- | --- |")

    def timed(what: str, work: Any) -> Any:
        begin, cpu = time.perf_counter(), sum(os.times()[:2])
        result = work()
        wall, cpu = time.perf_counter() - begin, sum(os.times()[:2]) - cpu
        print(f"| {what} | {wall:.1f} | {cpu:.1f} |", flush=True)
        return result

    timed("the first parameters", program.start)
    traced = timed("tracing", program.traced)
    lowered = timed("lowering", traced.lower)
    with tempfile.TemporaryDirectory() as folder:
        if given.stages:
            jax.profiler.start_trace(folder)
        compiled = timed("compiling", lowered.compile)
        if given.stages:
            jax.profiler.stop_trace()
            for name, took in seconds_by_stage(folder).items():
                print(f"| … {name} | {took:.1f} | |")
    count = fusions_by_place(compiled.as_text())
    print(
        f"\n{equations(traced.jaxpr.jaxpr):,} equations, {count.total():,} fusions:\n"
    )
    print("| place | fusions |\n| --- | --- |")
    for name, number in count.most_common():
        print(f"| {name} | {number} |")


if __name__ == "__main__":
    main()
