"""An exported policy in Gymnasium's own LunarLander: Box2D pays it what ours does."""

import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from scipy import stats

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.commands import train as run
from dmaml_jax.commands.export import adapted, plain_arrays
from dmaml_jax.commands.numpy_policy import act
from dmaml_jax.runs.loading import load

pytestmark = [pytest.mark.box2d, pytest.mark.float32]
EPISODES = 150


def test_box2d_pays_the_exported_policy_the_same(tmp_path: Path) -> None:
    """Trained with the fast solver, played in the exact one and in Box2D, g = 12."""
    folder = tmp_path / "run"
    short = configuration("lunarlander", epochs=40, cpu_devices=1)
    assert run.train(short, str(folder), verbosity="quiet") == 0
    of = load(folder, solver="exact")
    params = adapted(of, 0, ("gravity=12",), 1)
    policy, rng = plain_arrays(of, params), np.random.default_rng(1)

    with warnings.catch_warnings():
        # Box2D's module warns while it is made, and crashes where that raises.
        warnings.simplefilter("ignore")
        env = gymnasium.make("LunarLander-v3", max_episode_steps=400)
    env.unwrapped.gravity = -12.0
    theirs = []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=episode)
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(act(policy, obs, rng))
            total, ended = total + float(reward), terminated or truncated
        theirs.append(total)

    measure, _ = build(replace(of.config, num_trajectories=EPISODES))
    task = of.tasks.mean().replace(gravity=np.float32(12.0))
    data = jax.jit(measure.collect)(jax.random.key(7), params, task)
    ours = np.asarray(data.rewards.sum(axis=1))
    assert np.std(ours) > 10
    assert stats.ttest_ind(theirs, ours, equal_var=False).pvalue > 1e-3
    assert stats.ks_2samp(theirs, ours).pvalue > 1e-3
