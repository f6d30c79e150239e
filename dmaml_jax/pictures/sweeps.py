"""The picture of a sweep: the best curves, and returns against what was varied."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from dmaml_jax.pictures.plots import plt, save
from dmaml_jax.statistics import Interval

_COLOURS = "viridis"
_FINAL = "final return, interquartile mean"


def draw_sweep(
    settings: Sequence[Mapping[str, Any]],
    finals: Sequence[Interval],
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    path: Path,
    *,
    swept: Sequence[str],
) -> None:
    """Draw curves of the best settings, and every setting's return at the end.

    One value that varies gives a line with intervals, two a map if most of its cells
    have a setting, anything else parallel axes.

    Args:
        settings: for each setting its values by name, `env` and `algo` among them; a
            value without effect there is empty.
        finals: each setting's return at the end, with its confidence interval.
        curves: `(mean, low, high)` by epoch of the best, by label.
        path: the PNG file to write.
        swept: names of the values that vary.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 4.8), dpi=130, layout="constrained"
    )
    for index, (label, (mean, low, high)) in enumerate(curves.items()):
        epochs = np.arange(1, len(mean) + 1)
        left.plot(epochs, mean, color=f"C{index}", linewidth=1.8, label=label)
        left.fill_between(epochs, low, high, color=f"C{index}", alpha=0.15, linewidth=0)
    title = f"the best {len(curves)}" if len(curves) > 1 else "the best"
    if len({len(mean) for mean, _, _ in curves.values()}) > 1:
        title += "; a curve ends where its setting was dropped"
    left.set(
        title=title,
        xlabel="epoch",
        ylabel="return after adaptation (EMA 0.9)\ninterquartile mean, 95 % interval",
    )
    left.grid(alpha=0.25)
    left.legend(frameon=False, fontsize="x-small")
    several = [n for n in ("env", "algo") if len({own[n] for own in settings}) > 1]
    axes = [*several, *swept]
    finite = [own for own in finals if np.isfinite(own.value)]
    if not finite:
        right.text(0.5, 0.5, "no lane is left alive", ha="center")
    elif len(axes) <= 1:
        _line(right, settings, finals, (axes or ["algo"])[0])
    elif len(axes) == 2 and _is_filled(settings, axes):
        _map(figure, right, settings, finals, axes)
    else:
        _parallel(figure, right, settings, finals, axes)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _places(settings: Sequence[Mapping[str, Any]], name: str) -> tuple[list[Any], Any]:
    """The different values of a name in order, and where each setting stands."""
    values = sorted({own[name] for own in settings}, key=_order)
    return values, np.array([values.index(own[name]) for own in settings])


def _is_filled(settings: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bool:
    """Whether a map of two values has more cells with a setting than without."""
    cells = {tuple(own[name] for name in names) for own in settings}
    sizes = [len(_places(settings, name)[0]) for name in names]
    return 2 * len(cells) > sizes[0] * sizes[1]


def _order(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, str(value)


def _word(value: Any) -> str:
    if value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(axes: Any, settings: Any, finals: Sequence[Interval], name: str) -> None:
    values, places = _places(settings, name)
    order = np.argsort(places)
    middle, low, high = np.array(finals)[order].T
    # An interval may end a rounding short of its middle.
    spread = np.nan_to_num(np.stack([middle - low, high - middle])).clip(min=0)
    axes.errorbar(places[order], middle, spread, fmt="o-", capsize=3)
    axes.set(xlabel=name, ylabel=f"{_FINAL}, 95 % interval")
    axes.set_xticks(range(len(values)), [_word(v) for v in values], rotation=30)
    axes.grid(alpha=0.25)


def _map(
    figure: Any,
    axes: Any,
    settings: Any,
    finals: Sequence[Interval],
    names: Sequence[str],
) -> None:
    (below, columns), (beside, rows) = (_places(settings, name) for name in names)
    table = np.full((len(beside), len(below)), np.nan)
    for row, column, final in zip(rows, columns, finals, strict=True):
        table[row, column] = np.fmax(table[row, column], final.value)
    image = axes.imshow(table, origin="lower", aspect="auto", cmap=_COLOURS)
    if table.size <= 100:
        middle = (np.nanmin(table) + np.nanmax(table)) / 2
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                colour = "white" if value < middle else "black"
                axes.text(
                    column, row, f"{value:.3g}", ha="center", va="center", color=colour
                )
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_xticks(range(len(below)), [_word(v) for v in below], rotation=30)
    axes.set_yticks(range(len(beside)), [_word(v) for v in beside])
    figure.colorbar(image, ax=axes, label=_FINAL)


def _parallel(
    figure: Any,
    axes: Any,
    settings: Any,
    finals: Sequence[Interval],
    names: Sequence[str],
) -> None:
    returns = np.array([final.value for final in finals])
    low, high = np.nanmin(returns), np.nanmax(returns)
    colours = plt.get_cmap(_COLOURS)((returns - low) / max(high - low, 1e-12))
    heights = []
    for index, name in enumerate(names):
        values, places = _places(settings, name)
        heights.append((places + 0.5) / len(values))
        for place in _few(len(values)):
            text = _word(values[place])
            height = (place + 0.5) / len(values)
            axes.text(index + 0.03, height, text, fontsize="x-small", va="center")
        axes.axvline(index, color="0.7", linewidth=1)
    across = np.array(heights).T
    for row in reversed(range(len(across))):  # the best on top
        axes.plot(across[row], color=colours[row], alpha=0.8, linewidth=1.2)
    axes.set_xticks(range(len(names)), names, rotation=15)
    axes.set(yticks=[], ylim=(0, 1))
    scale = ScalarMappable(Normalize(low, high), _COLOURS)
    figure.colorbar(scale, ax=axes, label=_FINAL)


def _few(count: int) -> list[int]:
    """At most eight places, evenly spread."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, 8))})
