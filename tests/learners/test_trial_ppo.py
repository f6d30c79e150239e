"""RL² and SNAIL as learners: their steps, their lives, and what they refuse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.config.command_line import rerun
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.trial_ppo import ppo_steps, trial_ppo
from dmaml_jax.training.adaptation import adaptation
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.program import Program

SMALL: dict[str, Any] = {
    "num_tasks": 3,
    "num_trajectories": 2,
    "num_minibatches": 2,
    "episodes_per_trial": 3,
}
SIZES = {"rl2": {"memory_size": 4}, "snail": {"filters": 2}}


def built(env: str = "bandit", algo: str = "rl2", **values: Any) -> Any:
    config = configuration(env, algo, **{**SMALL, **SIZES[algo], **values})
    return config, *build(config)


@pytest.fixture(scope="module")
def epoch() -> Any:
    """A problem, its learner's state, tasks, and an epoch of SGD on everything."""
    with jax.enable_x64(True):
        _, problem, _ = built()
        options = {"updates_per_batch": 1, "num_minibatches": 1, "ratio_clip": 1e6}
        learner = trial_ppo(problem, meta_optimizer=optax.sgd(0.5), **options)
        state = jax.jit(learner.init)(jax.random.key(0))
        tasks = problem.sample_tasks(jax.random.key(1), 3)
        after, info = jax.jit(learner.step)(jax.random.key(2), state, tasks)
        return problem, learner, state, tasks, after, info


