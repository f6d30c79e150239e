"""Policies with a memory: a network for the actions, and one of its own for the value.

The two share nothing. A rollout asks the actor alone, so a second network costs it
nothing, and the value's loss, whose scale is that of returns, cannot pull at what the
actor remembers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.rl.heads import Head
from dmaml_jax.types import Memory, Params, Percept, Policy


class Network(NamedTuple):
    """A network of sequences, in a form for one step and in one for whole sequences.

    Attributes:
        init: `(key, num_inputs) -> ` parameters.
        memory: `() -> ` the memory before the first input.
        step: `(parameters, memory, input) -> (memory, output)`, for one input `[F]`.
        unroll: `(parameters, inputs) -> outputs` for inputs `[T, F]` from the first on:
            what `step` gives one after the other, differentiable.
    """

    init: Callable[[jax.Array, int], Params]
    memory: Callable[[], Memory]
    step: Callable[[Params, Memory, jax.Array], tuple[Memory, jax.Array]]
    unroll: Callable[[Params, jax.Array], jax.Array]


def remembering(
    head: Head,
    actor: Network,
    critic: Network,
    flat: Callable[[Any], jax.Array] = lambda obs: obs,
) -> Policy:
    """A policy over percepts from two networks.

    The networks' input is [observation, action before, reward before, begins].

    Args:
        head: how the actor's outputs become a distribution of actions.
        actor: a network with as many outputs as the head asks for.
        critic: a network with one output, the value.
        flat: `(obs) -> ` a vector, for one observation or for those on leading axes.

    Returns:
        A `Policy` with a memory; θ has the keys "actor" and "critic", and "head" where
        the head has parameters of its own.

    Example:
        >>> import jax
        >>> from dmaml_jax.rl.heads import categorical_head
        >>> from dmaml_jax.rl.recurrent import gru
        >>> policy = remembering(categorical_head(3), gru(3, 8), gru(1, 8))
        >>> zero = jax.numpy.zeros(())
        >>> first = Percept(jax.numpy.zeros(4), policy.shown(None), zero, zero + 1)
        >>> params = policy.init(jax.random.key(0), first)
        >>> logits, memory = policy.apply(params, first, policy.memory())
        >>> print(logits.shape, memory.shape)
        (3,) (8,)
    """

    def vector(percept: Percept) -> jax.Array:
        obs = flat(percept.obs)
        scalars = [percept.reward[..., None], percept.begins[..., None]]
        rest = [x.astype(obs.dtype) for x in (percept.action, *scalars)]
        return jnp.concatenate([obs, *rest], axis=-1)

    def init(key: jax.Array, percept: Percept) -> Params:
        key_actor, key_critic = jax.random.split(key)
        num_inputs = vector(percept).shape[-1]
        params = {
            "actor": actor.init(key_actor, num_inputs),
            "critic": critic.init(key_critic, num_inputs),
        }
        return params if head.init is None else {**params, "head": head.init()}

    def apply(params: Params, percept: Percept, memory: Memory) -> tuple[Any, Memory]:
        memory, outputs = actor.step(params["actor"], memory, vector(percept))
        return head.read(params.get("head"), outputs), memory

    def unroll(params: Params, percepts: Percept) -> tuple[Any, jax.Array]:
        inputs = vector(percepts)
        outputs = actor.unroll(params["actor"], inputs)
        values = critic.unroll(params["critic"], inputs)[..., 0]
        return head.read(params.get("head"), outputs), values

    def shown(sample: jax.Array | None) -> jax.Array:
        if sample is None:
            return jnp.zeros(head.num_outputs, jnp.result_type(float))
        return head.shown(sample)

    return Policy(
        init=init,
        apply=apply,
        distribution=head.distribution,
        critic="critic",
        memory=actor.memory,
        shown=shown,
        unroll=unroll,
    )


def dense(
    key: jax.Array, num_inputs: int, num_outputs: int, scale: float = 1.0
) -> Params:
    """Parameters of a dense layer with LeCun's initial weights, and zero biases."""
    init = jax.nn.initializers.variance_scaling(scale**2, "fan_in", "truncated_normal")
    dtype = jnp.result_type(float)
    return {
        "kernel": init(key, (num_inputs, num_outputs), dtype),
        "bias": jnp.zeros(num_outputs, dtype),
    }


def affine(layer: Params, x: jax.Array, precision: str) -> jax.Array:
    """X W + b of a dense layer, for a vector or for those on leading axes."""
    return jnp.dot(x, layer["kernel"], precision=precision) + layer["bias"]
