"""From names and values to an environment, its tasks and a policy that fits it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax import envs
from dmaml_jax.tasks import laws, probe
from dmaml_jax.rl.action_distributions import clipped_normal, diagonal_normal, squashed_normal
from dmaml_jax.errors import UsageError
from dmaml_jax.rl.policies import Critic, mlp_categorical, mlp_normal, on_arrays
from dmaml_jax.config.presets import GYMNAX, TrainConfig
from dmaml_jax.tasks.distributions import TaskDistribution, independent, on_circle
from dmaml_jax.types import Distribution, Policy
from dmaml_jax.tasks.written import Varied, parse_vary

_CONFORMANCE = {
    "exact": "Box2D's, step by step",
    "fast": "equal to Box2D's in distribution, not conformant step by step",
}


def named_environment(name: str) -> Any:
    """The environment of a name.

    Raises:
        UsageError: there is none, or gymnax cannot make it here.
    """
    try:
        return envs.make(name)[0]
    except ValueError as error:
        raise UsageError(str(error)) from None


def solver_of(name: str) -> dict[str, str]:
    """The solver of an environment that has several, and what it is true to."""
    solver = getattr(named_environment(name), "solver", None)
    if solver is None:
        return {}
    return {"solver": solver, "conformance": _CONFORMANCE[solver]}


def with_solver(name: str, solver: str | None) -> str:
    """The name under which an environment's other solver goes.

    Args:
        name: of an environment.
        solver: "exact" or "fast"; None for the environment's own.

    Raises:
        UsageError: the environment has no solvers to choose from.
    """
    if solver is None:
        return name
    if not solver_of(name):
        raise UsageError(
            f"--solver {solver} has no effect on {name}, which has one way to step: "
            "leave it out."
        )
    return {"fast": "lunarlander", "exact": "lunarlander-exact"}[solver]


def named_tasks(env: Any, config: TrainConfig) -> TaskDistribution:
    """What `config.vary` says, on an environment's default parameters.

    Raises:
        UsageError: a parameter that is unknown, cannot vary, has no effect or would
            leave its limits.
    """
    # The environment's own limit gives way where the horizon is longer.
    params = env.default_params
    limit = max(int(params.max_steps_in_episode), config.horizon)
    params = params.replace(max_steps_in_episode=limit)
    if not config.vary:
        raise UsageError(
            f"{config.env} has no task distribution of its own: give --vary "
            "NAME=LOW:HIGH with a parameter that dmaml-jax envs lists."
        )
    varied = parse_vary(config.vary)
    single, circles = {}, {}
    for names, how in varied.items():
        try:
            if how.kind == "circle":
                circles[names] = how.numbers[0]
            else:
                single[names[0]] = _law(how, config.held_out)
                independent(params, {names[0]: single[names[0]]})
        except ValueError as error:
            text = str(error).rstrip(".")
            raise UsageError(f"--vary {names[0]}: {text}.") from None
    if config.held_out and not any(_lists(how) for how in varied.values()):
        raise UsageError(
            "--held-out keeps a share of a list, and --vary lists no values: leave it "
            "out (of a range, evaluation draws fresh values)."
        )
    try:
        tasks = independent(params, single)
        for (first, second), radius in circles.items():
            tasks = on_circle(tasks, first, second, radius)
    except ValueError as error:
        raise UsageError(f"--vary: {error}") from None
    ends = {name: (law.low, law.high) for name, law in single.items()}
    for (first, second), radius in circles.items():
        ends[first] = ends[second] = (-radius, radius)
    _check_effects(env, config.env, tasks.mean(), ends)
    return tasks


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


def _check_effects(
    env: Any, name: str, middle: Any, ends: dict[str, tuple[float, float]]
) -> None:
    """Refuse parameters out of their limits, without effect, or without variety."""
    for field, (low, high) in ends.items():
        if low <= 0 and field in getattr(env, "positive", ()):
            raise UsageError(
                f"--vary {field}: its values go from {low:g} to {high:g}, but {name} "
                f"allows only those above 0 for {field}."
            )
    for smaller, larger in getattr(env, "ordered", ()):
        bounds = [
            ends.get(field, (float(getattr(middle, field)),) * 2)
            for field in (smaller, larger)
        ]
        if bounds[0][1] > bounds[1][0]:
            raise UsageError(
                f"--vary lets {smaller} reach {bounds[0][1]:g} and {larger} "
                f"{bounds[1][0]:g}, but {name} needs {smaller} below {larger}: give "
                "ranges that do not cross."
            )
    if all(low == high for low, high in ends.values()):
        raise UsageError(
            "--vary leaves every parameter at one value, so that all tasks are alike: "
            "give a range with LOW < HIGH."
        )
    if not name.startswith(GYMNAX):
        return  # ours feel every parameter; a test of each environment says so
    for field, bounds in ends.items():
        if not probe.reaches(env, middle, field):
            raise UsageError(
                f"--vary {field}: {name} has that parameter, but nothing that an agent "
                "sees or earns depends on it: vary another."
            )
        low, high = (middle.replace(**{field: _like(middle, field, b)}) for b in bounds)
        probed = probe.compare(env, low, high)
        if not probed.finite:
            raise UsageError(
                f"--vary {field}: at {bounds[0]:g} or {bounds[1]:g}, {name} gives "
                "numbers that are not finite: give a narrower range."
            )
        if not probed.differ and bounds[0] < bounds[1]:
            print(
                f"note: in 1,600 random steps {name} was the same with {field} at "
                f"{bounds[0]:g} and at {bounds[1]:g}; tasks may hardly differ."
            )


def _like(params: Any, field: str, value: float) -> Any:
    return jnp.asarray(value, jnp.result_type(getattr(params, field)))


def default_policy(env: Any, tasks: TaskDistribution, config: TrainConfig) -> Policy:
    """An MLP that fits the environment's spaces, as they are for the medium task.

    Raises:
        UsageError: its actions or observations are of a kind that no MLP fits.
    """
    middle = tasks.mean()
    space = env.action_space(middle)
    critic: Critic = "none"
    if config.method == "ac":
        critic = "shared" if config.shared_trunk else "separate"
    if hasattr(space, "n"):
        policy = mlp_categorical(
            space.n,
            config.hidden_sizes,
            precision=config.matmul_precision,
            critic=critic,
        )
    elif len(getattr(space, "shape", ())) == 1:
        policy = mlp_normal(
            space.shape[0],
            config.hidden_sizes,
            precision=config.matmul_precision,
            critic=critic,
            distribution=_continuous(space, config.bounds),
            initial_std=config.initial_std,
            min_std=config.min_std,
        )
    else:
        raise UsageError(
            f"The actions of {env.name} are neither one choice nor a vector, so there "
            "is no default policy: pass policy=Policy(init, apply, distribution)."
        )
    with jax.numpy_dtype_promotion("standard"):
        obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), middle)
    if not hasattr(obs, "shape"):
        raise UsageError(
            f"The observations of {env.name} are no arrays, so there is no default "
            "policy: pass policy=Policy(init, apply, distribution)."
        )
    plain = len(obs.shape) == 1 and jnp.issubdtype(obs.dtype, jnp.floating)
    scale, squash = config.obs_scale, config.obs_squash
    if plain and not squash and isinstance(scale, float) and scale == 1:
        return policy
    return on_arrays(policy, obs.shape, scale, squash=squash)


def _continuous(space: Any, bounds: str) -> Distribution:
    low = np.broadcast_to(np.asarray(space.low), space.shape)
    high = np.broadcast_to(np.asarray(space.high), space.shape)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        return diagonal_normal()
    return {"squash": squashed_normal, "clip": clipped_normal}[bounds](low, high)
