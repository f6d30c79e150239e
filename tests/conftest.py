"""Every test runs in float64 unless it asks for `float32`."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import pytest

CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax"

# What is started in a shell's background ignores Ctrl-C, and so would its children,
# whose answer to it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Two devices even on one core, so that spreading seeds is tested everywhere.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
# Single operations too: every file compiles the same ones again.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


# XLA's older way to write fused loops: it compiles twice as fast and runs half as fast.
# Newer versions have dropped it, and refuse flags that they do not know.
EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def pytest_configure(config: pytest.Config) -> None:
    """Compile fast where nothing runs long, in processes that a test starts too."""
    if jax.__version_info__ < (0, 11) and "not slow" in config.option.markexpr:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {EMITTERS}"


@pytest.fixture(autouse=True)
def precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Float64 and strict dtype promotion, or what the marker `float32` asks for."""
    if request.node.get_closest_marker("float32"):
        yield
        return
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile without XLA's expensive passes, unless a test is slow or `optimised`.

    The programs of tests are large, run once, and are the same to rounding either way:
    it saves a third of the time. Slow tests run for longer than they compile. A hook,
    as fixtures of whole modules compile too; and processes that a test starts compile
    alike, as their bits may be compared.
    """
    short = not any(map(item.get_closest_marker, ("optimised", "slow")))
    jax.config.update("jax_disable_most_optimizations", short)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(short))


@pytest.fixture(autouse=True, scope="module")
def programs() -> Iterator[None]:
    """Drop compiled programs with their file: together they would take gigabytes."""
    yield
    jax.clear_caches()


def pytest_deselected(items: Sequence[Any]) -> None:
    """In a worker of pytest-xdist: remember what is left out, for the last line."""
    output = getattr(getattr(items[0], "config", None), "workeroutput", None)
    if output is not None:
        output.setdefault("left_out", []).extend(item.nodeid for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """In the process that prints: every worker leaves out the same, count it once."""
    left_out = getattr(node, "workeroutput", {}).get("left_out")
    if left_out and node.gateway.id == "gw0":
        node.config.hook.pytest_deselected(items=left_out)
