"""What learners share: their keys, the tasks' axis, the outer optimiser's step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.derivatives import adaptation_curve
from dmaml_jax.types import Info, MetaLearner, Params, Problem, PyTree, Task

TASK_AXIS = "task"
_LANE_AXIS = "lane of the task"


class LearnerState(NamedTuple):
    """θ, the outer optimiser's state, and the epochs done."""

    params: Params
    optimizer: Any
    epoch: jax.Array


def gradient_learner(
    problem: Problem,
    task_gradient: Callable[[jax.Array, LearnerState, Task], Info],
    *,
    num_collections: int,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
) -> MetaLearner:
    """A learner that is told by what one task contributes to the meta-gradient.

    Args:
        problem: what is learned.
        task_gradient: `(keys, state, task) -> info`, keys one per collection; the outer
            optimiser gets the mean of `info.meta_gradient` over the tasks.
        num_collections: how often a task is sampled per epoch.
        inner_lr: α, with which the learner adapts to a new task.
        meta_optimizer: an Optax transformation.

    Returns:
        The learner.
    """

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, meta_optimizer.init(params), jnp.int32(0))

    def step(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        keys = collection_keys(key, tasks, num_collections)
        infos = over_tasks(
            lambda keys, task: task_gradient(keys, state, task), keys, tasks
        )
        info = over_all(infos)
        params, optimizer = optimizer_step(
            meta_optimizer, info.meta_gradient, state.optimizer, state.params
        )
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: LearnerState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def collection_keys(key: jax.Array, tasks: Task, num_collections: int) -> jax.Array:
    """A key per task and collection, `[M, num_collections]`, from a step's key."""
    key_collections, _ = jax.random.split(key)
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    return jax.random.split(key_collections, (num_tasks, num_collections))


def over_tasks(
    f: Callable[[jax.Array, Task], PyTree], keys: jax.Array, tasks: Task
) -> PyTree:
    """`f(keys_i, task_i)` for every task, stacked on axis 0.

    Where the program spreads tasks over devices (a mesh axis named `TASK_AXIS`), each
    device does its share and hands it to all; a share that is not full repeats the
    last task, and what comes of that is dropped.
    """
    mapped = jax.vmap(f, axis_name=_LANE_AXIS)
    num_shares = _num_shares()
    if num_shares == 1:
        return mapped(keys, tasks)
    num_tasks = keys.shape[0]
    size = -(-num_tasks // num_shares)
    first = jax.lax.axis_index(TASK_AXIS) * size
    share = jnp.minimum(first + jnp.arange(size, dtype=jnp.int32), num_tasks - 1)
    own = jax.tree.map(lambda leaf: leaf[share], (keys, tasks))
    every = jax.lax.all_gather(mapped(*own), TASK_AXIS, tiled=True)
    return jax.tree.map(lambda leaf: leaf[:num_tasks], every)


def mean_of_others(value: jax.Array, num_tasks: int) -> jax.Array:
    """Mean of a scalar over the other tasks; to be called by the `f` of `over_tasks`.

    Args:
        value: this task's.
        num_tasks: M, 2 or more.
    """
    every = jax.lax.all_gather(value, _LANE_AXIS)
    if _num_shares() > 1:
        every = jax.lax.all_gather(every, TASK_AXIS, tiled=True)
    return (jnp.sum(every[:num_tasks]) - value) / (num_tasks - 1)


def over_all(infos: Info) -> Info:
    """An epoch's info from those of its tasks: means, and the sum of the cost."""
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), infos)
    return mean._replace(num_steps=jnp.sum(infos.num_steps, dtype=jnp.int32))


def _num_shares() -> int:
    """Over how many devices a program spreads the tasks of one seed."""
    try:
        return jax.lax.axis_size(TASK_AXIS)
    except NameError:  # no such axis around us
        return 1


def with_params(state: Any, params: Params) -> Any:
    """A learner's state with other parameters, and all else as it is."""
    if hasattr(state, "base"):
        return state._replace(base=with_params(state.base, params))
    return state._replace(params=params)


def modifier_key(key: jax.Array) -> jax.Array:
    """The half of a step's key that the learner itself leaves alone."""
    _, key_modifier = jax.random.split(key)
    return key_modifier


def optimizer_step(
    optimizer: optax.GradientTransformation,
    gradient: Params,
    state: Any,
    params: Params,
) -> tuple[Params, Any]:
    """Apply an Optax transformation: new parameters and optimiser state."""
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes on purpose
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state


def cosine(a: Params, b: Params) -> jax.Array:
    """Cosine of the angle between two pytrees; 0 where one of them vanishes."""
    dot, aa, bb = (_inner(x, y) for x, y in ((a, b), (a, a), (b, b)))
    norm = jnp.sqrt(aa * bb)
    return jnp.where(norm > 0, dot / jnp.where(norm > 0, norm, 1), 0)


def _inner(a: Params, b: Params) -> jax.Array:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.stack(jax.tree.leaves(products)).sum()
