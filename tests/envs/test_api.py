"""What every environment keeps, ours and a few of gymnax's."""

import dataclasses

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment

from dmaml_jax import envs
from dmaml_jax.envs.registry import ENVIRONMENTS
from dmaml_jax.tasks import probe

pytestmark = pytest.mark.float32

KEY = jax.random.key(0)
OURS = envs.names()
# The landers compile for half a minute; their own tests hold them to the same laws.
EACH = [
    pytest.param(name, marks=pytest.mark.slow) if "lander" in name else name
    for name in OURS
]
# Its episodes are over after a step; tests/envs/test_bandit.py has the same laws.
LONGER = [each for each in EACH if each != "bandit"]
OF_GYMNAX = (
    "gymnax:Pendulum-v1",
    "gymnax:Acrobot-v1",
    "gymnax:MountainCarContinuous-v0",
)


def leaves_that_vary(params) -> list[str]:
    """Float fields that are single numbers."""
    return [
        field.name
        for field in dataclasses.fields(params)
        if isinstance(getattr(params, field.name), float)
    ]


def walk(env, params, key, num_steps=60):
    """Observations, rewards, ends and the last state of random steps."""
    key_reset, key_steps = jax.random.split(key)
    obs, state = env.reset_env(key_reset, params)

    def advance(state, key):
        key_action, key_step = jax.random.split(key)
        action = env.action_space(params).sample(key_action)
        obs, state, reward, over, _ = env.step_env(key_step, state, action, params)
        return state, (obs, reward, over)

    like = jax.eval_shape(advance, state, key)[0]
    state = jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), state, like)
    state, seen = jax.lax.scan(advance, state, jax.random.split(key_steps, num_steps))
    return obs, state, seen


def test_names_tasks_and_gymnax_s_registry_agree():
    for name in OURS:
        made, params = gymnax.make(envs.GYMNAX_IDS[name])
        env, ranges = envs.make(name)
        assert type(made) is type(env)
        jax.tree.map(np.testing.assert_array_equal, params, env.default_params)
        assert made.name == env.name
        varied = {item.split("=")[0] for item in ENVIRONMENTS[name].vary}
        assert varied == set(ranges)
    assert not set(envs.gymnax_ids()) & set(envs.GYMNAX_IDS.values())


@pytest.mark.parametrize("name", [*EACH, *OF_GYMNAX])
def test_jit_vmap_scan_types_and_spaces(name):
    env, params = envs.make(name)[0], envs.make(name)[0].default_params
    traces = []

    @jax.jit
    def run(keys):
        traces.append(1)
        return jax.vmap(lambda key: walk(env, params, key))(keys)

    keys = jax.random.split(KEY, 8)
    first, state, (obs, reward, over) = run(keys)
    again = run(keys)
    for one, two in zip(
        jax.tree.leaves((first, obs, reward)),
        jax.tree.leaves((again[0], again[2][0], again[2][1])),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    run(jax.random.split(jax.random.key(1), 8))
    assert len(traces) == 1
    assert obs.dtype == first.dtype == jnp.float32 and reward.dtype == jnp.float32
    assert over.dtype == bool and obs.shape[2:] == first.shape[1:]
    space = env.observation_space(params)
    assert space.shape == obs.shape[2:]
    seen = jnp.concatenate([first, obs.reshape(-1, *space.shape)])
    assert jnp.all(jax.vmap(space.contains)(seen))
    actions = jax.vmap(env.action_space(params).sample)(keys)
    assert jnp.all(jax.vmap(env.action_space(params).contains)(actions))
    if type(env).state_space is not environment.Environment.state_space:
        assert jnp.all(jax.vmap(env.state_space(params).contains)(state))
    # One key, alone and among others.
    alone = jax.jit(lambda key: walk(env, params, key))(keys[3])
    np.testing.assert_allclose(alone[2][0], obs[3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EACH)
def test_every_parameter_is_a_leaf_that_vmap_varies_and_an_agent_feels(name):
    env, _ = envs.make(name)
    params = env.default_params
    fields = leaves_that_vary(params)
    assert fields or env.task_law is not None
    silent = {
        name: {"sparse_radius"} if name in ("point", "point-distance") else set()
        for name in OURS
    }
    silent["point-sparse"] = {"goal_radius"}
    for field in fields:
        assert probe.reaches(env, params, field) == (field not in silent[name]), field
    middle = jnp.array([getattr(params, field) for field in fields])
    table = jnp.stack([middle, *(middle + 0.1 * jnp.eye(len(fields)) * (1 + middle))])

    @jax.jit
    @jax.vmap
    def run(row):
        values = dict(zip(fields, row, strict=True))
        return walk(env, params.replace(**values), KEY)[2]

    obs, reward, _ = run(table)
    assert jnp.all(jnp.isfinite(obs)) and jnp.all(jnp.isfinite(reward))
    # A lander's program for another number of lanes rounds otherwise: by 2e-6 or so.
    rounding = 1e-5 if "lander" in name else 0
    np.testing.assert_allclose(obs[0], run(table[:1])[0][0], rtol=0, atol=rounding)


@pytest.mark.parametrize("name", LONGER)
def test_the_time_limit_and_the_absorbing_end(name):
    env, _ = envs.make(name)
    params = env.default_params.replace(max_steps_in_episode=5)
    _, state, (obs, reward, over) = jax.jit(lambda: walk(env, params, KEY, 12))()
    assert state.time == 5 and bool(env.is_truncated(state, params))
    assert jnp.all(reward[5:] == 0) and not over.any()
    np.testing.assert_array_equal(obs[5:], jnp.broadcast_to(obs[4], obs[5:].shape))


@pytest.mark.parametrize("name", LONGER)
def test_gymnax_steps_and_resets_it(name):
    env, _ = envs.make(name)
    params = env.default_params.replace(max_steps_in_episode=3)
    obs, state = env.reset(KEY, params)
    for count in range(3):
        action = env.action_space(params).sample(KEY)
        obs, state, _, terminated, truncated, info = env.step(
            KEY, state, action, params
        )
        assert bool(truncated) == (count == 2) and not terminated
    assert state.time == 0 and info["final_observation"].shape == obs.shape


@pytest.mark.parametrize("name", LONGER)
def test_a_hundred_thousand_random_steps_with_extreme_parameters_stay_finite(name):
    env, _ = envs.make(name)
    params = env.default_params
    fields = leaves_that_vary(params)
    middle = np.array([getattr(params, field) for field in fields])
    factors = np.random.default_rng(0).choice([0.01, 0.3, 3.0, 100.0], (500, 1))
    columns = np.random.default_rng(1).integers(0, len(fields), 500)
    table = np.tile(middle, (500, 1))
    rows = np.arange(500)
    table[rows, columns] = np.where(
        middle[columns] == 0, factors[:, 0], middle[columns] * factors[:, 0]
    )

    @jax.jit
    @jax.vmap
    def run(row, key):
        values = dict(zip(fields, row, strict=True))
        return walk(env, params.replace(**values), key, 200)[2]

    obs, reward, _ = run(jnp.asarray(table, jnp.float32), jax.random.split(KEY, 500))
    assert obs.shape[:2] == (500, 200)  # 10⁵ steps
    assert jnp.all(jnp.isfinite(reward)), "reward"
    assert jnp.all(jnp.isfinite(obs)), "observation"
