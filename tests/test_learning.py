"""Learning itself: the inner loop matters, other environments, the main claim."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dmaml_jax.build import configuration
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.envs import make
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.registry import gradient_learners
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.statistics import ema, epochs_to_threshold
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.training.program import Program
from dmaml_jax.types import Policy

pytestmark = pytest.mark.float32


def curves(step, seeds, epochs: int) -> dict[str, np.ndarray]:
    """Metrics of a whole training run by name, `[epochs, seeds]`."""
    program = Program(*step, seeds=seeds, chunk_epochs=epochs, devices=jax.devices())
    program.compile()
    return program.run_all(epochs)


@pytest.mark.slow
def test_adaptation_gains_return_while_learning() -> None:
    """MAML with α = 0.01: after − before is positive with 95 % confidence.

    At the paper's α = 0.001 the gain drowns in noise, and a broken inner loop would
    pass for a plain policy gradient.
    """
    metrics = curves(
        make_train_step("cartpole", "maml", inner_lr=0.01), range(1, 6), 90
    )
    before = ema(metrics["return_before"])
    learning = (before > 30) & (before < 150)
    gains = metrics["return_after"] - metrics["return_before"]
    means = [gains[learning[:, lane], lane].mean() for lane in range(5)]
    low, _ = stats.t.interval(0.95, 4, np.mean(means), stats.sem(means))
    assert learning.sum(axis=0).min() >= 20
    assert low > 0, means


@pytest.mark.slow
def test_gymnax_s_own_cartpole_improves() -> None:
    """Forces in [5, 15] N: from about 20 to over 120 within 60 epochs, on 3 seeds."""
    import gymnax

    env, params = gymnax.make("CartPole-v1")
    tasks = uniform(params, force_mag=(5.0, 15.0))
    step = make_train_step(env, "directed-maml", tasks=tasks)
    returns = curves(step, [1, 2, 3], 60)["return_after"]
    assert (returns[:3].mean(axis=0) < 40).all()
    assert (returns[-10:].mean(axis=0) > 120).all()


def test_an_environment_as_an_object_with_continuous_actions() -> None:
    """Gymnax's Pendulum: costs up to 17 a step, one action in ±2."""
    import gymnax

    env, params = gymnax.make("Pendulum-v1")
    tasks = uniform(params, g=(5.0, 15.0))
    step = make_train_step(env, "maml", tasks=tasks, horizon=20, num_tasks=2)
    metrics = curves(step, [1], 2)
    assert (-17 * 20 < metrics["return_after"]).all()
    assert (metrics["return_after"] < 0).all()
    assert metrics["failed_at"].tolist() == [0]
    assert (metrics["env_steps"] == 2 * 2 * 10 * 20).all()


def test_a_policy_of_one_s_own() -> None:
    """A linear policy learns the same way."""

    def init(key, obs):
        return {"w": 0.01 * jax.random.normal(key, (*obs.shape, 2))}

    policy = Policy(init, lambda params, obs: obs @ params["w"], categorical())
    step = make_train_step("cartpole", "maml", policy=policy, outer_lr=0.05)
    returns = curves(step, [1], 30)["return_after"]
    assert returns[-5:].mean() > returns[:5].mean() + 30


def test_an_environment_as_an_object_needs_its_tasks() -> None:
    env, _ = make("cartpole")
    with pytest.raises(UsageError, match="needs its task distribution"):
        make_train_step(env, "maml")
    with pytest.raises(UsageError, match="no value 'inner_rate'"):
        make_train_step("cartpole", "maml", inner_rate=0.1)
    with pytest.raises(UsageError, match="--num-tasks is 0"):
        make_train_step("cartpole", "maml", num_tasks=0)


def test_a_learner_s_preset_is_its_default_and_no_more() -> None:
    """SG-MRL's score term is in units of return, and so must its gradient be."""
    for algo in ("sg-mrl", "directed-sg-mrl"):
        values = configuration("cartpole", algo)
        method = values.method
        assert not method.normalize_advantages and method.discount_weighting
    assert configuration("cartpole", "e-maml").method.normalize_advantages
    programs = [
        program("sg-mrl", **values)
        for values in (
            {},
            {"normalize_advantages": False, "discount_weighting": True},
            {"normalize_advantages": True, "discount_weighting": False},
        )
    ]
    assert programs[0] == programs[1] != programs[2]


def program(algo: str, **values) -> tuple[str, list[list[float]]]:
    """What an epoch computes, as text, and the constants in it; nothing is compiled."""
    sizes = {"horizon": 4, "num_tasks": 2, "num_trajectories": 2, "hidden_sizes": (4,)}
    init, step = make_train_step("cartpole", algo, **sizes, **values)
    key = jax.random.key(0)
    traced = jax.make_jaxpr(step)(key, jax.eval_shape(init, key))
    # Functions are named by where they are in memory.
    text = re.sub(r"0x[0-9a-f]+", "", str(traced))
    return text, [np.ravel(constant).tolist() for constant in traced.consts]


