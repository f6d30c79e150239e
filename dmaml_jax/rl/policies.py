"""Policies: networks behind `Policy(init, apply, distribution)`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dmaml_jax.rl.heads import Head as Head
from dmaml_jax.rl.heads import categorical_head as categorical_head
from dmaml_jax.rl.heads import normal_head as normal_head
from dmaml_jax.types import Distribution, Params, Policy

Activation = Callable[[jax.Array], jax.Array]
Critic = Literal["none", "separate", "shared"]


class MLP(nn.Module):
    """A multilayer perceptron with LeCun's initial weights.

    The output layer starts a hundred times smaller than that, so that the first policy
    is close to uniform.
    """

    num_outputs: int
    hidden_sizes: Sequence[int]
    activation: Activation
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map `[…, features]` to `[…, num_outputs]`."""
        for size in self.hidden_sizes:
            x = self.activation(self._dense(size, 1.0)(x))
        return self._dense(self.num_outputs, 0.01)(x)

    def _dense(self, size: int, scale: float) -> nn.Dense:
        return nn.Dense(
            size,
            kernel_init=nn.initializers.variance_scaling(
                scale**2, "fan_in", "truncated_normal"
            ),
            param_dtype=jnp.result_type(float),
            precision=self.precision,
        )


def mlp_categorical(
    num_actions: int,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jnp.tanh,
    precision: str = "highest",
    critic: Critic = "none",
) -> Policy:
    """MLP policy over `num_actions` discrete actions: π_θ(a|s) ∝ exp(MLP_θ(s)_a).

    Args:
        num_actions: number of actions A.
        hidden_sizes: widths of the hidden layers.
        activation: the function between the layers.
        precision: the precision of the matrix products, such as "highest"; a GPU's
            default, TF32, keeps 10 bits.
        critic: V_θ(s) from a network of its own ("separate"), from one more output of
            the same ("shared"), or "none".

    Returns:
        A `Policy` of vector observations, with a categorical distribution.

    Example:
        >>> import jax
        >>> policy = mlp_categorical(2, critic="shared")
        >>> params = policy.init(jax.random.key(0), jax.numpy.zeros(4))
        >>> policy.apply(params, jax.numpy.zeros((7, 4))).shape
        (7, 2)
        >>> policy.value(params, jax.numpy.zeros((7, 4))).shape
        (7,)
    """
    head = categorical_head(num_actions)
    return mlp(head, hidden_sizes, activation, precision, critic)


def mlp_normal(
    num_actions: int,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jnp.tanh,
    precision: str = "highest",
    critic: Critic = "none",
    *,
    distribution: Distribution | None = None,
    initial_std: float = 1.0,
    min_std: float = 0.0,
) -> Policy:
    """MLP policy over continuous actions: a ~ N(MLP_θ(s), σ²), σ free of the state.

    Args:
        num_actions: length A of an action.
        hidden_sizes: widths of the hidden layers.
        activation: the function between the layers.
        precision: the precision of the matrix products, such as "highest".
        critic: as `mlp_categorical` takes it.
        distribution: a distribution with `Normal` parameters: `diagonal_normal()` by
            default; others keep bounds.
        initial_std: σ at first; log σ is a parameter like the others.
        min_std: least σ. The score is in units of 1/σ, so without one a policy that
            has become sure of itself takes ever longer steps. A log σ that has fallen
            below it has no gradient and stays there.

    Returns:
        A `Policy` of vector observations.

    Example:
        >>> import jax
        >>> policy = mlp_normal(2)
        >>> params = policy.init(jax.random.key(0), jax.numpy.zeros(4))
        >>> policy.apply(params, jax.numpy.zeros((7, 4))).mean.shape
        (7, 2)
    """
    head = normal_head(
        num_actions, distribution, initial_std=initial_std, min_std=min_std
    )
    return mlp(head, hidden_sizes, activation, precision, critic)


