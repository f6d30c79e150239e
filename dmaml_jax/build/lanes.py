"""From settings to one program that trains them side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from dmaml_jax.build.environment import named_environment, named_tasks
from dmaml_jax.build.learner import build
from dmaml_jax.build.program import devices_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.training.chunk import Init, Lanes, Step, Values, train_step
from dmaml_jax.training.program import Program


def steps_of(config: TrainConfig) -> Callable[[Values], tuple[Init, Step]]:
    """The train step of a configuration as a function of some of its numbers.

    Args:
        config: a configuration; it has the values that the function is not given.

    Returns:
        `(values) -> (init, step)`; the values may be traced.

    Raises:
        UsageError: the environment and the values do not fit each other.
    """
    # Once, as gymnax caches by identity.
    env = named_environment(config.run.env)
    tasks = named_tasks(env, config)
    build(config, env=env, tasks=tasks)

    def steps(values: Values) -> tuple[Init, Step]:
        own = config.replace(**values)
        problem, learner = build(own, env=env, tasks=tasks)
        return train_step(problem, learner, own.sampling.num_tasks)

    return steps


def lanes_of(
    configs: Sequence[TrainConfig], varying: Sequence[str], seeds: Sequence[int]
) -> Lanes:
    """Every setting with every seed: settings outside, seeds inside.

    Args:
        configs: one configuration per setting; they differ in the varying values alone.
        varying: names of values that may be traced.
        seeds: the numbers of the seeds.

    Returns:
        Seeds and values, `[settings · seeds]`.
    """
    kind = jax.numpy.result_type(float)
    flat = [config.flat() for config in configs]
    values = {
        name: np.repeat(np.array([own[name] for own in flat], kind), len(seeds))
        for name in varying
    }
    return Lanes(np.tile(np.asarray(seeds, np.uint32), len(configs)), values)


def part_of(lanes: Lanes, chosen: Any) -> Lanes:
    """Some of the lanes, chosen by a slice or by their numbers."""
    return jax.tree.map(lambda leaf: leaf[chosen], lanes)


def program_of_lanes(config: TrainConfig, lanes: Lanes) -> Program:
    """The program of a configuration and lanes, not yet compiled.

    Args:
        config: the configuration of one of the settings; the lanes say what varies.
        lanes: as many as are to train at once.
    """
    return Program.of_lanes(
        steps_of(config),
        lanes,
        chunk_epochs=config.run.chunk_epochs,
        devices=devices_of(config),
    )