@pytest.mark.parametrize(
    "algo",
    [
        algo if algo == "maml" else pytest.param(algo, marks=pytest.mark.slow)
        for algo in gradient_learners()
    ],
)
def test_every_learner_takes_a_step_with_the_actor_critic(algo: str) -> None:
    """Directed, at a toy size: finite, and both networks move."""
    values = {"horizon": 8, "num_tasks": 2, "num_trajectories": 2, "hidden_sizes": (4,)}
    init, step = make_train_step(
        "cartpole", f"directed-{algo}", method="ac", inner_lr=0.01, **values
    )
    state = init(jax.random.key(0))
    after, info = jax.jit(step)(jax.random.key(1), state)
    assert jnp.isfinite(info.loss) and jnp.isfinite(info.cos_medium_meta)
    for network in ("actor", "critic"):
        moves = jax.tree.map(
            lambda a, b: jnp.max(jnp.abs(a - b)),
            after.params[network],
            state.params[network],
        )
        assert 0 < max(jax.tree.leaves(moves)) < 1


@pytest.mark.slow
def test_controls_reach_the_program_by_their_names() -> None:
    """Each changes what an epoch computes.

    That it does what its name says is asked of the functions themselves, and of their
    names in build/test_learner.py.
    """
    plain = program("directed-maml")
    assert plain == program("directed-maml")
    for options in (
        {"medium_task": "empirical"},
        {"medium_task": "one-of-batch"},
        {"medium_task": "fresh"},
        {"medium_task": "given", "medium_values": ("gravity=14",)},
        {"directed_placement": "inner-and-outer"},
        {"directed_schedule": "cosine", "epochs": 2},
        {"directed_gate": "until-plateau"},
        {"directed_gate": "unless-opposed"},
        {"directed_reduction": "mean"},
        {"directed_optimizer": "adam"},
        {"outer_schedule": "cosine", "epochs": 2},
        {"outer_optimizer": "sgd"},
        {"clip_norm": 0.01},
        {"baseline": "linear"},
        {"obs_scale": 0.5},
        {"obs_squash": True},
        {"discount": 0.5},
        {"step_reduction": "mean"},
        {"method": "ac"},
    ):
        assert program("directed-maml", **options) != plain, options
    critic = program("maml", method="ac")
    for options in (
        {"shared_trunk": True},
        {"entropy_coefficient": 0.1},
        {"value_coefficient": 0.1},
        {"gae_lambda": 0.5},
    ):
        assert program("maml", method="ac", **options) != critic, options
    for algo, options in (
        ("maml++", {"rates": "fixed"}),
        ("maml++", {"multi_step_epochs": 4}),
        ("maml++", {"second_order_epochs": 4}),
        ("joint", {"measure_adaptation": False}),
        ("sg-mrl", {"score_baseline": "none"}),
    ):
        assert program(algo, **options) != program(algo), options


@pytest.mark.slow
@pytest.mark.parametrize(
    "placement", ["inner-and-outer", pytest.param("epoch", marks=pytest.mark.slow)]
)
def test_delta_s_cosine_ends_with_the_epochs(placement: str) -> None:
    """Two epochs of it: then no pre-step moves anything, and before that it does."""
    values = {
        "horizon": 40,
        "num_tasks": 2,
        "num_trajectories": 2,
        "hidden_sizes": (4,),
    }
    init, step = make_train_step(
        "cartpole",
        "directed-maml",
        directed_schedule="cosine",
        directed_placement=placement,
        outer_optimizer="sgd",
        outer_lr=0.0,
        epochs=2,
        **values,
    )
    state, jitted = init(jax.random.key(0)), jax.jit(step)
    moves = []
    for key in jax.random.split(jax.random.key(1), 3):
        before = jax.flatten_util.ravel_pytree(state.params)[0]
        state, _ = jitted(key, state)
        after = jax.flatten_util.ravel_pytree(state.params)[0]
        moves.append(float(jnp.max(jnp.abs(after - before))))
    assert moves[0] > 0 and moves[1] > 0 and moves[2] == 0, moves


def test_clipping_bounds_what_the_outer_optimiser_gets() -> None:
    values = {
        "horizon": 40,
        "num_tasks": 2,
        "num_trajectories": 2,
        "hidden_sizes": (4,),
    }
    init, step = make_train_step(
        "cartpole",
        "maml",
        outer_optimizer="sgd",
        outer_lr=0.5,
        clip_norm=0.01,
        **values,
    )
    state = init(jax.random.key(0))
    after, _ = jax.jit(step)(jax.random.key(1), state)
    moves = jax.tree.map(lambda a, b: a - b, after.params, state.params)
    length = jnp.linalg.norm(jax.flatten_util.ravel_pytree(moves)[0])
    np.testing.assert_allclose(length, 0.005, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(1, 6), range(101, 121)])
