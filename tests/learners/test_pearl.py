"""PEARL's loop, on problems small enough to know what it should leave behind."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.beliefs import Belief, believed
from dmaml_jax.learners.off_policy_steps import Learning, off_policy_steps
from dmaml_jax.learners.replay import added, empty
from dmaml_jax.types import OffPolicy, Problem

HORIZON, TRAJECTORIES, BANK, TASKS = 5, 2, 4, 2
POSTERIOR, EXTRA = 2, 1
VALUES: dict[str, Any] = {
    "horizon": HORIZON,
    "num_trajectories": TRAJECTORIES,
    "num_tasks": TASKS,
    "bank_tasks": BANK,
    "posterior_trajectories": POSTERIOR,
    "extra_trajectories": EXTRA,
    "gradient_steps": 2,
    "tasks_per_step": 2,
    "batch_size": 4,
    "context_size": 4,
    "replay_capacity": 30,
    "hidden_sizes": (4,),
    "encoder_sizes": (4,),
    "latent_size": 2,
}


@pytest.fixture(scope="module")
def trained() -> Any:
    """The problem, the learner, and the states and infos of two epochs on point."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        config = configuration("point", "pearl", **VALUES)
        problem, learner = build(config)
        state = jax.jit(learner.init)(jax.random.key(0))
        step = jax.jit(learner.step)
        tasks = problem.sample_tasks(jax.random.key(1), TASKS)
        states, infos = [state], []
        for epoch in range(2):
            state, info = step(jax.random.key(2 + epoch), state, tasks)
            states.append(state)
            infos.append(info)
        assert step._cache_size() == 1
        return problem, learner, states, infos


def test_every_task_is_lived_in_once_and_then_some_in_each_epoch(trained: Any):
    _, _, states, infos = trained
    first, more = HORIZON * TRAJECTORIES, HORIZON * (TRAJECTORIES + POSTERIOR + EXTRA)
    counts = [np.asarray(state.replay.total) for state in states]
    np.testing.assert_array_equal(counts[0], 0)
    # No goal is that near to the origin that an episode would end early.
    assert sorted(counts[1]) == [first] * (BANK - TASKS) + [first + more] * TASKS
    assert sorted(counts[2] - counts[1]) == [0] * (BANK - TASKS) + [more] * TASKS
    assert [int(info.num_steps) for info in infos] == [
        BANK * first + TASKS * more,
        TASKS * more,
    ]


def test_a_context_begins_anew_and_leaves_out_what_is_kept_apart(trained: Any):
    _, _, states, _ = trained
    before, after = states[1].replay, states[2].replay
    lived = np.asarray(after.total != before.total)
    begin, end = np.asarray(after.begin), np.asarray(after.end)
    np.testing.assert_array_equal(begin[lived], before.total[lived])
    np.testing.assert_array_equal(
        (end - begin)[lived], HORIZON * (TRAJECTORIES + POSTERIOR)
    )
    np.testing.assert_array_equal((after.total - end)[lived], HORIZON * EXTRA)
    np.testing.assert_array_equal(begin[~lived], before.begin[~lived])


def test_the_bank_stays_and_the_replay_holds_transitions_of_its_tasks(trained: Any):
    problem, _, states, _ = trained
    for early, late in zip(states[1].bank, states[2].bank, strict=True):
        np.testing.assert_array_equal(early, late)
    structure = jax.tree.structure(problem.medium_task())
    tasks = structure.unflatten(states[2].bank)
    items, count = states[2].replay.items, np.asarray(states[2].replay.total)
    for task in range(BANK):
        there = slice(0, min(count[task], 30))
        after = np.asarray(items.next_obs[task][there])
        away = after - np.stack([tasks.goal_x[task], tasks.goal_y[task]])
        np.testing.assert_allclose(
            items.reward[task][there], -(away**2).sum(1), rtol=1e-10
        )


