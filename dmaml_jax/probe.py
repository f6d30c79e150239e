"""Whether an environment's parameter is felt by an agent at all."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.types import Task


class Probed(NamedTuple):
    """What was seen of two tasks under the same random actions.

    Attributes:
        differ: whether an observation, a reward or an end was another.
        finite: whether all numbers were finite.
    """

    differ: bool
    finite: bool


def reaches(env: Any, env_params: Task, name: str) -> bool:
    """Whether observations, rewards or ends depend on a parameter in any way.

    Found in the program of a reset and a step, not by trying values: with only that
    parameter mapped, everything that comes out mapped depends on it.

    Args:
        env: an environment with gymnax's interface.
        env_params: its parameters.
        name: of a float or integer field.
    """

    def seen(value: jax.Array) -> Any:
        params = env_params.replace(**{name: value})
        obs, state = env.reset_env(key, params)
        action = env.action_space(params).sample(key)
        after, moved, reward, terminated, _ = env.step_env(key, state, action, params)
        return obs, state, after, moved, reward, terminated

    key = jax.random.key(0)
    with jax.numpy_dtype_promotion("standard"):
        values = jnp.stack([jnp.asarray(getattr(env_params, name))] * 2)
        try:
            jax.eval_shape(jax.vmap(seen, out_axes=None), values)
        except ValueError as error:
            if "out_axes" not in str(error):
                raise
            return True
    return False


def compare(
    env: Any, first: Task, second: Task, *, num_steps: int = 200, num_episodes: int = 8
) -> Probed:
    """Take the same random steps in two tasks.

    Args:
        env: an environment with gymnax's interface.
        first: a task.
        second: another.
        num_steps: of an episode.
        num_episodes: with different keys.
    """

    def episode(key: jax.Array, params: Task) -> Any:
        key_reset, key_steps = jax.random.split(key)

        def advance(state: Any, key: jax.Array) -> Any:
            key_action, key_step = jax.random.split(key)
            action = env.action_space(params).sample(key_action)
            obs, state, reward, over, _ = env.step_env(key_step, state, action, params)
            return state, (obs, reward, over)

        obs, state = env.reset_env(key_reset, params)
        like = jax.eval_shape(advance, state, key)[0]
        state = jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), state, like)
        return obs, jax.lax.scan(
            advance, state, jax.random.split(key_steps, num_steps)
        )[1]

    keys = jax.random.split(jax.random.key(0), num_episodes)
    with jax.numpy_dtype_promotion("standard"):
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
        over_tasks = jax.vmap(jax.vmap(episode, in_axes=(0, None)), in_axes=(None, 0))
        leaves = jax.tree.leaves(jax.jit(over_tasks)(keys, both))
    differ = any(
        not jnp.array_equal(x[0], x[1], equal_nan=jnp.issubdtype(x.dtype, jnp.floating))
        for x in leaves
    )
    return Probed(differ, all(bool(jnp.all(jnp.isfinite(x))) for x in leaves))
