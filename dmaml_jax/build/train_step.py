"""A train step for training loops of one's own."""

from typing import Any

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.rules import schedules_that_end
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.options import flag, options_of
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.training.chunk import Init, Step, train_step
from dmaml_jax.types import Policy


def make_train_step(
    env: Any = "cartpole",
    algo: str = "directed-maml",
    *,
    tasks: TaskDistribution | None = None,
    policy: Policy | None = None,
    **values: Any,
) -> tuple[Init, Step]:
    """A learner's train step on an environment, for a training loop of one's own.

    Args:
        env: the name of an environment, or an object with gymnax's interface, which
            needs `tasks` beside it unless it draws them by a law of its own.
        algo: the name of a learner; `directed` is short for `directed-maml`.
        tasks: a distribution of the environment's parameters, in place of the values
            `vary`, `set` and `held_out`.
        policy: a policy π_θ, in place of the default MLP and its values.
        **values: values by name, such as `inner_lr` or `num_tasks`. They are those that
            `dmaml-jax train --help` shows for this choice, except what is the training
            loop's business. Step sizes, the discount and other factors may be traced,
            so that a caller can vmap over them; cosine schedules end after `epochs`.

    Returns:
        `init(key) -> state` and `step(key, state) -> (state, info)`; `step` samples
        the tasks and does one epoch. Neither is jitted.

    Raises:
        UsageError: an unknown name, or a value that makes no sense or has no effect.

    Example:
        >>> import jax
        >>> init, step = make_train_step("cartpole", "maml", horizon=5, num_tasks=2)
        >>> state, info = jax.jit(step)(jax.random.key(1), init(jax.random.key(0)))
        >>> print(state.epoch, info.num_steps)
        1 200
    """
    config = configuration(env, algo, **values)
    _require_effect(config, values, tasks, policy)
    made = None if isinstance(env, str) else env
    problem, learner = build(config, env=made, tasks=tasks, policy=policy)
    return train_step(problem, learner, config.sampling.num_tasks)


def _require_effect(
    config: TrainConfig,
    values: dict[str, Any],
    tasks: TaskDistribution | None,
    policy: Policy | None,
) -> None:
    """Refuse what the arguments of `make_train_step` leave without effect.

    Raises:
        UsageError: there is such a value.
    """
    if policy is not None and registry.entry(config.run.algo).off_policy:
        raise UsageError(
            f"{config.run.algo} has networks of its own, where a given policy has no "
            "place: leave policy out, or choose another learner."
        )
    shaping = {*options_of(type(config.policy)), "matmul_precision"}
    host = {*options_of(type(config.run))} - _OF_A_STEP
    host |= set() if schedules_that_end(config) else {"epochs"}
    for names, where in (
        (host, "the training loop, which is the caller's here"),
        (options_of(type(config.tasks)) if tasks else (), "tasks that are not given"),
        (shaping if policy else (), "the default policy, and another one is given"),
    ):
        for name in values:
            if name in names:
                raise UsageError(f"{flag(name)} belongs to {where}: leave {name} out.")


_OF_A_STEP = {"env", "algo", "method", "epochs", "matmul_precision"}
"""Values of a run that a single train step depends on."""