def test_what_is_shown_and_what_is_kept_are_numbers(trained: Any):
    _, _, states, infos = trained
    for leaf in jax.tree.leaves((states, infos)):
        assert bool(jnp.isfinite(leaf).all())
    assert set(infos[0].extras) == {"q_loss", "entropy", "temperature", "kl"}
    moved = jax.tree.map(
        lambda a, b: jnp.abs(a - b).max(), states[1].params, states[2].params
    )
    assert min(jax.tree.leaves(moved)) > 0


def test_adaptation_lives_episode_by_episode(trained: Any):
    problem, learner, states, _ = trained
    task = jax.tree.map(
        lambda leaf: leaf[0], problem.sample_tasks(jax.random.key(8), 1)
    )
    adapt = jax.jit(learner.adapt, static_argnums=3)
    path, curve = adapt(jax.random.key(4), states[2], task, 3)
    assert curve.shape == (4,)
    belief = jax.vmap(jax.vmap(believed))(path.memory)
    assert belief.mean.shape == (4, TRAJECTORIES, 2)
    np.testing.assert_array_equal(belief.variance[0], 1)
    # Each episode adds as many factors, and none takes any away.
    assert bool((jnp.diff(path.memory.precision, axis=0) > 0).all())


@pytest.mark.slow
def test_more_episodes_go_on_from_where_fewer_ended(trained: Any):
    problem, learner, states, _ = trained
    task, adapt = problem.medium_task(), jax.jit(learner.adapt, static_argnums=3)
    more, curve = adapt(jax.random.key(4), states[2], task, 3)
    fewer, shorter = adapt(jax.random.key(4), states[2], task, 1)
    np.testing.assert_allclose(shorter, curve[:2], rtol=1e-9)
    np.testing.assert_allclose(
        fewer.memory.precision, more.memory.precision[:2], rtol=1e-9
    )


def quadratic_control() -> Problem:
    """L(θ) = ½ (θ − t)² of transitions t; factors of mean θ_e t and variance 1."""

    def loss(key: Any, params: Any, target: Any, batch: Any, latent: Any) -> Any:
        return 0.5 * jnp.mean((params["critic"] - batch) ** 2), {"target": target}

    def factors(params: Any, met: Any) -> Belief:
        return Belief(params["encoder"] * met[:, None], jnp.ones((met.shape[0], 1)))

    nothing: Any = None
    absent = [nothing] * 12
    off = OffPolicy(
        transitions=nothing,
        factors=factors,
        loss=loss,
        target=lambda params: params["critic"],
        embodied=nothing,
    )
    return Problem(*absent)._replace(off_policy=off)


def test_gradient_steps_descend_the_mean_and_targets_follow_slowly():
    """One transition per task, so that batches are known; SGD by hand."""
    rate, weight, tau = 0.1, 0.3, 0.25
    replay = empty(jax.ShapeDtypeStruct((), jnp.float64), 2, 3)
    items = jnp.array([[2.0], [2.0]])
    replay = added(replay, jnp.arange(2), items, jnp.ones((2, 1), bool), context=True)
    train = off_policy_steps(
        quadratic_control(),
        optax.sgd(rate),
        num_steps=3,
        tasks_per_step=4,
        batch_size=5,
        context_size=6,
        kl_weight=weight,
        target_rate=tau,
    )
    params = {"critic": jnp.asarray(0.5), "encoder": jnp.asarray(1.5)}
    learning = Learning(params, params["critic"], optax.sgd(rate).init(params))
    after, shown = jax.jit(train)(jax.random.key(0), learning, replay)
    critic, encoder, target, lost, kls = 0.5, 1.5, 0.5, [], []
    for _ in range(3):
        # One factor of mean 2 e and variance 1: KL = ½ (2 e)².
        kls.append(0.5 * (2 * encoder) ** 2)
        lost.append(0.5 * (critic - 2) ** 2 + weight * kls[-1])
        gradient = {"critic": critic - 2, "encoder": weight * 4 * encoder}
        critic -= rate * gradient["critic"]
        encoder -= rate * gradient["encoder"]
        target += tau * (critic - target)
    np.testing.assert_allclose(after.params["critic"], critic, rtol=1e-12)
    np.testing.assert_allclose(after.params["encoder"], encoder, rtol=1e-12)
    np.testing.assert_allclose(after.target, target, rtol=1e-12)
    np.testing.assert_allclose(shown.loss, np.mean(lost), rtol=1e-12)
    np.testing.assert_allclose(shown.told["kl"], np.mean(kls), rtol=1e-12)
    for name, value in gradient.items():
        np.testing.assert_allclose(shown.gradient[name], value, rtol=1e-12)


