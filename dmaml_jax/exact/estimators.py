"""The estimators of the meta-gradient that are held against the exact ones."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners import maml, sg_mrl
from dmaml_jax.learners.base import Seen
from dmaml_jax.learners.task_axis import mean_of_others
from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.objectives import Baseline
from dmaml_jax.types import Params, Problem, Source, Task

NUM_TASKS = 2


class Estimator(NamedTuple):
    """A legal pair of learner and surrogate.

    Attributes:
        algo: the name of the learner.
        surrogate: the name of the surrogate of its inner step.
        target: the objective whose gradient it estimates, "I" or "II"; FOMAML, which
            is neither's, is held against II.
        meta_loss: `(problem, θ, sources, task, inner_lr=α) -> (loss, seen)` of a task.
        note: what tells it from another of the same pair.
        coupled: whether it looks at the other task's data.
        baseline: the baseline of its inner step, if it has one.
    """

    algo: str
    surrogate: str
    target: str
    meta_loss: Callable[..., tuple[jax.Array, Seen]]
    note: str = ""
    coupled: bool = False
    baseline: Baseline | None = None

    def gradient(
        self, problem: Problem, sources: Source, params: Params, task: Task, rate: float
    ) -> Params:
        """The gradient of its loss: minus what it estimates of ∇J."""

        def loss(params: Params) -> jax.Array:
            return self.meta_loss(problem, params, sources, task, inner_lr=rate)[0]

        return jax.grad(loss)(params)

    @property
    def name(self) -> str:
        """For tables and legends."""
        return ", ".join(filter(None, (self.algo, self.surrogate, self.note)))


_MAML = partial(maml.meta_loss, first_order=False)
_FOMAML = partial(maml.meta_loss, first_order=True)
_OTHERS = partial(
    sg_mrl.meta_loss,
    baseline=partial(mean_of_others, num_tasks=NUM_TASKS),
    score_reduction="sum",
)
_BARE = partial(sg_mrl.meta_loss, baseline=jnp.zeros_like, score_reduction="sum")
_MEAN = partial(sg_mrl.meta_loss, baseline=jnp.zeros_like, score_reduction="mean")

ESTIMATORS = (
    Estimator("sg-mrl", "score-function", "II", _OTHERS, coupled=True),
    Estimator("sg-mrl", "score-function", "II", _BARE, "no baseline"),
    Estimator("e-maml", "score-function", "II", _MEAN),
    Estimator("maml", "score-function", "II", _MAML),
    Estimator("fomaml", "score-function", "II", _FOMAML),
    Estimator("maml", "lvc", "I", _MAML),
    Estimator("maml", "dice", "I", _MAML),
    Estimator("maml", "loaded-dice", "I", _MAML, baseline=leave_one_out_time_mean),
)
