"""The nouns of the project: data, policies, problems and meta-learners."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

PyTree = Any
Params = PyTree
Task = PyTree
Memory = PyTree
Data = Any
Source = PyTree


class Trajectory(NamedTuple):
    """One episode of at most H steps; with a leading axis, K of them.

    Steps after the end keep their slots: `alive` is false there, rewards and
    log-probabilities are 0 and observations repeat the last one or are 0.

    Attributes:
        obs: observations before each step and after the last, `[K, H+1, …]`.
        actions: the actions as sampled, before `Distribution.action`, `[K, H, …]`.
        log_probs: log π_old(a|s) of the sampling policy, `[K, H]`.
        rewards: the rewards r_t, 0 after the episode's end, `[K, H]`.
        alive: whether the episode was still running before the step, `[K, H]`.
        terminated: whether this step ended it by itself; a time limit is a
            truncation and is not marked, `[K, H]`.
        advantages: A_t, filled in by `Problem.advantages`, `[K, H]`.
        weights: the share of the step in a loss (alive, 1/K, perhaps γ^t), so that
            a loss is a plain sum over steps; filled in with `advantages`, `[K, H]`.
        value_targets: what a critic's V(s_t) should be, filled in where there is one,
            `[K, H]`.
        value_weights: the share of the step in the critic's loss, `[K, H]`.
        action_params: parameters of the action distribution of π_old, so that a
            divergence from it can be had later; leaves `[K, H, …]`.
        ratios: π_θ/π_old of each step, where data are evaluated at another θ than the
            one that collected them; filled in by `Problem.reweighed`, `[K, H]`.
        begins: whether the step is an episode's first, where the axis of time is that
            of a whole trial (`rl.trials`); None where it is that of one episode.
    """

    obs: PyTree
    actions: jax.Array
    log_probs: jax.Array
    rewards: jax.Array
    alive: jax.Array
    terminated: jax.Array
    advantages: jax.Array | None = None
    weights: jax.Array | None = None
    value_targets: jax.Array | None = None
    value_weights: jax.Array | None = None
    action_params: PyTree = None
    ratios: jax.Array | None = None
    begins: jax.Array | None = None


def _as_sampled(sample: jax.Array) -> jax.Array:
    return sample


class Distribution(NamedTuple):
    """A family of action distributions, as functions of its parameters.

    `sample` is a function of noise drawn beforehand, so that a rollout draws all of
    its randomness in one call outside of its loop. What is sampled is also what is
    stored and asked `log_prob` of; `action` makes of it what an environment takes.

    Attributes:
        noise: `(key, params_like, num) -> noise` for `num` samples, stacked on
            axis 0; `params_like` gives the shape of one sample's parameters. The
            first of them must not depend on how many follow.
        sample: `(params, noise) -> sample`, made of noise that `noise` has drawn.
        log_prob: `(params, sample) -> log π(a|s)`, of the action that it stands for.
        entropy: `(params) -> H(π(·|s))`, the entropy of what is sampled in a state.
        action: `(sample) -> action`, one to one wherever `log_prob` is meant as the
            action's density; by default the sample itself.
        kl: `(params_old, params) -> KL(π_old(·|s) ‖ π(·|s))`; None where it has no
            closed form.
    """

    noise: Callable[[jax.Array, Any, int], jax.Array]
    sample: Callable[[Any, jax.Array], jax.Array]
    log_prob: Callable[[Any, jax.Array], jax.Array]
    entropy: Callable[[Any], jax.Array]
    action: Callable[[jax.Array], jax.Array] = _as_sampled
    kl: Callable[[Any, Any], jax.Array] | None = None


class Percept(NamedTuple):
    """What a policy with a memory is shown before each step.

    An episode that begins within a trial begins with the action and the reward of the
    step that ended the one before it, so that a policy sees how that one ended.

    Attributes:
        obs: the observation, that of the new start where an episode begins.
        action: the action of the step before, as `Policy.shown` writes it; zeros where
            a trial begins, `[A]`.
        reward: the reward of the step before; 0 where a trial begins.
        begins: 1 at an episode's first step, the trial's first one included, else 0.
    """

    obs: PyTree
    action: jax.Array
    reward: jax.Array
    begins: jax.Array


class Agent(NamedTuple):
    """What acts in a task, for a learner that adapts by a memory.

    A learner that adapts by gradient steps has θ itself for an agent.

    Attributes:
        params: θ, which a task does not change.
        memory: all that the agent has kept of the episodes that it has lived through,
            of several lives side by side, stacked on axis 0.
    """

    params: Params
    memory: Memory


class Policy(NamedTuple):
    """A parametrised policy π_θ(a|s), or with a memory π_θ(a|history).

    Attributes:
        init: `(key, obs) -> θ` for one observation.
        apply: `(θ, obs) -> ` parameters of the action distribution, for one
            observation or any number of them on leading axes. With a memory it is
            `(θ, percept, memory) -> (parameters, memory)`, for one `Percept`.
        distribution: what those parameters are the parameters of.
        value: `(θ, obs) -> V(s)` for the same observations, where there is a critic.
        critic: the key of θ under which those parameters stand that the value alone
            has; None where it has none of its own.
        memory: `() -> ` the memory with which a trial begins; None for a policy that
            has no memory.
        shown: `(sample) -> ` the vector that stands for a sampled action in the next
            percept, such as a one-hot one; of None it is the zeros with which a trial
            begins. With a memory only.
        unroll: `(θ, percepts) -> (parameters, values)` of all steps of a trial, which
            stand on axis 0, from the memory with which a trial begins; the parameters
            are those that `apply` gives step by step. With a memory only, and where
            the values of a critic are asked for.
    """

    init: Callable[[jax.Array, Any], Params]
    apply: Callable[..., Any]
    distribution: Distribution
    value: Callable[[Params, jax.Array], jax.Array] | None = None
    critic: str | None = None
    memory: Callable[[], Memory] | None = None
    shown: Callable[[jax.Array | None], jax.Array] | None = None
    unroll: Callable[[Params, Percept], tuple[Any, jax.Array]] | None = None


class Pieces(NamedTuple):
    """Data that a loss may be summed over piece by piece.

    Attributes:
        num: how many pieces hold anything, an int32 (it may be traced).
        pick: `(index) -> data`, the piece; losses of the pieces add up to the loss
            of the whole.
    """

    num: jax.Array
    pick: Callable[[jax.Array], Data]


class OffPolicy(NamedTuple):
    """What a problem offers a learner that learns from kept transitions (PEARL).

    Attributes:
        transitions: `(data, task) -> (transitions, mask)`, the steps of K trajectories
            on one axis, leaves `[N, …]`, and which of them there are, `[N]`.
        factors: `(θ, transitions) -> ` the Gaussian factors of the latent z that they
            are, a `learners.beliefs.Belief` `[N, Z]`; differentiable in θ.
        loss: `(key, θ, target, transitions, z) -> (loss, told)`, of one task's
            transitions `[B, …]`, differentiable in θ and z, and scalars to show.
        target: `(θ) -> ` the part of θ that `target` follows slowly.
        embodied: `(key, agent, life) -> ` the parameters with which the policy acts for
            an episode: those of θ, and a z that is drawn for it.
    """

    transitions: Callable[[Data, Task], tuple[PyTree, jax.Array]]
    factors: Callable[[Params, PyTree], Any]
    loss: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
    target: Callable[[Params], Params]
    embodied: Callable[[jax.Array, Agent, jax.Array], Params]


class Problem(NamedTuple):
    """All that a meta-learner knows of the world: pure functions of θ and a task 𝒯.

    Environments, rollouts, policies and estimators stand behind it; a quadratic, an
    enumerable MDP and a sinusoid regression are problems too.

    Attributes:
        init: `(key) -> θ` at random.
        sample_tasks: `(key, num) -> tasks`, `num` tasks ~ ρ stacked on axis 0; a task
            is a pytree (for RL the environment's parameters).
        medium_task: `() -> 𝒯_med`, the task at the mean of ρ (Directed-MAML, Eq. 3).
        collect: `(source, agent, task) -> data`, K trajectories of an agent, which is
            θ or an `Agent`; no gradient flows through sampling. A source is a key, or
            whatever else a problem makes data of: `learners.inner_loop.replayed` takes
            stored data. A fourth argument, in problems that take one, is a number of
            trajectories other than K. Of an `Agent` they are K single episodes, each
            with the memory of one of its lives; of θ they are whole trials, where the
            policy has a memory.
        advantages: `(θ, data) -> data` with advantages and step weights filled in,
            differentiable in θ where θ has a value head.
        inner_loss: `(θ, data) -> −Ĵ` as a surrogate with the advantages given: its
            gradient estimates −∇J, its second derivative what the estimator promises.
        outer_loss: `(θ, data) -> −Ĵ` for the outer step, differentiated once.
        objective: `(data) -> Ĵ`, discounted, un-centred, un-normalised.
        log_probs: `(θ, data) -> [K, H]`, log π_θ(a|s), 0 where not alive.
        kl: `(θ, data) -> ` mean over living steps of KL(π_old ‖ π_θ), where π_old
            collected the data; differentiable in θ. None where it has no closed form.
        performance: `(data) -> ` mean undiscounted return, for people.
        num_steps: `(data) -> ` steps of living trajectories, int32: the cost.
        pieces: `(data) -> Pieces` where losses are plain sums over steps and the
            platform is faster with a piece at a time; None to take data whole.
        ratios: `(θ, data) -> [K, H]`, π_θ(a|s)/π_old(a|s) of what π_old collected, 0
            where not alive; differentiable in θ. None where losses do not depend on
            who collected the data.
        reweighed: `(θ, data) -> data` whose steps weigh by their ratios at θ, which are
            constants, so that the losses are right at θ.
        clipped_loss: `(θ, data, ε) -> loss`, the outer loss of stored data with ratios
            that pay no further than 1 ± ε.
        critic: the key of θ under which the parameters of the value alone stand; None
            where there are none.
        forward: whether an inner gradient is differentiated along directions (forward
            mode) instead of pulled back (reverse mode): only one of them can be written
            down at a time.
        newborn: `(θ) -> Agent` as a trial begins, K lives side by side; None where the
            policy has no memory.
        live: `(key, agent, task) -> (data, agent)`, an episode of each of an agent's
            lives, and the agent that has lived through it; with a memory only.
        episode_returns: `(data) -> [n]`, the mean undiscounted return of each episode
            of a trial's n; with a memory only.
        off_policy: what there is for a learner from kept transitions; None where a
            problem is learned from trajectories.
    """

    init: Callable[[jax.Array], Params]
    sample_tasks: Callable[[jax.Array, int], Task]
    medium_task: Callable[[], Task]
    collect: Callable[..., Data]
    advantages: Callable[[Params, Data], Data]
    inner_loss: Callable[[Params, Data], jax.Array]
    outer_loss: Callable[[Params, Data], jax.Array]
    objective: Callable[[Data], jax.Array]
    log_probs: Callable[[Params, Data], jax.Array]
    kl: Callable[[Params, Data], jax.Array] | None
    performance: Callable[[Data], jax.Array]
    num_steps: Callable[[Data], jax.Array]
    pieces: Callable[[Data], Pieces] | None = None
    ratios: Callable[[Params, Data], jax.Array] | None = None
    reweighed: Callable[[Params, Data], Data] | None = None
    clipped_loss: Callable[[Params, Data, Any], jax.Array] | None = None
    critic: str | None = None
    forward: bool = False
    newborn: Callable[[Params], Agent] | None = None
    live: Callable[[jax.Array, Agent, Task], tuple[Data, Agent]] | None = None
    episode_returns: Callable[[Data], jax.Array] | None = None
    off_policy: OffPolicy | None = None


class Evaluation(NamedTuple):
    """What stored data say of other meta-parameters than those that collected them.

    Attributes:
        loss: the meta-loss, mean over the tasks.
        kl: KL(π_old ‖ π) of the adapted policies, mean over the tasks; None where the
            policy's action distribution has no divergence in closed form.
        extras: what else the meta-loss has to show, mean over the tasks, by name.
    """

    loss: jax.Array
    kl: jax.Array | None
    extras: dict[str, jax.Array] = {}  # noqa: RUF012 - nobody writes into it


class Objective(NamedTuple):
    """The meta-objective of an epoch on its stored data, as functions of θ.

    All are means over the tasks, taken task by task, so that they are the same however
    a program spreads tasks over devices; differentiating `evaluate` is not.

    Attributes:
        evaluate: `(θ) -> Evaluation`: the meta-loss and the KL at any θ.
        gradient: `(θ) -> ∇_θ loss`, the gradient of that meta-loss, a pytree like θ.
        kl_product: `(θ, v) -> ∇²_θ KL · v` at the θ that collected the data, where it
            is JᵀFJv: F is the Fisher matrix of the adapted policies, J = ∂θ'/∂θ.
    """

    evaluate: Callable[[Params], Evaluation]
    gradient: Callable[[Params], Params]
    kl_product: Callable[[Params, Params], Params]


class OuterRule(NamedTuple):
    """How an outer step goes from a meta-gradient to new meta-parameters.

    Optax's optimisers are one kind of it (`learners.outer_rules.from_optax`); a trust
    region (`learners.trust_region`), or several steps on the same data, ask the
    objective as well.

    Attributes:
        init: `(θ) -> memory`, what the rule remembers before the first step.
        apply: `(meta_gradient, memory, θ, objective) -> (θ, memory, extras)`. The
            objective looks at other θ on the data of this epoch, and costs nothing
            unless it is called. Extras are scalars by name, for `Info.extras`.
    """

    init: Callable[[Params], Any]
    apply: Callable[
        [Params, Any, Params, Objective], tuple[Params, Any, dict[str, jax.Array]]
    ]


class Info(NamedTuple):
    """What a person wants to see of one epoch; a learner without a value says None.

    Attributes:
        meta_gradient: what the outer optimiser got, shaped like θ.
        loss: mean outer loss over the tasks.
        return_before: mean undiscounted return at θ.
        return_after: mean undiscounted return after adaptation, at θ'.
        num_steps: environment steps of living trajectories, int32.
        return_medium: mean undiscounted return on the medium task.
        cos_medium_meta: cosine between the medium task's gradient and the
            meta-gradient.
        extras: further scalars by name that a learner or an outer rule has to show;
            each becomes a column of metrics.csv.
    """

    meta_gradient: Params
    loss: jax.Array
    return_before: jax.Array
    return_after: jax.Array
    num_steps: jax.Array
    return_medium: jax.Array | None = None
    cos_medium_meta: jax.Array | None = None
    extras: dict[str, jax.Array] = {}  # noqa: RUF012 - nobody writes into it


class MetaLearner(NamedTuple):
    """A meta-learning algorithm as three pure functions.

    A learner's `step` splits its key in two: the first half feeds its own
    collections, the second is left to a modifier such as `directed`, which hands the
    whole key on. So a modified learner sees the same random numbers as the bare one.

    Attributes:
        init: `(key) -> state`; the state has `params` (θ) and an int32 `epoch`.
        step: `(key, state, tasks) -> (state, info)`, one epoch on tasks stacked on
            axis 0; jit-able, not jitted.
        adapt: `(key, state, task, num_steps) -> (path, curve)`, what a deployed agent
            does with a new task: the agents after 0 … num_steps steps, stacked on axis
            0, and the return of each. A step is a gradient step of θ, or an episode
            lived through. More steps go on from where fewer ended.
    """

    init: Callable[[jax.Array], Any]
    step: Callable[[jax.Array, Any, Task], tuple[Any, Info]]
    adapt: Callable[[jax.Array, Any, Task, int], tuple[Params | Agent, jax.Array]]
