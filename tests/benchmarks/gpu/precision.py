"""What TF32 changes of a meta-gradient: in an epoch, and on the same data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.figures import quartiles
from benchmarks.gpu.programs import Epochs, What, learner_of


def epoch_differences(exact: Epochs, fast: Epochs) -> dict[str, list[float]]:
    """Differences of an epoch's meta-gradient over its norm, quartiles over seeds.

    Returns:
        `difference`: between the precisions with equal keys, which is mostly due to
        actions that were sampled otherwise after a rounding; `noise`: in float32
        between two epochs from the same parameters with other keys, for comparison.
    """
    base, other = _meta_gradients(exact, 0), _meta_gradients(fast, 0)
    again = _meta_gradients(exact, 1)
    return {
        "difference": [*quartiles(_relative(other, base))],
        "noise": [*quartiles(_relative(again, base))],
    }


def on_the_same_data(values: tuple[tuple[str, Any], ...]) -> dict[str, float]:
    """The policy gradient of one task's trajectories in both precisions.

    Returns:
        `difference`: over the gradient's norm. No action can be sampled otherwise here.
    """
    gradients = []
    for precision in ("highest", "default"):
        problem, _, _ = learner_of(What(precision=precision, values=values))
        if not gradients:
            params = jax.jit(problem.init)(jax.random.key(0))
            task = problem.medium_task()
            data = jax.jit(problem.collect)(jax.random.key(1), params, task)
            data = problem.advantages(params, data)
        gradient = jax.jit(jax.grad(problem.outer_loss))(params, data)
        gradients.append(_rows(jax.tree.map(lambda x: x[None], gradient)))
    base, other = gradients
    return {"difference": float(_relative(other, base)[0])}


def _meta_gradients(program: Epochs, epoch: int) -> np.ndarray:
    """Those of an epoch from the first parameters, up to a factor, `[seeds, …]`.

    Adam's first moment after one step from 0 is the gradient times a constant, so no
    other program need be compiled to see it.
    """
    program.run(epoch, 1)
    state = program.program.state
    moments = [
        leaf.mu
        for leaf in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu"))
        if hasattr(leaf, "mu")
    ]
    return _rows(moments[0])


def _rows(tree: Any) -> np.ndarray:
    leaves = [jnp.reshape(x, (x.shape[0], -1)) for x in jax.tree.leaves(tree)]
    return np.asarray(jnp.concatenate(leaves, axis=1), np.float64)


def _relative(other: np.ndarray, base: np.ndarray) -> np.ndarray:
    difference = np.linalg.norm(other - base, axis=1)
    with np.errstate(invalid="ignore"):  # NaN where the gradient is 0
        return difference / np.linalg.norm(base, axis=1)
