"""Distributions of one environment parameter."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

Quantile = Callable[[jax.Array], jax.Array]


class Law(NamedTuple):
    """How one parameter varies from task to task: its quantile function, and more.

    Attributes:
        quantile: `(u) -> value`, of which a share u of all draws is no greater (of a
            mixture: part by part); at u uniform in [0, 1) it is a draw.
        mean: the expectation of the parameter.
        medium: the value that the medium task takes: the mean, or a medoid where there
            may be no value near the mean.
        low: the least value that it takes.
        high: the greatest value that it takes.
        held_out: the quantile function for testing: of a finite list that of the part
            which training never sees, else `quantile` itself.
        whole: whether all values are whole numbers.
    """

    quantile: Quantile
    mean: float
    medium: float
    low: float
    high: float
    held_out: Quantile
    whole: bool = False


def between(low: float, high: float) -> Law:
    """Uniform on [low, high]; the mean is its middle.

    Raises:
        ValueError: the range is reversed or not finite.
    """
    _check_range(low, high)

    def quantile(u: jax.Array) -> jax.Array:
        return low + (high - low) * u

    middle = (low + high) / 2
    return Law(quantile, middle, middle, low, high, quantile)


def log_between(low: float, high: float) -> Law:
    r"""Uniform in the logarithm, for scales: E φ = (high − low) / log(high / low).

    Raises:
        ValueError: the range is reversed, not finite or not above 0.
    """
    _check_range(low, high)
    if low <= 0:
        raise ValueError(
            f"a logarithmic range must lie above 0, but it begins at {low:g}"
        )
    logs = between(float(np.log(low)), float(np.log(high)))

    def quantile(u: jax.Array) -> jax.Array:
        # Rounding must not lead out of the range.
        return jnp.clip(jnp.exp(logs.quantile(u)), low, high)

    mean = low if low == high else (high - low) / float(np.log(high / low))
    return Law(quantile, mean, mean, low, high, quantile)


def normal_between(mean: float, deviation: float, low: float, high: float) -> Law:
    r"""Normal, truncated to [low, high].

    With a = (low − μ)/σ, b = (high − μ)/σ and the standard normal's density p and
    distribution function P: E φ = μ + σ (p(a) − p(b)) / (P(b) − P(a)).

    Args:
        mean: μ of the normal before it is truncated.
        deviation: σ of the normal before it is truncated.
        low: the least value, at which it is cut off.
        high: the greatest value, at which it is cut off.

    Raises:
        ValueError: the range is reversed or not finite, the deviation is not above 0,
            the range is more than 5 deviations away from the mean, or too narrow for
            the normal to show.
    """
    _check_range(low, high)
    if not 0 < deviation < float("inf"):
        raise ValueError(f"a deviation must be above 0, but it is {deviation:g}")
    a, b = (low - mean) / deviation, (high - mean) / deviation
    if not (a <= 5 and b >= -5):
        raise ValueError(
            f"the range {low:g}:{high:g} lies more than 5 deviations of {deviation:g} "
            f"away from the mean {mean:g}"
        )
    if low == high:
        return between(low, high)

    # On the side where the distribution function is not close to 1.
    side = -1.0 if a + b > 0 else 1.0
    ends = sorted((side * a, side * b))
    below = float(special.ndtr(ends[0]))
    mass = float(special.ndtr(ends[1])) - below

    if mass < 1e-4 * (below + mass):
        raise ValueError(
            f"over {low:g}:{high:g} a normal of deviation {deviation:g} hardly varies: "
            "write LOW:HIGH alone"
        )

    def quantile(u: jax.Array) -> jax.Array:
        share = u if side > 0 else 1 - u
        standard = side * jax.scipy.special.ndtri(below + mass * share)
        return jnp.clip(mean + deviation * standard, low, high)

    density = [float(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)) for x in (a, b)]
    centre = mean + deviation * (density[0] - density[1]) / mass
    return Law(quantile, centre, centre, low, high, quantile)


def one_of(values: Sequence[float], *, held_out: float = 0.0, seed: int = 0) -> Law:
    """One of a list, each equally likely; whole numbers stay whole.

    The medium value is the list's lower median: it is on the list, and no other is
    nearer to all on average.

    Args:
        values: the values of the list, no two alike.
        held_out: the share of the list that is kept for `Law.held_out` and never drawn
            else. It is the same part for the same values, in whatever order, and seed.
        seed: the seed of the split, which depends on nothing else.

    Raises:
        ValueError: the list is empty or has a value twice, one is not finite, or the
            share leaves nothing to train on.
    """
    listed = np.asarray(sorted(values), np.float64)
    if not len(listed):
        raise ValueError("a list needs at least one value")
    if len(set(listed.tolist())) < len(listed):
        raise ValueError("a list must not name a value twice")
    if not np.isfinite(listed).all():
        raise ValueError("a list's values must be finite numbers")
    train, test = split(len(listed), held_out, seed)
    kept = listed[train]

    def quantile(values: np.ndarray) -> Quantile:
        def of(u: jax.Array) -> jax.Array:
            index = jnp.floor(u * len(values)).astype(jnp.int32)
            return jnp.asarray(values, u.dtype)[jnp.clip(index, 0, len(values) - 1)]

        return of

    median = kept[(len(kept) - 1) // 2].item()
    other = quantile(listed[test] if len(test) else kept)
    ends = listed[0].item(), listed[-1].item()
    whole = bool((listed == np.round(listed)).all())
    return Law(quantile(kept), float(kept.mean()), median, *ends, other, whole)


def any_of(laws: Sequence[Law], weights: Sequence[float] | None = None) -> Law:
    """A mixture of laws, whose medium value is a medoid.

    The mean of a mixture may be far from every value. The medium value is the weighted
    lower median of the parts' own: none of them is nearer to all on average.

    Args:
        laws: the laws that are mixed.
        weights: the probabilities of the parts, up to a factor; equal by default.

    Raises:
        ValueError: no parts, or weights that are not one positive number for each.
    """
    shares = probabilities(len(laws), weights)

    ends = np.cumsum(shares)

    def mixed(parts: Sequence[Quantile]) -> Quantile:
        def of(u: jax.Array) -> jax.Array:
            edges = jnp.asarray(ends, u.dtype)
            part = jnp.clip(jnp.sum(u >= edges, dtype=jnp.int32), 0, len(parts) - 1)
            widths = jnp.asarray(shares, u.dtype)
            # What is left of u within its part is uniform again.
            inside = jnp.clip((u - edges[part]) / widths[part] + 1, 0, 1)
            return jnp.stack([quantile(inside) for quantile in parts])[part]

        return of

    middles = np.array([law.medium for law in laws])
    order = np.argsort(middles)
    half = np.searchsorted(np.cumsum(shares[order]), 0.5 - 1e-12)
    return Law(
        mixed([law.quantile for law in laws]),
        float(np.dot(shares, [law.mean for law in laws])),
        middles[order[half]].item(),
        min(law.low for law in laws),
        max(law.high for law in laws),
        mixed([law.held_out for law in laws]),
        all(law.whole for law in laws),
    )


def probabilities(num: int, weights: Sequence[float] | None) -> np.ndarray:
    """Weights that sum to 1; equal ones by default.

    Raises:
        ValueError: nothing to weigh, or not one positive finite weight for each.
    """
    if not num:
        raise ValueError("a mixture needs at least one part")
    shares = np.ones(num) if weights is None else np.asarray(weights, float)
    if shares.shape != (num,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise ValueError(f"weights must be {num} positive numbers, one for each part")
    return shares / shares.sum()


def split(num: int, held_out: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0 … num − 1 in two disjoint parts, of which the second is held out.

    Raises:
        ValueError: the share is not in [0, 1), or leaves nothing to train on.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"the held-out share must be from 0 below 1, not {held_out}")
    count = int(np.ceil(held_out * num))
    if count >= num:
        raise ValueError(
            f"holding {held_out:g} of {num} out leaves nothing to train on"
        )
    shuffled = np.random.default_rng(seed).permutation(num)
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])


def _check_range(low: float, high: float) -> None:
    if not -float("inf") < low <= high < float("inf"):
        raise ValueError(
            f"its range is {low:g}:{high:g}, but it must be LOW:HIGH with finite "
            "LOW <= HIGH"
        )