def refused(env: str = "point", **values: Any) -> str:
    with pytest.raises(UsageError) as error:
        _, learner = build(configuration(env, "pearl", **values))
        jax.eval_shape(learner.init, jax.random.key(0))
    return str(error.value)


def test_values_without_sense_are_refused():
    both = {"posterior_trajectories": 0, "extra_trajectories": 0}
    assert "no episode would follow the belief" in refused(**both)
    assert "but the bank has 3 tasks" in refused(bank_tasks=3, num_tasks=4)
    few = refused(replay_capacity=100, horizon=60)
    assert "may add 120 transitions" in few
    # An evaluation's many lives do not go through the replay.
    build(configuration("point", "pearl", num_trajectories=100))
    assert "has no effect on point" in refused(dense_losses=False)
    assert "--temperature learned" in refused(temperature="fixed", target_entropy=1.0)
    assert "not to --algo pearl" in refused(initial_std=0.5)
    assert "adapt by gradient steps" in refused(inner_lr=0.1)
    with pytest.raises(UsageError, match="pearl adapts by its memory"):
        configuration("point", "directed-pearl")


def tells(beliefs: np.ndarray, goals: np.ndarray) -> float:
    """R² of a linear fit of the goals by beliefs, on the last third of the tasks."""
    split = len(goals) * 2 // 3
    inputs = np.c_[beliefs, np.ones(len(goals))]
    weights, *_ = np.linalg.lstsq(inputs[:split], goals[:split], rcond=None)
    left = goals[split:] - inputs[split:] @ weights
    spread = goals[split:] - goals[split:].mean(axis=0)
    return float(1 - (left**2).sum() / (spread**2).sum())


@pytest.mark.slow
@pytest.mark.float32
def test_a_trained_z_tells_the_goal_and_earns_more_than_one_of_the_prior():
    """Held-out goals of point navigation, after two episodes; the preset, 60 epochs."""
    problem, learner = build(configuration("point", "pearl"))
    tasks = problem.sample_tasks(jax.random.key(1), 8)

    @jax.jit
    def train(key: jax.Array) -> Any:
        key_init, key_epochs = jax.random.split(key)
        state, _ = jax.lax.scan(
            lambda state, key: (learner.step(key, state, tasks)[0], None),
            learner.init(key_init),
            jax.random.split(key_epochs, 60),
        )
        return state

    @jax.jit
    def lived(state: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        new = problem.sample_tasks(jax.random.key(2), 90)
        adapt = jax.vmap(lambda key, task: learner.adapt(key, state, task, 2))
        path, curve = adapt(jax.random.split(jax.random.key(3), 90), new)
        beliefs = jax.vmap(jax.vmap(jax.vmap(believed)))(path.memory)
        goals = jnp.stack([new.goal_x, new.goal_y], axis=1)
        return beliefs.mean[:, 2, 0], goals, curve

    state = train(jax.random.key(0))
    means, goals, curve = (np.asarray(found) for found in lived(state))
    fresh = problem.init(jax.random.key(4))["encoder"]
    control = state._replace(params={**state.params, "encoder": fresh})
    of_chance = tells(*(np.asarray(found) for found in lived(control)[:2]))
    # Far from all that there is to tell: docs/pearl.md has the figures.
    assert tells(means, goals) > max(of_chance, 0) + 0.1
    gains = curve[:, 2] - curve[:, 0]
    assert gains.mean() > 3 * gains.std() / np.sqrt(len(gains))
