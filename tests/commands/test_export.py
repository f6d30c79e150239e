"""An exported policy, run by NumPy: the same, also in Gymnasium's own CartPole."""

import sys
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dmaml_jax.build import configuration
from dmaml_jax.build.environment import named_environment, named_tasks
from dmaml_jax.build.learner import build
from dmaml_jax.build.policy import default_policy
from dmaml_jax.cli import main
from dmaml_jax.commands.export import adapted, plain_arrays
from dmaml_jax.commands.numpy_policy import act
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.runs import training as run
from dmaml_jax.runs.loading import Loaded, load
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.tasks.of_environment import task_of
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.types import Agent, Percept

pytestmark = pytest.mark.float32
EPISODES = 200


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line configures devices, which this process has done already."""
    monkeypatch.setattr("dmaml_jax.training.devices.configure", lambda *_: None)


class Greedy:
    """A generator without randomness: samples are means, choices the likeliest."""

    def gumbel(self, size):
        return np.zeros(size)

    def normal(self, size):
        return np.zeros(size)


def loaded_of(config: TrainConfig) -> Loaded:
    env = named_environment(config.run.env)
    tasks = named_tasks(env, config)
    policy = default_policy(env, tasks, config)
    problem, learner = build(config, env=env, tasks=tasks, policy=policy)
    return Loaded(Path(), config, env, tasks, policy, problem, learner, None, [1], 0)


@pytest.mark.parametrize(
    ("env", "values"),
    [
        ("cartpole", {}),
        ("cartpole", {"method": "ac"}),
        ("cartpole", {"method": "ac", "shared_trunk": True}),
        ("intersection", {}),
        ("point", {"method": "ac", "shared_trunk": True}),
    ],
)
def test_numpy_acts_as_the_policy_does(env: str, values: dict) -> None:
    config = configuration(env, hidden_sizes=(5, 3), **values)
    of = loaded_of(config)
    middle = of.tasks.mean()
    obs, _ = of.env.reset_env(jax.random.key(0), middle)
    params = of.policy.init(jax.random.key(1), obs)

    # Away from the head's small start, so that a wrong layer shows.
    def moved(leaf: jax.Array) -> jax.Array:
        return leaf + 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape)

    params = jax.tree.map(moved, params)
    arrays = plain_arrays(of, jax.tree.map(np.asarray, params))
    for seed in range(8):
        obs = 20 * jax.random.normal(jax.random.key(seed), obs.shape)
        out = of.policy.apply(params, obs)
        if arrays["kind"] == "categorical":
            assert act(arrays, obs, Greedy()) == int(jnp.argmax(out))
        else:
            expected = of.policy.distribution.action(out.mean)
            np.testing.assert_allclose(act(arrays, obs, Greedy()), expected, rtol=1e-4)
            spread = float(arrays["log_std"][0])
            np.testing.assert_allclose(spread, float(out.log_std[0]), rtol=1e-6)


@pytest.mark.parametrize("env", ["bandit", "point"])
def test_numpy_remembers_as_the_policy_does(env: str) -> None:
    """Two episodes of three steps: the same memory, and the likeliest action."""
    config = configuration(env, "rl2", hidden_sizes=(3,), memory_size=4)
    of = loaded_of(config)
    params = jax.tree.map(
        lambda x: np.asarray(
            x + 0.3 * np.cos(np.arange(x.size)).reshape(x.shape), x.dtype
        ),
        jax.device_get(jax.jit(of.problem.init)(jax.random.key(1))),
    )
    assert of.problem.newborn is not None
    agent = of.problem.newborn(params)
    arrays = plain_arrays(of, agent)
    lived = jax.tree.map(lambda leaf: leaf[0], agent.memory)
    obs, _ = of.env.reset_env(jax.random.key(0), of.tasks.mean())
    apply, policy = jax.jit(of.policy.apply), of.policy

    memory, action, reward = lived
    for t in range(6):
        own = np.asarray(obs) * (1 + t)
        begins = jnp.asarray(float(t % 3 == 0))
        out, memory = apply(
            params, Percept(jnp.asarray(own), action, reward, begins), memory
        )
        sample = jnp.argmax(out) if arrays["kind"] == "categorical" else out.mean
        found = act(arrays, own, Greedy(), float(reward), bool(begins))
        np.testing.assert_allclose(found, policy.distribution.action(sample), rtol=1e-4)
        np.testing.assert_allclose(arrays["memory"], memory, rtol=1e-4)
        assert policy.shown is not None
        action, reward = policy.shown(sample), jnp.asarray(0.5 * t)


def test_other_networks_than_those_of_numpy_are_refused() -> None:
    of = loaded_of(configuration("bandit", "snail", filters=2, episodes_per_trial=2))
    params = jax.eval_shape(of.problem.init, jax.random.key(0))
    with pytest.raises(UsageError, match="export writes an MLP or RL2's recurrent"):
        plain_arrays(of, Agent(params, ()))


def test_its_draws_have_the_policys_frequencies() -> None:
    arrays = {
        "num_layers": 1,
        "kernel_0": np.zeros((4, 3)),
        "bias_0": np.log([0.2, 0.3, 0.5]),
        "obs_scale": 1.0,
        "obs_squash": False,
        "kind": "categorical",
    }
    rng = np.random.default_rng(0)
    drawn = [act(arrays, np.zeros(4), rng) for _ in range(4000)]
    found = np.bincount(drawn)
    assert stats.chisquare(found, [800, 1200, 2000]).pvalue > 1e-3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half-way to a good policy, so that episodes differ."""
    folder = tmp_path_factory.mktemp("export") / "run"
    config = configuration(epochs=25, cpu_devices=1, hidden_sizes=(16,), outer_lr=0.01)
    assert run.train(config, str(folder), verbosity="quiet") == 0
    return folder


