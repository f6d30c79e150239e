"""CartPole against Gymnasium's recorded steps, NumPy and the laws of an environment."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import CartPole
from dmaml_jax.envs.cartpole import EnvState

KEY = jax.random.key(0)
RECORDING = Path(__file__).parent.parent / "data" / "cartpole_gymnasium.npz"
ENV = CartPole()


def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDING) as file:
        return dict(file)


def state_of(coordinates, time=0) -> EnvState:
    x, x_dot, theta, theta_dot = jnp.asarray(coordinates, float)
    return EnvState(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot, time=time)


def step(state, action, params):
    """Observation, state, reward, terminated and truncated."""
    with jax.numpy_dtype_promotion("standard"):
        obs, state, reward, terminated, _ = ENV.step_env(KEY, state, action, params)
        return obs, state, reward, terminated, ENV.is_truncated(state, params)


def numpy_step(coordinates, action, p):
    """Barto, Sutton and Anderson's equations with Euler's method."""
    _, x_dot, theta, theta_dot = coordinates
    force = p.force_mag if action else -p.force_mag
    mass = p.masscart + p.masspole
    push = (force + p.masspole * p.length * theta_dot**2 * np.sin(theta)) / mass
    theta_acc = (p.gravity * np.sin(theta) - np.cos(theta) * push) / (
        p.length * (4 / 3 - p.masspole * np.cos(theta) ** 2 / mass)
    )
    x_acc = push - p.masspole * p.length * theta_acc * np.cos(theta) / mass
    speeds = np.array([x_dot, x_acc, theta_dot, theta_acc])
    return np.array(coordinates) + p.tau * speeds


@pytest.mark.float32
def test_every_recorded_step_from_its_recorded_state():
    data = recorded()
    starts = data["ep_start"][:-1]
    before = np.concatenate([np.zeros((1, 4)), data["state"][:-1]])
    before[starts] = data["state0"]
    gravity = np.repeat(data["gravity"], np.diff(data["ep_start"]))

    @jax.jit
    @jax.vmap
    def once(coordinates, action, gravity):
        params = ENV.default_params.replace(gravity=gravity)
        return step(state_of(coordinates), action, params)

    obs, _, reward, terminated, _ = once(before, data["action"], gravity)
    assert obs.dtype == jnp.float32
    np.testing.assert_allclose(obs, data["obs"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(reward, data["reward"])
    np.testing.assert_array_equal(terminated, data["terminated"])


@pytest.mark.optimised  # held to the last bits of what users run
def test_whole_recorded_episodes():
    data = recorded()
    starts, stops = data["ep_start"][:-1], data["ep_start"][1:]
    actions = np.zeros((len(starts), 200), np.int32)
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        actions[k, : stop - start] = data["action"][start:stop]

    @jax.jit
    @jax.vmap
    def replay(coordinates, actions, gravity):
        params = ENV.default_params.replace(gravity=gravity)

        def advance(state, action):
            _, state, reward, *ends = step(state, action, params)
            return state, (ENV.get_obs(state), reward, *ends)

        start = state_of(coordinates, time=jnp.int32(0))
        return jax.lax.scan(advance, start, actions)[1]

    states, rewards, terminated, truncated = replay(
        data["state0"], actions, data["gravity"]
    )
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        rows, steps = slice(start, stop), stop - start
        np.testing.assert_allclose(
            states[k, :steps], data["state"][rows], rtol=0, atol=1e-8
        )
        np.testing.assert_array_equal(terminated[k, :steps], data["terminated"][rows])
        np.testing.assert_array_equal(truncated[k, :steps], data["truncated"][rows])
        assert float(jnp.sum(rewards[k])) == steps  # nothing after the end
    assert data["truncated"].sum() == 10  # both kinds of end are in the recording


@pytest.mark.parametrize(
    ("name", "values", "coordinates", "time"),
    [
        ("gravity", (9.8, 5.0), (0.1, 0.2, 0.1, 0.5), 0),
        ("masscart", (1.0, 2.5), (0.1, 0.2, 0.1, 0.5), 0),
        ("masspole", (0.1, 0.3), (0.1, 0.2, 0.1, 0.5), 0),
        ("length", (0.5, 1.0), (0.1, 0.2, 0.1, 0.5), 0),
        ("force_mag", (10.0, 3.0), (0.1, 0.2, 0.1, 0.5), 0),
        ("tau", (0.02, 0.05), (0.1, 0.2, 0.1, 0.5), 0),
        ("theta_threshold", (0.2, 0.3), (0.1, 0.2, -0.19, -1.0), 0),
        ("x_threshold", (2.4, 2.5), (-2.39, -1.0, 0.1, 0.5), 0),
        ("max_steps_in_episode", (200, 201), (0.1, 0.2, 0.1, 0.5), 199),
    ],
)
def test_every_parameter_acts_alone(name, values, coordinates, time):
    state = state_of(coordinates, time)
    vary = jax.vmap(
        lambda value: step(state, 1, ENV.default_params.replace(**{name: value}))
    )
    obs, _, reward, terminated, truncated = vary(jnp.array(values))
    seen = []
    for lane, value in enumerate(values):
        p = ENV.default_params.replace(**{name: value})
        expected = numpy_step(coordinates, 1, p)
        ends = (
            bool(
                abs(expected[2]) > p.theta_threshold or abs(expected[0]) > p.x_threshold
            ),
            time + 1 >= p.max_steps_in_episode,
        )
        np.testing.assert_allclose(obs[lane], expected, rtol=1e-12)
        assert (bool(terminated[lane]), bool(truncated[lane])) == ends
        seen.append((*expected, *ends))
    assert seen[0] != seen[1]
    np.testing.assert_array_equal(reward, [1, 1])


def test_masspole_and_length_together_follow_numpy():
    params = ENV.default_params.replace(masspole=0.3, length=1.0)
    start = (0.0, 0.1, 0.05, -0.4)
    for action in (0, 1):
        obs, *_ = step(state_of(start), action, params)
        np.testing.assert_allclose(
            obs, numpy_step(start, action, params), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize(
    ("coordinates", "time", "terminated"),
    [
        ((0.0, 1.0, 0.21, 1.0), 7, True),
        ((2.5, 1.0, 0.0, 1.0), 7, True),
        ((0.1, 1.0, 0.0, 1.0), 200, False),
    ],
)
def test_the_end_is_absorbing_and_pays_nothing(coordinates, time, terminated):
    state = state_of(coordinates, time)
    obs, after, reward, over, truncated = step(state, 1, ENV.default_params)
    np.testing.assert_array_equal(obs, coordinates)
    np.testing.assert_array_equal(ENV.get_obs(after), coordinates)
    assert (after.time, reward, over, truncated) == (
        time,
        0,
        terminated,
        not terminated,
    )


@pytest.mark.parametrize("limit", [200, 500])
def test_the_time_limit_is_selectable(limit):
    params = ENV.default_params.replace(force_mag=0.0, max_steps_in_episode=limit)

    @jax.jit
    def run(state):
        def advance(state, _):
            _, state, reward, _, truncated = step(state, 0, params)
            return state, (reward, truncated)

        return jax.lax.scan(advance, state, None, length=510)[1]

    rewards, truncated = run(state_of(np.zeros(4), jnp.int32(0)))  # an upright rest
    assert jnp.sum(rewards) == limit
    assert jnp.argmax(truncated) == limit - 1


def test_reset_is_uniform_within_a_twentieth():
    obs, state = jax.vmap(lambda key: ENV.reset_env(key, ENV.default_params))(
        jax.random.split(KEY, 2000)
    )
    np.testing.assert_array_equal(jax.vmap(ENV.get_obs)(state), obs)
    assert obs.shape == (2000, 4) and jnp.all(jnp.abs(obs) <= 0.05)
    np.testing.assert_allclose(jnp.min(obs, axis=0), -0.05, atol=5e-4)
    np.testing.assert_allclose(jnp.max(obs, axis=0), 0.05, atol=5e-4)
    np.testing.assert_allclose(jnp.mean(obs, axis=0), 0, atol=4 * 0.029 / 2000**0.5)
    np.testing.assert_allclose(jnp.corrcoef(obs.T), np.eye(4), atol=0.1)
    np.testing.assert_array_equal(state.time, 0)


@pytest.mark.float32
def test_spaces_contain_what_is_produced_and_no_more():
    params = ENV.default_params
    data = recorded()
    assert ENV.observation_space(params).shape == data["obs"].shape[1:]
    assert jnp.all(jax.vmap(ENV.observation_space(params).contains)(data["obs"]))
    states = ENV.state_space(params)
    assert states.contains(state_of(data["state"][-1], jnp.int32(200)))
    assert not states.contains(state_of(data["state"][-1], jnp.int32(201)))
    outside = state_of([0.0, 0.0, 0.5, 0.0], jnp.int32(0))
    assert not states.contains(outside)
    assert not ENV.observation_space(params).contains(ENV.get_obs(outside))
    actions = ENV.action_space(params)
    assert actions.n == ENV.num_actions == 2
    assert [bool(actions.contains(a)) for a in (-1, 0, 1, 2)] == [0, 1, 1, 0]


@pytest.mark.float32
def test_gymnax_steps_and_resets_it():
    params = ENV.default_params
    obs, state = ENV.reset(KEY, params)
    for action in [1] * 30:
        before = state
        obs, state, reward, terminated, truncated, info = ENV.step(
            KEY, state, action, params
        )
        if terminated:
            break
    assert terminated and not truncated and reward == 1
    expected = numpy_step([float(x) for x in ENV.get_obs(before)], 1, params)
    np.testing.assert_allclose(info["final_observation"], expected, atol=1e-6)
    assert abs(expected[2]) > params.theta_threshold
    assert state.time == 0 and jnp.all(jnp.abs(obs) <= 0.05)  # started afresh


@pytest.mark.float32
def test_extreme_parameters_never_give_nan():
    @jax.jit
    @jax.vmap
    def walk(key, gravity, mass, length, force):
        params = ENV.default_params.replace(
            gravity=gravity, masspole=mass, length=length, force_mag=force
        )

        def advance(state, key):
            action = jax.random.bernoulli(key).astype(jnp.int32)
            _, state, _, over, cut, info = ENV.step(key, state, action, params)
            return state, (info["final_observation"], over | cut)

        _, state = ENV.reset_env(key, params)
        return jax.lax.scan(advance, state, jax.random.split(key, 10_000))[1]

    grid = jnp.meshgrid(
        jnp.array([0.0, 1000.0]),
        jnp.array([1e-4, 1e3]),
        jnp.array([0.02, 50.0]),
        jnp.array([0.0, 1000.0]),
    )
    columns = [x.ravel() for x in grid]
    obs, ends = walk(jax.random.split(KEY, 16), *columns)
    assert jnp.all(jnp.isfinite(obs))
    assert jnp.all(jnp.sum(ends, axis=1) >= 50)  # each lane lived many episodes


def assert_types_kept(dtype):
    params = jax.tree.map(jnp.asarray, ENV.default_params)
    obs, state = jax.eval_shape(ENV.reset_env, KEY, params)
    after = jax.eval_shape(ENV.step_env, KEY, state, jnp.int32(0), params)
    types = {name: leaf.dtype for name, leaf in vars(state).items()}
    assert {name: leaf.dtype for name, leaf in vars(after[1]).items()} == types
    clock = types.pop("time")
    assert jnp.issubdtype(clock, jnp.integer) and set(types.values()) == {dtype}
    assert (obs.dtype, after[0].dtype, after[2].dtype) == (dtype, dtype, dtype)
    assert after[3].dtype == jnp.bool


def test_a_step_keeps_float64():
    with jax.numpy_dtype_promotion("standard"):
        assert_types_kept(jnp.dtype("float64"))


@pytest.mark.float32
def test_a_step_keeps_float32():
    assert_types_kept(jnp.dtype("float32"))