def on_arrays(
    policy: Policy, shape: Sequence[int], scale: float = 1.0, *, squash: bool = False
) -> Policy:
    """`policy` on observations of any shape and number type, as vectors of floats.

    Args:
        policy: a policy that takes observations as vectors of floats.
        shape: the shape of one observation.
        scale: what observations are multiplied by, so that those in metres, say, come
            to the network as numbers around 1.
        squash: take sign(x) log(1 + |x|) of the scaled ones, so that what is near keeps
            its differences and what is far stays close to what the network knows.

    Returns:
        A `Policy` of such observations.
    """
    flat = partial(as_vector, shape=shape, scale=scale, squash=squash)
    value = policy.value
    return Policy(
        init=lambda key, obs: policy.init(key, flat(obs)),
        apply=lambda params, obs: policy.apply(params, flat(obs)),
        distribution=policy.distribution,
        value=value and (lambda params, obs: value(params, flat(obs))),
        critic=policy.critic,
    )


def as_vector(
    obs: jax.Array, *, shape: Sequence[int], scale: float = 1.0, squash: bool = False
) -> jax.Array:
    """An observation of any shape and number type as a vector of floats.

    Args:
        obs: the observation, or any number of them on leading axes.
        shape: the shape of one observation.
        scale: what it is multiplied by.
        squash: whether sign(x) log(1 + |x|) is taken of what is scaled.
    """
    leading = obs.shape[: obs.ndim - len(shape)]
    floats = jnp.issubdtype(obs.dtype, jnp.floating)
    dtype = obs.dtype if floats else jnp.result_type(float)
    scaled = obs.reshape(*leading, -1).astype(dtype) * scale
    return jnp.sign(scaled) * jnp.log1p(jnp.abs(scaled)) if squash else scaled


def mlp(
    head: Head,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Activation = jnp.tanh,
    precision: str = "highest",
    critic: Critic = "none",
) -> Policy:
    """An MLP policy with any head; parameters are nested only as far as needed.

    Args:
        head: how the outputs become a distribution of actions.
        hidden_sizes: widths of the hidden layers.
        activation: the function between the layers.
        precision: the precision of the matrix products, such as "highest".
        critic: as `mlp_categorical` takes it.
    """
    rest = (tuple(hidden_sizes), activation, precision)
    if critic == "separate":
        return _with_critic(mlp(head, *rest, "none"), MLP(1, *rest))
    shared = critic == "shared"
    network = MLP(head.num_outputs + shared, *rest)

    def init(key: jax.Array, obs: jax.Array) -> Params:
        params = network.init(key, obs)["params"]
        return params if head.init is None else {"net": params, "log_std": head.init()}

    def outputs(params: Params, obs: jax.Array) -> jax.Array:
        own = params if head.init is None else params["net"]
        return _output(network, own, obs)

    def apply(params: Params, obs: jax.Array) -> Any:
        out = outputs(params, obs)[..., : head.num_outputs]
        return head.read(params.get("log_std"), out)

    def value(params: Params, obs: jax.Array) -> jax.Array:
        return outputs(params, obs)[..., -1]

    return Policy(init, apply, head.distribution, value if shared else None)


def _with_critic(actor: Policy, critic: MLP) -> Policy:
    def init(key: jax.Array, obs: jax.Array) -> Params:
        key_actor, key_critic = jax.random.split(key)
        return {
            "actor": actor.init(key_actor, obs),
            "critic": critic.init(key_critic, obs)["params"],
        }

    return Policy(
        init=init,
        apply=lambda params, obs: actor.apply(params["actor"], obs),
        distribution=actor.distribution,
        value=lambda params, obs: _output(critic, params["critic"], obs)[..., 0],
        critic="critic",
    )


def mlp_layers(params: Params, num_outputs: int) -> list[tuple[Any, Any]]:
    """Weights and biases of an MLP policy's actor, layer by layer.

    Args:
        params: θ of a policy that this file made, with or without a critic.
        num_outputs: how many of the last layer's outputs are the actor's; a critic that
            shares the network has the one after them.

    Returns:
        Pairs of `[inputs, outputs]` and `[outputs]`, in the order in which they act.
    """
    actor = params.get("actor", params)
    network = actor.get("net", actor)
    layers = [network[f"Dense_{index}"] for index in range(len(network))]
    pairs = [(layer["kernel"], layer["bias"]) for layer in layers]
    kernel, bias = pairs[-1]
    return [*pairs[:-1], (kernel[:, :num_outputs], bias[:num_outputs])]


def _output(network: MLP, params: Params, obs: jax.Array) -> jax.Array:
    output = network.apply({"params": params}, obs)
    assert isinstance(output, jax.Array)
    return output
