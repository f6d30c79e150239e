"""Quadratics in three layouts, for one process with several devices or for several."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax
from problems import quadratic

from dmaml_jax.learners.maml import maml
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.program import Program

# Three seeds are divided by neither two nor four, and five tasks by neither.
LAYOUTS: dict[str, dict[str, int]] = {
    "seeds": {"seeds": 5, "task_devices": 1},
    "tasks": {"seeds": 1, "task_devices": 2},
    "both": {"seeds": 2, "task_devices": 2},
}


def layouts_of(processes: int) -> list[str]:
    """Those that occupy so many processes; two of them leave out the dearest."""
    return [
        name
        for name, layout in LAYOUTS.items()
        if layout["seeds"] * layout["task_devices"] >= processes
        and (processes > 2 or name != "both")
    ]


def program_of(devices: Sequence[Any], *, seeds: int, task_devices: int) -> Program:
    """MAML on five quadratics, not compiled."""
    task_devices = min(task_devices, len(devices))
    problem = quadratic()
    learner = maml(problem, inner_lr=0.1, meta_optimizer=optax.adam(0.1))
    return Program(
        *train_step(problem, learner, 5),
        seeds=range(1, 1 + seeds),
        chunk_epochs=3,
        devices=devices,
        task_devices=task_devices,
    )


def results(
    name: str, program: Program, ask: Callable[[], int] = lambda: 0
) -> dict[str, np.ndarray]:
    """What five epochs of a compiled program leave, by name."""
    found = {}
    for first, count in ((0, 3), (3, 2)):
        metrics = program.run(first, count, ask)
        found |= {f"{name}/{first}/{key}": value for key, value in metrics.items()}
    state = program.seeds_state()
    found |= {f"{name}/{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
    return found
