"""What the experiments share: a whole training run, in memory."""

import time
from typing import Any

import jax
import numpy as np

from dmaml_jax.factory import build
from dmaml_jax.presets import TrainConfig
from dmaml_jax.training import Program, train_step


def trained(config: TrainConfig) -> dict[str, Any]:
    """Train without a run folder.

    Args:
        config: validated values.

    Returns:
        `return_before` and `return_after`, `[epochs, seeds]`, and `seconds` per epoch
        of all seeds, compiling excluded.
    """
    problem, learner = build(config)
    program = Program(
        *train_step(problem, learner, config.num_tasks),
        seeds=range(config.seed, config.seed + config.seeds),
        chunk_epochs=config.chunk_epochs,
        devices=jax.devices(),
    )
    program.compile()
    start = time.perf_counter()
    chunks = [
        program.run(first, min(config.chunk_epochs, config.epochs - first))
        for first in range(0, config.epochs, config.chunk_epochs)
    ]
    seconds = (time.perf_counter() - start) / config.epochs
    names = ("return_before", "return_after")
    returns = {
        name: np.concatenate([chunk[name] for chunk in chunks]) for name in names
    }
    return {**returns, "seconds": seconds}
