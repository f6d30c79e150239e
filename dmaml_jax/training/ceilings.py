"""What a device reaches at most: a large matrix product, and a large copy."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Ceilings(NamedTuple):
    """Rates that nothing on the devices exceeds.

    Attributes:
        flops: the rate of a matrix product in float32, FLOP/s.
        bytes: the rate of a copy, bytes read plus bytes written, B/s.
    """

    flops: float
    bytes: float


def measured(devices: int = 1) -> Ceilings:
    """Measure both, on the first device that this process has.

    Args:
        devices: how many devices there are: each of them reaches as much, but on a CPU,
            whose devices share its cores.
    """
    on_cpu = jax.local_devices()[0].platform == "cpu"
    times = 1 if on_cpu else devices
    rows, numbers = (1024, 2**24) if on_cpu else (8192, 2**28)
    return Ceilings(
        times * product_rate(rows, "highest", fastest),
        times * copy_rate(numbers, fastest),
    )


Timer = Callable[[Callable[[], jax.Array]], float]
"""From a call to the seconds that it takes."""


def product_rate(rows: int, precision: str, timer: Timer) -> float:
    """FLOP/s of the product of two square matrices in float32.

    Args:
        rows: the number of rows, and of columns, of each matrix.
        precision: the precision, as `jnp.matmul` takes it.
        timer: measures how long a call takes, s.
    """
    key = jax.random.key(0)
    square = jax.random.normal(key, (rows, rows), jnp.float32)
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=precision))
    return 2 * rows**3 / timer(lambda: product(square))


def copy_rate(numbers: int, timer: Timer) -> float:
    """B/s of a copy of so many float32, read and written.

    Args:
        numbers: how many numbers are copied.
        timer: measures how long a call takes, s.
    """
    row = jax.random.normal(jax.random.key(0), (numbers,), jnp.float32)
    # A plain copy might be left out by the compiler; a negated one is as much traffic.
    # In place, as the system hands out new memory more slowly than that.
    negated = jax.jit(jnp.negative, donate_argnums=0)

    def call() -> jax.Array:
        nonlocal row
        row = negated(row)
        return row

    return 2 * 4 * numbers / timer(call)


def fastest(call: Callable[[], jax.Array]) -> float:
    """The seconds of the fastest of ten calls, after one that warms up."""

    def once() -> float:
        begin = time.perf_counter()
        call().block_until_ready()
        return time.perf_counter() - begin

    once()
    return min(once() for _ in range(10))
