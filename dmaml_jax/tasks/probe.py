"""Finding out whether an agent feels an environment's parameter at all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.types import Task


class Probed(NamedTuple):
    """What was seen of two tasks under the same random actions.

    Attributes:
        differ: whether an observation, a reward or an end differed between the two.
        finite: whether all numbers of both were finite.
    """

    differ: bool
    finite: bool


def reaches(env: Any, env_params: Task, name: str) -> bool:
    """Whether observations, rewards or ends depend on a parameter in any way.

    Found in the program of an episode, not by trying values: with only that parameter
    mapped, whatever comes out mapped depends on it.

    Args:
        env: an environment with gymnax's interface.
        env_params: the environment's parameters, a flax dataclass.
        name: the name of a field that holds one number.
    """
    episode = _episode(env, num_steps=2)
    values = jnp.stack([jnp.asarray(getattr(env_params, name))] * 2)
    mapped: list[bool] = []

    @jax.custom_batching.custom_vmap
    def watched(seen: Any) -> Any:
        return seen

    # Called while an episode is traced, and only if something in it is mapped.
    @watched.def_vmap
    def _(axis_size: int, in_batched: list[Any], seen: Any) -> tuple[Any, Any]:
        mapped.extend(jax.tree.leaves(in_batched))
        return seen, in_batched[0]

    def of(value: jax.Array) -> Any:
        task = env_params.replace(**{name: value})
        return watched(episode(jax.random.key(0), task))

    with jax.numpy_dtype_promotion("standard"):
        jax.eval_shape(jax.vmap(of), values)
    return any(mapped)


def compare(
    env: Any, first: Task, second: Task, *, num_steps: int = 200, num_episodes: int = 8
) -> Probed:
    """Take the same random steps in two tasks.

    Args:
        env: an environment with gymnax's interface.
        first: the task that is compared.
        second: the task that it is compared with.
        num_steps: the number of steps of each episode.
        num_episodes: the number of episodes, each with a key of its own.
    """
    episodes = jax.vmap(_episode(env, num_steps), in_axes=(0, None))
    run = jax.jit(jax.vmap(episodes, in_axes=(None, 0)))
    # Now, also where a caller builds a learner inside of its own jit or vmap.
    with jax.ensure_compile_time_eval(), jax.numpy_dtype_promotion("standard"):
        keys = jax.random.split(jax.random.key(0), num_episodes)
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
        seen = [np.asarray(leaf) for leaf in jax.tree.leaves(run(keys, both))]
    differ = any(
        not np.array_equal(x[0], x[1], equal_nan=np.issubdtype(x.dtype, np.floating))
        for x in seen
    )
    return Probed(differ, all(bool(np.all(np.isfinite(x))) for x in seen))


def _episode(env: Any, num_steps: int) -> Callable[[jax.Array, Task], Any]:
    """`(key, task) -> ` what an agent sees of random steps, ended or not."""

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
        keys = jax.random.split(key_steps, num_steps)
        return obs, jax.lax.scan(advance, state, keys)[1]

    return episode
