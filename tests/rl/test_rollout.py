"""Rollouts against a plain loop, and the laws of chunks, lanes and ends."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import CartPole
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.rl.rollout import any_lane, rollout
from dmaml_jax.types import Policy

KEY = jax.random.key(3)
POLICY = Policy(
    init=lambda key, obs: jax.random.normal(key, (*obs.shape, 2), obs.dtype),
    apply=lambda params, obs: obs @ params,
    distribution=categorical(),
)


class Place(NamedTuple):
    position: jax.Array
    time: int | jax.Array


class Limits(NamedTuple):
    """Steps until the end by itself, and until the time limit."""

    end: int | jax.Array
    limit: int | jax.Array


class Line:
    """A noisy walk along a line; beyond the end there is only NaN."""

    def reset_env(self, key, params):
        state = Place(jax.random.uniform(key, dtype=float), 0)
        return self.observe(state), state

    def step_env(self, key, state, action, params):
        moved = state.position + (2 * action - 1) + jax.random.normal(key, dtype=float)
        over = (state.time >= params.end) | (state.time >= params.limit)
        state = Place(jnp.where(over, jnp.nan, moved), state.time + 1)
        terminated = state.time >= params.end
        return self.observe(state), state, 1 + action / 2 + moved, terminated, {}

    def observe(self, state):
        return jnp.stack([jnp.ones_like(state.position), state.position])

    def is_truncated(self, state, params):
        return state.time >= params.limit


def params_for(env):
    """A policy that is far from certain on either environment."""
    size = 4 if isinstance(env, CartPole) else 2
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(size, 2)) * 0.3)


def run(env, env_params, horizon, chunk, key=KEY):
    walk = jax.jit(
        lambda key, params, env_params: rollout(
            key,
            params,
            env_params,
            env=env,
            policy=POLICY,
            horizon=horizon,
            chunk=chunk,
        )
    )
    return walk(key, params_for(env), env_params)


def plain_loop(env, env_params, horizon):
    """The same random numbers, one step after another, until the end."""
    params = params_for(env)
    key_reset, key_actions, key_env = jax.random.split(KEY, 3)
    step_env = jax.jit(env.step_env)
    with jax.numpy_dtype_promotion("standard"):
        obs, state = env.reset_env(key_reset, env_params)
        uniforms = categorical().noise(key_actions, jnp.zeros(2), horizon)
        env_keys = jax.random.split(key_env, horizon)
        seen, steps = [obs], []
        for uniform, env_key in zip(uniforms, env_keys, strict=True):
            logits = np.asarray(obs @ params)
            probabilities = np.exp(logits) / np.exp(logits).sum()
            action = int(uniform >= probabilities[0])
            obs, state, reward, terminated, _ = step_env(
                env_key, state, action, env_params
            )
            seen.append(obs)
            steps.append((action, np.log(probabilities[action]), reward, terminated))
            if terminated or env.is_truncated(state, env_params):
                break
    return np.array(seen), *map(np.array, zip(*steps, strict=True))


@pytest.mark.parametrize(
    ("env", "env_params", "length", "terminates"),
    [
        (Line(), Limits(end=11, limit=50), 11, True),
        (Line(), Limits(end=50, limit=11), 11, False),
        (Line(), Limits(end=11, limit=11), 11, True),
        (Line(), Limits(end=50, limit=50), 24, False),
        (CartPole(), CartPole().default_params, None, True),
        (CartPole(), CartPole().default_params.replace(force_mag=0.1), 24, False),
    ],
)
def test_a_rollout_is_the_plain_loop(env, env_params, length, terminates):
    """Ended by itself, by the time limit, by both at once and by the horizon."""
    horizon = 24
    obs, actions, log_probs, rewards, terminated = plain_loop(env, env_params, horizon)
    steps = len(actions)
    assert length is None or steps == length
    data = run(env, env_params, horizon, chunk=7)

    np.testing.assert_allclose(data.obs[: steps + 1], obs, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(data.actions[:steps], actions)
    np.testing.assert_allclose(data.log_probs[:steps], log_probs, rtol=1e-10)
    np.testing.assert_allclose(data.rewards[:steps], rewards, rtol=1e-10)
    np.testing.assert_array_equal(data.alive, np.arange(horizon) < steps)
    np.testing.assert_array_equal(data.terminated[:steps], terminated)
    np.testing.assert_array_equal(jnp.any(data.terminated), terminates)

    assert data.obs.shape[0] == horizon + 1
    assert jnp.all(data.rewards[steps:] == 0) and jnp.all(data.log_probs[steps:] == 0)
    assert not jnp.any(data.terminated[steps:])
    assert jnp.all(jnp.isfinite(data.obs))


@pytest.mark.parametrize("limits", [Limits(10, 50), Limits(50, 10), Limits(50, 50)])
def test_the_chunk_changes_nothing_of_what_lives(limits):
    """Not even where an episode ends with a chunk: its last observation is there."""
    horizon = 18  # a multiple of neither 5 nor 7
    steps = min(*limits, horizon)
    whole = run(Line(), limits, horizon, chunk=horizon)
    assert jnp.sum(whole.alive) == steps
    assert jnp.all(whole.obs[: steps + 1, 0] == 1)
    for chunk in (1, 5, 7, 100):
        data = run(Line(), limits, horizon, chunk)
        np.testing.assert_array_equal(data.alive, whole.alive)
        np.testing.assert_array_equal(data.terminated, whole.terminated)
        np.testing.assert_allclose(
            data.obs[: steps + 1], whole.obs[: steps + 1], rtol=1e-12
        )
        np.testing.assert_array_equal(data.actions[:steps], whole.actions[:steps])
        np.testing.assert_allclose(data.rewards, whole.rewards, rtol=1e-12)
        np.testing.assert_allclose(data.log_probs, whole.log_probs, rtol=1e-12)


def test_the_loop_stops_with_the_chunk_in_which_the_last_lane_ends():
    """What no chunk was run for is never written; a living observation begins by 1."""
    ends = jnp.array([3, 12])
    walk = jax.vmap(lambda end: run(Line(), Limits(end, 100), horizon=20, chunk=5))
    both = walk(ends)
    np.testing.assert_array_equal(jnp.sum(both.alive, axis=1), ends)
    for lane, end in enumerate((3, 12)):
        kept = both.obs[lane, end:16]
        np.testing.assert_array_equal(kept, jnp.broadcast_to(kept[0], kept.shape))
        assert kept[0, 0] == 1
    np.testing.assert_array_equal(both.obs[:, 16:], 0)
    np.testing.assert_array_equal(both.actions[:, 15:], 0)
    alone = run(Line(), Limits(3, 100), horizon=20, chunk=5)
    np.testing.assert_array_equal(alone.obs[5], alone.obs[3])
    np.testing.assert_array_equal(alone.obs[6:], 0)


def test_lanes_do_not_see_one_another():
    """Two vmaps, over tasks and over trajectories."""
    ends = jnp.array([3, 12, 30])
    keys = jax.random.split(KEY, 6).reshape(3, 2)
    walk = lambda end, key: run(Line(), Limits(end, 17), 20, 5, key)  # noqa: E731
    batch = jax.vmap(jax.vmap(walk, in_axes=(None, 0)))(ends, keys)
    assert not jnp.allclose(batch.obs[0, 0, 1], batch.obs[0, 1, 1])
    for lane in ((0, 0), (1, 1), (2, 0)):
        alone = walk(ends[lane[0]], keys[lane])
        steps = int(jnp.sum(alone.alive))
        there = jax.tree.map(lambda x, lane=lane: x[lane], batch)
        np.testing.assert_allclose(
            there.obs[: steps + 1], alone.obs[: steps + 1], rtol=1e-12
        )
        np.testing.assert_array_equal(there.alive, alone.alive)
        np.testing.assert_array_equal(there.terminated, alone.terminated)
        np.testing.assert_array_equal(there.actions[:steps], alone.actions[:steps])
        np.testing.assert_allclose(there.rewards, alone.rewards, rtol=1e-12)
        np.testing.assert_allclose(there.log_probs, alone.log_probs, rtol=1e-12)


def test_reset_actions_and_environment_draw_from_keys_of_their_own():
    """Two more steps of horizon leave the beginning as it was; another key does not."""
    short = run(Line(), Limits(50, 50), 6, 3)
    long = run(Line(), Limits(50, 50), 8, 3)
    np.testing.assert_allclose(long.obs[:7], short.obs, rtol=1e-12)
    other = run(Line(), Limits(50, 50), 6, 3, key=jax.random.key(4))
    assert jnp.all(jnp.abs(other.obs - short.obs)[:, 1] > 1e-6)


def test_no_gradient_flows_through_sampling():
    def total(params, gravity):
        env = CartPole()
        data = rollout(
            KEY,
            params,
            env.default_params.replace(gravity=gravity),
            env=env,
            policy=POLICY,
            horizon=6,
            chunk=3,
        )
        return jnp.sum(data.obs) + jnp.sum(data.log_probs) + jnp.sum(data.rewards)

    gradient = jax.grad(total, argnums=(0, 1))(params_for(CartPole()), 9.8)
    np.testing.assert_array_equal(gradient[0], np.zeros((4, 2)))
    assert gradient[1] == 0


@pytest.mark.parametrize("place", [(0, 0), (2, 3), None])
def test_any_lane_asks_every_lane_of_two_vmaps(place):
    flags = np.zeros((3, 4), bool)
    if place is not None:
        flags[place] = True
    # `out_axes=None` refuses an answer that is not one for all lanes.
    both = jax.vmap(jax.vmap(any_lane, out_axes=None), out_axes=None)
    assert bool(both(jnp.asarray(flags))) is (place is not None)
    rows = jax.vmap(jax.vmap(any_lane), in_axes=1)(jnp.asarray(flags))
    np.testing.assert_array_equal(rows, np.full((4, 3), place is not None))
    assert any_lane(jnp.asarray(True)) and not any_lane(jnp.asarray(False))


@pytest.mark.float32
def test_float32_episodes():
    data = run(CartPole(), CartPole().default_params, 9, 4)
    assert data.obs.dtype == data.rewards.dtype == data.log_probs.dtype == jnp.float32
    assert data.actions.dtype == jnp.int32 and data.alive.dtype == jnp.bool
    np.testing.assert_array_equal(data.rewards, np.ones(9))
