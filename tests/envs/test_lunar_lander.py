"""The exact LunarLander, stage by stage, against what Gymnasium and Box2D recorded."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recordings
import replay

from dmaml_jax.envs.lunar_lander import LunarLander
from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, created, shapes
from dmaml_jax.envs.lunar_lander.engines import gust
from dmaml_jax.envs.lunar_lander.exact import impact
from dmaml_jax.envs.lunar_lander.terrain import Edge, smoothed
from dmaml_jax.envs.lunar_lander.vectors import Vector, row

ENV = LunarLander()
LANES = 1024


@pytest.fixture(scope="module")
def recording():
    return recordings.read(recordings.PUBLIC)


@pytest.fixture(scope="module")
def step():
    """One compiled step for all tests of this file, of `LANES` lanes."""

    def once(state, action, noise, params):
        after, reward = ENV.advance(state, action, noise, params)
        return after, reward, ENV.get_obs(after), ENV.is_terminated(after, params)

    return jax.jit(jax.vmap(once))


@pytest.fixture(scope="module")
def launch():
    """One compiled reset for all tests of this file, of `LANES` lanes."""
    return jax.jit(jax.vmap(ENV.launch))


def lanes(tree, rows):
    """The given rows of every leaf, and the first one again up to `LANES`."""
    rows = np.concatenate([rows, np.full(LANES - len(rows), rows[0])])
    return strong(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], tree))


def strong(tree):
    """The tree without weak types, with which the step would be compiled again."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def columns(bodies):
    """The recorded columns from the centre on."""
    return np.stack(
        [
            bodies.centre.x,
            bodies.centre.y,
            bodies.angle,
            bodies.velocity.x,
            bodies.velocity.y,
            bodies.spin,
        ],
        axis=-1,
    )


def joint_columns(joints):
    return np.stack(
        [joints.impulse.x, joints.impulse.y, joints.limit, joints.motor], axis=-1
    )


@pytest.fixture(scope="module")
def chosen(recording):
    """Steps worth looking at: contacts that change, ends, wind, and some flight."""
    a = recording.arrays
    contacts = a["ncontacts"].astype(int)
    changes = np.flatnonzero(np.diff(contacts, prepend=0) != 0)
    ends = np.flatnonzero(a["terminated"] | (contacts > 2))
    windy = np.flatnonzero(np.repeat(a["wind"], recording.lengths))[::12]
    some = np.arange(0, len(contacts), 23)
    rows = np.unique(np.concatenate([changes[::3], ends, windy, some]))
    assert 800 < len(rows) <= LANES
    return rows


@pytest.fixture(scope="module")
def stepped(recording, step, chosen):
    """Those steps, each from the recorded state before it."""
    a = recording.arrays
    states, params, _ = recordings.rebuilt_states(recording, ENV)
    actions = jnp.asarray(a["action"], jnp.int32)
    noise = jnp.asarray(a["dispersion"], jnp.float32)
    given = lanes((states, actions, noise, params), chosen)
    out = step(*given)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(chosen)], out)


def test_masses_are_box2ds():
    np.testing.assert_allclose(
        1 / np.array(c.INVERSE_MASSES), [4.8166666, 0.0711111, 0.0711111], rtol=2e-7
    )
    np.testing.assert_allclose(
        1 / np.array(c.INVERSE_INERTIAS[:2]), [0.7838807, 0.00179095], rtol=2e-6
    )
    np.testing.assert_allclose(c.HULL_CENTRE, (0, 0.1013072), atol=1e-7)


def test_terrain_is_the_recorded_one(recording):
    a = recording.arrays
    heights = jnp.asarray(a["heights"])
    np.testing.assert_allclose(jax.vmap(smoothed)(heights), a["terrain_y"], rtol=1e-7)
    pad = smoothed(heights[0])[4:7]
    np.testing.assert_allclose(pad, 3.3, rtol=1e-12)  # and not 3.333: 0.33 is no third


