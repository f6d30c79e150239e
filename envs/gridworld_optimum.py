"""The gridworld solved exactly: the best search for the goal over a trial's episodes.

An agent that does not know the goal learns nothing from a step but whether the goal is
in the cell where the step ends. Until it has found the goal, all it can do is to follow
one fixed path; afterwards it walks straight to the goal and stays. So the best agent is
the best path, which is a problem without chance and is solved here by enumeration.
"""

from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.envs.gridworld import SIDE, EnvParams


class Search(NamedTuple):
    """The best path of a trial of n episodes, and what it earns.

    Attributes:
        total: the expected return of the whole trial, the mean over all goals.
        episodes: the expected return of each episode along this path, `[n]`. Another
            path of the same total may divide it otherwise.
        paths: the cells `(x, y)` of each episode as long as the goal has not been
            found, `[n, H + 1, 2]`.
    """

    total: float
    episodes: np.ndarray
    paths: np.ndarray


def best_search(num_episodes: int, *, side: int = SIDE, num_steps: int = 15) -> Search:
    r"""The Bayes-optimal search over n episodes with the same hidden goal.

    A goal g that is first entered in step τ of episode e earns, over the whole trial,

    w(e, τ, g) = −c H (e − 1) + R(τ) + (n − e) R(d_g),
    R(d) = r (H − d + 1) − c (d − 1),

    with r the goal's reward, c the cost of any other step, d_g the steps from the start
    to g, and R(d) the return of an episode that enters the goal in step d and stays. A
    goal that is never entered earns −c H n. The sum of w over all goals is maximised.

    Episode 1 is enumerated forwards: every set of cells that H steps can enter, with
    the greatest sum of w. From such a set the later episodes are solved by backward
    induction over the subsets of the cells that remain. The sets are taken in the order
    of an upper bound, which lets episode 2 enter every one of these cells on the
    shortest way, until no bound is above the best path: the result is the optimum.

    Args:
        num_episodes: n, the number of episodes.
        side: the number of cells along a side of the grid.
        num_steps: H, the number of steps of an episode, enough to come to every cell.

    Returns:
        The best path and its returns.

    Raises:
        ValueError: some cell is too far away to be entered within an episode.
    """
    if num_steps < 2 * (side - 1):
        raise ValueError(
            f"{num_steps} steps do not lead to every cell of a grid of {side} x {side}:"
            f" give {2 * (side - 1)} or more."
        )
    world = _World(side, num_steps, num_episodes)
    layers = _first_episode(world)
    sets, firsts = _greatest(layers[-1][0] // side**2, layers[-1][1])
    bounds = firsts + _bound(world, sets)
    best, found = -np.inf, 0
    for index in np.argsort(-bounds, kind="stable").tolist():
        if bounds[index] <= best:
            break
        total = firsts[index] + _Later(world, int(sets[index])).total
        if total > best:
            best, found = total, index
    first = _path_back(world, layers, int(sets[found]))
    paths = [first, *_Later(world, int(sets[found])).paths()]
    cells = world.cells[np.array(paths)]
    return Search(
        float(best) / len(world.goals), _returns(world, np.array(paths)), cells
    )


class _World:
    """The grid as tables over the numbers of its cells, and the worth w of goals."""

    def __init__(self, side: int, num_steps: int, num_episodes: int) -> None:
        task, steps = EnvParams(), np.arange(num_steps + 1)
        cost, reward = float(task.step_cost), float(task.goal_reward)
        self.num_steps, self.num_episodes = num_steps, num_episodes
        self.cells = np.array([(x, y) for x in range(side) for y in range(side)])
        self.goals = np.flatnonzero(self.cells.max(1) > 1)
        self.distance = self.cells.sum(1)
        # A path gains nothing by staying: without that step it enters each cell sooner,
        # and the time left over can be spent in cells that it knows.
        moved = self.cells[:, None] + np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
        inside = np.all((moved >= 0) & (moved < side), axis=2)
        self.neighbours = np.where(inside, moved @ np.array([side, 1]), -1)
        self.bits = np.zeros(side**2, np.int64)
        self.bits[self.goals] = 1 << np.arange(len(self.goals))
        self.entered = reward * (num_steps - steps + 1) - cost * (steps - 1)  # R
        self.missed = -cost * num_steps

    def worth(self, episode: int, step: Any, cells: np.ndarray) -> np.ndarray:
        """The sums w of cells first entered in a step of an episode, both from 1."""
        later = (self.num_episodes - episode) * self.entered[self.distance[cells]]
        return self.missed * (episode - 1) + self.entered[step] + later

    @property
    def never(self) -> float:
        """What a goal earns that is never entered."""
        return self.missed * self.num_episodes


_Layer = tuple[np.ndarray, np.ndarray]
"""Keys, each a set of cells times the number of cells plus a place, and sums of w."""


def _first_episode(world: _World) -> list[_Layer]:
    """Every set and place after 0 … H steps, with the greatest sum of w so far."""
    num = len(world.cells)
    layers = [(np.zeros(1, np.int64), np.zeros(1))]
    for step in range(1, world.num_steps + 1):
        keys, sums = layers[-1]
        entered, places = np.divmod(keys, num)
        reached = []
        for moved in world.neighbours[places].T:
            there = moved >= 0
            before, place = entered[there], moved[there]
            bits = world.bits[place]
            gain = np.where(bits & ~before, world.worth(1, step, place), 0.0)
            reached.append(((before | bits) * num + place, sums[there] + gain))
        layers.append(_greatest(*map(np.concatenate, zip(*reached, strict=True))))
    return layers


def _greatest(keys: np.ndarray, sums: np.ndarray) -> _Layer:
    """Each key once, in ascending order, with the greatest of its sums."""
    order = np.lexsort((-sums, keys))
    keys, sums = keys[order], sums[order]
    first = np.append(True, keys[1:] != keys[:-1])
    return keys[first], sums[first]


def _path_back(world: _World, layers: list[_Layer], entered: int) -> list[int]:
    """The path of episode 1 that enters a set of cells with the greatest sum of w."""
    num = len(world.cells)
    keys, sums = layers[-1]
    ends = np.flatnonzero(keys // num == entered)
    end = ends[np.argmax(sums[ends])]
    key, total, path = int(keys[end]), sums[end], [int(keys[end]) % num]
    for step in range(world.num_steps, 0, -1):
        before, place = divmod(key, num)
        bit = int(world.bits[place])
        keys, sums = layers[step - 1]
        for earlier, gain in (
            (before, 0.0),
            (before & ~bit, float(world.worth(1, step, np.array(place)))),
        ):
            wanted = earlier * num + world.neighbours[place]
            index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            fits = (keys[index] == wanted) & (world.neighbours[place] >= 0)
            fits &= np.isclose(sums[index] + gain, total, rtol=0, atol=1e-9)
            if (gain == 0 or bit & before) and fits.any():
                at = index[fits][0]
                key, total = int(keys[at]), sums[at]
                break
        path.append(key % num)
    return path[::-1]


def _bound(world: _World, sets: np.ndarray) -> np.ndarray:
    """What no path exceeds in the sum of w after episode 1 has entered a set of cells.

    Every cell that remains counts as if episode 2 entered it on the shortest way.
    """
    if world.num_episodes == 1:
        soonest = np.full(len(world.goals), world.never)
    else:
        soonest = world.worth(2, world.distance[world.goals], world.goals)
    return ((sets[:, None] & world.bits[world.goals]) == 0) @ soonest


class _Later:
    """The best episodes after the first, by backward induction.

    Attributes:
        total: the greatest sum of w of the cells that episode 1 has not entered.
    """

    def __init__(self, world: _World, entered: int) -> None:
        left = world.goals[(world.bits[world.goals] & ~entered) != 0]
        subsets = np.arange(1 << len(left))
        self.world, self.choices = world, list[np.ndarray]()
        self.bits = np.zeros(len(world.cells), np.int64)
        self.bits[left] = 1 << np.arange(len(left))
        there = (subsets[:, None] & self.bits) != 0  # [subsets, cells]
        without = subsets[:, None] & ~self.bits
        places = np.arange(len(world.cells))
        walls = world.neighbours < 0
        ends = world.never * np.bitwise_count(subsets).astype(float)
        for episode in range(world.num_episodes, 1, -1):
            values = np.repeat(ends[:, None], len(places), axis=1)
            for step in range(world.num_steps, 0, -1):
                gain = world.worth(episode, step, places)
                moved = values[without, places] + there * gain
                options = np.where(walls, -np.inf, moved[:, world.neighbours])
                choice = options.argmax(axis=2)
                self.choices.append(choice.astype(np.int8))
                values = np.take_along_axis(options, choice[..., None], 2)[..., 0]
            ends = values[:, 0]
        self.total = float(ends[-1])

    def paths(self) -> list[list[int]]:
        """The places of every later episode."""
        choices, subset, paths = self.choices[::-1], -1, []
        for start in range(0, len(choices), self.world.num_steps):
            path = [0]
            for choice in choices[start : start + self.world.num_steps]:
                place = int(self.world.neighbours[path[-1], choice[subset, path[-1]]])
                subset = (len(choice) + subset) % len(choice) & ~int(self.bits[place])
                path.append(place)
            paths.append(path)
        return paths


def _returns(world: _World, paths: np.ndarray) -> np.ndarray:
    """The mean return of each episode over all goals, `[n]`.

    Args:
        world: the grid.
        paths: the places of each episode before the goal is found, `[n, H + 1]`.
    """
    returns = np.full((len(world.goals), len(paths)), world.missed)
    for row, goal in enumerate(world.goals.tolist()):
        episodes, steps = np.nonzero(paths == goal)
        if len(episodes):
            returns[row, episodes[0]] = world.entered[steps[0]]
            returns[row, episodes[0] + 1 :] = world.entered[world.distance[goal]]
    return returns.mean(0)
