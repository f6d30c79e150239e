"""What learning each task from scratch earns, with the steps that adaptation has."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.learners.scratch import ScratchState, learn_alone
from dmaml_jax.results.evaluation import Returns, measure
from dmaml_jax.results.references import initial_states
from dmaml_jax.runs.loading import Loaded

_FACTORS = (1.0, 3.0, 10.0, 30.0)


def rates_of(run: Loaded) -> tuple[float, ...]:
    """The step sizes that are tried by default: 1 to 30 times the outer one."""
    own = run.config.learner
    assert isinstance(own, GradientOptions), "there is no gradient to descend"
    outer = own.outer_lr or GradientOptions.outer_lr
    return tuple(float(f"{factor * outer:.6g}") for factor in _FACTORS)


def from_scratch(
    run: Loaded, sets: dict[str, Any], rates: Sequence[float], **sizes: int
) -> tuple[Returns, float]:
    """Returns after 0 … n steps of Adam on each task alone, from a random start.

    A step learns from as many trajectories as one of adaptation. The step size is the
    best of several by what they earn after the last step on these very tasks, which is
    in favour of learning from scratch.

    Args:
        run: a trained run; its seeds' random starts are those of its training.
        sets: the tasks by their kind, as `task_sets` returns them.
        rates: the candidates for Adam's step size, of which the best is kept.
        **sizes: the numbers of steps, trajectories and episodes, as `measure` takes
            them.

    Returns:
        Returns of the policy "scratch" by kind of tasks, and the best step size.
    """
    params = initial_states(run).params
    states = {
        str(rate): ScratchState(
            params, np.full(len(run.seeds), rate, jnp.result_type(float))
        )
        for rate in rates
    }
    returns = measure(run, states, sets, adapt=learn_alone, **sizes)

    def earned(rate: float) -> float:
        ends = [np.mean(returns[str(rate), name][..., -1]) for name in sets]
        return float(np.nan_to_num(np.mean(ends), nan=-np.inf))

    best = max(rates, key=earned)
    return {("scratch", name): returns[str(best), name] for name in sets}, best