def test_directed_maml_learns_cartpole(seeds: range) -> None:
    """Table I's values: 190 within 150 epochs on every seed, and it stays there."""
    epochs = configuration("cartpole").run.epochs
    step = make_train_step("cartpole", "directed-maml")
    smoothed = ema(curves(step, seeds, epochs)["return_after"])
    reached = epochs_to_threshold(smoothed, 190.0)
    assert all(epoch is not None and epoch <= 150 for epoch in reached), reached
    share = (smoothed[-100:] > 175).mean(axis=0)
    assert (share >= 0.95).all(), share


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pg", "ac"])
@pytest.mark.parametrize("algo", gradient_learners())
def test_every_learner_learns_cartpole(algo: str, method: str) -> None:
    """With its preset: 190 on 4 of 5 seeds; at α = 0.01 adaptation gains meanwhile.

    SG-MRL's score terms at K = 10 make it slower than all others. The losses of ProMP
    and iMAML are means over the 200 steps of an episode, not sums, so that a step as
    long has an α 200 times as great; iMAML's five of α = 0.3 end near ∇L/λ from θ.
    """
    epochs, gaining = (300, 120) if algo == "sg-mrl" else (110, 80)
    adapting = {
        "promp": {"inner_lr": 2.0},
        "imaml": {"inner_lr": 0.3, "proximal_weight": 1.0},
    }.get(algo, {"inner_lr": 0.01})
    step = make_train_step("cartpole", algo, method=method)
    smoothed = ema(curves(step, range(1, 6), epochs)["return_after"])
    reached = epochs_to_threshold(smoothed, 190.0)
    assert sum(epoch is not None for epoch in reached) >= 4, reached

    step = make_train_step("cartpole", algo, method=method, **adapting)
    metrics = curves(step, range(1, 6), gaining)
    before = ema(metrics["return_before"])
    learning = (before >= 30) & (before <= 150)
    gains = metrics["return_after"] - metrics["return_before"]
    lanes = [lane for lane in range(5) if learning[:, lane].any()]
    means = [gains[learning[:, lane], lane].mean() for lane in lanes]
    low, _ = stats.t.interval(0.95, len(lanes) - 1, np.mean(means), stats.sem(means))
    assert len(lanes) >= 4 and low > 0, means


@pytest.mark.slow
def test_long_horizons_move_the_time_limit() -> None:
    """`horizon=500` is CartPole-v1's: the environment's own limit gives way."""
    seen = []

    def init(key, obs):
        return {"w": jnp.zeros(obs.shape)}

    def apply(params, obs):
        # A hand-made balancing rule, with nothing to learn.
        push = obs @ jnp.array([0.1, 0.5, 9.0, 2.0]) * 50
        return jnp.stack([-push, push], axis=-1) + 0 * jnp.sum(params["w"])

    policy = Policy(init, apply, categorical())
    for horizon in (200, 500):
        step = make_train_step(
            "cartpole",
            "maml",
            policy=policy,
            horizon=horizon,
            num_tasks=2,
            num_trajectories=2,
        )
        seen.append(curves(step, [1], 1)["return_after"].item())
    assert seen == [200.0, 500.0]


def ends(metrics: dict[str, np.ndarray], epochs: int) -> np.ndarray:
    """Mean returns after adaptation of the last epochs minus the first, per seed."""
    returns = metrics["return_after"]
    return returns[-epochs:].mean(axis=0) - returns[:epochs].mean(axis=0)


@pytest.mark.slow
def test_one_step_of_maml_finds_a_goal_that_nobody_shows() -> None:
    """Point navigation: the return after adaptation is far above that before."""
    metrics = curves(make_train_step("point", "maml"), range(1, 6), 150)
    gains = (metrics["return_after"] - metrics["return_before"])[-20:].mean(axis=0)
    low, _ = stats.t.interval(0.95, 4, np.mean(gains), stats.sem(gains))
    assert low > 10 and metrics["return_after"][-20:].mean() > -4, gains


@pytest.mark.slow
def test_gymnax_s_pendulum_improves() -> None:
    step = make_train_step("gymnax:Pendulum-v1", "maml", vary=("g=5:15",))
    rises = ends(curves(step, range(1, 4), 150), 15)
    assert (rises > 60).all(), rises


@pytest.mark.slow
def test_gymnax_s_acrobot_learns_to_swing_up() -> None:
    """Its own 500 steps, in which a random policy rarely arrives."""
    step = make_train_step("gymnax:Acrobot-v1", "maml", vary=("link_mass_1=0.5:2",))
    metrics = curves(step, range(1, 4), 100)
    assert (metrics["return_after"][0] < -400).all()
    assert (metrics["return_after"][-10:].mean(axis=0) > -120).all()
