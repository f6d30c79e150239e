"""From a configuration to the compiled program of a run."""

from typing import Any

import jax

from dmaml_jax.build.learner import build
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.devices import devices_per_seed, numbers
from dmaml_jax.training.program import Program


def program_of(config: TrainConfig) -> Program:
    """The program of a configuration, not yet compiled."""
    problem, learner = build(config)
    # What a first state refuses is told now, before anything is compiled or written.
    jax.eval_shape(learner.init, jax.random.key(0))
    devices = devices_of(config)
    num_tasks = config.sampling.num_tasks
    return Program(
        *train_step(problem, learner, num_tasks),
        seeds=config.seed_numbers,
        chunk_epochs=config.run.chunk_epochs,
        devices=devices,
        task_devices=devices_per_seed(len(devices), config.run.seeds, num_tasks),
    )


def layout(config: TrainConfig, program: Program) -> dict[str, Any]:
    """What decides the bits of a run beside its values: devices and precision."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "seed_devices": program.seed_devices,
        "task_devices": program.task_devices,
        "seeds_per_device": program.width,
        "matmul_precision": config.run.matmul_precision,
        **numbers(),
    }


def devices_of(config: TrainConfig) -> list[Any]:
    """All devices; on a CPU no more of each process than the configuration asks for.

    Raises:
        UsageError: one process has more of them than another.
    """
    devices = jax.devices()
    owners = [device.process_index for device in devices]
    counts = [owners.count(owner) for owner in range(jax.process_count())]
    if len(set(counts)) > 1:
        raise UsageError(
            f"The processes have {', '.join(map(str, counts))} devices, but all must "
            "have the same number: give --cpu-devices, or start them alike."
        )
    most = config.run.cpu_devices
    if devices[0].platform != "cpu" or not most:
        return devices
    return [
        device
        for place, device in enumerate(devices)
        if owners[:place].count(owners[place]) < most
    ]
