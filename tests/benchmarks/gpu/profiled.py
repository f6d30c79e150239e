"""Which kernels an epoch's time goes into, from JAX's own profiler."""

import collections
import tempfile
from pathlib import Path
from typing import Any

import jax
from benchmarks.gpu.programs import Epochs

MOST = 12  # kernels in the table


def kernels(program: Epochs) -> dict[str, Any]:
    """Profile one epoch, after a warm-up.

    Returns:
        `wall`: seconds of the epoch while it was profiled; `busy`: of all kernels
        together; `launches`: their number; `top`: name, launches and seconds of those
        that took longest.
    """
    program.run(0, 1)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # it would slow the host that launches the kernels
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            wall, _ = program.run(0, 1)
        (file,) = Path(folder).rglob("*.xplane.pb")
        found = _durations(jax.profiler.ProfileData.from_file(str(file)))
    launches = sum(count for count, _ in found.values())
    busy = sum(seconds for _, seconds in found.values())
    longest = sorted(found.items(), key=lambda item: -item[1][1])[:MOST]
    top = [[name, count, seconds] for name, (count, seconds) in longest]
    return {"wall": wall, "busy": busy, "launches": launches, "top": top}


def _durations(profile: Any) -> dict[str, tuple[int, float]]:
    """Launches and seconds by kernel, on the GPU's streams.

    Without a GPU: of the CPU's threads that run XLA's operations, so that this can be
    tried anywhere.
    """
    planes = [p for p in profile.planes if p.name.startswith("/device:GPU")]
    planes = planes or [p for p in profile.planes if p.name == "/host:CPU"]
    found: dict[str, tuple[int, float]] = collections.defaultdict(lambda: (0, 0.0))
    for plane in planes:
        lines = list(plane.lines)
        # Other lines of a plane tell the same time again by module or by operation.
        streams = [line for line in lines if line.name.startswith("Stream")]
        for line in streams or lines:
            for event in line.events:
                count, seconds = found[event.name]
                found[event.name] = count + 1, seconds + event.duration_ns / 1e9
    return found
