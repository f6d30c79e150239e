"""From names and values to environments, tasks and policies that fit them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.wrappers.purerl import LogWrapper

from dmaml_jax import make_train_step
from dmaml_jax.build import configuration
from dmaml_jax.build.environment import (
    named_environment,
    named_tasks,
    solver_of,
    with_solver,
)
from dmaml_jax.build.policy import default_policy
from dmaml_jax.envs import CartPole
from dmaml_jax.envs.registry import ENVIRONMENTS, GYMNAX
from dmaml_jax.errors import UsageError
from dmaml_jax.rl.action_distributions import (
    Normal,
    diagonal_normal,
    squashed_normal,
)
from dmaml_jax.rl.policies import mlp_categorical
from dmaml_jax.tasks import probe
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.tasks.of_environment import task_of

pytestmark = pytest.mark.float32
KEY = jax.random.key(0)


def world(env: str, **values):
    """Environment, tasks and policy of a name, as training makes them."""
    config = configuration(env, **values)
    made = named_environment(env)
    tasks = named_tasks(made, config)
    return made, tasks, default_policy(made, tasks, config)


def output_of(made, tasks, policy, num=3):
    obs, _ = jax.eval_shape(made.reset_env, KEY, tasks.mean())
    params = policy.init(KEY, jnp.zeros(obs.shape, obs.dtype))
    many = jnp.ones((num, *obs.shape), obs.dtype)
    return params, policy.apply(params, many), many


@pytest.mark.parametrize(
    "env",
    [
        pytest.param(name, marks=pytest.mark.slow) if "lander" in name else name
        for name in ENVIRONMENTS
    ],
)
def test_every_preset_makes_a_world(env):
    made, tasks, policy = world(env)
    sampled = jax.vmap(tasks.sample)(jax.random.split(KEY, 5))
    names = [item.split("=")[0] for item in configuration(env).tasks.vary]
    for name in names or made.task_law.draws[:1]:
        drawn = np.asarray(getattr(sampled, name)).reshape(5, -1)
        # Of the 21 goals two draws may be alike.
        assert len({tuple(row) for row in drawn.tolist()}) >= (5 if names else 2)
    _, output, _ = output_of(made, tasks, policy)
    continuous = env.startswith(("intersection", "point"))
    assert isinstance(output, Normal) == continuous


@pytest.mark.parametrize(
    ("env", "vary", "outputs"),
    [
        ("MemoryChain-bsuite", "memory_length=3,5", 2),
        ("Freeway-MinAtar", "player_speed=2,3", 3),
        ("FourRooms-misc", "fail_prob=0.1:0.5", 4),
        ("DeepSea-bsuite", "unscaled_move_cost=0.01:0.1", 2),
    ],
)
def test_arrays_of_any_shape_and_type_are_observed(env, vary, outputs):
    made, tasks, policy = world(GYMNAX + env, vary=(vary,))
    _, logits, many = output_of(made, tasks, policy)
    assert logits.shape == (3, outputs) and logits.dtype == jnp.float32
    assert jnp.all(jnp.isfinite(logits)), many.dtype


def test_whole_numbers_vary_as_a_list():
    made, tasks, _ = world(GYMNAX + "MemoryChain-bsuite", vary=("memory_length=3,5,9",))
    drawn = jax.vmap(tasks.sample)(jax.random.split(KEY, 200)).memory_length
    assert set(np.asarray(drawn).tolist()) == {3, 5, 9}
    assert tasks.mean().memory_length == 5 and made.name == "MemoryChain-bsuite"


def test_observations_are_scaled_and_squashed():
    plain = world("intersection", obs_scale=1.0, obs_squash=False)
    _, _, policy = plain
    params, _, _ = output_of(*plain)
    obs = jnp.array([[30.0, -20.0], [-100.0, 7.0]])
    scaled = world("intersection", obs_scale=0.05, obs_squash=False)[2]
    squashed = world("intersection", obs_scale=0.05, obs_squash=True)[2]
    for other, expected in (
        (scaled, obs * 0.05),
        (squashed, jnp.array([[1, -1], [-1, 1]]) * jnp.log1p(abs(obs) * 0.05)),
    ):
        np.testing.assert_allclose(
            other.apply(params, obs).mean, policy.apply(params, expected).mean
        )


def test_an_environment_s_own_law_draws_what_it_says_and_keeps_the_rest():
    made, tasks, _ = world("mdp", set=("noise=0",), horizon=25)
    first, second = (tasks.sample(jax.random.key(seed)) for seed in (1, 2))
    for name in made.task_law.draws:
        assert not np.array_equal(getattr(first, name), getattr(second, name)), name
    for task in (first, second, tasks.mean()):
        assert task.noise == 0 and task.max_steps_in_episode == 25
    fresh = tasks.sample_held_out(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, fresh, first)


@pytest.mark.parametrize(
    ("env", "values", "said"),
    [
        ("bandit", {"vary": ("probabilities=0:1",)}, "--vary has no effect on bandit"),
        ("mdp", {"vary": ("noise=0:1",)}, "transitions and rewards of every task"),
        ("gridworld", {"held_out": 0.2}, "--held-out keeps a share of a list"),
        ("gridworld", {"set": ("goal_x=3",)}, "--set goal_x fixes what every task"),
        ("bandit", {"set": ("probabilities=1",)}, "is an array"),
        ("mdp:7", {}, "mdp takes no number"),
        ("bandit:1", {}, "leaves nothing to choose"),
        ("bandit:x", {}, "needs a whole number above 0"),
        ("bandit:07", {}, "needs a whole number above 0"),
        ("bandits:7", {}, "Unknown environment 'bandits:7'"),
    ],
)
def test_what_contradicts_a_law_or_is_no_number_of_arms_is_refused(env, values, said):
    with pytest.raises(UsageError, match=said):
        world(env, **values)


def test_a_bandit_s_name_carries_its_number_of_arms():
    for name, arms in (("bandit", 5), ("bandit:3", 3), ("bandit:50", 50)):
        made, tasks, policy = world(name)
        assert tasks.sample(KEY).probabilities.shape == (arms,)
        assert output_of(made, tasks, policy)[1].shape == (3, arms)


def test_a_parameter_stays_within_its_limits():
    made, tasks, _ = world("gridworld")
    assert task_of(made, tasks.mean(), ("goal_x=4",), "--task").goal_x == 4
    for value in ("5", "-1"):
        with pytest.raises(UsageError, match="allows only values from 0 to 4"):
            task_of(made, tasks.mean(), (f"goal_x={value}",), "--task")


@pytest.mark.parametrize("bounds", ["squash", "clip"])
def test_actions_keep_an_environment_s_bounds(bounds):
    made, tasks, policy = world("intersection", bounds=bounds)
    samples = jnp.linspace(-50, 50, 101)[:, None]
    actions = policy.distribution.action(samples)
    ends = [jnp.min(actions), jnp.max(actions)]
    np.testing.assert_allclose(ends, [0, 15], atol=1e-9)
    space = made.action_space(tasks.mean())
    assert jnp.all(jax.vmap(space.contains)(actions))
    inside = policy.distribution.action(jnp.array([1.0]))
    expected = 1.0 if bounds == "clip" else 15 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(inside, [expected], rtol=1e-6)


def test_the_deviation_starts_and_stays_as_said():
    made, tasks, policy = world("point", initial_std=0.3, min_std=0.2)
    params, output, _ = output_of(made, tasks, policy)
    np.testing.assert_allclose(jnp.exp(output.log_std), 0.3, rtol=1e-6)
    lower = {**params, "log_std": jnp.full(2, -9.0)}
    obs = jnp.zeros(2)
    std = jnp.exp(policy.apply(lower, obs).log_std)
    np.testing.assert_allclose(std, 0.2, rtol=1e-6)


def test_the_horizon_may_be_the_environment_s_own():
    made, tasks, _ = world(GYMNAX + "Acrobot-v1", vary=("link_mass_1=0.5:2",))
    assert configuration(GYMNAX + "Acrobot-v1").sampling.horizon == 0
    assert tasks.mean().max_steps_in_episode == 500
    longer = world("cartpole", horizon=700)[1]
    assert longer.mean().max_steps_in_episode == 700
    assert made.default_params.max_steps_in_episode == 500


def test_a_parameter_that_is_hardly_felt_is_told_and_taken(capsys):
    world(GYMNAX + "MountainCar-v0", vary=("goal_position=0.4:0.5",))
    assert "note: in 1,600 random steps" in capsys.readouterr().out


def test_a_listed_parameter_may_be_held_out():
    listed = "g=" + ",".join(str(n) for n in range(5, 15))
    _, tasks, _ = world(GYMNAX + "Pendulum-v1", vary=(listed, "l=0.5:1"), held_out=0.3)
    keys = jax.random.split(KEY, 300)
    train = set(np.asarray(jax.vmap(tasks.sample)(keys).g).tolist())
    test = set(np.asarray(jax.vmap(tasks.sample_held_out)(keys).g).tolist())
    assert len(train) == 7 and len(test) == 3 and not train & test


def test_an_environment_without_a_default_policy_is_refused():
    made = named_environment("point")
    config = configuration(env="point", vary=("goal_x=0:1",))
    tasks = named_tasks(made, config)
    made.action_space = lambda params=None: made.observation_space(
        params or made.default_params
    ).__class__(-1.0, 1.0, (2, 2))
    with pytest.raises(UsageError, match="neither one choice nor a vector"):
        default_policy(made, tasks, config)


@pytest.mark.parametrize(
    ("env", "values"),
    [
        ("intersection", {}),
        ("point", {"method": "ac", "entropy_coefficient": 0.01}),
    ],
)
def test_an_epoch_of_every_kind(env, values):
    sizes = {"num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}
    init, step = make_train_step(
        env, "directed-maml", **{"horizon": 7, **sizes, **values}
    )
    state, info = jax.jit(step)(KEY, init(jax.random.key(1)))
    assert state.base.epoch == 1
    for leaf in jax.tree.leaves((state, info)):
        assert jnp.all(jnp.isfinite(leaf))
    assert 0 < info.num_steps <= 5 * 3 * 7


def test_gymnax_s_environments_need_tasks_from_somewhere():
    with pytest.raises(UsageError, match="no task distribution of its own"):
        make_train_step(GYMNAX + "FrozenLake-misc", "maml")
    with pytest.raises(UsageError, match="gymnax has no environment 'Nonsense-v9'"):
        make_train_step(GYMNAX + "Nonsense-v9", "maml")
    made = named_environment(GYMNAX + "Pendulum-v1")
    tasks = uniform(made.default_params, g=(5.0, 15.0))
    make_train_step(GYMNAX + "Pendulum-v1", "maml", tasks=tasks)


def test_a_run_s_record_says_how_true_its_solver_is() -> None:
    fast, exact = solver_of("lunarlander"), solver_of("lunarlander-exact")
    assert fast["solver"] == "fast" and "not conformant step by step" in str(fast)
    assert exact == {"solver": "exact", "conformance": "Box2D's, step by step"}
    assert solver_of("cartpole") == {}
    assert with_solver("lunarlander", "exact") == "lunarlander-exact"
    assert with_solver("lunarlander-exact", "fast") == "lunarlander"
    assert with_solver("point", None) == "point"
    with pytest.raises(UsageError, match="--solver fast has no effect on point"):
        with_solver("point", "fast")


def test_absurd_ranges_are_refused_before_anything_is_built():
    with pytest.raises(UsageError, match=r"at 1e.38 or 3e.38, cartpole gives numbers"):
        world("cartpole", vary=("gravity=1e38:3e38",))
    with pytest.raises(UsageError, match=r"^--vary gravity: .* it would overflow"):
        world("cartpole", vary=("gravity=1e39:3e39",))
    with pytest.raises(UsageError, match=r"'gravity' cannot be 1e.39: it would over"):
        world("cartpole", set=("gravity=1e39",), vary=("length=0.5:1",))


def test_fixed_values_are_those_of_every_task():
    """Numbers, whole numbers and switches; the time limit stays --horizon's."""
    made, tasks, _ = world("cartpole", set=("length=0.7", "masspole=0.2"))
    drawn = jax.vmap(tasks.sample)(jax.random.split(KEY, 9))
    np.testing.assert_allclose(drawn.length, 0.7, rtol=1e-6)
    np.testing.assert_allclose(tasks.mean().masspole, 0.2, rtol=1e-6)
    assert len(set(np.asarray(drawn.gravity).tolist())) == 9
    assert made.default_params.length == 0.5
    values = {"vary": ("wind_power=0:20",), "set": ("enable_wind=true",)}
    windy = named_tasks(
        named_environment("lunarlander"), configuration("lunarlander", **values)
    )
    assert bool(windy.mean().enable_wind) and windy.mean().wind_power == 10
    with pytest.raises(UsageError, match="is the time limit"):
        world("cartpole", set=("max_steps_in_episode=3",))
    chain = GYMNAX + "MemoryChain-bsuite"
    with pytest.raises(UsageError, match=r"takes whole numbers from .* not 2.5"):
        world(chain, vary=("num_bits=1,2",), set=("memory_length=2.5",))


