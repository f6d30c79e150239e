"""Which settings are kept at a rung of successive halving."""

from collections.abc import Callable, Sequence

import numpy as np

from dmaml_jax.statistics import ema, interquartile_mean
from dmaml_jax.sweeps.folder import Sweep

Rows = Callable[[int], tuple[list[str], list[list[list[str]]]]]
"""From a setting's number to its columns, and the rows of each of its seeds."""


def can_halve(sweep: Sweep, settings: Sequence[int]) -> bool:
    """Whether an environment has more than one setting left."""
    return max(map(len, _by_env(sweep, settings))) > 1


def best_of(sweep: Sweep, settings: Sequence[int], rows_of: Rows) -> list[int]:
    """The settings that are kept: of each environment the best.

    Args:
        sweep: the sweep, which says how many.
        settings: the numbers of those in training.
        rows_of: what they have shown so far.
    """
    kept = []
    for own in _by_env(sweep, settings):
        finals = np.array([_finals(rows_of(number)) for number in own])
        count = -(-len(own) // sweep.halve)
        kept += [own[index] for index in ranked(finals)[:count]]
    return sorted(kept)


def ranked(finals: np.ndarray) -> list[int]:
    """Settings from the best to the worst.

    Args:
        finals: the smoothed return of each setting's seeds, `[settings, seeds]`; NaN,
            of a frozen seed, is taken for the lowest number of all.
    """
    alive = np.isfinite(finals)
    worst = np.min(finals, where=alive, initial=np.inf)
    filled = np.where(alive, finals, worst if alive.any() else 0)
    return list(np.argsort(-interquartile_mean(filled), kind="stable"))


def _by_env(sweep: Sweep, settings: Sequence[int]) -> list[list[int]]:
    """The settings of each environment."""
    found: dict[str, list[int]] = {}
    for number in settings:
        env = sweep.settings[number].config.run.env
        found.setdefault(env, []).append(number)
    return list(found.values())


def _finals(found: tuple[list[str], list[list[list[str]]]]) -> np.ndarray:
    """The smoothed return of a setting's seeds."""
    columns, rows = found
    place = columns.index("return_after")
    curves = [[float(row[place] or "nan") for row in own] for own in rows]
    return ema(np.array(curves).T)[-1]
