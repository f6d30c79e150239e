"""Episodes: one trajectory at a time, vmapped over trajectories, tasks and seeds."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from dmaml_jax.types import Params, Policy, Task, Trajectory

Walk = TypeVar("Walk", bound=Any)
"""Where a rollout stands, a named tuple that has `obs` and `alive`."""


class _Walk(NamedTuple):
    """Where a rollout stands."""

    env_state: Any
    obs: Any
    alive: jax.Array


@jax.custom_batching.custom_vmap
def any_lane(flag: jax.Array) -> jax.Array:
    """Whether `flag` holds in any lane of every surrounding `jax.vmap`.

    The answer is one for all lanes, so a `while_loop` that asks it stays a plain loop
    under vmap, without a select over its whole carry at every turn.
    """
    return flag


@any_lane.def_vmap
def _any_over_lanes(axis_size: int, in_batched: list[bool], flag: jax.Array):
    return any_lane(jnp.any(flag, axis=0)), False


def rollout(
    key: jax.Array,
    params: Params,
    env_params: Task,
    *,
    env: Any,
    policy: Policy,
    horizon: int,
    chunk: int,
) -> Trajectory:
    """One episode of at most `horizon` steps, under an alive mask.

    The environment's `step_env` is called, never its auto-resetting `step`. Steps are
    taken in chunks until every lane of the surrounding vmaps has ended; an ended
    environment is kept where it ended, so what is written of it stays finite.

    Args:
        key: consumed by reset, actions and environment.
        params: θ of the policy; no gradient flows through sampling.
        env_params: the parameters of the task.
        env: an environment with gymnax's interface.
        policy: π, which chooses the actions.
        horizon: H, steps at most; the horizon is a truncation.
        chunk: how many steps are taken between two checks that ask whether all lanes
            have ended.

    Returns:
        The trajectory, `[H, …]` and observations `[H + 1, …]`.
    """
    key_reset, key_actions, key_env = jax.random.split(key, 3)
    chunk = min(chunk, horizon)
    num_chunks = -(-horizon // chunk)
    total = num_chunks * chunk
    # Sampling is a constant to the meta-gradient; the learners recompute the
    # log-probabilities on what was stored.
    params, env_params = jax.lax.stop_gradient((params, env_params))
    with jax.numpy_dtype_promotion("standard"):
        obs, env_state = env.reset_env(key_reset, env_params)
    noise = policy.distribution.noise(
        key_actions, jax.eval_shape(policy.apply, params, obs), total
    )
    env_keys = jax.random.split(key_env, total)

    @jax.jit  # traced once, for its shapes and for the loop
    def take_step(walk: _Walk, t: jax.Array) -> tuple[_Walk, Trajectory]:
        action_params = policy.apply(params, walk.obs)
        action = policy.distribution.sample(action_params, noise[t])
        log_prob = policy.distribution.log_prob(action_params, action)
        obs, state, reward, terminated, truncated = transition(
            env,
            env_keys[t],
            walk.env_state,
            policy.distribution.action(action),
            env_params,
        )
        alive = walk.alive
        state, last_obs = keep(alive, (state, obs), (walk.env_state, walk.obs))
        seen = Trajectory(
            obs=walk.obs,
            actions=action,
            log_probs=jnp.where(alive, log_prob, 0),
            rewards=jnp.where(alive, reward, 0).astype(log_prob.dtype),
            alive=alive,
            terminated=alive & terminated,
            action_params=action_params,
        )
        return _Walk(state, last_obs, alive & ~terminated & ~truncated), seen

    walk = _Walk(env_state, obs, jnp.array(True))
    walk = with_stable_types(take_step, walk)
    return steps_until_all_ended(take_step, walk, horizon, chunk, num_chunks)[0]


def transition(
    env: Any, key: jax.Array, state: Any, action: jax.Array, env_params: Task
) -> tuple[Any, Any, jax.Array, jax.Array, jax.Array]:
    """One step of an environment, its ends as truth values.

    An environment may say an end by a Python bool or a number, for which `~` would
    mean something else.

    Returns:
        `(obs, state, reward, terminated, truncated)`.
    """
    with jax.numpy_dtype_promotion("standard"):
        obs, state, reward, terminated, _ = env.step_env(key, state, action, env_params)
        truncated = env.is_truncated(state, env_params)
        ends = [jnp.asarray(end).astype(bool) for end in (terminated, truncated)]
    return obs, state, jnp.asarray(reward), ends[0], ends[1]


def keep(alive: jax.Array, new: Any, old: Any) -> Any:
    """The new tree where `alive` holds, and the old one where not."""
    return jax.tree.map(lambda n, o: jnp.where(alive, n, o), new, old)


def with_stable_types(take_step: Callable[..., Any], walk: Walk) -> Walk:
    """Give the start the types that a step returns, so that it can be a loop's carry.

    Environments start with Python numbers and weak types in their states.
    """
    after, _ = jax.eval_shape(take_step, walk, jnp.int32(0))
    return jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), walk, after)


def steps_until_all_ended(
    take_step: Callable[[Walk, jax.Array], tuple[Walk, Trajectory]],
    walk: Walk,
    horizon: int,
    chunk: int,
    num_chunks: int,
) -> tuple[Trajectory, Walk]:
    """Take steps in chunks until every lane of the surrounding vmaps has ended.

    Args:
        take_step: `(walk, t) -> (walk, step)`, a step of the walk, and what is written
            of it.
        walk: where the steps begin, with the fields `obs` and `alive` and with the
            types that a step returns.
        horizon: how many steps are written.
        chunk: how many steps are taken before `walk.alive` is checked again.
        num_chunks: how many chunks are taken at most.

    Returns:
        What was written, `[horizon, …]` and observations `[horizon + 1, …]`, and where
        the walk stands then.
    """

    def take_chunk(carry: tuple[jax.Array, Walk, Trajectory]):
        index, walk, written = carry
        start = index * chunk
        walk, seen = jax.lax.scan(
            take_step, walk, start + jnp.arange(chunk, dtype=jnp.int32)
        )
        # The observation after the chunk is written too: it is the last of an episode
        # that ends here, and overwritten by itself where the next chunk begins.
        seen = seen._replace(
            obs=jax.tree.map(
                lambda x, last: jnp.concatenate([x, last[None]]), seen.obs, walk.obs
            )
        )
        written = jax.tree.map(
            lambda buffer, new: jax.lax.dynamic_update_slice_in_dim(
                buffer, new, start, axis=0
            ),
            written,
            seen,
        )
        return index + 1, walk, written

    def goes_on(carry: tuple[jax.Array, Walk, Trajectory]) -> jax.Array:
        index, walk, _ = carry
        return (index < num_chunks) & any_lane(walk.alive)

    _, like = jax.eval_shape(take_step, walk, jnp.int32(0))
    total = num_chunks * chunk
    buffers = jax.tree.map(lambda x: jnp.zeros((total, *x.shape), x.dtype), like)
    buffers = buffers._replace(
        obs=jax.tree.map(lambda x: jnp.zeros((total + 1, *x.shape), x.dtype), like.obs)
    )
    _, walk, written = jax.lax.while_loop(
        goes_on, take_chunk, (jnp.int32(0), walk, buffers)
    )
    ends = written._replace(obs=None)
    ends = jax.tree.map(lambda x: x[:horizon], ends)
    ends = ends._replace(obs=jax.tree.map(lambda x: x[: horizon + 1], written.obs))
    return ends, walk
