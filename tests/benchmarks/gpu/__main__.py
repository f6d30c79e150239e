"""What a GPU does: its tests, then as many measurements as a budget allows.

    PYTHONPATH=tests python -P -m benchmarks.gpu            # writes docs/gpu.md
    PYTHONPATH=tests python -P -m benchmarks.gpu --small --out FOLDER

Run by `make gpu-report`. `-P` keeps the working folder off the path: the installed
package is measured, whose `envs` is not the folder of that name.
"""

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import say

ROOT = Path(__file__).parents[3]
WOULD = (
    "no GPU here: on a machine with one, make gpu-report runs the GPU tests and then "
    "measures steps, epochs, seeds and precision for {:.0f} s at most, and writes {} "
    "(SMALL=1 tries it on the CPU)"
)
TESTS_SECONDS = 180
# One region from the start: a large program's temporaries are a single allocation,
# which memory that grew in pieces might not hold, and no allocation falls into a time.
# A tenth is left for CUDA's own use: its context, loaded kernels, cuBLAS's workspaces.
MEMORY = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "true",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ".9",
}


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="make gpu-report", description=__doc__)
    parser.add_argument("--budget", type=float, default=480, help="seconds to measure")
    parser.add_argument("--out", type=Path, help="folder of gpu.md and gpu.json")
    parser.add_argument("--small", action="store_true", help="tiny sizes, on a CPU too")
    parser.add_argument(
        "--profile", action="store_true", help="which kernels take long"
    )
    parser.add_argument(
        "--tests", choices=("yes", "no"), default="yes", help="run the GPU tests first"
    )
    parser.add_argument("--lander-seeds", type=int, nargs="*", help="as 1 64 1024")
    parser.add_argument("--commit", help="which one this is, where git cannot say")
    given = parser.parse_args()
    if given.out is None:
        given.out = ROOT / ("build/gpu" if given.small else "docs")
    return given


def has_nvidia() -> bool:
    """Whether there is a sign of NVIDIA's driver; asking JAX would take the memory."""
    signs = "/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"
    return any(map(os.path.exists, signs)) or shutil.which("nvidia-smi") is not None


def tested() -> str:
    """Run the GPU tests in a process of their own, and tell their last line."""
    files = [
        str(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text()
    ]
    command = [sys.executable, "-P", "-m", "pytest", "-m", "gpu", "-q", *files]
    say(f"GPU tests, {TESTS_SECONDS} s at most")
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=TESTS_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"**stopped** after {TESTS_SECONDS} s"
    print(done.stdout, flush=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    last = (
        re.sub(r"[= ]*\x1b\[[0-9;]*m|=", "", lines[-1]).strip() if lines else "nothing"
    )
    verdict = (
        "passed" if done.returncode == 0 else f"**failed**, exit {done.returncode}"
    )
    return f"{verdict}: {last} ({time.monotonic() - begin:.0f} s)"


def measured(
    given: argparse.Namespace, sizes: Any, about: dict[str, str]
) -> dict[str, Any]:
    """Do the plan, writing as it goes; returns the record."""
    from benchmarks.gpu import machine, page
    from benchmarks.gpu.compiling import Compiler
    from benchmarks.gpu.parts import Bench, plan
    from benchmarks.gpu.plan import carry_out

    from dmaml_jax.training.devices import usable_cores

    end = time.monotonic() + given.budget
    record: dict[str, Any] = {"about": {**machine.about(given.commit), **about}}
    record["parts"] = {}
    # XLA uses more than one core for a program while it tries kernels. Fewer programs
    # at once are done sooner one by one, so that a deadline leaves out fewer of them.
    compiler = Compiler(max(usable_cores() // 2, 1))
    bench = Bench(sizes, compiler, record["parts"])
    parts = plan(bench, profile=given.profile)
    for part in parts:
        say(f"plan: {part.name}, about {part.seconds:.0f} s")
    try:
        carry_out(parts, end, record["parts"], lambda: page.write(record, given.out))
    finally:
        compiler.close()
    say(f"written to {given.out}/gpu.md and gpu.json")
    print(page.page(record), flush=True)
    return record


def main() -> int:
    """Test and measure, or say what would be done."""
    given = arguments()
    if not given.small and not has_nvidia():
        print(WOULD.format(given.budget, os.path.relpath(given.out / "gpu.md")))
        return 0
    flags = " SMALL=1" * given.small + " PROFILE=1" * given.profile
    about = {"command": f"make gpu-report{flags} BUDGET={given.budget:g}"}
    if given.tests == "no" or not has_nvidia():
        about["GPU tests"] = "not run"
    else:
        about["GPU tests"] = tested()
        say(f"GPU tests: {about['GPU tests']}")
    for name, value in MEMORY.items():
        os.environ.setdefault(name, value)
    import jax

    if not given.small and jax.default_backend() != "gpu":
        print("NVIDIA's driver is here, but JAX cannot use it: nothing was measured")
        return 1
    from benchmarks.gpu.sizes import FULL, SMALL

    sizes = SMALL if given.small else FULL
    if given.lander_seeds:
        sizes = dataclasses.replace(sizes, lander_seeds=tuple(given.lander_seeds))
    measured(given, sizes, about)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that still compiles cannot be stopped and would keep the process.
    os._exit(code)
