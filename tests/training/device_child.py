"""Trains the same five tasks on 1, 2 and 8 devices: device_child.py FILE.

How many devices there are is settled when JAX starts, so it is a process of its own.
"""

import sys
from pathlib import Path

import jax
import numpy as np

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "jax"
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_compilation_cache_dir", str(CACHE))


def main() -> None:
    from dmaml_jax.build import configuration
    from dmaml_jax.build.program import program_of

    sizes = {"num_tasks": 5, "num_trajectories": 3, "horizon": 20, "hidden_sizes": (8,)}
    found = {}
    for devices in (1, 2, 8):
        config = configuration(
            "cartpole", "directed", seeds=1, epochs=5, cpu_devices=devices, **sizes
        )
        program = program_of(config)
        program.compile()
        metrics = program.run_all(5)
        theta, _ = jax.flatten_util.ravel_pytree(program.params())
        found[f"theta {devices}"] = np.asarray(theta)
        found[f"return {devices}"] = metrics["return_after"]
        found[f"share {devices}"] = program.task_devices
    np.savez(sys.argv[1], **found)


if __name__ == "__main__":
    main()
