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

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.bank import Leaves, bank_of
from dmaml_jax.learners.branches import only_where
from dmaml_jax.learners.living import Lived, Place, living
from dmaml_jax.learners.off_policy_steps import Learning, off_policy_steps
from dmaml_jax.learners.options import MemoryOptions
from dmaml_jax.learners.replay import Replay, cleared, empty
from dmaml_jax.options import (
    ABOVE_0,
    COUNT,
    COUNTS,
    FINITE,
    FROM_0,
    SHARE,
    STEP_SIZE,
    option,
)
from dmaml_jax.types import Agent, Info, MetaLearner, Params, Problem, PyTree, Task


@dataclass(frozen=True)
class Options(MemoryOptions):
    """What an epoch lives and learns, the belief, and soft actor-critic."""

    bank_tasks: int = option(
        80, "Tasks of the bank, drawn once; an epoch lives in some.", allowed=COUNT
    )
    posterior_trajectories: int = option(
        0,
        "Trajectories of a task that follow the belief and renew it, one by one.",
        allowed=FROM_0,
    )
    extra_trajectories: int = option(
        2,
        "Trajectories of a task that follow the belief and do not renew it.",
        allowed=FROM_0,
    )
    gradient_steps: int = option(
        200, "gradient steps of an epoch", symbol="G", allowed=COUNT
    )
    tasks_per_step: int = option(8, "Tasks of a gradient step.", allowed=COUNT)
    batch_size: int = option(
        128, "Transitions of a task that a step learns control from.", allowed=COUNT
    )
    context_size: int = option(
        64, "Transitions of a task that a step's belief is made of.", allowed=COUNT
    )
    replay_capacity: int = option(
        4000, "Transitions that are kept of each task of the bank.", allowed=COUNT
    )
    kl_weight: float = option(
        0.01,
        "weight of the belief's KL beside a task's mean losses (ours)",
        symbol="lambda",
        allowed=STEP_SIZE,
        traced=True,
    )
    target_rate: float = option(
        0.005,
        "share of the way that target critics go in a step",
        symbol="tau",
        allowed=SHARE,
        traced=True,
    )
    reward_scale: float = option(
        1.0, "What rewards are multiplied by in targets.", allowed=ABOVE_0, traced=True
    )
    temperature: Literal["learned", "fixed"] = option(
        "learned", "Weight of the entropy: learned (ours), or the same for good."
    )
    initial_temperature: float = option(
        0.1,
        "Weight of the entropy at first, or for good (ours).",
        allowed=ABOVE_0,
        traced=True,
    )
    target_entropy: float | None = option(
        None,
        "Entropy that a learned weight aims at; None: -A, or 0.98 log A of choices.",
        allowed=FINITE,
        where=("temperature", "learned"),
    )
    latent_size: int = option(5, "length of z", symbol="Z", allowed=COUNT)
    encoder_sizes: tuple[int, ...] = option(
        (64, 64), "Widths of the encoder's hidden layers (ours).", allowed=COUNTS
    )
    next_obs_in_context: bool = option(
        False, "Whether the encoder sees next observations: if tasks move differently."
    )
    dense_losses: bool = option(
        True, "Beside a sparse reward, values learn from the dense one where there is."
    )

    of_problem: ClassVar[tuple[str, ...]] = (
        "reward_scale",
        "temperature",
        "initial_temperature",
        "target_entropy",
        "latent_size",
        "encoder_sizes",
        "next_obs_in_context",
        "dense_losses",
    )

    @property
    def steps_per_epoch(self) -> int:
        """How many steps the optimiser takes in an epoch."""
        return self.gradient_steps

    def further_trajectories(self, num_trajectories: int) -> int:
        """How many trajectories of a task follow its belief.

        Args:
            num_trajectories: K, of which there are as many with the prior.
        """
        del num_trajectories
        return self.posterior_trajectories + self.extra_trajectories

    def check(self) -> None:
        """Refuse an epoch in which no belief would ever act.

        Raises:
            UsageError: no trajectory follows the belief.
        """
        if self.posterior_trajectories + self.extra_trajectories == 0:
            raise UsageError(
                "--posterior-trajectories and --extra-trajectories are both 0, so that "
                "no episode would follow the belief: give one of them 1 or more."
            )

    def check_beside(self, num_tasks: int, num_trajectories: int) -> None:
        """Refuse more tasks of an epoch than the bank has.

        Args:
            num_tasks: M.
            num_trajectories: K.

        Raises:
            UsageError: there are more.
        """
        if num_tasks > self.bank_tasks:
            raise UsageError(
                f"--num-tasks is {num_tasks}, but the bank has {self.bank_tasks} "
                "tasks, of which an epoch takes each once: give fewer, or more "
                "--bank-tasks."
            )


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
    gradient_steps: int = 200,
    tasks_per_step: int = 8,
    batch_size: int = 128,
    context_size: int = 64,
    replay_capacity: int = 4000,
    kl_weight: float | jax.Array = 0.01,
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
        gradient_steps: G, of an epoch.
        tasks_per_step: how many tasks a gradient step takes, with replacement.
        batch_size: how many of a task's transitions its losses are means of.
        context_size: how many of its context's transitions make the step's belief.
        replay_capacity: how many transitions of each task are kept.
        kl_weight: λ.
        target_rate: τ, target ← target + τ (critics − target) after each step.
        bank: tasks stacked on axis 0, in place of those that are drawn.

    Returns:
        The learner; its agents are `Agent`s.

    Raises:
        UsageError: an epoch's trajectories do not fit into the replay.

    References:
        Rakelly et al.: Efficient Off-Policy Meta-Reinforcement Learning via
        Probabilistic Context Variables, 2019, arXiv 1903.08254.
    """
    off, newborn, live = problem.off_policy, problem.newborn, problem.live
    assert off is not None and newborn is not None and live is not None
    store = bank_of(problem, bank_tasks, bank)
    like = _one_transition(problem, extra_trajectories, replay_capacity)
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
        key_bank, key_first, key_choice, key_prior, key_belief, key_train = (
            jax.random.split(key_own, 6)
        )
        bank = store.filled(key_bank, state.bank, state.epoch)
        place = Place(state.params, bank, state.replay)
        first = only_where(
            state.epoch == 0,
            lambda: lives.everywhere(key_first, place),
            Lived(state.replay, jnp.zeros(()), jnp.int32(0)),
        )
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        chosen = jax.random.permutation(key_choice, store.size)[:num_tasks]
        place = place._replace(replay=cleared(first.replay, chosen))
        before = lives.by_prior(key_prior, place, chosen)
        place = place._replace(replay=before.replay)
        after = lives.by_belief(key_belief, place, chosen)

        learning = Learning(state.params, state.target, state.optimizer)
        learning, shown = train(key_train, learning, after.replay)
        info = Info(
            meta_gradient=shown.gradient,
            loss=shown.loss,
            return_before=before.performance,
            return_after=after.performance,
            num_steps=first.num_steps + before.num_steps + after.num_steps,
            extras=shown.told,
        )
        return PearlState(*learning, after.replay, bank, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: PearlState, task: Task, num_steps: int
    ) -> tuple[Agent, jax.Array]:
        params, memory = newborn(state.params)

        def episode(memory: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
            data, grown = live(key, Agent(params, memory), task)
            return grown.memory, (memory, problem.performance(data))

        keys = jax.random.split(key, num_steps + 1)
        _, (memories, curve) = jax.lax.scan(episode, memory, keys)
        every = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num_steps + 1, *leaf.shape)), params
        )
        return Agent(every, memories), curve

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