@pytest.mark.slow
def test_gymnasiums_cartpole_pays_the_exported_policy_the_same(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "gravity=12", "--steps", "1", "--out", str(tmp_path)]
    assert main(["export", str(trained), *arguments]) == 0
    assert "seed 1 after 25 epochs and 1 adaptation step\n" in capsys.readouterr().out
    assert (tmp_path / "policy.py").read_text() == Path(
        sys.modules[act.__module__].__file__ or ""
    ).read_text()
    policy, rng = dict(np.load(tmp_path / "policy.npz")), np.random.default_rng(1)

    env = gymnasium.make("CartPole-v1", max_episode_steps=200)
    env.unwrapped.gravity = 12.0
    theirs = []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=episode)
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(act(policy, obs, rng))
            total, ended = total + float(reward), terminated or truncated
        theirs.append(total)

    of = load(trained)
    task = task_of(of.env, of.tasks.mean(), ("gravity=12",), "--task")
    measure, _ = build(of.config.replace(num_trajectories=EPISODES))
    params = adapted(of, 0, ("gravity=12",), 1)
    data = jax.jit(measure.collect)(jax.random.key(7), params, task)
    ours = np.asarray(data.rewards.sum(axis=1))
    assert np.std(theirs) > 5 and 30 < np.mean(theirs) < 198
    assert stats.ttest_ind(theirs, ours, equal_var=False).pvalue > 1e-3
    assert stats.ks_2samp(theirs, ours).pvalue > 1e-3


def test_adapted_is_what_evaluation_adapts_to(trained: Path) -> None:
    of = load(trained)
    task = uniform(of.tasks.mean(), gravity=(12.0, 12.0)).mean()
    key = seed_keys(1).evaluation
    state = jax.tree.map(lambda x: x[0], of.states)
    # Compiled, as it is there: by operations alone it may round an action differently.
    path, _ = jax.jit(of.learner.adapt, static_argnums=3)(key, state, task, 2)
    for name in ("Dense_0", "Dense_1"):
        np.testing.assert_allclose(
            adapted(of, 0, ("gravity=12",), 2)[name]["kernel"],
            path[name]["kernel"][-1],
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "7"], "--seed is 7, but the run has the seeds 1 to 1"),
        (["--steps", "1", "--task", "grav=1"], "--task grav: "),
        (["--steps", "1", "--task", "gravity"], "--task takes NAME=VALUE"),
        (["--task", "gravity=9"], "--steps is 0"),
        (["--steps", "-1"], "--steps is -1"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, trained, capsys) -> None:
    assert main(["export", str(trained), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
