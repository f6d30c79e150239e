"""From names to environments and their tasks."""

import functools
import shlex
from typing import Any

import jax

from dmaml_jax import envs
from dmaml_jax.build.interface import name_of, require_parts
from dmaml_jax.config.composition import TrainConfig, World
from dmaml_jax.envs import registry
from dmaml_jax.errors import UsageError
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.tasks.of_environment import (
    common_params,
    lawful_tasks,
    require_no_law,
    tasks_of,
)


def named_environment(name: str) -> Any:
    """Build the environment that a name stands for.

    Raises:
        UsageError: there is none, or gymnax cannot make it here.
    """
    if not isinstance(name, str):
        raise UsageError(
            f"--env is {name!r}, but it must be an environment's name, or for "
            "make_train_step an object with gymnax's interface, made, not its class."
        )
    try:
        return envs.make(name)[0]
    except ValueError as error:
        raise UsageError(str(error)) from None


def world_of(env: Any) -> World:
    """What an environment brings to a configuration.

    Args:
        env: a name, or an environment with gymnax's interface, which has no preset.

    Raises:
        UsageError: no environment has that name.
    """
    made = hasattr(env, "step_env") and not isinstance(env, type)
    if not made:
        return _world_of_name(env)
    require_parts(env)
    return World(name_of(env), _is_continuous(env), {}, {})


@functools.cache
def _world_of_name(name: str) -> World:
    env = named_environment(name)
    if name.startswith(registry.GYMNAX):
        return World(name, _is_continuous(env), registry.OF_GYMNAX, {})
    preset = {**env.preset, "tasks": {"vary": registry.entry(name).vary}}
    return World(name, _is_continuous(env), preset, env.learner_presets)


def _is_continuous(env: Any) -> bool:
    """Whether actions are numbers and not choices."""
    return not hasattr(env.action_space(env.default_params), "n")


def solver_of(name: str) -> dict[str, str]:
    """The solver of an environment that has several, and what it is true to."""
    env = named_environment(name)
    solvers = getattr(env, "solvers", {})
    if not solvers:
        return {}
    return {"solver": env.solver, "conformance": solvers[env.solver].conformance}


def with_solver(name: str, solver: str | None) -> str:
    """The name under which an environment's other solver goes.

    Args:
        name: the name of an environment, such as "lunarlander".
        solver: "exact" or "fast", or None for the environment's own solver.

    Raises:
        UsageError: the environment has no solvers to choose from.
    """
    if solver is None:
        return name
    solvers = getattr(named_environment(name), "solvers", {})
    if not solvers:
        raise UsageError(
            f"--solver {solver} has no effect on {name}, which has one way to step: "
            "leave it out."
        )
    return solvers[solver].name


def named_tasks(env: Any, config: TrainConfig) -> TaskDistribution:
    """The distribution that a configuration's `tasks` describe, on an environment.

    Raises:
        UsageError: a parameter that is unknown, cannot vary, has no effect or would
            leave its limits, or one that the environment's own law draws.
    """
    tasks = config.tasks
    params = common_params(env, tasks.set, config.sampling.horizon)
    if getattr(env, "task_law", None) is not None:
        return lawful_tasks(
            env, params, vary=tasks.vary, held_out=tasks.held_out, fixed=tasks.set
        )
    if not tasks.vary:
        raise UsageError(
            f"{config.run.env} has no task distribution of its own: give --vary "
            "NAME=LOW:HIGH with a parameter that dmaml-jax envs "
            f"{shlex.quote(config.run.env)} lists."
        )
    known = config.world.preset.get("tasks", {}).get("vary", ())
    return tasks_of(env, params, tasks.vary, held_out=tasks.held_out, known=known)


def law_in_words(name: str) -> str:
    """What an environment's own law of tasks draws, for people; empty without one."""
    return "" if name.startswith(registry.GYMNAX) else registry.entry(name).law


def tasks_beyond(
    env: Any, config: TrainConfig, items: tuple[str, ...]
) -> TaskDistribution:
    """Tasks that a configuration does not vary, with what it sets for all of them.

    Args:
        env: the environment that the run was trained on.
        config: the run's values; what it sets for all tasks holds here too.
        items: `NAME=…` items, as `--out-of-range` takes them.

    Raises:
        UsageError: the items are wrong in one of the ways that `named_tasks` tells.
    """
    require_no_law(env, "--out-of-range")
    params = common_params(env, config.tasks.set, config.sampling.horizon)
    return tasks_of(env, params, items, flag="--out-of-range")


def require_plain(env: Any) -> None:
    """Refuse an environment that does something of its own in `step` or `reset`.

    Rollouts call `step_env` and `reset_env`, so that a wrapper around those would be
    passed by. What gymnax's own environments override concerns their automatic reset.

    Raises:
        UsageError: its class, or one that it inherits from, overrides either.
    """
    for name in ("step", "reset"):
        owner = next((c for c in type(env).__mro__ if name in vars(c)), None)
        if owner and not owner.__module__.startswith("gymnax.environments."):
            raise UsageError(
                f"{type(env).__name__} overrides {name}, which no rollout calls: they "
                "call step_env and reset_env, so put what it does there."
            )


def require_own_tasks(env: Any, tasks: TaskDistribution) -> None:
    """Refuse tasks that are parameters of another environment.

    Raises:
        UsageError: they are.
    """
    found = jax.tree.structure(jax.eval_shape(tasks.mean))
    if found != jax.tree.structure(env.default_params):
        kind = type(env.default_params)
        raise UsageError(
            f"The tasks are no parameters of {name_of(env)}, which takes "
            f"{kind.__module__}.{kind.__qualname__}: build them from its "
            "default_params, as in uniform(env.default_params, name=(low, high))."
        )


def own_limit(env: Any) -> int:
    """The time limit of an environment, for `--horizon 0`.

    Raises:
        UsageError: its parameters name none.
    """
    limit = getattr(env.default_params, "max_steps_in_episode", None)
    if limit is None:
        raise UsageError(
            "--horizon is 0, which takes the environment's own limit, and its "
            "parameters have no max_steps_in_episode: give --horizon."
        )
    return int(limit)
