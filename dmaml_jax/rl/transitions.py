"""Single steps of episodes, as a learner keeps them in a replay."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from dmaml_jax.types import PyTree, Task, Trajectory


class Transition(NamedTuple):
    """A step (o, a, r, o') of an episode, or several of them on leading axes.

    Attributes:
        obs: o, a vector of floats, `[…, S]`.
        action: a as networks see it, `[…, A]`: one-hot where it is a choice, squashed
            into −1 … 1 where it is bounded numbers.
        reward: r, which the task pays, `[…]`.
        next_obs: o', the observation after the step, `[…, S]`.
        terminated: whether the step ended the episode by itself; false at a time limit,
            beyond which there is more to earn, `[…]`.
        dense: the reward to learn values from, where that is another one, `[…]`.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    dense: jax.Array | None = None


def transitions_of(
    data: Trajectory,
    task: Task,
    *,
    vector: Callable[[PyTree], jax.Array],
    shown: Callable[[jax.Array], jax.Array],
    dense: Callable[[PyTree, Task], jax.Array] | None = None,
) -> tuple[Transition, jax.Array]:
    """All steps of K trajectories on one axis.

    Args:
        data: K trajectories, leaves `[K, H, …]`.
        task: the task that they are of.
        vector: `(observations) -> [K, H, S]`, as vectors.
        shown: `(samples) -> [K, H, A]`, actions as networks see them.
        dense: `(o', task) -> ` the dense reward of one step; None where values are
            learned from the task's own.

    Returns:
        The transitions, leaves `[K · H, …]`, and which of them there are: those that
        the episode was still running before, `[K · H]`.
    """
    before = jax.tree.map(lambda leaf: leaf[:, :-1], data.obs)
    after = jax.tree.map(lambda leaf: leaf[:, 1:], data.obs)
    earned = None
    if dense is not None:
        with jax.numpy_dtype_promotion("standard"):
            earned = jax.vmap(jax.vmap(lambda obs: dense(obs, task)))(after)
        earned = earned.astype(data.rewards.dtype)
    steps = Transition(
        vector(before),
        shown(data.actions),
        data.rewards,
        vector(after),
        data.terminated,
        earned,
    )
    return jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (steps, data.alive)
    )