@pytest.mark.float32
def test_the_resets_own_step(recording, launch):
    a, episodes = recording.arrays, np.arange(60)
    terrain, force, moment = (
        a[name].astype(dtype)
        for name, dtype in (
            ("terrain_y", np.float32),
            ("initial_force", np.float32),
            ("wind_idx0", np.int32),
        )
    )
    given = lanes((terrain, force, moment, recording.params(ENV)), episodes)
    after = jax.tree.map(lambda leaf: np.asarray(leaf)[:60], launch(*given))
    obs = jax.vmap(ENV.get_obs)(jax.tree.map(jnp.asarray, after))
    np.testing.assert_allclose(obs, a["obs0"], rtol=0, atol=2e-6)
    bodies = columns(after.world.bodies)
    np.testing.assert_allclose(bodies[..., :5], a["bodies0"][..., 2:7], atol=5e-6)
    np.testing.assert_allclose(bodies[..., 5], a["bodies0"][..., 7], atol=5e-5)
    np.testing.assert_allclose(
        joint_columns(after.world.joints), a["joints0"], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(after.shaping, a["shaping0"], rtol=0, atol=2e-4)
    windy = a["wind"]
    used = after.wind_index - a["wind_idx0"]
    np.testing.assert_array_equal(used, np.repeat(windy[:, None], 2, 1).astype(int))


@pytest.mark.float32
def test_contacts_and_their_features(recording, stepped, chosen):
    a = recording.arrays
    contacts = stepped[0].world.contacts
    errors = []
    for i, step_ in enumerate(chosen):
        touching = {}
        for body in range(3):
            for slot in range(2):
                count = contacts.count[i, body, slot]
                if count:
                    found = [contacts.points[j] for j in range(count)]
                    touching[body, int(contacts.edge[i, body, slot])] = [
                        (int(p.key[i, body, slot]), float(p.normal[i, body, slot]))
                        for p in found
                    ]
        recorded = a["contacts"][step_][: a["ncontacts"][step_]]
        assert {(int(x[0]), int(x[1])) for x in recorded} == set(touching)
        for contact, keys in zip(recorded, a["contact_keys"][step_], strict=False):
            points = touching[int(contact[0]), int(contact[1])]
            assert [key for key, _ in points] == keys[: int(contact[2])].tolist()
            impulses = [impulse for _, impulse in points]
            expected = contact[3 : 3 + len(points)]
            errors.append(np.max(np.abs(impulses - expected)))
    assert len(errors) > 600
    assert np.median(errors) < 1e-5
    assert np.quantile(errors, 0.99) < 1e-3


@pytest.mark.float32
def test_impulses_of_the_joints(recording, stepped, chosen):
    error = joint_columns(stepped[0].world.joints) - recording.arrays["joints"][chosen]
    assert np.median(np.abs(error)) < 1e-6
    assert np.quantile(np.abs(error), 0.99) < 1e-4
    assert np.max(np.abs(error)) < 1e-2


@pytest.mark.float32
def test_one_step_from_the_recorded_state(recording, stepped, chosen):
    a = recording.arrays
    _, _, obs, over = stepped
    error = np.max(np.abs(obs - a["obs"][chosen]), axis=1)
    assert np.median(error) < 3e-7
    assert np.quantile(error, 0.99) < 5e-6
    assert np.max(error) < 3e-5  # a flag would be off by 1
    np.testing.assert_array_equal(over, a["terminated"][chosen])
    np.testing.assert_array_equal(stepped[0].world.awake, a["awake"][chosen])
    np.testing.assert_array_equal(stepped[0].world.over, a["game_over"][chosen])
    assert np.sum(~a["awake"][chosen]) == 25 and np.sum(a["game_over"][chosen]) == 25


@pytest.mark.float32
def test_rewards_are_growth_of_the_potential_or_the_end(recording, stepped, chosen):
    a = recording.arrays
    after, reward, _, _ = stepped
    asleep, over = ~a["awake"][chosen], a["terminated"][chosen]
    np.testing.assert_array_equal(reward[asleep], 100)
    np.testing.assert_array_equal(reward[over & ~asleep], -100)
    before = np.concatenate([[0], np.cumsum(a["reward"])])
    assert np.all(np.isfinite(before))
    obs = a["obs"].astype(float)
    potential = -100 * (
        np.hypot(obs[:, 0], obs[:, 1])
        + np.hypot(obs[:, 2], obs[:, 3])
        + np.abs(obs[:, 4])
    ) + 10 * (obs[:, 6] + obs[:, 7])
    np.testing.assert_allclose(after.shaping, potential[chosen], rtol=0, atol=5e-3)


@pytest.mark.slow
@pytest.mark.float32
def test_wild_tasks_never_give_nan(launch, step):
    """61,440 steps at gravities of 0.5 to 25 m/s², with storms."""
    keys = jax.random.split(jax.random.key(3), 6)
    heights = jax.random.uniform(keys[0], (LANES, 12), maxval=c.HEIGHT / 2)
    params = jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (LANES,)), ENV.default_params
    ).replace(
        gravity=jax.random.uniform(keys[2], (LANES,), minval=0.5, maxval=25.0),
        enable_wind=jnp.ones(LANES, bool),
        wind_power=jnp.full(LANES, 40.0),
        turbulence_power=jnp.full(LANES, 8.0),
    )
    force = jax.random.uniform(keys[3], (LANES, 2), minval=-3000.0, maxval=3000.0)
    moments = jax.random.randint(keys[1], (LANES, 2), -9999, 9999)
    params = strong(params)
    state = launch(*strong((jax.vmap(smoothed)(heights), force, moments)), params)
    ended = np.zeros(LANES, bool)
    for i in range(60):
        key_action, key_noise = jax.random.split(jax.random.fold_in(keys[4], i))
        actions = jax.random.randint(key_action, (LANES,), 0, 4)
        noise = jax.random.uniform(key_noise, (LANES, 2), minval=-1)
        given = strong((state, actions, noise))
        state, reward, obs, over = step(*given, params)
        ended |= np.asarray(over)
        assert jnp.all(jnp.isfinite(obs)) and jnp.all(jnp.isfinite(reward))
    assert np.mean(ended) > 0.5
    assert step._cache_size() == 1


