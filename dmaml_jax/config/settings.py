"""The settings of a sweep: points of a grid on configurations, grouped by program.

This file imports no JAX.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from dmaml_jax.config.composition import (
    CHOICES,
    TrainConfig,
    assembled,
    is_known,
    refusal,
)
from dmaml_jax.config.grid import OfRange, Point
from dmaml_jax.config.values import Run
from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.options import Option, flag, options_of

_MAY_VARY = {"method", "matmul_precision"}  # of those that belong to the run


Held = Callable[[TrainConfig], Mapping[str, Any]]
"""From a configuration whose choices are taken to values that all of its kind have."""


class Setting(NamedTuple):
    """The values of one setting.

    Attributes:
        config: all values of the setting, whether they vary in the sweep or not.
        swept: names of those that the sweep varies and that have an effect here.
    """

    config: TrainConfig
    swept: tuple[str, ...]


class Group(NamedTuple):
    """Settings that one compiled program trains side by side.

    Attributes:
        numbers: the numbers of the settings, counted from 0.
        varying: names of the values in which they differ.
    """

    numbers: tuple[int, ...]
    varying: tuple[str, ...]


def settings_of(
    bases: Sequence[TrainConfig],
    points: Sequence[Point],
    held: Held = lambda config: {},
) -> tuple[list[Setting], list[str]]:
    """Every base with the values of every point, those that are equal once.

    Args:
        bases: a configuration for each environment and learner.
        points: the values that vary by name, one mapping for each point of the grid.
        held: values that do not, of choices that a point takes.

    Returns:
        The settings, and notes on values that some learners do not have.

    Raises:
        UsageError: a value that no base has, that cannot vary, or is not allowed.
    """
    settings: dict[Any, Setting] = {}
    dropped: dict[str, list[str]] = {}
    used: set[str] = set()
    for base in bases:
        for point in points:
            setting = _setting(base, point, held)
            used.update(setting.swept)
            for name in point:
                algos = dropped.setdefault(name, [])
                if name not in setting.swept and base.run.algo not in algos:
                    algos.append(base.run.algo)
            settings.setdefault(_identity(setting.config), setting)
    for name in dropped:
        if name not in used:
            raise _without_effect(bases[0], name)
    notes = [
        f"note: {name} has no effect in some settings of {', '.join(algos)}, and is "
        "left out there."
        for name, algos in dropped.items()
        if algos
    ]
    names = [name for name in dropped if name in used]
    return [
        # A row of a table that leaves a value as it is has it, too.
        Setting(config, tuple(name for name in names if name in config.flat()))
        for config, _ in settings.values()
    ], notes


def groups_of(settings: Sequence[Setting]) -> list[Group]:
    """Which settings one program can train: those that differ in traced values only."""
    groups: dict[Any, list[int]] = {}
    for number, (config, swept) in enumerate(settings):
        options = _options(config)
        varying = tuple(
            name
            for name in swept
            if options[name].traced and not _is_structure(config, name)
        )
        values = _identity(config, without=varying)
        groups.setdefault((varying, values), []).append(number)
    return [Group(tuple(numbers), varying) for (varying, _), numbers in groups.items()]


def _is_structure(config: TrainConfig, name: str) -> bool:
    """Clipping at 0 is left out of the optimiser, whose state has another form then."""
    return name == "clip_norm" and getattr(config.learner, "clip_norm", 0) == 0


def _setting(base: TrainConfig, point: Point, held: Held) -> Setting:
    """A base with those values of a point that it has, choices first."""
    for name in point:
        _require_may_vary(name)
    chosen = {name: point[name] for name in CHOICES if name in point}
    config = base
    for name, value in chosen.items():
        options = _options(config)
        if name in options:
            read = {name: read_value(options[name], value)}
            config = assembled(config.world, read, kept=config.flat())
    options = _options(config)
    swept = {
        name: read_value(options[name], value)
        for name, value in point.items()
        if name in options
    }
    return Setting(config.replace(**held(config), **swept), tuple(swept))


def _options(config: TrainConfig) -> dict[str, Option]:
    """What has an effect in a configuration, by name."""
    nested = config.nested()
    return {
        name: options_of(type(getattr(config, owner)))[name]
        for owner, own in nested.items()
        for name in own
    }


def _identity(config: TrainConfig, without: Iterable[str] = ()) -> Any:
    values = config.flat()
    return tuple((name, values[name]) for name in sorted(values) if name not in without)


def _require_may_vary(name: str) -> None:
    if name in ("env", "algo"):
        raise UsageError(
            f"--grid has {name}: give several to --{name} instead, as in --{name} A B."
        )
    if name in options_of(Run) and name not in _MAY_VARY:
        raise UsageError(
            f"{flag(name)} cannot vary within a sweep: give it once, beside --grid."
        )


def _without_effect(base: TrainConfig, name: str) -> UsageError:
    owners = [type(getattr(base, owner)) for owner in base.nested()]
    if is_known(name):
        return refusal(name, owners)
    hint = did_you_mean(name, _options(base), str)
    return UsageError(f"There is no value {name!r} to vary.{hint}")


def read_value(option: Option, written: Any) -> Any:
    """A value from how it is written in a grid.

    Args:
        option: whose value it is; widths are written with an x, as in 64x64.
        written: text, a number of a range, of which whole numbers take the nearest
            one, or such a value itself.

    Raises:
        UsageError: it cannot be such a value, or takes several words.
    """
    kind = option.type
    if get_origin(kind) is tuple and get_args(kind)[0] is str:
        raise UsageError(
            f"{option.flag} takes several words and cannot vary within a sweep: give "
            "it once, beside --grid."
        )
    if type(None) in get_args(kind) and written == "None":
        return None
    try:
        return _as(kind, written)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{option.flag} is {written}, but it must be {option.words}."
        ) from None


def _as(kind: Any, written: Any) -> Any:
    if isinstance(written, tuple | list):
        return tuple(written)
    if get_origin(kind) is tuple:
        return tuple(_as(int, part) for part in str(written).split("x"))
    if get_origin(kind) is Literal or kind is str:
        return written
    if kind is bool:
        return {"True": True, "False": False}.get(written, written)
    if kind is int and isinstance(written, OfRange):
        return round(written)
    if isinstance(written, str):
        return kind(written) if kind is int else float(written)
    return float(written) if isinstance(written, OfRange) else written
