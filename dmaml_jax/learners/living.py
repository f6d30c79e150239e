"""Episodes of PEARL in tasks of a bank: with the prior, and with what is believed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.bank import Bank, Leaves
from dmaml_jax.learners.beliefs import evidence
from dmaml_jax.learners.branches import only_where
from dmaml_jax.learners.replay import Replay, added, cleared, context_of
from dmaml_jax.learners.task_axis import over_tasks
from dmaml_jax.types import Agent, Memory, Params, Problem, PyTree, Task


class Place(NamedTuple):
    """Who lives, where, and what was met there.

    Attributes:
        params: θ of the agent that lives.
        bank: the leaves of the bank's tasks.
        replay: what was met in each of them.
    """

    params: Params
    bank: Leaves
    replay: Replay


class Lived(NamedTuple):
    """What some episodes leave behind.

    Attributes:
        replay: the rings, with the transitions of these episodes added.
        performance: the mean undiscounted return of these episodes.
        num_steps: the environment steps that they took, int32.
    """

    replay: Replay
    performance: jax.Array
    num_steps: jax.Array


class Living(NamedTuple):
    """How an epoch lives.

    Attributes:
        everywhere: `(key, place) -> Lived`, with the prior in every task of the bank.
        by_prior: `(key, place, numbers) -> Lived`, in tasks with those numbers.
        by_belief: `(key, place, numbers) -> Lived`, with what is believed of them.
    """

    everywhere: Callable[[jax.Array, Place], Lived]
    by_prior: Callable[[jax.Array, Place, jax.Array], Lived]
    by_belief: Callable[[jax.Array, Place, jax.Array], Lived]


class Epoch(NamedTuple):
    """What all episodes of an epoch leave behind.

    Attributes:
        replay: the rings, with the transitions of all these episodes added.
        before: the mean undiscounted return of those that follow the prior.
        after: the mean undiscounted return of those that follow a belief.
        num_steps: the environment steps of all of them, int32.
    """

    replay: Replay
    before: jax.Array
    after: jax.Array
    num_steps: jax.Array


def an_epoch(
    lives: Living,
    keys: Sequence[jax.Array],
    place: Place,
    num_tasks: int,
    is_first: jax.Array,
) -> Epoch:
    """Live in some tasks of the bank, first with the prior and then with a belief.

    Args:
        lives: the three ways to live, as `living` makes them.
        keys: four random keys: of the first epoch's lives, of the choice of tasks, and
            of the lives with the prior and with a belief.
        place: who lives, where, and what was met there.
        num_tasks: M, how many tasks are chosen; their contexts begin anew.
        is_first: whether it is the first epoch, which lives in every task beforehand.
    """
    key_first, key_choice, key_prior, key_belief = keys
    first = only_where(
        is_first,
        lambda: lives.everywhere(key_first, place),
        Lived(place.replay, jnp.zeros(()), jnp.int32(0)),
    )
    num_all = place.replay.total.shape[0]
    chosen = jax.random.permutation(key_choice, num_all)[:num_tasks]
    place = place._replace(replay=cleared(first.replay, chosen))
    before = lives.by_prior(key_prior, place, chosen)
    place = place._replace(replay=before.replay)
    after = lives.by_belief(key_belief, place, chosen)
    num_steps = first.num_steps + before.num_steps + after.num_steps
    return Epoch(after.replay, before.performance, after.performance, num_steps)


def living(
    problem: Problem,
    store: Bank,
    *,
    posterior_trajectories: int,
    extra_trajectories: int,
    context_size: int,
) -> Living:
    """How an epoch lives in tasks of a bank.

    Args:
        problem: what is lived in; it must offer `off_policy`.
        store: the bank of tasks that is lived in.
        posterior_trajectories: how many episodes renew the belief, one by one.
        extra_trajectories: how many more follow it without renewing it.
        context_size: how many transitions of a context make a belief.

    Returns:
        The three ways; with the prior there are K episodes of each task.
    """
    off, newborn = problem.off_policy, problem.newborn
    assert off is not None and newborn is not None

    def lived(
        key: jax.Array,
        place: Place,
        numbers: jax.Array,
        memories: Memory,
        *num: int,
        context: bool,
    ) -> Lived:
        """K episodes, or another number, of tasks `[M]` with memories `[M, …]`."""

        def of_task(source: PyTree, task: Task) -> PyTree:
            key, memory = source
            data = problem.collect(key, Agent(place.params, memory), task, *num)
            told = problem.performance(data), problem.num_steps(data)
            return *off.transitions(data, task), *told

        keys = jax.random.split(key, numbers.shape[0])
        tasks = store.pick(place.bank, numbers)
        items, mask, earned, cost = over_tasks(of_task, (keys, memories), tasks)
        replay = added(place.replay, numbers, items, mask, context=context)
        return Lived(replay, jnp.mean(earned), jnp.sum(cost, dtype=jnp.int32))

    def by_prior(key: jax.Array, place: Place, numbers: jax.Array) -> Lived:
        nothing = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (numbers.shape[0], *leaf.shape)),
            newborn(place.params).memory,
        )
        return lived(key, place, numbers, nothing, context=True)

    def everywhere(key: jax.Array, place: Place) -> Lived:
        return by_prior(key, place, jnp.arange(store.size, dtype=jnp.int32))

    def memories_of(key: jax.Array, place: Place, numbers: jax.Array) -> Memory:
        """A life that has met a sample of the context, for each task."""

        def of_task(key: jax.Array, number: jax.Array) -> Memory:
            met, mask = context_of(key, place.replay, number, context_size)
            found = evidence(off.factors(place.params, met), mask)
            return jax.tree.map(lambda leaf: leaf[None], found)

        return jax.vmap(of_task)(jax.random.split(key, numbers.shape[0]), numbers)

    def renewing(key: jax.Array, place: Place, numbers: jax.Array) -> Lived:
        def turn(replay: Replay, key: jax.Array) -> tuple[Replay, PyTree]:
            now = place._replace(replay=replay)
            key_belief, key_live = jax.random.split(key)
            memories = memories_of(key_belief, now, numbers)
            replay, *told = lived(key_live, now, numbers, memories, 1, context=True)
            return replay, told

        keys = jax.random.split(key, posterior_trajectories)
        replay, (earned, cost) = jax.lax.scan(turn, place.replay, keys)
        return Lived(replay, earned[-1], jnp.sum(cost, dtype=jnp.int32))

    def by_belief(key: jax.Array, place: Place, numbers: jax.Array) -> Lived:
        key_renewing, key_belief, key_extra = jax.random.split(key, 3)
        done = Lived(place.replay, jnp.zeros(()), jnp.int32(0))
        if posterior_trajectories:
            done = renewing(key_renewing, place, numbers)
        if not extra_trajectories:
            return done
        place = place._replace(replay=done.replay)
        memories = memories_of(key_belief, place, numbers)
        extra = lived(
            key_extra, place, numbers, memories, extra_trajectories, context=False
        )
        return extra._replace(num_steps=done.num_steps + extra.num_steps)

    return Living(everywhere, by_prior, by_belief)
