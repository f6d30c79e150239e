"""Gates of the pre-step, rule by rule."""

import jax.numpy as jnp
import numpy as np

from dmaml_jax.learners.gates import always, unless_opposed, until_plateau
from dmaml_jax.types import Info

PARAMS = np.array([1.0, -2.0])


def info(value: float = 0.0, gradient=(0.0, 0.0)) -> Info:
    return Info(
        meta_gradient=jnp.asarray(gradient),
        loss=jnp.zeros(()),
        return_before=jnp.zeros(()),
        return_after=jnp.asarray(value),
        num_steps=jnp.int32(0),
    )


def test_always() -> None:
    gate = always()
    assert gate.is_open(gate.update(gate.init(PARAMS), info(-1.0)), PARAMS)


def opened(returns, **options) -> list[bool]:
    """Whether the gate was open before each epoch."""
    gate = until_plateau(**options)
    memory, found = gate.init(PARAMS), []
    for value in returns:
        found.append(bool(gate.is_open(memory, PARAMS)))
        memory = gate.update(memory, info(float(value)))
    return found


def test_a_plateau_shuts_it_for_good() -> None:
    """Three epochs without a rise of 1 %; what comes later changes nothing."""
    returns = [10, 20, 30, 30, 30, 30, 30, 500, 500]
    found = opened(returns, patience=3, factor=0.0)
    assert found == [True] * 6 + [False] * 3


def test_a_rising_return_keeps_it_open() -> None:
    assert all(opened(1.02 ** np.arange(100), patience=2, factor=0.0))
    assert not all(opened(1.005 ** np.arange(100), patience=1, factor=0.0))


def test_a_negative_return_may_rise_too() -> None:
    found = opened([-100, -90, -80, -80, -80, -80], patience=2, factor=0.0)
    assert found == [True, True, True, True, True, False]


def test_the_return_is_smoothed() -> None:
    """EMA 0.9 of 0, 10, 10, …: rising for many epochs after the jump."""
    found = opened([0.0] + [10.0] * 60, patience=5)
    smoothed = 10 * (1 - 0.9 ** np.arange(61))
    rises = smoothed[1:] > 1.01 * smoothed[:-1]
    last_rise = int(np.flatnonzero(rises).max()) + 1
    assert last_rise > 15
    assert all(found[: last_rise + 1])
    assert not found[-1]


def test_opposed_pre_steps_are_skipped() -> None:
    gate = unless_opposed()
    memory = gate.init(PARAMS)
    assert gate.is_open(memory, PARAMS)  # there is no last meta-gradient yet
    memory = gate.update(memory, info(gradient=(1.0, 1.0)))
    assert not gate.is_open(memory, PARAMS)
    assert gate.is_open(memory, -PARAMS)
