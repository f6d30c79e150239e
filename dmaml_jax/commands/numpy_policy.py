"""Runs an exported policy, policy.npz, with NumPy alone.

policy, rng = dict(numpy.load("policy.npz")), numpy.random.default_rng(1)
obs, _ = env.reset(seed=1)
obs, reward, terminated, truncated, _ = env.step(act(policy, obs, rng))

A policy with a memory (its `policy` has a "memory") keeps it in `policy`, and has to be
told the last step's reward and whether an episode begins with this step:

action = act(policy, obs, rng, begins=True)
obs, reward, terminated, truncated, _ = env.step(action)
action = act(policy, obs, rng, reward)
"""

import numpy as np


def act(policy, obs, rng, reward=None, begins=False):
    """Draw an action for one observation; `rng` is a numpy.random.Generator."""
    x = np.ravel(obs) * policy["obs_scale"]
    if policy["obs_squash"]:
        x = np.sign(x) * np.log1p(np.abs(x))
    if "memory" in policy:
        reward = policy["last_reward"] if reward is None else reward
        x = np.concatenate([x, policy["last_action"], [reward, float(begins)]])
        policy["memory"] = x = _remember(policy, x)
        out = x @ policy["head_kernel"] + policy["head_bias"]
    else:
        out = _layers(policy, x)
    action = _draw(policy, out, rng)
    if "memory" in policy:
        one_hot = np.eye(len(out))[action] if policy["kind"] == "categorical" else None
        policy["last_action"] = action if one_hot is None else one_hot
    return action


def _layers(policy, x):
    for layer in range(int(policy["num_layers"])):
        x = (np.tanh(x) if layer else x) @ policy[f"kernel_{layer}"]
        x = x + policy[f"bias_{layer}"]
    return x


def _remember(policy, x):
    """The gated recurrent unit's next state."""
    for layer in range(int(policy["num_layers"])):
        x = np.tanh(x @ policy[f"kernel_{layer}"] + policy[f"bias_{layer}"])
    h = policy["memory"]
    given = np.split(x @ policy["gates_kernel"] + policy["gates_bias"], 3)
    own = np.split(h @ policy["recurrent_kernel"], 3)
    reset, update = (1 / (1 + np.exp(-given[i] - own[i])) for i in range(2))
    candidate = np.tanh(given[2] + reset * (own[2] + policy["recurrent_bias"]))
    return (1 - update) * candidate + update * h


def _draw(policy, x, rng):
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