def test_a_learner_is_given_fixed_values_and_a_whole_medium_task():
    chain, listed = GYMNAX + "MemoryChain-bsuite", ("memory_length=3,5,9",)
    values = {"vary": listed, "hidden_sizes": (4,), "horizon": 4}
    make_train_step(
        chain,
        "directed-maml",
        medium_task="given",
        medium_values=("memory_length=4",),
        **values,
    )
    with pytest.raises(UsageError, match="not 4"):
        make_train_step(
            chain,
            "directed-maml",
            medium_task="given",
            medium_values=("memory_length=4.5",),
            **values,
        )
    with pytest.raises(UsageError, match="memory_length takes whole numbers only"):
        make_train_step(chain, "directed-maml", medium_task="empirical", **values)


def test_parameters_without_effect_are_found_without_reading_messages():
    env = named_environment("point")
    felt = {
        name: probe.reaches(env, env.default_params, name)
        for name in ("goal_x", "max_step", "goal_radius", "sparse_radius")
    }
    assert felt == {
        "goal_x": True,
        "max_step": True,
        "goal_radius": True,
        "sparse_radius": False,
    }


def test_a_train_step_can_be_built_inside_of_a_jit():
    """Also where ranges are tried out and a medium task is given."""

    @jax.jit
    def train(rate):
        init, step = make_train_step(
            "intersection",
            "directed-maml",
            vary=("desired_speed=8:12",),
            medium_task="given",
            medium_values=("u=7",),
            set=("max_speed=20",),
            horizon=3,
            num_tasks=2,
            num_trajectories=2,
            hidden_sizes=(2,),
            inner_lr=rate,
        )
        return step(KEY, init(KEY))[1].loss

    assert jnp.isfinite(train(jnp.float32(0.1)))


