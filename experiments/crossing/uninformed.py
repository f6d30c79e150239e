"""The best way to drive over a crossing for one who does not know u.

Coordinate ascent over tables of speeds on the grid of (Δx, Δy): what adaptation is
worth is the difference to the optimum that knows u.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.envs.intersection import EnvParams, closest, reward

_WIDTH_X, _WIDTH_Y = 0.1, 0.5  # m; a speed step of 1 m/s moves 0.1 m
_MARGIN = 0.3  # m beside the collision distance, as tables are looked up at the nearest


class _Grid(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    speeds: np.ndarray


def best_table(
    us: Sequence[float], *, num_sweeps: int = 40
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A way of driving `(Δx, Δy) -> speed` with a high mean return over all u.

    Every sweep looks at each Δy from behind the crossing backwards and takes at each Δx
    the speed with the greatest value, averaged over u by how often the table of the
    sweep before came there. Of all the tables met, that with the best mean wins.

    Args:
        us: speeds of vehicle 2, equally likely, m/s.
        num_sweeps: of the ascent, from each of two first tables.
    """
    p: Any = EnvParams(collision_distance=5.0 + _MARGIN)
    grid = _Grid(
        _WIDTH_X * np.arange(-140, 351),
        np.arange(-p.max_start_2, p.safe_distance + _WIDTH_Y / 2, _WIDTH_Y),
        np.arange(0.0, p.max_speed + 0.5),
    )
    models = [_model(p, grid, u) for u in us]
    best, best_value = None, -np.inf
    shape = (len(grid.y), len(grid.x))
    for weights in (np.ones((len(us), *shape)), None):
        table = np.full(shape, 10)
        for _ in range(num_sweeps):
            visits = weights if weights is not None else _visits(grid, models, table)
            weights = None
            table, value = _sweep(p, grid, models, visits)
            if value > best_value:
                best, best_value = table, value
    assert best is not None

    def speed_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        row = np.clip(np.rint((y - grid.y[0]) / _WIDTH_Y), 0, len(grid.y) - 1)
        column = np.clip(np.rint((x - grid.x[0]) / _WIDTH_X), 0, len(grid.x) - 1)
        clear = (x < grid.x[0]) | (y > grid.y[-1])
        chosen = grid.speeds[best[row.astype(int), column.astype(int)]]
        return np.where(clear, p.desired_speed, chosen)

    return speed_of


class _Model(NamedTuple):
    """One u: what a step costs, `[Y, X, A]`, and where it leads.

    A step is at most 1 below the best; a collision costs all that was left.
    """

    cost: np.ndarray
    met: np.ndarray
    rows: float


def _model(p: Any, grid: _Grid, u: float) -> _Model:
    x, y = grid.x[None, :, None], grid.y[:, None, None]
    to_x, to_y = x - grid.speeds * p.dt, y + u * p.dt
    met = np.asarray(closest(x, y, to_x, to_y)) < p.collision_distance
    cost = 1 - np.asarray(reward(grid.speeds, np.hypot(to_x, to_y), p))
    start = -(p.min_start_2 + p.max_start_2) / 2
    left = 200 - np.clip((y - start) / (u * p.dt), 0, 200)
    return _Model(np.where(met, left, cost), met, u * p.dt / _WIDTH_Y)


def _next(grid: _Grid, model: _Model, row: int) -> list[tuple[int, float]]:
    """Rows that a step leads to, with their shares; those beyond are clear."""
    below = int(np.floor(row + model.rows))
    share = row + model.rows - below
    pairs = [(below, 1 - share), (below + 1, share)]
    return [(j, w) for j, w in pairs if j < len(grid.y) and w > 1e-9]


def _columns(grid: _Grid) -> np.ndarray:
    """Column after a step at each speed, `[X, A]`; below 0 it is clear."""
    return np.arange(len(grid.x))[:, None] - np.arange(len(grid.speeds))


def _sweep(
    p: Any, grid: _Grid, models: Sequence[_Model], visits: np.ndarray
) -> tuple[np.ndarray, float]:
    """A table that is greedy for weighted values, and its mean return."""
    shape = (len(grid.y), len(grid.x))
    table = np.zeros(shape, int)
    values = np.zeros((len(models), *shape))
    columns = _columns(grid)
    inside = columns >= 0
    for row in reversed(range(len(grid.y))):
        ahead = np.empty((len(models), len(grid.x), len(grid.speeds)))
        for index, model in enumerate(models):
            then = sum(
                (share * values[index, j] for j, share in _next(grid, model, row)),
                np.zeros(len(grid.x)),
            )
            then = np.where(inside, then[np.maximum(columns, 0)], 0)
            stays = np.where(model.met[row], 0, then)
            ahead[index] = model.cost[row] + stays
        weights = visits[:, row, :, None] + 1e-6
        table[row] = np.argmin((weights * ahead).sum(axis=0), axis=1)
        for index in range(len(models)):
            values[index, row] = ahead[index, np.arange(len(grid.x)), table[row]]
    starts = values[:, _rows_of_starts(p, grid)][..., _columns_of_starts(p, grid)]
    return table, 200 - float(starts.mean())


def _visits(grid: _Grid, models: Sequence[_Model], table: np.ndarray) -> np.ndarray:
    """How often each point is passed, from even starts, `[U, Y, X]`."""
    p: Any = EnvParams()
    found = np.zeros((len(models), *table.shape))
    for index, model in enumerate(models):
        weight = found[index]
        weight[np.ix_(_rows_of_starts(p, grid), _columns_of_starts(p, grid))] += 1
        for row in range(len(grid.y)):
            columns = np.arange(len(grid.x))
            going = ~model.met[row, columns, table[row]]
            to = columns - table[row]
            keep = going & (to >= 0)
            for j, share in _next(grid, model, row):
                np.add.at(weight[j], to[keep], share * weight[row, keep])
    return found / found.sum(axis=(1, 2), keepdims=True)


def _rows_of_starts(p: Any, grid: _Grid) -> np.ndarray:
    return np.flatnonzero((grid.y >= -p.max_start_2) & (grid.y <= -p.min_start_2))


def _columns_of_starts(p: Any, grid: _Grid) -> np.ndarray:
    return np.flatnonzero((grid.x >= p.min_start_1) & (grid.x <= p.max_start_1))
