"""RL² (Duan et al. 2016, arXiv 1611.02779): a recurrent policy that learns to learn.

θ stays as it is in a task. What adapts is the state of a gated recurrent unit, which
lives through all episodes of a trial and is trained by PPO to make the return of the
whole trial large. The paper has TRPO; PPO with these values is what an independent
reproduction reached its numbers with.
"""

from dataclasses import dataclass
from typing import Any

import optax

from dmaml_jax.learners.trial_ppo import TrialOptions, trial_ppo
from dmaml_jax.options import COUNT, option
from dmaml_jax.types import MetaLearner, Problem


@dataclass(frozen=True)
class Options(TrialOptions):
    """The recurrent networks, the trials, and PPO's steps on them."""

    of_problem = TrialOptions.of_problem | {"memory_size"}

    memory_size: int = option(
        64, "Units of the GRU that acts, and of the critic's.", allowed=COUNT
    )


def rl2(
    problem: Problem,
    *,
    meta_optimizer: optax.GradientTransformation,
    updates_per_batch: int = 8,
    num_minibatches: int = 8,
    ratio_clip: Any = 0.1,
    normalize_advantages: bool = False,
) -> MetaLearner:
    """PPO on trials, for a problem whose policy is a recurrent network.

    Args:
        problem: what is learned; its policy has a memory.
        meta_optimizer: an Optax transformation, which takes the gradient of every
            minibatch.
        updates_per_batch: how often PPO goes through the trials of an epoch.
        num_minibatches: into how many parts the trials are cut.
        ratio_clip: ε, how far a ratio of probabilities pays beyond 1.
        normalize_advantages: whether an epoch's advantages get mean 0 and deviation 1.

    Returns:
        The learner.

    Raises:
        UsageError: the problem's policy has no memory.

    References:
        Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel: RL²: Fast Reinforcement
        Learning via Slow Reinforcement Learning, 2016.
    """
    return trial_ppo(
        problem,
        meta_optimizer=meta_optimizer,
        updates_per_batch=updates_per_batch,
        num_minibatches=num_minibatches,
        ratio_clip=ratio_clip,
        normalize_advantages=normalize_advantages,
    )
