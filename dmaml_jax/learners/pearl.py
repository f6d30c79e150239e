"""PEARL (Rakelly et al. 2019): a belief of the task, and control that acts on it.

    draw a bank of tasks; live in each of them with the prior
    each epoch:
        for some tasks i of the bank, whose contexts c_i begin anew:
            live with z ~ N(0, I), a new z for each episode, and add to c_i
            live with z ~ q(z|c_i), renewed after each episode, and add to c_i
            live with z ~ q(z|c_i), for the critics alone
        G times, for some tasks i, b a batch of all that was lived in i:
            z ~ q(z|a sample of c_i)
            θ ← θ − β ∇ mean_i [L_Q(b, z) + L_π(b, z) + λ KL(q ‖ N(0, I))]

A new task is adapted to by living in it: what is met makes the belief, and θ stays.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.bank import Leaves, bank_of
from dmaml_jax.learners.lives import lived_through
from dmaml_jax.learners.living import Place, an_epoch, living
from dmaml_jax.learners.off_policy_steps import Learning, off_policy_steps
from dmaml_jax.learners.pearl_options import Options as Options  # its owner's place
from dmaml_jax.learners.replay import Replay, empty
from dmaml_jax.types import Agent, Info, MetaLearner, Params, Problem, PyTree, Task


class PearlState(NamedTuple):
    """θ, what target critics are, and all that was lived; checkpoints hold it whole."""

    params: Params
    target: Params
    optimizer: Any
    replay: Replay
    bank: Leaves
    epoch: jax.Array


def pearl(
    problem: Problem,
    *,
    meta_optimizer: optax.GradientTransformation,
    bank_tasks: int = 80,
    posterior_trajectories: int = 0,
    extra_trajectories: int = 2,
    gradient_steps: int = 400,
    tasks_per_step: int = 8,
    batch_size: int = 64,
    context_size: int = 64,
    replay_capacity: int = 4000,
    kl_weight: float | jax.Array = 0.001,
    target_rate: float | jax.Array = 0.005,
    bank: Task | None = None,
) -> MetaLearner:
    r"""Off-policy meta-learning with a latent variable z that the context tells.

    The tasks are a bank, drawn once: what the caller samples in an epoch says how many
    of the bank an epoch lives in, and no more. `return_before` is of the episodes that
    follow the prior, `return_after` of those that follow a belief of all that the epoch
    has met of the task; environment steps are all that were taken.

    The KL is summed over the entries of z and weighed against losses that are means
    over a task's batch; everything is a mean over tasks then, so that λ means the same
    whatever their number. The published code adds KLs up over T tasks, beside losses
    that are means over them: what it calls λ is ours divided by T.

    Args:
        problem: what is learned; it must offer `off_policy`.
        meta_optimizer: takes the gradient of all of θ; Adam acts as one Adam each.
        bank_tasks: B, how many tasks are drawn.
        posterior_trajectories: how many episodes of a task follow its belief one after
            the other, each adding to the context that the next one's belief is of.
        extra_trajectories: how many follow the belief that is reached then, for the
            critics alone.
        gradient_steps: G, the number of gradient steps in an epoch.
        tasks_per_step: how many tasks a gradient step takes, with replacement.
        batch_size: how many of a task's transitions its losses are means of.
        context_size: how many of its context's transitions make the step's belief.
        replay_capacity: how many transitions of each task are kept.
        kl_weight: λ, the weight of the belief's KL from the prior.
        target_rate: τ, target ← target + τ (critics − target) after each step.
        bank: tasks stacked on axis 0, in place of those that are drawn.

    Returns:
        The learner; its agents are `Agent`s. `init` raises a `UsageError` where an
        epoch's trajectories do not fit into the replay.

    References:
        Rakelly et al.: Efficient Off-Policy Meta-Reinforcement Learning via
        Probabilistic Context Variables, 2019, arXiv 1903.08254.
    """
    off = problem.off_policy
    assert off is not None
    store = bank_of(problem, bank_tasks, bank)
    lives = living(
        problem,
        store,
        posterior_trajectories=posterior_trajectories,
        extra_trajectories=extra_trajectories,
        context_size=context_size,
    )
    train = off_policy_steps(
        problem,
        meta_optimizer,
        num_steps=gradient_steps,
        tasks_per_step=tasks_per_step,
        batch_size=batch_size,
        context_size=context_size,
        kl_weight=kl_weight,
        target_rate=target_rate,
    )

    def init(key: jax.Array) -> PearlState:
        # Not earlier: who merely adapts, with more trajectories perhaps, keeps none.
        like = _one_transition(problem, extra_trajectories, replay_capacity)
        params = problem.init(key)
        return PearlState(
            params,
            off.target(params),
            meta_optimizer.init(params),
            empty(like, store.size, replay_capacity),
            store.empty(),
            jnp.int32(0),
        )

    def step(key: jax.Array, state: PearlState, tasks: Task) -> tuple[PearlState, Info]:
        key_own, _ = jax.random.split(key)
        key_bank, *keys_living, key_train = jax.random.split(key_own, 6)
        bank = store.filled(key_bank, state.bank, state.epoch)
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        place = Place(state.params, bank, state.replay)
        lived = an_epoch(lives, keys_living, place, num_tasks, state.epoch == 0)

        learning = Learning(state.params, state.target, state.optimizer)
        learning, shown = train(key_train, learning, lived.replay)
        info = Info(
            meta_gradient=shown.gradient,
            loss=shown.loss,
            return_before=lived.before,
            return_after=lived.after,
            num_steps=lived.num_steps,
            extras=shown.told,
        )
        return PearlState(*learning, lived.replay, bank, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: PearlState, task: Task, num_steps: int
    ) -> tuple[Agent, jax.Array]:
        return lived_through(problem, key, state.params, task, num_steps)

    return MetaLearner(init, step, adapt)


def _one_transition(problem: Problem, num_extra: int, capacity: int) -> PyTree:
    """The shapes and types of a transition.

    Raises:
        UsageError: the largest collection of a task does not fit into the replay.
    """
    off, newborn = problem.off_policy, problem.newborn
    assert off is not None and newborn is not None

    def collected(key: jax.Array, *num: int) -> PyTree:
        task = problem.medium_task()
        agent = newborn(problem.init(key))
        return off.transitions(problem.collect(key, agent, task, *num), task)

    key = jax.random.key(0)
    shapes, mask = jax.eval_shape(collected, key)
    size = mask.shape[0]
    if num_extra:
        _, more = jax.eval_shape(lambda key: collected(key, num_extra), key)
        size = max(size, more.shape[0])
    if size > capacity:
        raise UsageError(
            f"--replay-capacity is {capacity}, but an epoch may add {size} transitions "
            "of a task at once: give that many or more, fewer trajectories, or a "
            "shorter --horizon."
        )
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes
    )
