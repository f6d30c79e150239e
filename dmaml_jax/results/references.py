"""What a run is measured against: a random start, and training without other tasks."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.build.learner import build
from dmaml_jax.learners.base import with_params
from dmaml_jax.runs.folder import read_params, shown, write_params
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.training.program import Program


def initial_states(run: Loaded) -> Any:
    """The states that every seed began with, in which nothing is trained yet."""
    seeds = jnp.asarray(run.seeds, jnp.uint32)
    init = jax.jit(jax.vmap(lambda seed: run.learner.init(seed_keys(seed).init)))
    return jax.device_get(init(seeds))


def states_of_medium_task(run: Loaded) -> Any:
    """States whose θ was trained on the medium task alone.

    It is trained once, for as many epochs as the run and with its outer optimiser, and
    kept in the run folder. The learner is FOMAML with α = 0, which is policy gradient
    on M · K trajectories an epoch. It also collects the trajectories of that inner
    step, and learns nothing from them.
    """
    initial = initial_states(run)
    file = run.folder / _name(run)
    try:
        return with_params(initial, read_params(file, initial.params))
    except (OSError, KeyError, ValueError):
        params = _trained_on_medium_task(run)
    write_params(run.folder, params, run.seeds, file.name)
    return with_params(initial, params)


def _trained_on_medium_task(run: Loaded) -> Any:
    config = run.config.replace(algo="fomaml", inner_lr=0.0, **_OF_FOMAML)
    tasks = TaskDistribution(lambda key: run.tasks.mean(), run.tasks.mean)
    problem, learner = build(config, env=run.env, tasks=tasks, policy=run.policy)
    print(
        f"training on the medium task alone for {run.epoch} epochs, once; it is kept "
        f"in {shown(run.folder / _name(run))} ...",
        flush=True,
    )
    program = Program(
        *train_step(problem, learner, config.sampling.num_tasks),
        seeds=run.seeds,
        chunk_epochs=config.run.chunk_epochs,
        devices=jax.devices(),
    )
    program.compile()
    program.run_all(run.epoch)
    return program.params()


_OF_FOMAML = {"num_inner_steps": 1, "surrogate": "score-function"}
"""Values that FOMAML shares with other learners, which may have others."""


def _name(run: Loaded) -> str:
    """The file's name, which says the epoch: a run may go on after this."""
    return f"medium-{run.epoch}.npz"
