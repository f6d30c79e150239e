"""Which devices JAX runs on; to be settled before anything else imports gymnax.

Importing gymnax starts JAX, and what is set here must be set before that.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import jax

from dmaml_jax.errors import UsageError
from dmaml_jax.files import require_room


def configure(device: Literal["auto", "cpu", "gpu"], cpu_devices: int) -> None:
    """Set JAX up: platform, number of CPU devices, compilation cache.

    The cache lies in the user's cache folder unless JAX_COMPILATION_CACHE_DIR names
    another, so that a second start of the same program compiles nothing.

    Args:
        device: where to run; "auto" leaves the choice to JAX.
        cpu_devices: devices to make of the CPU's cores.

    Raises:
        UsageError: JAX finds no device of the kind that is asked for, by `device` or
            by JAX_PLATFORMS, or JAX_DISABLE_JIT is set.
    """
    if _setting("jax_disable_jit"):
        raise UsageError(
            "JAX_DISABLE_JIT is set, but what runs here is one compiled program: "
            "unset it."
        )
    if device == "cpu":
        only_cpu()
    _without_aids_of_debugging()
    _set_cpu_devices(cpu_devices)
    _set_up_cache()
    platform = _platform()
    if device == "gpu" and platform != "gpu":
        raise UsageError(
            "--device gpu, but JAX finds no GPU here: use --device cpu, or install the "
            "extra 'cuda' (make setup does where there is an NVIDIA driver)."
        )


_AIDS_OF_DEBUGGING = {
    "jax_numpy_rank_promotion": "allow",
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_transfer_guard": "allow",
}
"""Settings that stop at what is meant here; none of them changes a number."""


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def only_cpu() -> None:
    """Run on the CPU, whatever JAX_PLATFORMS says; for what needs no other device."""
    jax.config.update("jax_platforms", "cpu")
    _without_aids_of_debugging()


def _without_aids_of_debugging() -> None:
    for name, value in _AIDS_OF_DEBUGGING.items():
        jax.config.update(name, value)


def _set_cpu_devices(number: int) -> None:
    try:
        jax.config.update("jax_num_cpu_devices", number)
    except RuntimeError as error:
        if "xla_force_host_platform_device_count" not in str(error):
            raise
        raise UsageError(
            "XLA_FLAGS has xla_force_host_platform_device_count, but --cpu-devices "
            "says how many devices the CPU is: take it out of XLA_FLAGS."
        ) from None


def _platform() -> str:
    """The platform that JAX runs on, which starts it."""
    try:
        return jax.default_backend()
    # The AssertionError is JAX's for a GPU whose plugin is not installed.
    except (RuntimeError, AssertionError) as error:
        wanted = _setting("jax_platforms")
        if wanted:
            raise UsageError(
                f"JAX_PLATFORMS is {wanted!r}, and JAX finds no such device here: "
                "unset it, or use --device cpu."
            ) from None
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(
            f"JAX finds no device that it can start ({reason}): use --device cpu."
        ) from None


def _set_up_cache() -> None:
    """Keep compiled programs, in a folder that can be written."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if "://" in named:  # not of this machine: JAX's own business
        return
    folder: Path | str = "the user's cache folder"
    try:
        folder = Path(named) if named else _cache_home() / "dmaml_jax"
        folder.mkdir(parents=True, exist_ok=True)
        require_room(folder, 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        print(
            f"note: compiled programs are not kept, as {folder} cannot be written "
            f"({reason}); JAX_COMPILATION_CACHE_DIR may name another folder.",
            file=sys.stderr,
        )
        jax.config.update("jax_enable_compilation_cache", False)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


_NUMBERS = {
    "x64": "jax_enable_x64",
    "prng": "jax_default_prng_impl",
    "threefry_partitionable": "jax_threefry_partitionable",
    "default_matmul_precision": "jax_default_matmul_precision",
}


def numbers() -> dict[str, Any]:
    """How this process computes: precision, and what makes its random numbers."""
    return {name: getattr(jax.config, flag) for name, flag in _NUMBERS.items()}


def adopt(program: Mapping[str, Any]) -> None:
    """Compute as a stored run did, whose numbers would be others elsewise.

    Args:
        program: what a run's config.json keeps of its program; what older versions did
            not keep is left as it is.
    """
    for name, flag in _NUMBERS.items():
        if name in program:
            jax.config.update(flag, program[name])


def require_same_numbers(program: Mapping[str, Any], folder: object) -> None:
    """Refuse a stored run that was computed in another way than this process computes.

    Args:
        program: what the run's config.json keeps of its program.
        folder: the run folder, which the error message names.

    Raises:
        UsageError: precision or random numbers are others.
    """
    here = numbers()
    for name, flag in _NUMBERS.items():
        if name in program and program[name] != here[name]:
            raise UsageError(
                f"{folder} was trained with {flag} = {program[name]}, and here it is "
                f"{here[name]}: set {flag.upper()}={program[name]}, or call "
                f'jax.config.update("{flag}", {program[name]!r}) first.'
            )


def compiler_options(platform: str) -> dict[str, bool]:
    """What XLA is told when it compiles a training program for a platform.

    On a GPU a rollout is a loop of small kernels, and launching them is what it costs.
    Two steps of a loop in one turn, on alternating buffers, need no copies of what the
    loop carries: 11 launches a step of CartPole where there were 17, counted in the
    program that XLA 0.11 makes for an H100.

    Args:
        platform: the platform of the devices as JAX names it, such as "gpu".
    """
    if platform == "cpu":
        return {}
    return {"xla_gpu_enable_while_loop_double_buffering": True}


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(device: Any) -> int:
    """Bytes that a program may take on a device, with some left for others.

    Nine tenths of a GPU's memory that is free; of a CPU's, eight tenths of what the
    system, or the container that this runs in, can still give, shared by its devices.
    """
    stats = device.memory_stats() or {}
    if device.platform != "cpu" and "bytes_limit" in stats:
        return int(0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    return int(0.8 * min(_system_memory()) / jax.local_device_count())


def bytes_of(compiled: Any) -> int:
    """Bytes that a compiled program takes on each device, results included."""
    found = compiled.memory_analysis()
    return int(
        found.temp_size_in_bytes
        + found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
    )


def _system_memory() -> list[int]:
    """Bytes that the system and the container have left, as far as they say."""
    left = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        left.append(1024 * int(line.split()[1]))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        # Files that were read are given up when memory is asked for.
        stat = (group / "memory.stat").read_text().splitlines()
        files = dict(line.split() for line in stat).get("inactive_file", 0)
        left.append(most - used + int(files))
    return left


def devices_per_seed(num_devices: int, num_seeds: int, num_tasks: int) -> int:
    """How many devices share a seed's tasks: seeds come first, tasks take the rest.

    Example:
        >>> [devices_per_seed(*case) for case in ((2, 5, 5), (2, 1, 5), (16, 1, 5))]
        [1, 2, 5]
    """
    return min(max(num_devices // num_seeds, 1), num_tasks)
