"""The best that can be done at the crossing: a dynamic programme over (Δx, Δy)."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import RegularGridInterpolator

from dmaml_jax.envs.intersection import EnvParams, closest, reward


class Optimum(NamedTuple):
    """The programme's solution for one u; positions and speeds are on lattices.

    Attributes:
        delta_x: the lattice of Δx in ascending order, m, `[X]`.
        delta_y: the values of Δy in ascending order, m, `[Y]`.
        speeds: the speeds that vehicle 1 chooses from, m/s, `[A]`.
        returns: the best return of an episode that begins there, `[Y, X]`.
        first_speed: the first speed of that episode, m/s, `[Y, X]`.
    """

    delta_x: np.ndarray
    delta_y: np.ndarray
    speeds: np.ndarray
    returns: np.ndarray
    first_speed: np.ndarray

    def at(self, delta_x: Any, delta_y: Any) -> np.ndarray:
        """Best return from starts anywhere on the grid, interpolated."""
        grid = RegularGridInterpolator((self.delta_y, self.delta_x), self.returns)
        return grid((delta_y, delta_x))


def solve(
    params: EnvParams,
    delta_y: Sequence[float] | np.ndarray | None = None,
    *,
    num_speeds: int = 31,
    horizon: int = 200,
) -> Optimum:
    r"""Best returns by backward induction, exact on the lattice.

    V_t(Δx, Δy) = max_a [r(a, d') + V_{t+1}(Δx', Δy')], where Δx' = Δx − a·dt and
    Δy' = Δy + u·dt, and 0 in place of the bracket on a collision. The speeds are A even
    steps from 0 to the greatest, and Δx a lattice of what one such step moves, so
    vehicle 1 goes from point to point and nothing is interpolated. Δy is nobody's
    choice: it runs its own course from every start. Once a vehicle is farther beyond
    the crossing than the safe distance, all that is left earns what free driving does.

    Args:
        params: the parameters of the task, as numbers and not arrays.
        delta_y: where vehicle 2 may start, in ascending order, m; by default 61 even
            steps from its farthest to its nearest start.
        num_speeds: A, the number of speeds to choose from.
        horizon: H, the number of steps of an episode.

    Returns:
        The solution: what an agent with these speeds can earn at best, a lower bound
        of what any speeds can.

    Example:
        >>> best = solve(EnvParams(u=10.0), [-31.0, -30.0], num_speeds=16)
        >>> print(best.returns.shape, f"{best.at(30.0, -30.5):.1f}")
        (2, 487) 193.8
    """
    p: EnvParams = jax.tree.map(float, params)
    if delta_y is None:
        delta_y = np.linspace(-float(p.max_start_2), -float(p.min_start_2), 61)
    delta_y = np.asarray(delta_y, float)
    speeds = np.linspace(0.0, float(p.max_speed), num_speeds)
    width = speeds[1] * p.dt
    beyond = int(np.ceil(p.safe_distance / width)) + num_speeds
    far = int(np.ceil(p.max_start_1 / width))
    delta_x = width * np.arange(-beyond, far + 1)
    steps = int(np.ceil((p.safe_distance - delta_y.min()) / (p.u * p.dt)))
    returns, choice = _induce(
        p,
        *map(jnp.asarray, (speeds, delta_x, delta_y)),
        jnp.int32(min(steps, horizon)),
        horizon,
    )
    first_speed = speeds[np.asarray(choice)]
    return Optimum(delta_x, delta_y, speeds, np.asarray(returns), first_speed)


@partial(jax.jit, static_argnames="horizon")
def _induce(
    p: Any,
    speeds: jax.Array,
    delta_x: jax.Array,
    delta_y: jax.Array,
    steps: jax.Array,
    horizon: int,
) -> tuple[jax.Array, jax.Array]:
    """`V_0` and its first choices, `[Y, X]`."""
    num_speeds, shape = len(speeds), (len(delta_y), len(delta_x))
    free = jnp.max(reward(speeds, jnp.inf, p))

    def step(back: jax.Array, carry: tuple[jax.Array, jax.Array]):
        after, _ = carry
        time = (steps - 1 - back).astype(delta_y.dtype)
        y = (delta_y + p.u * p.dt * time)[:, None]
        clear = jnp.full((len(delta_y), num_speeds), free * (horizon - 1 - time))
        after = jnp.concatenate([clear, after], axis=1)

        def consider(choice: jax.Array, best: tuple[jax.Array, jax.Array]):
            x, speed = delta_x[None], speeds[choice]
            to_x, to_y = x - speed * p.dt, y + p.u * p.dt
            met = closest(x, y, to_x, to_y) < p.collision_distance
            then = jax.lax.dynamic_slice_in_dim(
                after, num_speeds - choice, shape[1], axis=1
            )
            value = reward(speed, jnp.hypot(to_x, to_y), p) + then
            value = jnp.where(met, 0, value)
            better = value > best[0]
            return (
                jnp.where(better, value, best[0]),
                jnp.where(better, choice, best[1]),
            )

        none = (jnp.full(shape, -jnp.inf), jnp.zeros(shape, jnp.int32))
        return jax.lax.fori_loop(jnp.int32(0), jnp.int32(num_speeds), consider, none)

    last = jnp.full(shape, free * (horizon - steps.astype(delta_y.dtype)))
    return jax.lax.fori_loop(
        jnp.int32(0), steps, step, (last, jnp.zeros(shape, jnp.int32))
    )


def drive(
    params: EnvParams, delta_x: Any, delta_y: Any, speed_of: Any, *, horizon: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Episodes of a fixed way of driving, from many starts at once.

    Args:
        params: the parameters of the task, as numbers and not arrays.
        delta_x: Δx of the starts, m, `[N]`.
        delta_y: Δy of the starts, m, `[N]`.
        speed_of: the way of driving, `(Δx, Δy) -> speed` in m/s.
        horizon: H, the number of steps of an episode.

    Returns:
        Return, and whether it ended in a collision, `[N]`.
    """
    p: Any = jax.tree.map(float, params)
    x, y = np.broadcast_arrays(np.asarray(delta_x, float), np.asarray(delta_y, float))
    total, met = np.zeros(x.shape), np.zeros(x.shape, bool)
    for _ in range(horizon):
        speed = np.clip(speed_of(x, y), 0, p.max_speed)
        to_x, to_y = x - speed * p.dt, y + p.u * p.dt
        met |= np.asarray(closest(x, y, to_x, to_y)) < p.collision_distance
        total += np.where(met, 0, reward(speed, np.hypot(to_x, to_y), p))
        x, y = to_x, to_y
    return total, met


def even_starts(params: EnvParams, num: int = 41) -> tuple[np.ndarray, np.ndarray]:
    """Starts on an even grid over their whole range, Δx and Δy, m, `[num²]`."""
    p: Any = jax.tree.map(float, params)

    def middles(low: float, high: float) -> np.ndarray:
        return low + (high - low) * (np.arange(num) + 0.5) / num

    x, y = np.meshgrid(
        middles(p.min_start_1, p.max_start_1), -middles(p.min_start_2, p.max_start_2)
    )
    return x.ravel(), y.ravel()
