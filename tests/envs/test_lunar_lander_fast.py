"""The fast LunarLander's single steps, and the laws of an environment.

It shows them more cheaply than the exact one; both share all code but the solver.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recordings
from benchmarks import lander_size

from dmaml_jax.envs.lunar_lander import LunarLander
from dmaml_jax.envs.lunar_lander import constants as c

KEY = jax.random.key(0)
ENV = LunarLander(solver="fast")
LANES = 256


@pytest.fixture(scope="module")
def start():
    """One state after a reset; the steps from it are flight."""
    with jax.enable_x64(False):
        obs, state = jax.jit(ENV.reset_env)(KEY, ENV.default_params)
        np.testing.assert_array_equal(jax.jit(ENV.get_obs)(state), obs)
        return state


@pytest.fixture(scope="module")
def step():
    """Compiled for `LANES` lanes, with given noise."""
    return jax.jit(jax.vmap(ENV.step_given))


def many(tree):
    """The tree in all lanes, without weak types."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.broadcast_to(leaf, (LANES, *np.shape(leaf)))), tree
    )


def noise_of(key):
    return jax.random.uniform(key, (LANES, 2), minval=-1)


@pytest.mark.float32
def test_single_steps_from_recorded_states(step):
    recording = recordings.read(recordings.PUBLIC)
    a = recording.arrays
    states, params, _ = recordings.rebuilt_states(recording, ENV)
    touching = np.flatnonzero(np.roll(a["ncontacts"], 1) > 0)
    rows = np.concatenate(
        [np.arange(7, 11400, 89)[: LANES // 2], touching[::23][: LANES // 2]]
    )
    assert len(rows) == LANES
    states, params = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf)[rows]), (states, params)
    )
    noise = jnp.asarray(a["dispersion"][rows], jnp.float32)
    actions = jnp.asarray(a["action"][rows], jnp.int32)
    obs, _, _, over = step(states, actions, noise, params)
    error = np.max(np.abs(obs - a["obs"][rows]), axis=1)
    before = np.roll(a["ncontacts"], 1)[rows]
    flight = (before == 0) & (a["ncontacts"][rows] == 0)
    assert np.median(error[flight]) < 5e-7
    assert np.quantile(error[flight], 0.9) < 1e-5
    assert np.median(error[~flight]) < 5e-6
    assert np.quantile(error[~flight], 0.85) < 5e-3
    assert np.mean(over == a["terminated"][rows]) >= 0.99
    # All were right when this was written; over the whole recording 99.99 % of steps.
    assert np.mean((obs[:, 6:] > 0.5) == a["contact"][rows]) >= 0.995


@pytest.mark.slow
@pytest.mark.float32
def test_every_parameter_acts_alone(start, step):
    """Each leaf changed in a lane of its own; the others see the default."""
    defaults = ENV.default_params.replace(enable_wind=True)
    changed = {
        "gravity": 5.0,
        "enable_wind": False,
        "wind_power": 5.0,
        "turbulence_power": 0.2,
        "main_engine_power": 20.0,
        "side_engine_power": 2.0,
        "leg_spring_torque": 1.0,
        "max_steps_in_episode": 1,
    }
    assert set(changed) | {"initial_random"} == set(vars(defaults))
    params = many(defaults)
    for lane, (name, value) in enumerate(changed.items()):
        leaf = np.array(getattr(params, name))
        leaf[lane] = value
        params = params.replace(**{name: jnp.asarray(leaf)})
    state, noise = many(start), many(noise_of(KEY)[0])
    actions = {name: 0 for name in changed}
    actions |= {"main_engine_power": 2, "side_engine_power": 3}
    chosen = np.zeros(LANES, np.int32)
    chosen[: len(changed)] = list(actions.values())
    chosen[100], chosen[101] = 2, 3
    obs, after, _, _ = step(state, jnp.asarray(chosen), noise, params)
    reference = {0: obs[99], 2: obs[100], 3: obs[101]}
    for lane, name in enumerate(changed):
        if name == "max_steps_in_episode":
            over = ENV.is_truncated(
                jax.tree.map(lambda leaf, i=lane: leaf[i], after),
                jax.tree.map(lambda leaf, i=lane: leaf[i], params),
            )
            assert over
            continue
        assert np.max(np.abs(obs[lane] - reference[actions[name]])) > 1e-6, name
    # Half of gravity is 5 m/s² less: 0.1 m/s in a step, times 20/3/50.
    np.testing.assert_allclose(obs[0, 3] - obs[99, 3], 0.1 * 20 / 3 / 50, rtol=1e-4)
    np.testing.assert_array_equal(obs[102], obs[99])


@pytest.mark.float32
def test_the_initial_force_is_within_its_range():
    params = ENV.default_params.replace(initial_random=0.0)
    _, state = jax.jit(ENV.reset_env)(KEY, params)
    speed = state.world.bodies.velocity
    # Without a force the hull falls for one step of 0.02 s.
    np.testing.assert_allclose(speed.x[c.HULL], 0, atol=1e-5)
    assert -0.25 < speed.y[c.HULL] < -0.1


