"""Exact expectations: every trajectory and every data set of a small MDP, summed over.

An `enumerated_problem` is a `Problem` whose `collect` does not sample: in place of a
key it takes a request that says which data set to return. Learners run on it unchanged,
and what they estimate is summed over all data sets with their probabilities, free of
sampling noise.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.exact.data_sets import DataSets, Paths, trajectories
from dmaml_jax.learners.inner_loop import inner_loop
from dmaml_jax.rl.objectives import (
    Objective,
    mean_kl,
    ratios,
    reweighed,
    trajectory_log_probs,
)
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.types import Params, Policy, Problem, Task, Trajectory

_ROWS, _EVERY, _FIRST_SINGLE = 0, 1, 2


class Batch(NamedTuple):
    """What an enumerated problem collects.

    Attributes:
        rows: a data set of K trajectories.
        every: all n trajectories of the MDP.
        shares: their weights where all are asked for: the probabilities, or one of
            them alone, `[n]`.
        sampled: whether `rows` is what was asked for.
        chance: the probability of having collected just this.
    """

    rows: Trajectory
    every: Trajectory
    shares: jax.Array
    sampled: jax.Array
    chance: jax.Array


def request(number: Any, *, every: bool = False, single: Any = None) -> jax.Array:
    """What an enumerated problem takes in place of a key: which data to return.

    Args:
        number: the number of the data set.
        every: whether all trajectories, weighted by probability, are asked for instead.
        single: the number of one trajectory that is asked for instead.

    Returns:
        Two whole numbers, the data set's and the kind of the request, uint32 `[2]`.
    """
    mode = _ROWS if not every else _EVERY
    mode = mode if single is None else single + _FIRST_SINGLE
    return jnp.stack([jnp.asarray(word, jnp.uint32) for word in (number, mode)])


def enumerated_problem(
    policy: Policy,
    objective: Objective,
    ways: Paths,
    sets: DataSets,
    *,
    discount: float,
    outer: Objective | None = None,
) -> Problem:
    """A `Problem` on a tabular MDP whose `collect` returns the data that are requested.

    Every loss is the objective's own. Where the request asks for every trajectory, it
    sees all of them, weighted by their probabilities in place of 1/K, and is exact.

    Args:
        policy: π_θ, by whose probabilities trajectories are weighted.
        objective: what makes advantages and losses of a data set.
        ways: all paths of the MDP.
        sets: all data sets of K of these paths.
        discount: γ, the discount per step.
        outer: another objective for losses of every trajectory, where the first one
            mixes trajectories (a baseline, normalisation).

    Returns:
        The problem; its tasks are parameters of a `TabularMDP`, and it cannot sample
        them.
    """
    of_every = outer or objective

    def advantages(params: Params, data: Batch) -> Batch:
        every = of_every.advantages(params, data.every)
        assert every.weights is not None
        shares = len(ways.actions) * data.shares[:, None]
        return data._replace(
            rows=objective.advantages(params, data.rows),
            every=every._replace(weights=every.weights * shares),
        )

    def inner_loss(params: Params, data: Batch) -> jax.Array:
        return jnp.where(
            data.sampled,
            objective.inner_loss(params, data.rows),
            of_every.inner_loss(params, data.every),
        )

    def outer_loss(params: Params, data: Batch) -> jax.Array:
        return jnp.where(
            data.sampled,
            objective.outer_loss(params, data.rows),
            of_every.outer_loss(params, data.every),
        )

    def clipped_loss(params: Params, data: Batch, clip: Any) -> jax.Array:
        return jnp.where(
            data.sampled,
            objective.clipped_loss(params, data.rows, clip),
            of_every.clipped_loss(params, data.every, clip),
        )

    def reweighed_both(params: Params, data: Batch) -> Batch:
        both = (data.rows, data.every)
        rows, every = (reweighed(policy, params, each) for each in both)
        return data._replace(rows=rows, every=every)

    return Problem(
        init=lambda key: policy.init(key, jnp.zeros(ways.states.max() + 1)),
        sample_tasks=_cannot_sample,
        medium_task=_cannot_sample,
        collect=partial(_collected, policy, ways, sets),
        advantages=advantages,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        objective=partial(_expected_return, discount),
        log_probs=lambda params, data: trajectory_log_probs(policy, params, data.rows),
        kl=lambda params, data: mean_kl(policy, params, data.rows),
        performance=lambda data: jnp.mean(jnp.sum(data.rows.rewards, axis=1)),
        num_steps=lambda data: jnp.sum(data.rows.alive, dtype=jnp.int32),
        ratios=lambda params, data: ratios(policy, params, data.rows),
        reweighed=reweighed_both,
        clipped_loss=clipped_loss,
    )


def _collected(
    policy: Policy,
    ways: Paths,
    sets: DataSets,
    source: jax.Array,
    params: Params,
    task: Task,
) -> Batch:
    """The data of a request, and the probability of having collected just them."""
    number, mode = source.astype(jnp.int32)
    # The data are given: that their probability depends on θ is what a score term is
    # for, and none of a learner's derivatives may see it here.
    params = jax.lax.stop_gradient(params)
    every, dynamics = trajectories(task, ways)
    log_probs = trajectory_log_probs(policy, params, every)
    action_params = policy.apply(params, every.obs[:, :-1])
    every = every._replace(log_probs=log_probs, action_params=action_params)
    probabilities = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))
    picked = jnp.asarray(sets.rows)[number]
    orders = jnp.asarray(sets.orders, dynamics.dtype)[number]
    single = jax.nn.one_hot(
        mode - _FIRST_SINGLE, len(ways.actions), dtype=dynamics.dtype
    )
    is_rows, is_every = mode == _ROWS, mode == _EVERY
    return Batch(
        rows=jax.tree.map(lambda leaf: leaf[picked], every),
        every=every,
        shares=jnp.where(is_every, probabilities, single),
        sampled=is_rows,
        chance=jnp.where(
            is_rows,
            orders * jnp.prod(probabilities[picked]),
            jnp.where(is_every, 1, single @ probabilities),
        ),
    )


def _expected_return(discount: float, data: Batch) -> jax.Array:
    """The mean return of a data set, or the expected one of every trajectory."""
    powers = discount_powers(
        discount, data.rows.rewards.shape[1], data.rows.rewards.dtype
    )
    return jnp.where(
        data.sampled,
        jnp.mean(data.rows.rewards @ powers),
        data.shares @ (data.every.rewards @ powers),
    )


def _cannot_sample(*_: Any) -> Task:
    raise NotImplementedError("an enumerated problem is given its tasks")


def likelihood(
    problem: Problem, requests: jax.Array, params: Params, task: Task, inner_lr: Any
) -> jax.Array:
    """Probability that a learner meets the data of its requests.

    Each data set is drawn by the parameters that those before it have led to.

    Args:
        problem: a problem that `enumerated_problem` made.
        requests: the requests of the inner steps and of the outer one, `[N + 1, 2]`.
        params: θ, from which the inner loop starts.
        task: the parameters of the MDP.
        inner_lr: α, the step size of the inner loop.

    Returns:
        Π_j P(𝒟_j; θ_j).
    """
    path = inner_loop(
        problem, requests, params, task, inner_lr=inner_lr, second_order=False
    )
    return jnp.prod(path.data.chance)