def test_a_gust_knows_large_moments():
    moments = np.array([-9999, -314, -1, 0, 1, 313, 314, 9999, 10999])
    expected = [
        math.tanh(math.sin(0.02 * i) + math.sin(math.pi * 0.01 * i)) for i in moments
    ]
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_allclose(gust(jnp.asarray(moments)), expected, atol=1e-12)


def falling(height, angle=0.0):
    """A leg whose foot comes from 1 m above a floor at y = 0 to below it."""
    leg = row(created(jnp.float32), c.FIRST_LEG)
    leg = leg.replace(angle=jnp.float32(angle))
    x = jnp.float32(1.0)
    return Body(Vector(x, jnp.float32(height)), leg.angle, leg.velocity, leg.spin)


@pytest.mark.float32
@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2])
def test_time_of_impact_of_a_falling_leg(angle):
    """The foot's lowest corner stops within 5 ± 1.25 mm of the floor."""
    edge = Edge(
        Vector(jnp.float32(0), jnp.float32(0)), Vector(jnp.float32(2), jnp.float32(0))
    )
    reach = 8 / 30 * math.cos(angle) + 2 / 30 * abs(math.sin(angle))
    start, end = falling(1 + reach, angle), falling(-0.5 + reach, angle)
    shape = row(shapes(jnp.float32), c.FIRST_LEG)
    time, hit = jax.jit(impact.time_of_impact)(start, end, shape, edge, jnp.array(True))
    assert hit and abs(1 - 1.5 * float(time) - 0.005) <= 0.00125
    above = falling(0.01 + reach, angle)
    _, hit = jax.jit(impact.time_of_impact)(start, above, shape, edge, jnp.array(True))
    assert not hit


