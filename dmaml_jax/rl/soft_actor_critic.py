"""Soft actor-critic with a latent variable: the losses of one task's transitions.

The critics learn, from transitions of whatever policy,

    y = c r + γ (1 − terminated) V̄(o', z),   L_Q = Σ_i mean_B (Q_i(o, a, z) − y)²,

V̄ the soft value (`rl.soft_values`) by the target critics; the policy raises its own
soft value, L_π = −mean_B V(o, z), and a learned temperature keeps the entropy H at a
target, L_α = log α · (H − H̄). Only L_Q tells the encoder anything of what z is for.

There is no network of the state's value: the published PEARL has one, after the first
soft actor-critic (Haarnoja et al. 2018); two target critics took its place later.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dmaml_jax.rl.latent_networks import Networks
from dmaml_jax.rl.transitions import Transition
from dmaml_jax.types import Params


class Weights(NamedTuple):
    """The numbers of the losses.

    Attributes:
        discount: γ, the discount per step.
        reward_scale: c, what rewards are multiplied by in the targets.
        target_entropy: H̄ of a learned temperature; None takes the default for the kind
            of actions.
    """

    discount: float | jax.Array
    reward_scale: float | jax.Array
    target_entropy: float | None


def losses(
    networks: Networks,
    weights: Weights,
    key: jax.Array,
    params: Params,
    target: Params,
    batch: Transition,
    latent: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """L_Q + L_π + L_α of one task, whose gradients do not mix.

    Each of the three moves its own part of θ, and L_Q the z as well: so one optimiser
    takes the sum where the published code has one for each.

    Args:
        networks: the networks as functions of θ.
        weights: the numbers γ, c and H̄.
        key: consumed by the actions that are sampled.
        params: θ, the parameters of all networks.
        target: the parameters of the target critics.
        batch: B transitions, leaves `[B, …]`.
        latent: z, in which the loss is differentiable, `[Z]`.

    Returns:
        The sum, and the parts by name: "q_loss", "entropy", "temperature".
    """
    key_critic, key_actor = jax.random.split(key)
    of_critics = critic_loss(
        networks, weights, key_critic, params, target, batch, latent
    )
    of_actor, entropy = actor_loss(networks, key_actor, params, batch.obs, latent)
    total = of_critics + of_actor
    if networks.learn_temperature:
        total = total + temperature_loss(networks, weights, params, entropy)
    told = {
        "q_loss": of_critics,
        "entropy": entropy,
        "temperature": jnp.exp(networks.log_temperature(params)),
    }
    return total, told


def critic_loss(
    networks: Networks,
    weights: Weights,
    key: jax.Array,
    params: Params,
    target: Params,
    batch: Transition,
    latent: jax.Array,
) -> jax.Array:
    """L_Q; arguments as `losses` has them."""
    q = networks.judge(params["critic"], batch.obs, batch.action, latent)
    if networks.actions.critic_sees:
        q = q[..., 0]
    else:
        q = jnp.sum(q * batch.action, axis=-1)  # the action is one-hot
    aim = targets(networks, weights, key, params, target, batch, latent)
    chex.assert_equal_shape([*q, aim])
    return jnp.sum(jnp.mean((q - aim) ** 2, axis=1))


def targets(
    networks: Networks,
    weights: Weights,
    key: jax.Array,
    params: Params,
    target: Params,
    batch: Transition,
    latent: jax.Array,
) -> jax.Array:
    """The targets c r + γ (1 − terminated) V̄(o', z), `[B]`; arguments as of `losses`.

    A time limit ends an episode and not the world: beyond it the target bootstraps.
    """
    # What a critic is to become is a constant to everything that moves towards it.
    params, target, latent = jax.lax.stop_gradient((params, target, latent))
    value, _ = networks.actions.soft_value(
        key,
        networks.act(params["actor"], batch.next_obs, latent),
        lambda action: networks.judge(target, batch.next_obs, action, latent),
        jnp.exp(networks.log_temperature(params)),
    )
    reward = batch.reward if batch.dense is None else batch.dense
    goes_on = 1 - batch.terminated.astype(value.dtype)
    chex.assert_equal_shape([reward, goes_on, value])
    return weights.reward_scale * reward + weights.discount * goes_on * value


def actor_loss(
    networks: Networks,
    key: jax.Array,
    params: Params,
    obs: jax.Array,
    latent: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """L_π and the policy's entropy.

    Args:
        networks: the networks as functions of θ.
        key: consumed by the actions that are sampled.
        params: θ, the parameters of all networks.
        obs: observations, `[B, S]`.
        latent: z, one for all of the observations, `[Z]`.

    Returns:
        Two scalars; the entropy is that of actions as networks see them.
    """
    # The policy learns to act on z and on what the critics say. It tells neither the
    # encoder what z should be nor the critics what is good, nor is α its concern.
    latent = jax.lax.stop_gradient(latent)
    fixed = jax.lax.stop_gradient(params)
    value, entropy = networks.actions.soft_value(
        key,
        networks.act(params["actor"], obs, latent),
        lambda action: networks.judge(fixed["critic"], obs, action, latent),
        jnp.exp(networks.log_temperature(fixed)),
    )
    return -jnp.mean(value), jnp.mean(entropy)


def temperature_loss(
    networks: Networks, weights: Weights, params: Params, entropy: jax.Array
) -> jax.Array:
    """L_α = log α · (H − H̄): too little entropy raises α.

    Args:
        networks: the networks as functions of θ.
        weights: the numbers γ, c and H̄, of which only H̄ is used.
        params: θ, of which only log α gets a gradient.
        entropy: H, the policy's mean entropy, taken as a constant.
    """
    aim = weights.target_entropy
    aim = networks.actions.target_entropy if aim is None else aim
    # The entropy is the policy's to change.
    gap = jax.lax.stop_gradient(entropy) - aim
    return networks.log_temperature(params) * gap
