"""A configuration: the owners' values for a chosen environment, learner and method."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dmaml_jax.config import rules
from dmaml_jax.config.values import (
    METHODS,
    ContinuousPolicy,
    Directed,
    GradientRun,
    Method,
    Policy,
    Run,
    Sampling,
    Tasks,
)
from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import (
    GradientOptions,
    LearnerOptions,
    MemoryOptions,
)
from dmaml_jax.options import applies, checked, flag, options_of

Preset = Mapping[str, Mapping[str, Any]]
"""Values by owner and name, such as `{"learner": {"inner_lr": 0.1}}`."""


class World(NamedTuple):
    """What an environment brings to a configuration.

    Attributes:
        name: the environment's name, as `--env` takes it.
        continuous: whether its actions are numbers instead of choices.
        preset: the values that differ there from the owners' defaults.
        learner_presets: by a learner's name, the values in which it differs there from
            its own preset.
    """

    name: str
    continuous: bool
    preset: Preset
    learner_presets: Mapping[str, Preset]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Every value of a training run, by its owner.

    It holds what applies to the chosen environment, learner and method and nothing
    else. `dmaml_jax.build.configuration` makes one.

    Attributes:
        run: what is trained, for how long, and where; a `GradientRun` for a learner
            that adapts by gradient steps.
        sampling: how many tasks, trajectories and steps an epoch collects.
        tasks: what varies from task to task, and what is fixed in all of them.
        policy: the network's values; a `ContinuousPolicy` where actions are numbers.
        method: a `PolicyGradient` or an `ActorCritic`, as `run.method` says; None
            for a learner that adapts by a memory.
        learner: how the learner adapts, the outer step and the learner's own options.
        directed: the pre-step on the medium task; None where the learner has none.
        world: what the environment brought, so that `replace` can compose again.
    """

    run: Run
    sampling: Sampling
    tasks: Tasks
    policy: Policy
    method: Method | None
    learner: LearnerOptions
    directed: Directed | None
    world: World = dataclasses.field(compare=False, repr=False)

    @property
    def seed_numbers(self) -> range:
        """The seeds, FIRST … FIRST + seeds − 1."""
        return range(self.run.seed, self.run.seed + self.run.seeds)

    def nested(self) -> dict[str, dict[str, Any]]:
        """The values that have an effect, by owner and name."""
        owners = {name: getattr(self, name) for name in OWNERS}
        there = {name: owner for name, owner in owners.items() if owner is not None}
        values = _values(there)
        return {name: _effective(owner, values) for name, owner in there.items()}

    def flat(self) -> dict[str, Any]:
        """The values that have an effect, by name: no two owners share one."""
        return _flattened(self.nested())

    def replace(self, **values: Any) -> "TrainConfig":
        """The same with other values; what then no longer applies is left out.

        Args:
            **values: the new values by name; the environment cannot be among them.

        Raises:
            UsageError: a value is wrong in one of the ways that `compose` tells.
        """
        return compose(self.world, values, kept=self.flat())


CHOICES = (
    "env",
    "algo",
    "base",
    "method",
    "surrogate",
    "outer_optimizer",
    "kl_schedule",
    "sharpness",
    "implicit_solver",
    "sorting",
    "temperature",
    "medium_task",
    "directed_gate",
)
"""Values that decide which others there are."""
OWNERS = ("run", "sampling", "tasks", "policy", "method", "learner", "directed")


def compose(
    world: World, given: Mapping[str, Any], *, kept: Mapping[str, Any] | None = None
) -> TrainConfig:
    """The configuration of an environment with given values, which make sense together.

    Args:
        world: the environment's name, its kind of actions and its preset.
        given: the given values by name; each of them must apply.
        kept: values by name that hold where none are given, such as those of a run
            that is changed. What does not apply is left out.

    Raises:
        UsageError: `assembled` refuses a value, or they make no sense together.
    """
    config = assembled(world, given, kept=kept)
    rules.require_sense(config)
    return config


def assembled(
    world: World, given: Mapping[str, Any], *, kept: Mapping[str, Any] | None = None
) -> TrainConfig:
    """The configuration of an environment with given values, each of them allowed.

    A value is the given one, else the kept one, else the learner's preset, else that of
    the learner which it is built on, else the environment's, else the owner's default.

    Args:
        world: the environment's name, its kind of actions and its preset.
        given: the given values by name; each of them must apply.
        kept: values by name that hold where none are given.

    Raises:
        UsageError: a name that does not exist or belongs to another choice, or a value
            that is not allowed.
    """
    values = {**(kept or {}), **given, "env": world.name}
    algo = registry.full_name(values.get("algo", Run.algo))
    owners = owners_of(world, algo, _method(values))
    offered = {name for owner in owners.values() for name in options_of(owner)}
    for name in given:
        if name not in offered:
            raise refusal(name, owners.values())
    base = values.get("base") if "base" in offered else None
    values = {**_presets(world, algo, base), **values, "algo": algo}
    made = {name: _made(owner, values) for name, owner in owners.items()}
    every = _values(made)
    made = {name: _narrowed(own, every, given) for name, own in made.items()}
    return TrainConfig(**{"method": None, "directed": None, **made}, world=world)


