"""The values of PEARL: what an epoch lives and learns, its belief, and its control."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.options import MemoryOptions
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
        400, "gradient steps of an epoch", symbol="G", allowed=COUNT
    )
    tasks_per_step: int = option(8, "Tasks of a gradient step.", allowed=COUNT)
    batch_size: int = option(
        64, "Transitions of a task that a step learns control from.", allowed=COUNT
    )
    context_size: int = option(
        64, "Transitions of a task that a step's belief is made of.", allowed=COUNT
    )
    replay_capacity: int = option(
        4000, "Transitions that are kept of each task of the bank.", allowed=COUNT
    )
    kl_weight: float = option(
        0.001,
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
        0.01,
        "Weight of the entropy at first, or for good.",
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

    of_problem: ClassVar[frozenset[str]] = frozenset(
        (
            "reward_scale",
            "temperature",
            "initial_temperature",
            "target_entropy",
            "latent_size",
            "encoder_sizes",
            "next_obs_in_context",
            "dense_losses",
        )
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
            num_tasks: M, the number of tasks in an epoch.
            num_trajectories: K, the number of trajectories in a collection.

        Raises:
            UsageError: there are more.
        """
        if num_tasks > self.bank_tasks:
            raise UsageError(
                f"--num-tasks is {num_tasks}, but the bank has {self.bank_tasks} "
                "tasks, of which an epoch takes each once: give fewer, or more "
                "--bank-tasks."
            )
