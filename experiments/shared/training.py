"""What the experiments share: a whole training run, in memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from dmaml_jax.build.learner import build
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.training.adaptation import adaptation
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.training.program import Program


def trained(config: TrainConfig) -> dict[str, Any]:
    """Train without a run folder.

    Args:
        config: validated values.

    Returns:
        `return_before` and `return_after`, `[epochs, seeds]`; `seconds` per epoch of
        all seeds, compiling excluded; `problem`, `learner`, and its `states` of all
        seeds, stacked.
    """
    problem, learner = build(config)
    program = Program(
        *train_step(problem, learner, config.sampling.num_tasks),
        seeds=config.seed_numbers,
        chunk_epochs=config.run.chunk_epochs,
        devices=jax.devices(),
    )
    program.compile()
    start = time.perf_counter()
    metrics = program.run_all(config.run.epochs)
    return {
        **{name: metrics[name] for name in ("return_before", "return_after")},
        "seconds": (time.perf_counter() - start) / config.run.epochs,
        "problem": problem,
        "learner": learner,
        "states": program.seeds_state().learner,
    }


def measured(
    config: TrainConfig,
    run: dict[str, Any],
    tasks: Any,
    *,
    episodes: int,
    num_steps: int = 1,
    summary: Callable[[Any], Any],
) -> Any:
    """Adapt every seed of a run to every task, and measure on episodes of their own.

    Args:
        config: what was trained.
        run: as `trained` returns it.
        tasks: stacked on axis 0.
        episodes: for measuring each seed, task and number of steps.
        num_steps: adaptation steps at most.
        summary: `(trajectories) -> ` what to keep of them.

    Returns:
        Summaries with leading axes `[seeds, tasks, num_steps + 1]`.
    """
    measure, _ = build(config.replace(num_trajectories=episodes))
    run_all = adaptation(run["learner"], measure, num_steps=num_steps, summary=summary)
    seeds = np.array(config.seed_numbers, np.uint32)
    keys = jax.vmap(seed_keys)(seeds).evaluation
    over_seeds = jax.jit(jax.vmap(run_all, in_axes=(0, 0, None)))
    return jax.device_get(over_seeds(keys, run["states"], tasks))
