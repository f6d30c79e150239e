"""PPO (Schulman et al. 2017, arXiv 1707.06347) on whole trials: what RL² and SNAIL do.

    collect K trials of each of M tasks with θ_old, a trial being n episodes of one
    task that one memory lives through
    A_t, V̂_t by GAE over each trial, which the ends of episodes do not interrupt
    several times: cut the M K trials into minibatches at random, and for each of them
        θ ← Adam's step on Σ −min(r A, clip(r, 1 ± ε) A) + c_v ℓ(V − V̂) − c_e H,
        r = π_θ(a|history)/π_{θ_old}(a|history)

The gradient goes through all steps of a trial.
"""

import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.base import LearnerState
from dmaml_jax.learners.lives import lived_through
from dmaml_jax.learners.options import MemoryOptions
from dmaml_jax.learners.outer_rules import optimizer_step
from dmaml_jax.learners.task_axis import (
    collection_keys,
    mean_over_tasks,
    modifier_key,
    over_tasks,
    share_of,
    sum_of_shares,
)
from dmaml_jax.options import ABOVE_0, COUNT, SHARE, STEP_SIZE, option
from dmaml_jax.types import Data, Info, MetaLearner, Params, Problem, Task


@dataclasses.dataclass(frozen=True)
class TrialOptions(MemoryOptions):
    """The trials, and PPO's steps on them."""

    of_problem: ClassVar[frozenset[str]] = frozenset(
        "episodes_per_trial gae_lambda value_coefficient entropy_coefficient "
        "value_loss".split()
    )

    episodes_per_trial: int = option(
        10, "episodes that one memory lives through", symbol="n", allowed=COUNT
    )
    updates_per_batch: int = option(
        8, "How often PPO goes through the trials of an epoch.", allowed=COUNT
    )
    num_minibatches: int = option(
        8, "Parts into which the trials are cut for it.", allowed=COUNT
    )
    ratio_clip: float = option(
        0.1,
        "how far a ratio of probabilities pays beyond 1",
        symbol="epsilon",
        allowed=ABOVE_0,
        traced=True,
    )
    gae_lambda: float = option(
        0.3,
        "of the advantages; .3 is RL2's for bandits and MDPs, .95 suits control",
        symbol="lambda",
        allowed=SHARE,
        traced=True,
    )
    value_coefficient: float = option(
        0.5, "Weight of the critic's loss.", allowed=STEP_SIZE, traced=True
    )
    entropy_coefficient: float = option(
        0.01, "Weight of the policy's entropy.", allowed=STEP_SIZE, traced=True
    )
    value_loss: Literal["huber", "squared"] = option(
        "huber", "The critic's loss: squared, or linear beyond an error of 1."
    )
    normalize_advantages: bool = option(
        False, "Whether an epoch's advantages get mean 0 and deviation 1."
    )

    @property
    def num_adaptations(self) -> int:
        """How many episodes lie between return_before's and return_after's."""
        return self.episodes_per_trial - 1

    @property
    def steps_per_epoch(self) -> int:
        """How many steps Adam takes in an epoch."""
        return self.updates_per_batch * self.num_minibatches

    def check_beside(self, num_tasks: int, num_trajectories: int) -> None:
        """Refuse minibatches that the trials cannot be cut into.

        Raises:
            UsageError: their number does not divide that of the trials.
        """
        trials = num_tasks * num_trajectories
        if trials % self.num_minibatches:
            raise UsageError(
                f"--num-minibatches is {self.num_minibatches}, which does not divide "
                f"the {trials} trials of an epoch ({num_tasks} tasks, "
                f"{num_trajectories} trials of each): choose a number that does."
            )


