"""The networks of policies with a memory: one step against whole sequences."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.rl.memory_policies import Network
from dmaml_jax.rl.recurrent import gru, gru_step, orthogonal
from dmaml_jax.rl.temporal_convolution import snail

LENGTH, INPUTS = 5, 3


def moved(params: Any) -> Any:
    return jax.tree.map(
        lambda x: np.asarray(
            x + 0.3 * np.cos(np.arange(x.size)).reshape(x.shape), x.dtype
        ),
        jax.device_get(params),
    )


def stepwise(network: Network, params: Any, xs: jax.Array) -> jax.Array:
    def one(memory: Any, x: jax.Array) -> Any:
        return network.step(params, memory, x)

    return jax.jit(lambda xs: jax.lax.scan(one, network.memory(), xs)[1])(xs)


def made(network: Network, length: int = LENGTH) -> tuple[Any, jax.Array]:
    params = moved(jax.jit(network.init, static_argnums=1)(jax.random.key(0), INPUTS))
    dtype = jnp.result_type(float)
    return params, jax.random.normal(jax.random.key(1), (length, INPUTS), dtype)


NETWORKS = {
    "gru": lambda: gru(2, 6, (4,)),
    "snail": lambda: snail(2, LENGTH, 4),
    "one step": lambda: snail(2, 1, 4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_pass_is_the_steps_one_after_the_other(name: str) -> None:
    network = NETWORKS[name]()
    params, xs = made(network, 1 if name == "one step" else LENGTH)
    whole = jax.jit(network.unroll)(params, xs)
    assert whole.shape == (len(xs), 2)
    np.testing.assert_allclose(stepwise(network, params, xs), whole, rtol=0, atol=1e-10)


@pytest.mark.float32
def test_so_it_is_in_single_precision() -> None:
    network = NETWORKS["snail"]()
    params, xs = made(network)
    np.testing.assert_allclose(
        stepwise(network, params, xs),
        jax.jit(network.unroll)(params, xs),
        rtol=0,
        atol=1e-5,
    )


def test_a_life_may_outlast_a_trial() -> None:
    """The attention's window moves on: the steps agree with one pass at any length."""
    network = snail(2, 3, 3)
    params, xs = made(network, 7)
    whole = jax.jit(network.unroll)(params, xs)
    np.testing.assert_allclose(stepwise(network, params, xs), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["gru", "snail"])
def test_no_output_sees_what_comes_later(name: str) -> None:
    network = NETWORKS[name]()
    params, xs = made(network)
    unroll = jax.jit(network.unroll)
    before, after = unroll(params, xs), unroll(params, xs.at[3].add(1))
    np.testing.assert_array_equal(before[:3], after[:3])
    assert np.abs(before[3:] - after[3:]).min() > 0


@pytest.mark.parametrize("length", [4, 5])
def test_the_convolutions_reach_the_first_step_and_the_one_before(length: int) -> None:
    """One TC block, without attention, whose dilations begin with 1 and suffice."""
    network = snail(2, length, 3)
    params, xs = made(network, length)
    half = len(params["blocks"]) // 2
    # The second block's features, and what the attention reads, are cut from the head.
    kernel = params["head"]["kernel"]
    kept = 3 * (1 + half)
    kernel[kept:] = 0
    unroll = jax.jit(network.unroll)
    before = unroll(params, xs)
    for changed, seen in ((0, length - 1), (length - 2, length - 1), (0, 1)):
        after = unroll(params, xs.at[changed].add(1))
        assert np.abs(before[seen] - after[seen]).max() > 1e-7, (changed, seen)


def test_the_unit_is_flax_s() -> None:
    """With the weights of `flax.linen.GRUCell`, which has a product for each gate."""
    cell = nn.GRUCell(5, param_dtype=jnp.result_type(float))
    h, x = (jax.random.normal(jax.random.key(i), (n,)) for i, n in ((1, 5), (2, 3)))
    params = moved(cell.init(jax.random.key(0), h, x)["params"])
    expected, _ = cell.apply({"params": params}, h, x)
    given = [x @ params[g]["kernel"] + params[g]["bias"] for g in ("ir", "iz", "in")]
    recurrent = {
        "kernel": jnp.concatenate(
            [params[g]["kernel"] for g in ("hr", "hz", "hn")], axis=1
        ),
        "bias": params["hn"]["bias"],
    }
    found = gru_step(recurrent, h, jnp.concatenate(given))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_attention_is_the_formula_s() -> None:
    """At the third step, by hand from the caches' keys and values."""
    network = snail(1, 5, 2)
    params, xs = made(network, 3)
    memory = network.memory()
    step = jax.jit(network.step)
    for x in xs:
        memory, out = step(params, memory, x)
    names = ("query", "key", "value")
    # What the last block hands on is not kept: gone through again with plain loops.
    rows = [
        np.asarray(x @ params["first"]["kernel"] + params["first"]["bias"]) for x in xs
    ]
    for layer, dilation in zip(params["blocks"], [1, 2, 4] * 2, strict=True):
        zero = np.zeros_like(rows[0])
        new = []
        for t, row in enumerate(rows):
            both = np.concatenate([rows[t - dilation] if t >= dilation else zero, row])
            content, gate = np.split(both @ layer["kernel"] + layer["bias"], 2)
            new.append(np.concatenate([row, np.tanh(content) / (1 + np.exp(-gate))]))
        rows = new
    own = params["attention"]
    q, k, v = (
        np.stack([r @ own[n]["kernel"] + own[n]["bias"] for r in rows]) for n in names
    )
    weights = np.exp(k @ q[2] / np.sqrt(2))
    read = weights @ v / weights.sum()
    head = params["head"]
    expected = np.concatenate([rows[2], read]) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(out, expected, rtol=1e-10)


def test_orthogonal_is_a_qr_decomposition_with_a_positive_diagonal() -> None:
    key, size = jax.random.key(3), 24
    found = orthogonal(key, size, jnp.float64)
    np.testing.assert_allclose(found @ found.T, np.eye(size), atol=1e-14)
    rows = jax.random.normal(key, (size, size), jnp.float64)
    q, r = np.linalg.qr(np.asarray(rows).T)
    np.testing.assert_allclose(found, (q * np.sign(np.diag(r))).T, atol=1e-12)


@pytest.mark.float32
def test_it_is_orthogonal_to_rounding_in_float32() -> None:
    found = orthogonal(jax.random.key(0), 256, jnp.float32)
    np.testing.assert_allclose(found @ found.T, np.eye(256), atol=2e-6)


@pytest.mark.parametrize("network", [gru(2, 8), snail(2, 8)])
def test_no_network_asks_lapack_for_its_first_parameters(network: Network) -> None:
    """Programs of two devices that did so were seen to hang; see `orthogonal`."""
    init = jax.jit(lambda key: network.init(key, INPUTS))
    texts = [init.lower(jax.random.key(0)).as_text()]
    texts.append(jax.jit(jnp.linalg.qr).lower(jnp.eye(3)).as_text())
    assert ["lapack" in text for text in texts] == [False, True]
