"""Every test runs in float64 unless it asks for `float32`."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax"

# Two devices even on one core, so that spreading seeds is tested everywhere.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(autouse=True)
def precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Float64 and strict dtype promotion, or what the marker `float32` asks for."""
    if request.node.get_closest_marker("float32"):
        yield
        return
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        yield
