"""SNAIL (Mishra et al. 2018, arXiv 1707.03141): attention over a trial's steps.

It is RL²'s learner with another network: temporal convolutions and a causal attention
over all steps of a trial in place of a recurrent state (`rl.temporal_convolution`).

Reference:
    Mishra, Rohaninejad, Chen, Abbeel: A Simple Neural Attentive Meta-Learner, ICLR
    2018.
"""

from dataclasses import dataclass

from dmaml_jax.learners.trial_ppo import TrialOptions, trial_ppo
from dmaml_jax.options import COUNT, option


@dataclass(frozen=True)
class Options(TrialOptions):
    """The networks, the trials, and PPO's steps on them."""

    of_problem = TrialOptions.of_problem | {"filters"}

    filters: int = option(
        32, "Width of each dense block, and of keys and values.", allowed=COUNT
    )


snail = trial_ppo
"""PPO on trials, for a problem whose policy attends to the trial's past."""
