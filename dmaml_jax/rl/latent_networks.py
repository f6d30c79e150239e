"""PEARL's networks: an encoder of transitions, and an actor and two critics that see z.

θ is a dict with the keys "encoder", "actor", "critic" (both critics, stacked on axis 0)
and, where the temperature is learned, "log_temperature".
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.beliefs import Belief
from dmaml_jax.rl.policies import MLP
from dmaml_jax.rl.soft_values import Actions
from dmaml_jax.rl.transitions import Transition
from dmaml_jax.types import Params

# The least variance of a factor, as in the published code.
_LEAST_VARIANCE = 1e-7


class Networks(NamedTuple):
    """The shapes of the networks, whose functions take θ first.

    Attributes:
        actions: what kind of actions there are.
        latent_size: Z, the length of z.
        hidden_sizes: widths of the actor's and the critics' hidden layers.
        encoder_sizes: widths of the encoder's hidden layers.
        next_obs: whether the encoder sees the next observation as well, which it must
            where tasks differ in how the world moves and not in what it pays.
        temperature: α at first, or for good.
        learn_temperature: whether α is learned, and so a part of θ.
        precision: the precision of the matrix products, such as "highest".
    """

    actions: Actions
    latent_size: int
    hidden_sizes: Sequence[int]
    encoder_sizes: Sequence[int]
    next_obs: bool
    temperature: float | jax.Array
    learn_temperature: bool
    precision: str

    def init(self, key: jax.Array, obs_size: int) -> Params:
        """θ at random, for observations of that length."""
        key_encoder, key_actor, key_critic = jax.random.split(key, 3)
        actions, latent = self.actions, self.latent_size
        seen = jnp.zeros(obs_size + latent)
        judged = jnp.zeros(seen.size + actions.critic_sees * actions.size)
        met = jnp.zeros(obs_size * (1 + self.next_obs) + actions.size + 1)
        of_two = jax.vmap(lambda key: self._critic().init(key, judged)["params"])
        params = {
            "encoder": self._encoder().init(key_encoder, met)["params"],
            "actor": self._actor().init(key_actor, seen)["params"],
            "critic": of_two(jax.random.split(key_critic)),
        }
        if self.learn_temperature:
            params["log_temperature"] = jnp.log(jnp.asarray(self.temperature, float))
        return params

    def factors(self, params: Params, met: Transition) -> Belief:
        """The Gaussian factors of z that transitions are, `[N, Z]`.

        An encoder sees (o, a, r), by choice o' too, and never whether the episode
        ended. Its variances are softplus(·), 10⁻⁷ at least.

        Args:
            params: θ, of which it takes the encoder's parameters.
            met: N transitions, leaves `[N, …]`.
        """
        seen = [met.obs, met.action, met.reward[:, None]]
        seen += [met.next_obs] if self.next_obs else []
        encoder = {"params": params["encoder"]}
        outputs = self._encoder().apply(encoder, jnp.concatenate(seen, axis=-1))
        assert isinstance(outputs, jax.Array)
        mean, spread = jnp.split(outputs, 2, axis=-1)
        return Belief(mean, jnp.maximum(jax.nn.softplus(spread), _LEAST_VARIANCE))

    def act(self, actor: Params, obs: jax.Array, latent: jax.Array) -> jax.Array:
        """The parameters of π(·|o, z).

        Args:
            actor: the actor's part of θ.
            obs: o, the observations as vectors, `[…, S]`.
            latent: z, one for all of the observations, `[Z]`.
        """
        outputs = self._actor().apply({"params": actor}, _beside(obs, latent))
        assert isinstance(outputs, jax.Array)
        return self.actions.read(outputs)

    def judge(
        self,
        critic: Params,
        obs: jax.Array,
        action: jax.Array | None,
        latent: jax.Array,
    ) -> jax.Array:
        """Q_1 and Q_2 of (o, a, z), `[2, B, 1]`, or of (o, z) for all choices.

        Args:
            critic: the parameters of both critics.
            obs: o, the observations as vectors, `[B, S]`.
            action: a as networks see it, `[B, A]`; not used where actions are choices.
            latent: z, one for all of the observations, `[Z]`.
        """
        seen = _beside(obs, latent)
        if self.actions.critic_sees:
            assert action is not None
            seen = jnp.concatenate([seen, action], axis=-1)
        network = self._critic()
        outputs = jax.vmap(lambda own: network.apply({"params": own}, seen))(critic)
        assert isinstance(outputs, jax.Array)
        return outputs

    def log_temperature(self, params: Params) -> jax.Array:
        """Log α, a parameter or a number of the caller's."""
        if self.learn_temperature:
            return params["log_temperature"]
        dtype = jax.tree.leaves(params["actor"])[0].dtype
        return jnp.log(jnp.asarray(self.temperature, dtype))

    def _encoder(self) -> MLP:
        return self._mlp(2 * self.latent_size, self.encoder_sizes)

    def _actor(self) -> MLP:
        return self._mlp(self.actions.num_outputs, self.hidden_sizes)

    def _critic(self) -> MLP:
        return self._mlp(self.actions.num_values, self.hidden_sizes)

    def _mlp(self, num_outputs: int, sizes: Sequence[int]) -> MLP:
        return MLP(num_outputs, tuple(sizes), jax.nn.relu, self.precision)


def _beside(obs: jax.Array, latent: jax.Array) -> jax.Array:
    """Observations, each with z beside it."""
    shape = (*obs.shape[:-1], latent.shape[-1])
    return jnp.concatenate([obs, jnp.broadcast_to(latent, shape)], axis=-1)