@pytest.mark.float32
def test_the_end_is_absorbing_and_pays_once(start, step):
    """A lander that falls without engines crashes once, for −100."""
    params = many(ENV.default_params)
    state = many(start)
    still = jnp.zeros(LANES, jnp.int32)
    totals, ends = np.zeros(LANES), []
    for i in range(150):
        noise = noise_of(jax.random.fold_in(KEY, i))
        obs, state, reward, over = step(state, still, noise, params)
        ends.append(np.asarray(over))
        totals += np.where(reward == -100, 1, 0)
    assert np.all(ends[-1]) and np.all(np.diff(np.array(ends).astype(int), axis=0) >= 0)
    np.testing.assert_array_equal(totals, 1)
    again, after, reward, over = step(state, still + 2, noise, params)
    np.testing.assert_array_equal(again, obs)
    np.testing.assert_array_equal(after.time, state.time)
    assert np.all(reward == 0) and np.all(over)


@pytest.mark.slow
@pytest.mark.float32
def test_gymnax_steps_and_resets_it():
    params = ENV.default_params.replace(max_steps_in_episode=3)
    obs, state = ENV.reset(KEY, params)
    step = jax.jit(ENV.step)
    for _ in range(3):
        obs, state, _, terminated, truncated, info = step(KEY, state, 0, params)
    assert truncated and not terminated
    assert state.time == 0 and not np.array_equal(info["final_observation"], obs)


@pytest.mark.float32
def test_spaces_and_names():
    params = ENV.default_params
    space = ENV.observation_space(params)
    assert np.all(jax.vmap(space.contains)(np.load(recordings.PUBLIC)["obs0"]))
    assert not space.contains(jnp.array([0, 0, 0, 0, 0, 0, 2.0, 0]))
    assert ENV.action_space(params).n == ENV.num_actions == 4
    continuous = LunarLander(continuous=True)
    assert continuous.action_space(params).shape == (continuous.num_actions,) == (2,)
    assert ENV.name == "lunar_lander"
    with pytest.raises(ValueError, match="Unknown solver 'exakt': choose one of exact"):
        LunarLander(solver="exakt")


@pytest.mark.slow
@pytest.mark.float32
def test_continuous_actions_reach_the_discrete_ones(start):
    """Full power of one engine is the discrete action; less than half is none."""
    continuous = LunarLander(continuous=True, solver="fast")
    noise, params = jnp.array([0.3, -0.6]), ENV.default_params

    @jax.jit
    @jax.vmap
    def both(discrete, real):
        one, _ = ENV.advance(start, discrete, noise, params)
        other, _ = continuous.advance(start, real, noise, params)
        return ENV.get_obs(one), ENV.get_obs(other)

    reals = jnp.array([[0.0, 0.5], [-1.0, -1.0], [1.0, 0.0], [-0.3, 1.0], [2.0, 0.2]])
    one, other = both(jnp.array([0, 1, 2, 3, 2]), reals)
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-7)
    assert np.max(np.abs(one[0] - one[2])) > 1e-2


# Measured: 6,000 and 1,800 equations of the fast one, 10,800 and 2,400 of the exact.
@pytest.mark.float32
@pytest.mark.parametrize(
    ("solver", "step", "reset"),
    [("fast", 7000, 2500), pytest.param("exact", 12500, 3200, marks=pytest.mark.slow)],
)
def test_the_programs_are_short(solver, step, reset):
    """Traced under vmap; XLA's work grows with every equation."""
    most = {"step": step, "reset": reset}
    for name, (function, arguments) in lander_size.programs(solver, LANES).items():
        traced = jax.jit(function).trace(*arguments)
        assert lander_size.equations(traced.jaxpr.jaxpr) <= most[name], name


@pytest.mark.slow
@pytest.mark.float32
def test_xla_copies_nothing():
    """If `keep` were of no use any more, the compiled step would grow."""
    function, arguments = lander_size.programs("fast", LANES)["step"]
    size = lander_size.measured(function, arguments)
    assert size.fusions <= 750 and size.instructions <= 17_000


@pytest.mark.parametrize(
    "solver", ["fast", pytest.param("exact", marks=pytest.mark.slow)]
)
def test_a_step_keeps_its_types(solver):
    """In float64 as in float32, which is asked where the physics is lowered.

    The exact one takes long to trace four times.
    """
    env = LunarLander(solver=solver)
    for wide, dtype in ((True, jnp.float64), (False, jnp.float32)):
        with jax.enable_x64(wide), jax.numpy_dtype_promotion("standard"):
            params = jax.tree.map(jnp.asarray, env.default_params)
            obs, state = jax.jit(env.reset_env).lower(KEY, params).out_info
            given = (KEY, state, jnp.int32(0), params)
            after = jax.jit(env.step_env).lower(*given).out_info
            old, new = jax.tree.leaves(state), jax.tree.leaves(after[1])
            assert [leaf.dtype for leaf in old] == [leaf.dtype for leaf in new]
            floats = {x.dtype for x in old if jnp.issubdtype(x.dtype, jnp.floating)}
            assert floats == {jnp.dtype(dtype)}
            assert obs.dtype == after[0].dtype == after[2].dtype == dtype
