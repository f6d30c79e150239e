"""Runs an exported policy, policy.npz, with NumPy alone.

policy, rng = dict(numpy.load("policy.npz")), numpy.random.default_rng(1)
obs, _ = env.reset(seed=1)
obs, reward, terminated, truncated, _ = env.step(act(policy, obs, rng))
"""

import numpy as np


def act(policy, obs, rng):
    """Draw an action for one observation; `rng` is a numpy.random.Generator."""
    x = np.ravel(obs) * policy["obs_scale"]
    if policy["obs_squash"]:
        x = np.sign(x) * np.log1p(np.abs(x))
    for layer in range(int(policy["num_layers"])):
        x = (np.tanh(x) if layer else x) @ policy[f"kernel_{layer}"]
        x = x + policy[f"bias_{layer}"]
    if policy["kind"] == "categorical":
        return int(np.argmax(x + rng.gumbel(size=x.shape)))
    sample = x + np.exp(policy["log_std"]) * rng.normal(size=x.shape)
    low, high = policy["low"], policy["high"]
    if policy["bounds"] == "clip":
        return np.clip(sample, low, high)
    squashed = np.isfinite(low) & np.isfinite(high) & (low < high)
    least, most = np.where(squashed, low, 0), np.where(squashed, high, 1)
    inside = least + (most - least) * (np.tanh(sample / 2) + 1) / 2
    return np.where(squashed, inside, np.where(low == high, low, sample))
