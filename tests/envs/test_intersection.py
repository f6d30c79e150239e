"""The crossing against closed forms, and its dynamic programme against brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import Intersection
from dmaml_jax.envs.intersection import EnvParams, EnvState, closest, reward
from dmaml_jax.envs.intersection_optimum import drive, even_starts, solve

KEY = jax.random.key(0)
ENV = Intersection()
# The dynamic programme runs for long: it is worth all of XLA's passes.
SOLVED = pytest.mark.optimised


def state_of(delta_x, delta_y, time=0):
    return EnvState(
        delta_x=jnp.asarray(delta_x, float),
        delta_y=jnp.asarray(delta_y, float),
        collided=jnp.array(False),
        time=time,
    )


def step(state, action, params):
    with jax.numpy_dtype_promotion("standard"):
        return ENV.step_env(KEY, state, action, params)


def test_positions_after_n_steps_are_their_closed_form():
    params = EnvParams(u=7.0, dt=0.2)
    speeds = np.random.default_rng(0).uniform(0, 15, 30)
    state = state_of(80.0, -90.0)
    for speed in speeds:
        obs, state, *_ = step(state, jnp.array([speed]), params)
    expected = [80 - 0.2 * speeds.sum(), -90 + 0.2 * 7 * 30]
    np.testing.assert_allclose(obs, expected, rtol=1e-12)
    assert state.time == 30


def test_speeds_beyond_the_bounds_are_clipped():
    params = ENV.default_params
    for asked, driven in ((20.0, 15.0), (-3.0, 0.0)):
        obs, *_ = step(state_of(30.0, -30.0), asked, params)
        np.testing.assert_allclose(obs[0], 30 - 0.1 * driven, rtol=1e-12)


@pytest.mark.parametrize(
    ("speed", "distance", "expected"),
    [
        (10.0, 12.0, 1.0),
        (10.0, 100.0, 1.0),
        (10.0, 5.0, 0.5),
        (16.0, 12.0, 0.5 + 0.5 * np.exp(-1)),
        (4.0, 12.0, 0.5 + 0.5 * np.exp(-1)),
        (10.0, 8.5, 0.75),
        (0.0, 5.0, 0.5 * np.exp(-25 / 9)),
    ],
)
def test_the_reward_and_its_edges(speed, distance, expected):
    np.testing.assert_allclose(reward(speed, distance, ENV.default_params), expected)


def test_no_reward_is_above_one_and_it_is_smooth():
    params = ENV.default_params
    speeds, distances = np.meshgrid(np.linspace(0, 15, 61), np.linspace(0, 60, 601))
    values = reward(speeds, distances, params)
    assert values.max() <= 1 and values.min() >= 0
    slope = jax.vmap(jax.grad(lambda d: reward(10.0, d, params)))
    for edge in (5.0, 12.0):
        around = slope(jnp.array([edge - 1e-6, edge + 1e-6]))
        np.testing.assert_allclose(around, 0, atol=1e-5)


def test_the_closest_point_of_a_segment():
    cases = [
        ((3.0, 4.0, 3.0, 4.0), 5.0),  # no move
        ((1.0, -1.0, 1.0, 1.0), 1.0),  # past the side
        ((2.0, 1.0, 4.0, 2.0), 5**0.5),  # its beginning
        ((4.0, 2.0, 2.0, 1.0), 5**0.5),  # its end
        ((-1.0, -1.0, 1.0, 1.0), 0.0),  # through
    ]
    for ends, expected in cases:
        np.testing.assert_allclose(closest(*map(jnp.float64, ends)), expected)


@pytest.mark.parametrize(("beside", "collided"), [(4.999, True), (5.001, False)])
def test_a_collision_within_a_step_ends_the_episode(beside, collided):
    """At both ends of the step the vehicles are 5 m apart and more."""
    params = EnvParams(u=15.0, max_speed=15.0, dt=1.0, collision_distance=5.0)
    state = state_of(beside, -7.5)
    obs, after, earned, over, _ = step(state, 0.0, params)
    assert min(np.hypot(beside, 7.5), float(jnp.hypot(*obs))) > 5.001
    assert bool(over) == bool(after.collided) == collided
    if collided:
        assert earned == 0
    else:
        np.testing.assert_allclose(earned, reward(0.0, jnp.hypot(*obs), params))
    again = step(after, 10.0, params)
    if collided:
        assert again[2] == 0 and again[3]
        np.testing.assert_array_equal(again[0], obs)


def test_starts_are_uniform_in_their_ranges_and_tell_nothing_of_u():
    keys = jax.random.split(KEY, 4000)
    seen = {}
    for u in (5.0, 15.0):
        obs, _ = jax.vmap(lambda key, u=u: ENV.reset_env(key, EnvParams(u=u)))(keys)
        seen[u] = np.asarray(obs)
    np.testing.assert_array_equal(seen[5.0], seen[15.0])
    x, y = seen[5.0].T
    for values, low, high in ((x, 15, 35), (y, -40, -10)):
        assert values.min() >= low and values.max() <= high
        counts = np.histogram(values, bins=8, range=(low, high))[0]
        np.testing.assert_allclose(counts, 500, atol=4 * 21)
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / 4000**0.5


TINY = EnvParams(
    u=6.0, max_speed=12.0, desired_speed=6.0, dt=1.0, collision_distance=4.0,
    safe_distance=9.0, min_start_1=6.0, max_start_1=15.0, max_start_2=18.0,
)  # fmt: skip


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_the_programme_is_brute_force_on_a_small_crossing(horizon):
    """Every sequence of five speeds from every start of the lattice."""
    best = solve(TINY, [-18.0, -12.0, -7.0], num_speeds=5, horizon=horizon)
    starts = [x for x in best.delta_x if 6 <= x <= 15]
    sequences = jnp.array(list(itertools.product(best.speeds, repeat=horizon)))

    @jax.jit
    def earned(x, y):
        def play(speeds):
            def advance(state, speed):
                _, state, reward, *_ = step(state, speed, TINY)
                return state, (reward, speed)

            return jax.lax.scan(advance, state_of(x, y, jnp.int32(0)), speeds)[1]

        rewards, _ = jax.vmap(play)(sequences)
        return jnp.sum(rewards, axis=1)

    met = 0
    for x, (row, y) in itertools.product(starts, enumerate(best.delta_y)):
        returns = np.asarray(earned(x, y))
        column = int(np.argmin(abs(best.delta_x - x)))
        np.testing.assert_allclose(best.returns[row, column], returns.max(), rtol=1e-9)
        if np.sum(returns > returns.max() - 1e-9) == 1:
            first = sequences[np.argmax(returns), 0]
            assert best.first_speed[row, column] == first
        met += returns.min() == 0 or returns.max() - returns.min() > 0.9 * horizon / 2
    assert met  # collisions are among the sequences


@pytest.fixture(scope="module")
def solutions():
    """On a lattice of Δy that one step at u = 5, 10 and 15 moves along."""
    with jax.enable_x64(True):
        lattice = np.arange(-40, 12.01, 0.5)
        # A millimetre more than 5 m: rounding must not decide who grazes whom.
        return {
            u: solve(EnvParams(u=u, collision_distance=5.001), lattice)
            for u in (5.0, 10.0, 15.0)
        }


def policy(best):
    """Its first speeds, looked up; where the crossing is clear, the desired speed."""

    def speed_of(x, y):
        row = np.clip(np.rint((y - best.delta_y[0]) / 0.5), 0, len(best.delta_y) - 1)
        width = best.delta_x[1] - best.delta_x[0]
        column = np.rint((x - best.delta_x[0]) / width)
        column = np.clip(column, 0, len(best.delta_x) - 1)
        clear = (x < best.delta_x[0]) | (y > best.delta_y[-1])
        return np.where(
            clear, 10.0, best.first_speed[row.astype(int), column.astype(int)]
        )

    return speed_of


def lattice_starts():
    x, y = np.meshgrid(np.arange(15.25, 35, 0.5), np.arange(-40, -9.9, 0.5))
    return x.ravel(), y.ravel()


@pytest.mark.slow
@SOLVED
def test_following_the_programme_earns_what_it_says(solutions):
    x, y = lattice_starts()
    for u, best in solutions.items():
        returns, met = drive(EnvParams(u=u), x, y, policy(best))
        assert not met.any()
        # Its choices are of episodes that begin; near the limit they are not missed.
        np.testing.assert_allclose(returns, best.at(x, y), atol=0.02)


@SOLVED
def test_the_optimum_is_just_under_200_and_a_constant_speed_far_below(solutions):
    for u, best in solutions.items():
        x, y = even_starts(EnvParams(u=u))
        optimum = best.at(x, y)
        assert 185 < optimum.min() and optimum.max() < 200 + 1e-9
        assert 197 < optimum.mean() < 199
        constant = [
            drive(EnvParams(u=u), x, y, lambda x, y, a=a: np.full_like(x, a))[0].mean()
            for a in range(6, 13)
        ]
        assert 110 < max(constant) < 160


def test_a_quarter_of_the_starts_is_in_conflict_at_every_u():
    for u in np.linspace(5, 15, 11):
        params = EnvParams(u=float(u))
        x, y = even_starts(params)
        _, met = drive(params, x, y, lambda x, y: np.full_like(x, 10.0))
        assert 0.25 < met.mean() < 0.5, u


@SOLVED
def test_the_best_response_differs_across_u(solutions):
    """Each loses 15 % and more where the other is best, in the conflict starts."""
    x, y = lattice_starts()
    lost = {}
    for u, other in ((5.0, 15.0), (15.0, 5.0)):
        params = EnvParams(u=u)
        _, met = drive(params, x, y, lambda x, y: np.full_like(x, 10.0))
        best = solutions[u].at(x, y)[met].mean()
        wrong, _ = drive(params, x[met], y[met], policy(solutions[other]))
        lost[u] = 1 - wrong.mean() / best
    np.testing.assert_allclose([lost[5.0], lost[15.0]], [0.838, 0.456], atol=0.01)


@pytest.mark.float32
def test_driving_is_the_environment():
    params = EnvParams(u=8.0)
    x, y = even_starts(params, 5)
    returns, met = drive(params, x, y, lambda x, y: 8 + 2 * np.sin(x + y))

    @jax.jit
    @jax.vmap
    def play(x, y):
        state = state_of(x, y, jnp.int32(0))

        def advance(state, _):
            speed = 8 + 2 * jnp.sin(state.delta_x + state.delta_y)
            _, state, reward, over, _ = ENV.step_env(KEY, state, speed, params)
            return state, (reward, over)

        return jax.lax.scan(advance, state, None, length=200)[1]

    rewards, over = play(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(rewards.sum(axis=1), returns, rtol=1e-3)
    np.testing.assert_array_equal(over.any(axis=1), met)
    assert met.any() and not met.all()
