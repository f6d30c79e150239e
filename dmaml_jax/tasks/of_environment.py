"""Tasks of an environment, from what people write, with every check of `tasks.checks`.

A flag's items `NAME=…` become a task (`task_of`: --task, --medium-values, --set) or a
distribution (`tasks_of`: --vary, --out-of-range).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.tasks import laws
from dmaml_jax.tasks.checks import (
    Ends,
    require_felt,
    require_limits,
    require_order,
    said,
    try_out,
)
from dmaml_jax.tasks.distributions import TaskDistribution, independent, on_circle
from dmaml_jax.tasks.parameters import typed
from dmaml_jax.tasks.written import Varied, parse_values, parse_vary
from dmaml_jax.types import Task


def common_params(env: Any, items: tuple[str, ...], horizon: int) -> Task:
    """What all tasks have in common: the defaults, fixed values, the time limit.

    Args:
        env: an environment with gymnax's interface.
        items: `NAME=VALUE` items, as `--set` takes them.
        horizon: H, in steps; the environment's own limit gives way to a longer one.

    Raises:
        UsageError: an item is wrong.
    """
    # Now, also where a caller builds a learner inside of its own jit or vmap.
    with jax.ensure_compile_time_eval():
        params = task_of(env, env.default_params, items, "--set")
    limit = max(int(env.default_params.max_steps_in_episode), horizon)
    return params.replace(max_steps_in_episode=limit)


def task_of(env: Any, task: Task, items: tuple[str, ...], flag: str) -> Task:
    """A task with some parameters at given values.

    Args:
        env: an environment with gymnax's interface.
        task: the task whose other parameters are kept.
        items: `NAME=VALUE` items, as people write them.
        flag: the flag by which they were given, for errors.

    Raises:
        UsageError: an item is no such thing, the environment has no such parameter,
            or it does not take that value.
    """
    values = {}
    for name, value in parse_values(items, flag).items():
        try:
            values[name] = typed(task, name, value)
        except ValueError as error:
            raise said(f"{flag} {name}", error) from None
    changed = task.replace(**values)
    ends = {name: (float(value), float(value)) for name, value in values.items()}
    require_limits(env, ends, flag)
    require_order(env, changed, ends, flag)
    for name in values:
        require_felt(env, changed, name, flag)
    return changed


def tasks_of(
    env: Any,
    params: Task,
    vary: tuple[str, ...],
    *,
    held_out: float = 0.0,
    flag: str = "--vary",
    known: tuple[str, ...] = (),
) -> TaskDistribution:
    """The distribution of tasks that `NAME=…` items describe.

    Args:
        env: an environment with gymnax's interface.
        params: the parameters that all tasks have in common.
        vary: `NAME=…` items, as `--vary` takes them.
        held_out: the share of a list that is kept for evaluation.
        flag: the flag by which they were given, for errors.
        known: items whose values need not be tried out, such as an environment's own.

    Raises:
        UsageError: a parameter that is unknown, cannot vary, has no effect or would
            leave its limits.
    """
    varied = parse_vary(vary, flag)
    if held_out and not any(_lists(how) for how in varied.values()):
        raise UsageError(
            f"--held-out keeps a share of a list, and {flag} lists no values: leave it "
            "out (of a range, evaluation draws fresh values)."
        )
    tasks, ends = _distribution(params, varied, held_out, flag)
    require_limits(env, ends, flag)
    require_order(env, params, ends, flag)
    if all(low == high for low, high in ends.values()):
        raise UsageError(
            f"{flag} leaves every parameter at one value, so that all tasks are alike: "
            "give a range with LOW < HIGH."
        )
    for name in ends:
        require_felt(env, params, name, flag)
    new = [item for item in vary if item not in known]
    for name in (name for item in new for name in item.partition("=")[0].split(",")):
        try_out(env, params, name, ends[name], flag)
    return tasks


def lawful_tasks(
    env: Any,
    params: Task,
    *,
    vary: tuple[str, ...] = (),
    held_out: float = 0.0,
    fixed: tuple[str, ...] = (),
) -> TaskDistribution:
    """The distribution of tasks of an environment that draws them by its own law.

    Args:
        env: an environment whose `task_law` is not None.
        params: the parameters that all tasks have in common.
        vary: `NAME=…` items of `--vary`, of which there must be none.
        held_out: the share of a list that is kept for evaluation, which must be 0.
        fixed: `NAME=VALUE` items of `--set`, which must name nothing that is drawn.

    Raises:
        UsageError: a flag contradicts the law.
    """
    law = env.task_law
    if vary:
        require_no_law(env, "--vary")
    if held_out:
        raise UsageError(
            f"--held-out keeps a share of a list, and {env.name} draws its tasks by a "
            "law of its own, also for evaluation: leave it out."
        )
    for name in parse_values(fixed, "--set"):
        if name in law.draws:
            raise UsageError(
                f"--set {name} fixes what every task of {env.name} draws by a law of "
                "its own: leave it out."
            )
    return TaskDistribution(
        lambda key: jax.tree.map(jnp.asarray, law.sample(key, params)),
        lambda: jax.tree.map(jnp.asarray, law.medium(params)),
    )


def require_no_law(env: Any, flag: str) -> None:
    """Refuse ranges of parameters where tasks are drawn by a law of their own.

    Args:
        env: an environment with gymnax's interface.
        flag: the flag by which ranges were given, for errors.

    Raises:
        UsageError: the environment has such a law.
    """
    law = getattr(env, "task_law", None)
    if law is not None:
        raise UsageError(
            f"{flag} has no effect on {env.name}, which draws "
            f"{' and '.join(law.draws)} of every task by a law of its own: leave it "
            "out."
        )


def switches_and_counts(tasks: TaskDistribution) -> list[str]:
    """Parameters without a mean that differ from task to task.

    Found by drawing tasks, as a distribution does not say what it varies.
    """
    with jax.ensure_compile_time_eval():
        drawn = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(0), 64))
        leaves, _ = jax.tree_util.tree_flatten_with_path(drawn)
        return [
            jax.tree_util.keystr(path, simple=True)
            for path, leaf in leaves
            if not np.issubdtype(leaf.dtype, np.floating) and np.any(leaf != leaf[0])
        ]


def _distribution(
    params: Task, varied: Mapping[tuple[str, ...], Varied], held_out: float, flag: str
) -> tuple[TaskDistribution, Ends]:
    """The tasks, and between which values each parameter lies."""
    single: dict[str, laws.Law] = {}
    circles: dict[tuple[str, ...], float] = {}
    for names, how in varied.items():
        try:
            if how.kind == "circle":
                circles[names] = how.numbers[0]
            else:
                single[names[0]] = _law(how, held_out)
                independent(params, {names[0]: single[names[0]]})
        except ValueError as error:
            raise said(f"{flag} {names[0]}", error) from None
    try:
        tasks = independent(params, single)
        for (first, second), radius in circles.items():
            tasks = on_circle(tasks, first, second, radius)
    except ValueError as error:
        raise said(flag, error) from None
    ends = {name: (law.low, law.high) for name, law in single.items()}
    for names, radius in circles.items():
        ends |= dict.fromkeys(names, (-radius, radius))
    return tasks, ends


def _law(how: Varied, held_out: float) -> laws.Law:
    numbers = how.numbers
    if how.kind == "mixture":
        listed = [n for part in how.parts if part.kind == "list" for n in part.numbers]
        if held_out and len(set(listed)) < len(listed):
            raise ValueError(
                "two lists of a mixture share a value, which --held-out "
                "might keep from one and not from the other"
            )
        return laws.any_of([_law(part, held_out) for part in how.parts], numbers)
    if how.kind == "list":
        share = held_out if len(numbers) > 1 else 0.0
        return laws.one_of(numbers, held_out=share)
    of = {
        "uniform": laws.between,
        "log": laws.log_between,
        "normal": laws.normal_between,
    }
    return of[how.kind](*numbers)


def _lists(how: Varied) -> bool:
    listed = how.kind == "list" and len(how.numbers) > 1
    return listed or any(_lists(part) for part in how.parts)
