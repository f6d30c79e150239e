"""RL² (Duan et al. 2016, arXiv 1611.02779): a recurrent policy that learns to learn.

θ stays as it is in a task. What adapts is the state of a gated recurrent unit, which
lives through all episodes of a trial and is trained by PPO to make the return of the
whole trial large. The paper has TRPO; PPO with these values is what an independent
reproduction reached its numbers with.

Reference:
    Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel: RL²: Fast Reinforcement Learning
    via Slow Reinforcement Learning, 2016.
"""

from dataclasses import dataclass

from dmaml_jax.learners.trial_ppo import TrialOptions, trial_ppo
from dmaml_jax.options import COUNT, option


@dataclass(frozen=True)
class Options(TrialOptions):
    """The recurrent networks, the trials, and PPO's steps on them."""

    of_problem = TrialOptions.of_problem | {"memory_size"}

    memory_size: int = option(
        64, "Units of the GRU that acts, and of the critic's.", allowed=COUNT
    )


rl2 = trial_ppo
"""PPO on trials, for a problem whose policy is a recurrent network."""
