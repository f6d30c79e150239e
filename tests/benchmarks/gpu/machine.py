"""The machine: what it is, and what it can do at most."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from benchmarks.figures import quartiles
from benchmarks.gpu.programs import sampled
from benchmarks.gpu.sizes import Sizes

from dmaml_jax.training.ceilings import copy_rate, product_rate
from dmaml_jax.training.devices import usable_cores

PACKAGES = ("dmaml-jax", "jax", "jaxlib", "flax", "optax", "gymnax", "numpy")


def about(commit: str | None) -> dict[str, str]:
    """Device, driver, versions, commit and time, each in words."""
    device = jax.devices()[0]
    # The platform's version has a line for the interface and one for CUDA.
    backend = getattr(device.client, "platform_version", "").split()
    lines = {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "device": f"{device.device_kind} ({device.platform}), one of "
        f"{len(jax.devices())}; {usable_cores()} CPU cores",
        "driver": _driver(),
        "platform": " ".join(backend) or "not known",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *_versions(PACKAGES)]
        ),
        "CUDA packages": ", ".join(_cuda_packages()) or "none",
        "commit": commit or _commit(),
        "flags": os.environ.get("XLA_FLAGS", "none"),
    }
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        lines["note"] = (
            "a compilation cache was set, so compile times may be of reading it"
        )
    return lines


def ceilings(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """What the device reaches: matrix products in float32 and TF32, and a copy.

    Yields:
        FLOP/s and bytes/s by name, more each time.
    """
    found: dict[str, Any] = {"matrix": sizes.matrix, "copied": sizes.copied}

    def timer(call: Callable[[], jax.Array]) -> float:
        return _fastest(call, sizes)

    for name, precision in (("float32", "highest"), ("tf32", "default")):
        found[name] = product_rate(sizes.matrix, precision, timer)
        yield found
    found["bytes"] = copy_rate(sizes.copied, timer)
    yield found


def peak_memory() -> float | None:
    """GiB that the device's arrays and programs took at most since the start."""
    stats = jax.devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return None if peak is None else peak / 2**30


def _fastest(call: Callable[[], jax.Array], sizes: Sizes) -> float:
    """Median seconds of a call, after a warm-up."""

    def once() -> float:
        begin = time.perf_counter()
        call().block_until_ready()
        return time.perf_counter() - begin

    once()
    return quartiles(sampled(once, sizes.allotment, sizes.repetitions)).median


def _driver() -> str:
    """Version of NVIDIA's driver, and the card's name and memory."""
    query = "--query-gpu=driver_version,name,memory.total"
    if shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                ["nvidia-smi", query, "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=20,
            )
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip().splitlines()[0]
    with contextlib.suppress(OSError):
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    return "not known"


def _versions(names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def _cuda_packages() -> list[str]:
    """JAX's plugin, and NVIDIA's libraries that came as packages."""
    names = {
        (each.metadata["Name"] or "").lower()
        for each in importlib.metadata.distributions()
    }
    wanted = ("jax-cuda", "nvidia-cublas", "nvidia-cudnn", "nvidia-cuda-runtime")
    return _versions(tuple(sorted(n for n in names if n.startswith(wanted))))


def _commit() -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=20,
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return "not known"
