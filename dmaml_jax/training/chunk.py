"""A chunk of epochs as a function of lanes and their states, to be compiled once."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.parts import part
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.types import Info, MetaLearner, Problem

Init = Callable[[jax.Array], Any]
Step = Callable[[jax.Array, Any], tuple[Any, Info]]
Values = Mapping[str, Any]
"""Numbers that differ from lane to lane, by name."""
Steps = Callable[[Values], tuple[Init, Step]]


class Lanes(NamedTuple):
    """What tells the lanes of a program apart: seeds, and numbers by name."""

    seeds: Any
    values: Values


class SeedState(NamedTuple):
    """One seed's learner, and the epoch at which it failed (0: it has not)."""

    learner: Any
    failed_at: jax.Array


def train_step(
    problem: Problem, learner: MetaLearner, num_tasks: int
) -> tuple[Init, Step]:
    """The pair a training loop calls.

    Args:
        problem: the problem that is learned, which also draws the tasks of an epoch.
        learner: the meta-learner that takes the epochs.
        num_tasks: M, the number of tasks per epoch.

    Returns:
        `init(key) -> state`, and `step(key, state) -> (state, info)`, which samples
        the tasks and does one epoch; neither is jitted.
    """

    def step(key: jax.Array, state: Any) -> tuple[Any, Info]:
        key_tasks, key_step = jax.random.split(key)
        tasks = problem.sample_tasks(key_tasks, num_tasks)
        with part("outer"):
            return learner.step(key_step, state, tasks)

    return learner.init, step


def first_state(steps: Steps, lane: Lanes) -> SeedState:
    """The state of a lane before its first epoch."""
    init, _ = steps(lane.values)
    return SeedState(init(seed_keys(lane.seeds).init), jnp.int32(0))


def run_chunk(
    steps: Steps,
    chunk_epochs: int,
    side_by_side: int,
    lanes: Lanes,
    states: SeedState,
    first_epoch: jax.Array,
    num_epochs: jax.Array,
) -> tuple[SeedState, dict[str, jax.Array]]:
    """Some epochs of all lanes, and their metrics.

    Args:
        steps: `(values) -> (init, step)`, called with a lane's numbers, traced.
        chunk_epochs: how many epochs there are room for.
        side_by_side: how many lanes are computed at once, which divides their number.
        lanes: seeds and numbers, stacked on axis 0.
        states: the lanes' states before the first of the epochs, stacked on axis 0.
        first_epoch: how many epochs were done before.
        num_epochs: how many to do; a traced number, so that a short chunk is no new
            program.

    Returns:
        The states after them, and the metrics by name, `[chunk_epochs, lanes]`.
    """

    @jax.jit  # traced once, for its shapes and for the loop
    def epoch(index: jax.Array, states: SeedState):
        def one(each: tuple[Lanes, SeedState]):
            return _guarded(steps, each[0], first_epoch + index, each[1])

        if side_by_side == len(lanes.seeds):
            return jax.vmap(one)((lanes, states))
        return jax.lax.map(one, (lanes, states), batch_size=side_by_side)

    def body(index: jax.Array, carry: tuple[SeedState, dict[str, jax.Array]]):
        states, written = carry
        states, metrics = epoch(index, states)
        return states, {
            name: jax.lax.dynamic_update_index_in_dim(written[name], values, index, 0)
            for name, values in metrics.items()
        }

    _, like = jax.eval_shape(epoch, jnp.int32(0), states)
    buffers = {
        name: jnp.zeros((chunk_epochs, *x.shape), x.dtype) for name, x in like.items()
    }
    return jax.lax.fori_loop(jnp.int32(0), num_epochs, body, (states, buffers))


def _guarded(
    steps: Steps, lane: Lanes, epoch: jax.Array, state: SeedState
) -> tuple[SeedState, dict[str, jax.Array]]:
    """One epoch of one lane, undone where it fails; `epoch` counts from 0."""
    _, step = steps(lane.values)
    key = jax.random.fold_in(seed_keys(lane.seeds).epochs, epoch)
    learner, info = step(key, state.learner)
    finite = _all_finite((learner, info.loss, info.meta_gradient))
    running = state.failed_at == 0
    kept = jax.tree.map(
        lambda new, old: jnp.where(running & finite, new, old), learner, state.learner
    )
    failed_at = jnp.where(running & ~finite, epoch + 1, state.failed_at)
    return SeedState(kept, failed_at), _metrics(info)


def _all_finite(tree: Any) -> jax.Array:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all()


def _metrics(info: Info) -> dict[str, jax.Array]:
    """The scalars of an epoch by the names of `metrics.csv`."""
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(info.meta_gradient)]
    scalars = {
        "env_steps": info.num_steps,
        "return_before": info.return_before,
        "return_after": info.return_after,
        "return_medium": info.return_medium,
        "loss": info.loss,
        "meta_grad_norm": jnp.sqrt(jnp.stack(squares).sum()),
        "cos_medium_meta": info.cos_medium_meta,
        **info.extras,
    }
    return {name: value for name, value in scalars.items() if value is not None}