def test_tasks_of_another_environment_are_refused_at_once():
    env = named_environment("point")
    tasks = uniform(named_environment("cartpole").default_params, gravity=(5.0, 15.0))
    with pytest.raises(UsageError, match="tasks are no parameters of point"):
        make_train_step(env, "maml", tasks=tasks)
    with pytest.raises(UsageError, match="tasks are no parameters of point"):
        make_train_step("point", "maml", tasks=tasks)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seeds": 3}, "--seeds belongs to the training loop"),
        ({"checkpoint_every": 3}, "--checkpoint-every belongs to the training loop"),
        ({"epochs": 3}, "--epochs belongs to the training loop"),
        ({"vary": ("gravity=5:6",)}, "--vary belongs to tasks that are not given"),
        ({"held_out": 0.5}, "--held-out belongs to tasks that are not given"),
        ({"hidden_sizes": (3,)}, "--hidden-sizes belongs to the default policy"),
        ({"obs_squash": True}, "--obs-squash belongs to the default policy"),
    ],
)
def test_a_train_step_takes_nothing_without_effect(values, said):
    env = named_environment("cartpole")
    tasks = uniform(env.default_params, gravity=(5.0, 15.0))
    policy = mlp_categorical(2, (4,))
    with pytest.raises(UsageError, match=said):
        make_train_step(env, "maml", tasks=tasks, policy=policy, **values)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.1", "--inner-lr is '0.1', but it must be a finite number, 0 or more"),
        (None, "--inner-lr is None"),
        ([1], r"--inner-lr is \[1\]"),
        (True, "--inner-lr is True"),
        (np.float32(0.1), r"a number of NumPy's, .* give float\(x\)"),
        (np.float64(0.1), r"a number of NumPy's, .* give float\(x\)"),
        (np.zeros(()), r"a number of NumPy's"),
        (jnp.ones(2), r"an array of shape \(2,\), but it must be one number"),
        (jnp.array(True), "an array of type bool"),
        (float("nan"), "--inner-lr is nan"),
    ],
)
def test_a_rate_is_a_plain_number_or_an_array_of_jax(value, said):
    with pytest.raises(UsageError, match=said):
        make_train_step("cartpole", "maml", inner_lr=value)
    make_train_step("cartpole", "maml", inner_lr=jnp.float32(0.1))


