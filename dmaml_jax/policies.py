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
