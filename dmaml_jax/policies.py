"""Policies: networks behind `Policy(init, apply, distribution)`."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dmaml_jax.distributions import categorical
from dmaml_jax.types import Params, Policy


class MLP(nn.Module):
    """A multilayer perceptron with LeCun's initial weights.

    The output layer starts a hundred times smaller than that, so that the first policy
    is close to uniform.
    """

    num_outputs: int
    hidden_sizes: Sequence[int]
    activation: Callable[[jax.Array], jax.Array]
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
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
    precision: str = "highest",
) -> Policy:
    """MLP policy over `num_actions` discrete actions: π_θ(a|s) ∝ exp(MLP_θ(s)_a).

    Args:
        num_actions: number of actions A.
        hidden_sizes: widths of the hidden layers.
        activation: between the layers.
        precision: of the matrix products; a GPU's default, TF32, keeps 10 bits.

    Returns:
        A `Policy` of vector observations, with a categorical distribution.

    Example:
        >>> import jax
        >>> policy = mlp_categorical(2)
        >>> params = policy.init(jax.random.key(0), jax.numpy.zeros(4))
        >>> policy.apply(params, jax.numpy.zeros((7, 4))).shape
        (7, 2)
    """
    network = MLP(num_actions, tuple(hidden_sizes), activation, precision)

    def init(key: jax.Array, obs: jax.Array) -> Params:
        return network.init(key, obs)["params"]

    def apply(params: Params, obs: jax.Array) -> jax.Array:
        logits = network.apply({"params": params}, obs)
        assert isinstance(logits, jax.Array)
        return logits

    return Policy(init, apply, categorical())


def mlp_actor_critic(
    num_actions: int,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
    precision: str = "highest",
    *,
    shared_trunk: bool = False,
) -> Policy:
    """`mlp_categorical` with a critic V_θ(s).

    Args:
        num_actions: number of actions A.
        hidden_sizes: widths of the hidden layers.
        activation: between the layers.
        precision: of the matrix products.
        shared_trunk: one network with A + 1 outputs, instead of two networks.

    Returns:
        A `Policy` with a value.

    Example:
        >>> import jax
        >>> policy = mlp_actor_critic(2)
        >>> params = policy.init(jax.random.key(0), jax.numpy.zeros(4))
        >>> policy.value(params, jax.numpy.zeros((7, 4))).shape
        (7,)
    """
    rest = (tuple(hidden_sizes), activation, precision)
    if shared_trunk:
        both = MLP(num_actions + 1, *rest)

        def outputs(params: Params, obs: jax.Array) -> jax.Array:
            outputs = both.apply({"params": params}, obs)
            assert isinstance(outputs, jax.Array)
            return outputs

        return Policy(
            init=lambda key, obs: both.init(key, obs)["params"],
            apply=lambda params, obs: outputs(params, obs)[..., :-1],
            distribution=categorical(),
            value=lambda params, obs: outputs(params, obs)[..., -1],
        )
    actor = mlp_categorical(num_actions, *rest)
    critic = MLP(1, *rest)

    def init(key: jax.Array, obs: jax.Array) -> Params:
        key_actor, key_critic = jax.random.split(key)
        return {
            "actor": actor.init(key_actor, obs),
            "critic": critic.init(key_critic, obs)["params"],
        }

    def value(params: Params, obs: jax.Array) -> jax.Array:
        values = critic.apply({"params": params["critic"]}, obs)
        assert isinstance(values, jax.Array)
        return values[..., 0]

    return Policy(
        init=init,
        apply=lambda params, obs: actor.apply(params["actor"], obs),
        distribution=actor.distribution,
        value=value,
    )
