"""The values of MAML²: its base learner, its bank of tasks, and its categories."""

from dataclasses import dataclass
from typing import Literal

from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import COUNT, FROM_0, flag, option


@dataclass(frozen=True)
class Options(GradientOptions):
    """The base learner's inner loop and outer step, the bank, and its categories."""

    base: str = option(
        "maml", "Second-order learner of theta and of every category's start."
    )
    categories: int = option(
        3,
        "categories of tasks (ours); 1 is the base learner",
        symbol="k",
        allowed=COUNT,
    )
    bank_tasks: int = option(
        40, "Tasks of the bank, drawn once; an epoch takes some of it.", allowed=COUNT
    )
    warm_up_epochs: int = option(
        50, "Epochs of theta alone, before tasks are sorted (ours).", allowed=FROM_0
    )
    sorting: Literal["adapted", "random"] = option(
        "adapted", "Categories: by what adaptation changes, or at random, as a control."
    )
    sorting_steps: int = option(
        10,
        "Steps of adaptation to each task of the bank that sort it (ours).",
        allowed=COUNT,
        where=("sorting", "adapted"),
    )
    sort_every: int = option(
        100,
        "Epochs after which tasks are sorted anew; 0: never (ours).",
        allowed=FROM_0,
        where=("sorting", "adapted"),
    )
    readapt: bool = option(
        True, "Whether a new task starts anew from a category's start."
    )

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the meta-optimiser in an epoch, which are the base learner's."""
        return registry.options_class(self.base)().steps_per_epoch

    def check(self) -> None:
        """Refuse a base that is none, and what has no effect with one category.

        Raises:
            UsageError: the first contradiction.
        """
        bases = second_order_learners()
        if self.base not in bases:
            raise UsageError(
                f"--base is {self.base}, but it must be a second-order learner: choose "
                f"one of {', '.join(bases)}."
            )
        entry = registry.entry(self.base)
        if self.surrogate not in entry.objectives:
            raise UsageError(
                f"--surrogate {self.surrogate} does not go with --base {self.base}: "
                f"choose one of {', '.join(entry.objectives)}."
            )
        if self.num_inner_steps < entry.min_inner_steps:
            raise UsageError(
                f"--num-inner-steps is {self.num_inner_steps}, but --base {self.base} "
                f"needs {entry.min_inner_steps} or more."
            )
        if self.categories > self.bank_tasks:
            raise UsageError(
                f"--categories is {self.categories}, but the bank has "
                f"{self.bank_tasks} tasks: give fewer, or more --bank-tasks."
            )
        for name in _OF_CATEGORIES if self.categories == 1 else ():
            if getattr(self, name) != getattr(Options, name):
                raise UsageError(
                    f"{flag(name)} has no effect with --categories 1, which is the "
                    "base learner: leave it out, or give more categories."
                )


_OF_CATEGORIES = ("warm_up_epochs", "sorting", "sorting_steps", "sort_every", "readapt")


def second_order_learners() -> list[str]:
    """The names of the learners that may be a base."""
    return [
        name
        for name, entry in registry.LEARNERS.items()
        if entry.order == 2
        and registry.takes_gradients(name)
        and "maml2:" not in entry.path
    ]
