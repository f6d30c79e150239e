"""MLP policies against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.rl.policies import mlp_categorical, mlp_normal, on_arrays

KEY = jax.random.key(0)


def numpy_logits(params, obs, activation):
    for name in ("Dense_0", "Dense_1"):
        layer = params[name]
        obs = activation(obs @ layer["kernel"] + layer["bias"])
    return obs @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"]


@pytest.mark.parametrize(
    ("activation", "reference"),
    [(jnp.tanh, np.tanh), (jax.nn.relu, lambda x: np.maximum(x, 0))],
)
def test_logits_are_the_network_s(activation, reference):
    policy = mlp_categorical(3, (5, 4), activation)
    shapes = jax.eval_shape(policy.init, KEY, jnp.zeros(2))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), shapes)
    obs = rng.normal(size=(6, 7, 2))
    logits = policy.apply(params, jnp.asarray(obs))
    assert logits.shape == (6, 7, 3) and logits.dtype == jnp.float64
    expected = numpy_logits(jax.tree.map(np.asarray, params), obs, reference)
    np.testing.assert_allclose(logits, expected, rtol=1e-12, atol=1e-12)
    alone = policy.apply(params, jnp.asarray(obs[2, 3]))
    np.testing.assert_allclose(alone, expected[2, 3], rtol=1e-12, atol=1e-12)


def test_first_weights_have_lecun_s_scale_and_the_last_layer_a_hundredth():
    params = mlp_categorical(200, (300, 200)).init(KEY, jnp.zeros(100))
    deviations = [jnp.std(params[f"Dense_{i}"]["kernel"]) for i in range(3)]
    expected = [100**-0.5, 300**-0.5, 0.01 * 200**-0.5]
    np.testing.assert_allclose(deviations, expected, rtol=0.02)
    assert all(jnp.all(params[f"Dense_{i}"]["bias"] == 0) for i in range(3))


def test_the_first_policy_is_close_to_uniform():
    policy = mlp_categorical(2)
    obs = jnp.array([[2.4, 3.0, 0.2, -3.0], [0.0, 0.1, 0.0, 0.1]])
    logits = policy.apply(policy.init(KEY, obs[0]), obs)
    np.testing.assert_allclose(jax.nn.softmax(logits), 0.5, atol=0.02)
    assert jnp.all(logits != 0)  # close, but the last layer is not dead


def test_without_hidden_layers_it_is_linear():
    policy = mlp_categorical(2, ())
    params = {"Dense_0": {"kernel": jnp.eye(2) * 3, "bias": jnp.array([0.0, 1.0])}}
    np.testing.assert_array_equal(policy.apply(params, jnp.array([1.0, 2.0])), [3, 7])


def test_matrix_products_have_the_precision_asked_for():
    for precision, count in (("highest", 2), ("default", 0)):
        policy = mlp_categorical(2, (3,), precision=precision)
        params = policy.init(KEY, jnp.zeros(4))
        dots = [
            equation.params["precision"]
            for equation in jax.make_jaxpr(policy.apply)(params, jnp.zeros(4)).eqns
            if equation.primitive.name == "dot_general"
        ]
        highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
        assert len(dots) == 2 and dots.count(highest) == count


@pytest.mark.float32
def test_float32_parameters_by_default():
    params = mlp_categorical(2).init(KEY, jnp.zeros(4))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("critic", ["none", "shared", "separate"])
def test_a_normal_policy_s_deviation_is_one_parameter_for_all_states(critic):
    policy = mlp_normal(2, (5,), critic=critic, initial_std=0.5)
    params = policy.init(KEY, jnp.zeros(3))
    obs = jax.random.normal(KEY, (2, 7, 3))
    normal = policy.apply(params, obs)
    assert normal.mean.shape == normal.log_std.shape == (2, 7, 2)
    np.testing.assert_allclose(normal.log_std, np.log(0.5), rtol=1e-6)
    assert jnp.std(normal.mean) < 0.1  # the first policy hardly depends on the state
    by_std = jax.grad(lambda p: jnp.sum(policy.apply(p, obs).log_std))(params)
    own = by_std["actor"] if critic == "separate" else by_std
    np.testing.assert_array_equal(own["log_std"], [14, 14])
    assert not any(leaf.any() for leaf in jax.tree.leaves(own["net"]))
    assert (policy.value is None) == (critic == "none")
    if policy.value is not None:
        assert policy.value(params, obs).shape == (2, 7)
        by_value = jax.grad(lambda p: jnp.sum(policy.value(p, obs)))(params)
        assert any(leaf.any() for leaf in jax.tree.leaves(by_value))


def test_arrays_are_flattened_made_floats_scaled_and_squashed():
    policy = mlp_categorical(3, (4,), critic="shared")
    whole = jnp.arange(24).reshape(2, 3, 4) - 12
    expected = whole.reshape(2, 12).astype(float) * 0.5
    for squash in (False, True):
        arrays = on_arrays(policy, (3, 4), 0.5, squash=squash)
        params = arrays.init(KEY, whole[0])
        if squash:
            expected = jnp.sign(expected) * jnp.log(1 + abs(expected))
        for of, vector in (
            (arrays.apply, policy.apply),
            (arrays.value, policy.value),
        ):
            np.testing.assert_allclose(of(params, whole), vector(params, expected))
            np.testing.assert_allclose(
                of(params, whole[0]), vector(params, expected[0])
            )
    number = on_arrays(policy, ())  # one whole number, as of a grid's cell
    params = number.init(KEY, jnp.int32(3))
    assert number.apply(params, jnp.arange(5)).shape == (5, 3)