def test_the_yardstick_is_what_gymnasium_s_own_re_runs_do(recording):
    """Judged by the other seven, a re-run loses at most 2 of 60 stable prefixes."""
    found = replay.yardstick(recording)
    assert found["rerun_episodes_lost"] == (0, 2)
    shares = [found[f"rerun_steps_share_{name}"] for name in ("min", "mean", "max")]
    np.testing.assert_allclose(shares, [0.9696, 0.9959, 1], atol=5e-5)
    others = recordings.Recording({})
    assert replay.yardstick(others) == {}


@pytest.mark.slow
@pytest.mark.float32
def test_the_whole_recording(recording):
    """It strays from Gymnasium no further than Gymnasium's own nudged re-runs do."""
    result = replay.measured(recording, ENV, print)
    _, most_lost = result["rerun_episodes_lost"]
    assert result["stable_episodes"] >= max(59, result["episodes"] - most_lost)
    assert result["stable_steps_share"] >= result["rerun_steps_share_min"]
    assert result["whole_episodes"] >= 53
    assert result["flight_error_median"] <= 5e-6
    assert result["flight_share_within_1e-4"] >= 0.95
    assert result["reward_error_median"] <= 5e-4
    assert result["one_step_rebuilt"] == 11400
    assert result["one_step_error_max_stable"] <= 2e-5
    assert result["one_step_beyond_1e-5"] <= 3
    assert result["one_step_flags_wrong"] == 0
    assert result["one_step_ends_wrong"] == result["one_step_sleep_wrong"] == 0


@pytest.mark.slow
@pytest.mark.float32
@pytest.mark.parametrize("solver", ["exact", "fast"])
def test_a_million_wild_steps_never_give_nan(solver):
    """With resets, at gravities of 0.5 to 25 m/s²; every lander's end is in sight."""
    env = LunarLander(solver=solver)
    params = env.default_params.replace(enable_wind=True, max_steps_in_episode=400)

    @jax.jit
    @jax.vmap
    def walk(key, gravity):
        wild = params.replace(gravity=gravity)

        def advance(state, key):
            key_action, key_step = jax.random.split(key)
            action = jax.random.randint(key_action, (), 0, 4)
            _, state, reward, over, cut, info = env.step(key_step, state, action, wild)
            obs = info["final_observation"]
            return state, (
                jnp.all(jnp.isfinite(obs)) & jnp.isfinite(reward),
                over | cut,
            )

        key_reset, key_steps = jax.random.split(key)
        _, state = env.reset_env(key_reset, wild)
        return jax.lax.scan(advance, state, jax.random.split(key_steps, 1000))[1]

    keys = jax.random.split(jax.random.key(8), LANES)
    finite, ends = walk(keys, jnp.linspace(0.5, 25.0, LANES))
    assert jnp.all(finite)
    assert jnp.all(jnp.sum(ends, axis=1) >= 2)


@pytest.mark.slow
@pytest.mark.float32
def test_hull_contacts_show_in_the_last_observation_alone(recording):
    """Solved or only seen, they end the same episodes at the same steps."""
    with_, without = (
        replay.replayed(recording, LunarLander(hull_contacts=solved))
        for solved in (True, False)
    )
    for k, steps in enumerate(recording.lengths):
        np.testing.assert_array_equal(with_[2][k, :steps], without[2][k, :steps])
        np.testing.assert_allclose(
            with_[0][k, : steps - 1], without[0][k, : steps - 1], rtol=0, atol=1e-6
        )


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    with pytest.raises(recordings.UnusableFile, match="no file"):
        recordings.read(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(recordings.UnusableFile, match="no archive"):
        recordings.read(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", obs=np.zeros(3))
    with pytest.raises(recordings.UnusableFile, match="lacks ep_start"):
        recordings.read(tmp_path / "other.npz")
