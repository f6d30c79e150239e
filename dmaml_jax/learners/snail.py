"""SNAIL (Mishra et al. 2018, arXiv 1707.03141): attention over a trial's steps.

It is RL²'s learner with another network: temporal convolutions and a causal attention
over all steps of a trial in place of a recurrent state (`rl.temporal_convolution`).
"""

from dataclasses import dataclass
from typing import Any

import optax

from dmaml_jax.learners.trial_ppo import TrialOptions, trial_ppo
from dmaml_jax.options import COUNT, option
from dmaml_jax.types import MetaLearner, Problem


@dataclass(frozen=True)
class Options(TrialOptions):
    """The networks, the trials, and PPO's steps on them."""

    of_problem = TrialOptions.of_problem | {"filters"}

    filters: int = option(
        32, "Width of each dense block, and of keys and values.", allowed=COUNT
    )


def snail(
    problem: Problem,
    *,
    meta_optimizer: optax.GradientTransformation,
    updates_per_batch: int = 8,
    num_minibatches: int = 8,
    ratio_clip: Any = 0.1,
    normalize_advantages: bool = False,
) -> MetaLearner:
    """PPO on trials, for a problem whose policy attends to the trial's past.

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
        Mishra, Rohaninejad, Chen, Abbeel: A Simple Neural Attentive Meta-Learner, ICLR
        2018.
    """
    return trial_ppo(
        problem,
        meta_optimizer=meta_optimizer,
        updates_per_batch=updates_per_batch,
        num_minibatches=num_minibatches,
        ratio_clip=ratio_clip,
        normalize_advantages=normalize_advantages,
    )