def _presets(world: World, algo: str, base: str | None) -> dict[str, Any]:
    """Presets by name; `base` is the learner that the learner is built on, if any."""
    learners = [base] if base in registry.LEARNERS else []
    nested = [world.preset]
    for name in (*learners, algo.removeprefix(registry.DIRECTED)):
        nested += [registry.LEARNERS[name].preset, world.learner_presets.get(name, {})]
    return {name: own for each in nested for name, own in _flattened(each).items()}


def owners_of(world: World, algo: str, method: str) -> dict[str, type]:
    """The owners of the values that apply, by their place in a configuration.

    Args:
        world: the environment's name, its kind of actions and its preset.
        algo: the full name of a learner, such as "directed-maml".
        method: the method's name, "pg" or "ac".
    """
    by_gradients = registry.takes_gradients(algo)
    owners: dict[str, type] = {
        "run": GradientRun if by_gradients else Run,
        "sampling": Sampling,
        "tasks": Tasks,
        "policy": ContinuousPolicy if _has_own_deviation(world, algo) else Policy,
        **({"method": METHODS[method]} if by_gradients else {}),
        "learner": registry.options_class(algo),
    }
    return {**owners, **({"directed": Directed} if registry.is_directed(algo) else {})}


def _has_own_deviation(world: World, algo: str) -> bool:
    """Whether the deviation of actions is a value, and no output of the network."""
    return world.continuous and not registry.entry(algo).off_policy


def refusal(name: str, owners: Iterable[type]) -> UsageError:
    """Why a value cannot be given: it belongs to another choice, or there is none.

    Args:
        name: the name of the value that was given.
        owners: the owners of the values that apply. One of them may have that value
            beside another choice of its own.
    """
    options = {n: o for owner in owners for n, o in options_of(owner).items()}
    choice = _choice_of(name)
    if name in options:
        choice = options[name].belongs_to
    if choice is not None:
        return UsageError(
            f"{flag(name)} belongs to {choice}: leave it out, or choose that."
        )
    usual = {n: option.default for n, option in options.items()}
    offered = [n for n, option in options.items() if applies(option, usual)]
    hint = did_you_mean(name, offered, flag)
    known = ", ".join(sorted(offered))
    return UsageError(f"There is no value {name!r}: choose from {known}.{hint}")


def is_known(name: str) -> bool:
    """Whether any choice has a value of that name."""
    common = (GradientRun, Sampling, Tasks, Policy, Method, GradientOptions)
    return any(name in options_of(owner) for owner in common) or bool(_choice_of(name))


def _choice_of(name: str) -> str | None:
    """The choice that a value belongs to, in words; None where there is no value."""
    if name in options_of(ContinuousPolicy):
        return f"environments with continuous actions, and not to --algo {_OFF_POLICY}"
    if name in options_of(Directed):
        return "directed learners (--algo directed-NAME)"
    for owner in (GradientRun, Method, GradientOptions):
        if name in options_of(owner) and name not in _ALSO_BY_MEMORY:
            return "learners that adapt by gradient steps, not by a memory"
    for method, owner in METHODS.items():
        if name in options_of(owner):
            return f"--method {method}"
    algos = [
        algo
        for algo in registry.LEARNERS
        if name in options_of(registry.options_class(algo))
    ]
    if algos:
        directed = any(map(registry.takes_gradients, algos))
        also = " (directed or not)" if directed else ""
        return f"--algo {' or '.join(algos)}{also}"
    return None


_OFF_POLICY = " or ".join(
    name for name, entry in registry.LEARNERS.items() if entry.off_policy
)
_ALSO_BY_MEMORY = {*options_of(Run), *options_of(MemoryOptions)}


def _method(values: Mapping[str, Any]) -> str:
    option = options_of(GradientRun)["method"]
    return checked(option, values.get("method", option.default))


def _made(owner: type, values: Mapping[str, Any]) -> Any:
    """An owner made of those values that are its own; the rest are its defaults."""
    return owner(
        **{
            name: checked(option, values[name])
            for name, option in options_of(owner).items()
            if name in values
        }
    )


def _narrowed(owner: Any, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """An owner whose values without effect are its defaults; none of them was given."""
    without = {}
    for name, option in options_of(type(owner)).items():
        if applies(option, values):
            continue
        if name in given:
            raise refusal(name, [type(owner)])
        without[name] = option.default
    return dataclasses.replace(owner, **without)


def _effective(owner: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: getattr(owner, name)
        for name, option in options_of(type(owner)).items()
        if applies(option, values)
    }


def _values(owners: Mapping[str, Any]) -> dict[str, Any]:
    """The values of made owners, by name."""
    return {name: x for owner in owners.values() for name, x in vars(owner).items()}


def _flattened(nested: Preset) -> dict[str, Any]:
    return {name: value for own in nested.values() for name, value in own.items()}
