"""One of several processes: host_child.py PORT COUNT NUMBER DEVICES FOLDER KIND ...

KIND says what they do, one after the other: `train` trains quadratics in some layouts
and keeps what the first process has of them; in `wait` all wait for one that kills
itself, in `beside` they do something else meanwhile, and `short` has them notice it
sooner.
"""

import os
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np

PORT, COUNT, NUMBER, DEVICES = map(int, sys.argv[1:5])
FOLDER, KINDS = Path(sys.argv[5]), sys.argv[6:]
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "jax"
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", DEVICES)
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_compilation_cache_dir", str(CACHE))

from dmaml_jax.errors import UsageError  # noqa: E402
from dmaml_jax.training import hosts, joining  # noqa: E402


def refused() -> str:
    raise UsageError(f"made by process {hosts.is_first() and 0}")


def train() -> None:
    # Importing environments starts JAX, which must have met the others before.
    from host_problem import LAYOUTS, layouts_of, program_of, results

    gathers: list[int] = []
    plain = hosts._from_all

    def counted(sent: np.ndarray) -> np.ndarray:
        gathers.append(len(sent))
        return plain(sent)

    hosts._from_all = counted
    found = {}
    for name in layouts_of(COUNT):
        program = program_of(jax.devices(), **LAYOUTS[name])
        program.compile()
        before = len(gathers)
        found |= results(name, program, ask=lambda: 7 * (jax.process_index() == 1))
        # Five epochs in chunks of three, then the state.
        assert len(gathers) == before + 3
        assert program.heard == (7 if COUNT > 1 else 0)
    hosts._from_all = plain
    assert hosts.least(10**12 - NUMBER) == 10**12 - COUNT + 1
    big = np.random.default_rng(0).normal(size=3000)
    told = hosts.from_first(lambda: (os.getpid(), {"x": big}))
    assert (told[0] == os.getpid()) == (NUMBER == 0)
    np.testing.assert_array_equal(told[1]["x"], big)
    try:
        hosts.from_first(refused)
    except UsageError as error:
        assert str(error) == "made by process 0"
    else:
        raise AssertionError("an error of the first process is one of all")
    if hosts.is_first():
        np.savez(FOLDER / "found.npz", **found)


def wait() -> None:
    """The last process dies; the others wait for it, in JAX or beside it."""
    hosts.least(0)
    joining.leave_word("Go on so.", FOLDER / "stopped.txt" if NUMBER == 0 else None)
    if NUMBER == COUNT - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if "beside" in KINDS:
        time.sleep(120)
    hosts.least(0)


if "short" in KINDS:
    joining.HEARTBEAT_SECONDS = 5
with joining.joined(f"127.0.0.1:{PORT}", COUNT, NUMBER):
    if "train" in KINDS:
        train()
    if "wait" in KINDS:
        wait()
