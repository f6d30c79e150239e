"""The small MDP, policy and rates on which estimators are held against each other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.envs import random_mdp
from dmaml_jax.exact.data_sets import Paths, data_sets, paths
from dmaml_jax.exact.objectives import objective_one, objective_two
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.rl.objectives import Baseline, Objective
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import Params, Policy, Task


class Setting(NamedTuple):
    """What the estimators are held against each other on.

    Attributes:
        policy: a policy whose parameters are a table of logits.
        params: θ, the logits at which gradients are taken, `[S, A]`.
        mdp: the parameters of the MDP.
        ways: all paths through the MDP.
        discount: γ, the discount per step.
        inner_lr: α, the step size of the inner loop.
        num_inner_steps: N, the number of inner steps.
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