def test_what_decides_a_program_s_shape_is_not_traced():
    with pytest.raises(UsageError, match=r"--num-tasks is a jax\.Array, but"):
        make_train_step("cartpole", "maml", num_tasks=jnp.int32(3))


class Slowed(CartPole):
    """Does something of its own where no rollout looks."""

    def step(self, key, state, action, params=None):
        return super().step(key, state, 0 * action, params)


@pytest.mark.parametrize(
    ("env", "word"),
    [
        (Slowed(), "Slowed overrides step"),
        (LogWrapper(CartPole()), "LogWrapper overrides step"),
    ],
)
def test_an_environment_that_would_be_passed_by_is_refused(env, word):
    tasks = uniform(CartPole().default_params, gravity=(5.0, 15.0))
    with pytest.raises(UsageError, match=word):
        make_train_step(env, "maml", tasks=tasks)


def test_each_entry_of_an_action_has_its_own_bounds():
    """One entry within 0 and 2, one without a bound, one that is always 3."""
    distribution = squashed_normal(
        np.array([0.0, -np.inf, 3.0]), np.array([2.0, np.inf, 3.0])
    )
    sample = jnp.array([0.0, 7.0, -4.0])
    np.testing.assert_allclose(distribution.action(sample), [1.0, 7.0, 3.0])
    params = Normal(jnp.zeros(3), jnp.zeros(3))
    plain = diagonal_normal().log_prob(params, sample)
    # log(2 s(0) s(0)) of the first entry alone.
    np.testing.assert_allclose(
        distribution.log_prob(params, sample), plain - np.log(0.5), rtol=1e-6
    )
    assert np.isfinite(distribution.entropy(params))
