"""What is compared: estimators of the meta-gradient, and the MDP they are tried on."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.envs import random_mdp
from dmaml_jax.exact.data_sets import Paths, data_sets, paths
from dmaml_jax.exact.problem import objective_one, objective_two
from dmaml_jax.learners import maml, sg_mrl
from dmaml_jax.learners.base import mean_of_others
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.objectives import Baseline, Objective, policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import Params, Policy, Problem, Task

NUM_TASKS = 2


class Estimator(NamedTuple):
    """A legal pair of learner and surrogate.

    Attributes:
        algo: the learner's name.
        surrogate: of the inner step.
        target: the objective whose gradient it estimates, "I" or "II"; FOMAML, which
            is neither's, is held against II.
        gradient: `(problem, keys, θ, task, inner_lr) -> ` minus the gradient of a task.
        note: what tells it from another of the same pair.
        coupled: whether it looks at the other task's data.
        baseline: of its inner step.
    """

    algo: str
    surrogate: str
    target: str
    gradient: Callable[[Problem, jax.Array, Params, Task, float], Params]
    note: str = ""
    coupled: bool = False
    baseline: Baseline | None = None

    @property
    def name(self) -> str:
        """For tables and legends."""
        return ", ".join(filter(None, (self.algo, self.surrogate, self.note)))


def _maml(first_order: bool) -> Callable[..., Params]:
    def gradient(problem, keys, params, task, inner_lr):
        return maml.task_gradient(
            problem, keys, params, task, inner_lr=inner_lr, first_order=first_order
        ).meta_gradient

    return gradient


def _scored(
    reduction: Any, baseline: Callable[..., jax.Array]
) -> Callable[..., Params]:
    def gradient(problem, keys, params, task, inner_lr):
        info, _ = sg_mrl.task_gradient(
            problem,
            keys,
            params,
            task,
            inner_lr=inner_lr,
            baseline=baseline,
            score_reduction=reduction,
        )
        return info.meta_gradient

    return gradient


_others = partial(mean_of_others, num_tasks=NUM_TASKS)
ESTIMATORS = (
    Estimator("sg-mrl", "score-function", "II", _scored("sum", _others), coupled=True),
    Estimator(
        "sg-mrl", "score-function", "II", _scored("sum", jnp.zeros_like), "no baseline"
    ),
    Estimator("e-maml", "score-function", "II", _scored("mean", jnp.zeros_like)),
    Estimator("maml", "score-function", "II", _maml(False)),
    Estimator("fomaml", "score-function", "II", _maml(True)),
    Estimator("maml", "lvc", "I", _maml(False)),
    Estimator("maml", "dice", "I", _maml(False)),
    Estimator(
        "maml", "loaded-dice", "I", _maml(False), baseline=leave_one_out_time_mean
    ),
)


class Setting(NamedTuple):
    """What the estimators are held against each other on.

    Attributes:
        policy: a table of logits.
        params: θ.
        mdp: parameters of the MDP.
        ways: all its paths.
        discount: γ.
        inner_lr: α.
        num_inner_steps: N.
    """

    policy: Policy
    params: Params
    mdp: Task
    ways: Paths
    discount: float
    inner_lr: float
    num_inner_steps: int

    def objective(self, name: str, baseline: Baseline | None = None) -> Objective:
        """The objective of a surrogate's name, as exact as it can be."""
        return policy_gradient(
            self.policy,
            discount=self.discount,
            surrogate=surrogate(name),
            baseline=baseline,
            normalize_advantages=False,
            discount_weighting=True,
        )


def draw(
    seed: int,
    *,
    num_states: int,
    num_actions: int,
    horizon: int,
    discount: float,
    inner_lr: float,
    num_inner_steps: int,
) -> Setting:
    """Draw an MDP and a policy (a table of standard normal logits) from a seed."""
    key_mdp, key_params = jax.random.split(jax.random.key(seed))
    return Setting(
        policy=Policy(
            init=lambda key, obs: jnp.zeros((obs.shape[-1], num_actions)),
            apply=lambda params, obs: obs @ params,
            distribution=categorical(),
        ),
        params=jax.random.normal(key_params, (num_states, num_actions)),
        mdp=random_mdp(key_mdp, num_states, num_actions),
        ways=paths(num_states, num_actions, horizon),
        discount=discount,
        inner_lr=inner_lr,
        num_inner_steps=num_inner_steps,
    )


def exact_gradient(
    setting: Setting, params: Params, mdp: Task, num_trajectories: int | None
) -> Params:
    """∇J^II for K trajectories, or ∇J^I for None."""
    rates = {
        "discount": setting.discount,
        "inner_lr": setting.inner_lr,
        "num_inner_steps": setting.num_inner_steps,
    }
    policy, ways = setting.policy, setting.ways

    def value(params: Params) -> jax.Array:
        if num_trajectories is None:
            return objective_one(policy, params, mdp, ways, **rates)
        sets = data_sets(len(ways.lengths), num_trajectories)
        objective = setting.objective("score-function")
        return objective_two(policy, objective, params, mdp, ways, sets, **rates)

    return jax.grad(value)(params)