def trial_ppo(
    problem: Problem,
    *,
    meta_optimizer: optax.GradientTransformation,
    updates_per_batch: int = 8,
    num_minibatches: int = 8,
    ratio_clip: Any = 0.1,
    normalize_advantages: bool = False,
) -> MetaLearner:
    """PPO on trials; a task is adapted to by living through episodes of it.

    Its extras are `trial_return`, the mean undiscounted return of a whole trial, and
    `kl`, KL(π_old ‖ π) on the epoch's trials after the last step.

    Args:
        problem: what is learned; its policy has a memory.
        meta_optimizer: an Optax transformation, which takes the gradient of every
            minibatch.
        updates_per_batch: how often PPO goes through the trials of an epoch.
        num_minibatches: into how many parts the trials are cut; it divides M K.
        ratio_clip: ε, how far from 1 a ratio r still pays.
        normalize_advantages: whether the advantages of an epoch are shifted and scaled
            to mean 0 and standard deviation 1 over all living steps.

    Returns:
        The learner. `return_before` and `return_after` are those of the first and the
        last episode of a trial.

    Raises:
        UsageError: the problem's policy has no memory.
    """
    if problem.episode_returns is None:
        raise UsageError(
            "A learner that adapts by a memory needs a problem of trials, whose policy "
            "has one: see rl.trial_problem.make_trial_problem."
        )
    returns_of = problem.episode_returns

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, meta_optimizer.init(params), jnp.int32(0))

    def step(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        def of_task(key: jax.Array, task: Task) -> tuple[Data, jax.Array, jax.Array]:
            data = problem.collect(key, state.params, task)
            filled = problem.advantages(state.params, data)
            return filled, returns_of(data), problem.num_steps(data)

        keys = collection_keys(key, tasks, 1)[:, 0]
        data, returns, num_steps = over_tasks(of_task, keys, tasks)
        trials = _side_by_side(data)
        if normalize_advantages:
            trials = _normalized(trials)
        # No modifier goes with a memory, so the key that is left for one is free.
        params, optimizer, gradient, loss = ppo_steps(
            problem,
            modifier_key(key),
            state.params,
            state.optimizer,
            trials,
            meta_optimizer=meta_optimizer,
            num_updates=updates_per_batch,
            num_minibatches=num_minibatches,
            ratio_clip=ratio_clip,
        )
        mean = mean_over_tasks(returns)
        extras = {"trial_return": jnp.sum(mean)}
        if problem.kl is not None:
            extras["kl"] = problem.kl(params, trials)
        info = Info(
            meta_gradient=gradient,
            loss=loss,
            return_before=mean[0],
            return_after=mean[-1],
            num_steps=jnp.sum(num_steps, dtype=jnp.int32),
            extras=extras,
        )
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(key: jax.Array, state: LearnerState, task: Task, num_steps: int) -> Any:
        return lived_through(problem, key, state.params, task, num_steps)

    return MetaLearner(init, step, adapt)


def ppo_steps(
    problem: Problem,
    key: jax.Array,
    params: Params,
    memory: Any,
    trials: Data,
    *,
    meta_optimizer: optax.GradientTransformation,
    num_updates: int,
    num_minibatches: int,
    ratio_clip: Any,
) -> tuple[Params, Any, Params, jax.Array]:
    """An optimiser's steps on stored trials, in minibatches cut anew in every turn.

    Devices that share a seed's tasks share each minibatch where they divide it.

    Args:
        problem: whose clipped loss is descended.
        key: the random key by which the trials are cut into minibatches.
        params: θ_old, which collected the trials.
        memory: the optimiser's state before the first step.
        trials: the trials with advantages and weights filled in, stacked on axis 0.
        meta_optimizer: takes the gradient of every minibatch.
        num_updates: how often all trials are gone through.
        num_minibatches: into how many parts they are cut.
        ratio_clip: ε, how far from 1 a ratio still pays.

    Returns:
        θ and the optimiser's memory after all steps, and the means over the steps of
        the gradient and of the loss.
    """
    assert problem.clipped_loss is not None
    clipped_loss = problem.clipped_loss
    num_trials = jax.tree.leaves(trials)[0].shape[0]

    def one(carry: Any, chosen: jax.Array) -> tuple[Any, jax.Array]:
        params, memory, total = carry
        own, shared = share_of(chosen)
        batch = jax.tree.map(lambda leaf: leaf[own], trials)

        def loss(params: Params) -> jax.Array:
            return clipped_loss(params, batch, ratio_clip) / chosen.shape[0]

        value, gradient = jax.value_and_grad(loss)(params)
        if shared:
            value, gradient = sum_of_shares((value, gradient))
        moved = optimizer_step(meta_optimizer, gradient, memory, params)
        return (*moved, jax.tree.map(jnp.add, total, gradient)), value

    orders = jax.vmap(lambda key: jax.random.permutation(key, num_trials))(
        jax.random.split(key, num_updates)
    )
    batches = orders.reshape(num_updates * num_minibatches, -1)
    zero = jax.tree.map(jnp.zeros_like, params)
    carry, losses = jax.lax.scan(one, (params, memory, zero), batches)
    params, memory, total = carry
    mean = jax.tree.map(lambda leaf: leaf / batches.shape[0], total)
    return params, memory, mean, jnp.mean(losses)


def _side_by_side(data: Data) -> Data:
    """The trials of all tasks on one axis, `[M K, …]`, each with a weight of its own.

    A task's weights share its K trials; here a trial's loss is its own.
    """
    num_trials = data.alive.shape[1]
    data = data._replace(weights=data.weights * num_trials)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), data)


def _normalized(data: Data) -> Data:
    mask = data.alive.astype(data.advantages.dtype)
    count = jnp.sum(mask)
    centred = data.advantages - jnp.sum(data.advantages * mask) / count
    deviation = jnp.sqrt(jnp.sum(centred**2 * mask) / count)
    return data._replace(advantages=centred * mask / (deviation + 1e-8))