def test_one_step_on_all_trials_is_the_policy_gradient_s(epoch: Any) -> None:
    """Its gradient is the mean over tasks of the outer loss's, and θ moves along it."""
    problem, _, state, tasks, after, info = epoch
    key_collections, _ = jax.random.split(jax.random.key(2))
    keys = jax.random.split(key_collections, (1, 3, 1))[0, :, 0]

    @jax.jit
    def of_task(key: jax.Array, task: Any) -> Any:
        data = problem.collect(key, state.params, task)
        filled = problem.advantages(state.params, data)
        return jax.grad(problem.outer_loss)(state.params, filled), data

    each = [
        of_task(keys[i], jax.tree.map(lambda x, i=i: x[i], tasks)) for i in range(3)
    ]
    expected = jax.tree.map(lambda *leaves: sum(leaves) / 3, *(g for g, _ in each))
    for found, right, moved, old in zip(
        *map(
            jax.tree.leaves,
            (info.meta_gradient, expected, after.params, state.params),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-12)
        np.testing.assert_allclose(moved, old - 0.5 * right, rtol=0, atol=1e-12)
    rewards = np.stack([np.asarray(data.rewards) for _, data in each])  # one pull each
    np.testing.assert_allclose(info.return_before, rewards[..., 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(info.return_after, rewards[..., 2].mean(), rtol=1e-12)
    total = rewards.sum(axis=2).mean()
    np.testing.assert_allclose(info.extras["trial_return"], total, rtol=1e-12)
    assert info.num_steps == 18 and after.epoch == 1
    assert 0 < info.extras["kl"] < 1


def test_every_turn_goes_through_each_trial_once() -> None:
    """A loss that is linear in θ tells which trials were met, whatever the cut."""
    _, problem, _ = built()
    linear = problem._replace(
        clipped_loss=lambda params, data, clip: params @ data.sum(axis=0)
    )
    trials = jnp.eye(6)
    params, _, mean, _ = ppo_steps(
        linear,
        jax.random.key(0),
        jnp.zeros(6),
        optax.sgd(1.0).init(jnp.zeros(6)),
        trials,
        meta_optimizer=optax.sgd(1.0),
        num_updates=5,
        num_minibatches=3,
        ratio_clip=0.1,
    )
    np.testing.assert_allclose(params, np.full(6, -5 / 2), rtol=1e-12)
    np.testing.assert_allclose(mean, np.full(6, 1 / 6), rtol=1e-12)


@pytest.mark.parametrize(
    "num_minibatches", [3, pytest.param(2, marks=pytest.mark.slow)]
)
def test_devices_that_share_minibatches_do_what_one_does(num_minibatches: int) -> None:
    """Minibatches of two trials are shared by two devices, those of three are not."""
    found = []
    for count in (1, 2):
        config, problem, learner = built(num_minibatches=num_minibatches)
        program = Program(
            *train_step(problem, learner, config.sampling.num_tasks),
            seeds=[1],
            chunk_epochs=2,
            devices=jax.devices()[:count],
            task_devices=count,
        )
        program.compile()
        metrics = program.run(0, 2)
        params = jax.flatten_util.ravel_pytree(program.params())[0]
        found.append((params, metrics["loss"], metrics["meta_grad_norm"]))
    for one, two in zip(*found, strict=True):
        assert np.ptp(one) > 0
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_adaptation_is_to_live_through_episodes(epoch: Any) -> None:
    """The path holds the memories before each episode; a longer one goes on."""
    problem, learner, state, tasks, *_ = epoch
    task = jax.tree.map(lambda leaf: leaf[0], tasks)
    adapt = jax.jit(learner.adapt, static_argnums=3)
    path, curve = adapt(jax.random.key(3), state, task, 2)
    agent, live = problem.newborn(state.params), jax.jit(problem.live)
    for i, key in enumerate(jax.random.split(jax.random.key(3), 3)):
        jax.tree.map(
            lambda kept, own, i=i: np.testing.assert_allclose(kept[i], own, rtol=1e-12),
            path,
            agent,
        )
        data, agent = live(key, agent, task)
        np.testing.assert_allclose(curve[i], data.rewards.sum(axis=1).mean())
    assert np.abs(path.memory.memory[1] - path.memory.memory[2]).min() > 0
    shorter, _ = adapt(jax.random.key(3), state, task, 1)
    np.testing.assert_array_equal(shorter.memory.memory, path.memory.memory[:2])


def test_what_is_measured_goes_on_from_the_lives(epoch: Any) -> None:
    """Returns after 0, 1, 2 episodes, each from `measure.collect` with its agent."""
    _, learner, state, tasks, *_ = epoch
    _, measure, _ = built(num_trajectories=4)
    key = jax.random.key(7)
    found = jax.jit(adaptation(learner, measure, num_steps=2))(key, state, tasks)
    assert found.shape == (3, 3)
    adapt = jax.jit(learner.adapt, static_argnums=3)
    for i, own in enumerate(jax.random.split(key, 3)):
        key_adapt, key_measure = jax.random.split(own)
        task = jax.tree.map(lambda leaf, i=i: leaf[i], tasks)
        path, _ = adapt(key_adapt, state, task, 2)
        for step in range(3):
            agent = jax.tree.map(lambda leaf, step=step: leaf[step], path)
            rewards = measure.collect(key_measure, agent, task).rewards
            np.testing.assert_allclose(found[i, step], rewards.sum(axis=1).mean())


@pytest.mark.parametrize(
    ("env", "algo"),
    [("point", "rl2"), pytest.param("mdp", "snail", marks=pytest.mark.slow)],
)
def test_they_take_a_step_with_any_actions(env: str, algo: str) -> None:
    _, problem, learner = built(env, algo, horizon=3, episodes_per_trial=2)
    state = jax.jit(learner.init)(jax.random.key(0))
    tasks = problem.sample_tasks(jax.random.key(1), 3)
    after, info = jax.jit(learner.step)(jax.random.key(2), state, tasks)
    assert jnp.isfinite(info.loss) and info.extras["kl"] > 0
    for part in after.params:
        moves = jax.tree.map(
            lambda a, b: jnp.max(jnp.abs(a - b)), after.params[part], state.params[part]
        )
        assert 0 < max(jax.tree.leaves(moves)) < 1, part


@pytest.mark.parametrize(
    ("algo", "values", "told"),
    [
        ("directed-rl2", {}, "rl2 adapts by its memory.*choose --algo rl2"),
        ("rl2", {"inner_lr": 0.1}, "--inner-lr belongs to learners that adapt by grad"),
        ("rl2", {"method": "ac"}, "--method belongs to learners that adapt by grad"),
        ("rl2", {"surrogate": "lvc"}, "--surrogate belongs to learners that adapt"),
        ("maml", {"episodes_per_trial": 2}, "belongs to --algo rl2 or snail: leave"),
        ("rl2", {"filters": 8}, "--filters belongs to --algo snail"),
        ("rl2", {"num_minibatches": 3}, "3, which does not divide the 400 trials"),
        ("snail", {"episodes_per_trial": 0}, "it must be a whole number, 1 or more"),
    ],
)
def test_what_has_no_effect_is_refused(algo: str, values: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        configuration("bandit", algo, **values)


def test_a_configuration_holds_what_a_memory_needs_and_no_inner_step() -> None:
    config = configuration("bandit", "rl2", episodes_per_trial=20)
    flat = config.flat()
    assert not {"method", "inner_lr", "surrogate", "baseline"} & set(flat)
    assert config.method is None and config.directed is None
    assert config.learner.num_adaptations == 19
    assert config.learner.steps_per_epoch == 64
    words = "dmaml-jax train --env bandit --algo rl2 --episodes-per-trial 20"
    assert rerun(config) == words
    assert registry.episodes_per_epoch("rl2", 100, 4, 19) == 8000
    other = config.replace(algo="maml")
    assert other.flat()["method"] == "pg" and "memory_size" not in other.flat()


def test_a_policy_without_a_memory_has_no_trials() -> None:
    _, problem, _ = built()
    with pytest.raises(UsageError, match="needs a problem of trials"):
        trial_ppo(problem._replace(episode_returns=None), meta_optimizer=optax.sgd(0.1))
