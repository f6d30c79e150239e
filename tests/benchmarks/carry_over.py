"""Whether policies that were trained with the fast lander carry over to the others.

Run by `make carry-over EPOCHS=120 EPISODES=200 GRAVITY=10 JSON=result.json`, in the
environment with Box2D. Directed-MAML trains with the fast solver; the parameters at ten
epochs along the run are kept, and each of these policies plays the same episodes (same
terrains, forces, noise and uniform numbers of its own) in the fast solver, in the exact
one and in Gymnasium. Prints a Markdown table.
"""

import argparse
import functools
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dmaml_jax import envs
from dmaml_jax.build import configuration
from dmaml_jax.build.environment import named_tasks
from dmaml_jax.build.policy import default_policy
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.envs.lunar_lander import LunarLander
from dmaml_jax.envs.lunar_lander.terrain import smoothed

sys.path.append(str(Path(__file__).parents[1] / "conformance"))
from closed_loop import chances, draws, new_gymnasium

POLICIES = 10
CHUNK = 100  # steps between two looks at who still flies
LANDERS = ("fast", "exact", "Gymnasium")


def say(message: str) -> None:
    """Tell the person who waits."""
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)


def trained(epochs: int, seed: int) -> list[tuple[int, Any]]:
    """Epochs along a run and the policy's parameters after them."""
    init, step = make_train_step("lunarlander", "directed-maml")
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = jax.jit(init)(key_init)
    keys = jax.random.split(key_steps, epochs)
    step = jax.jit(step, donate_argnums=1)
    kept, wanted = [], {round(i * epochs / POLICIES) for i in range(1, POLICIES + 1)}
    for epoch in range(1, epochs + 1):
        state, info = step(keys[epoch - 1], state)
        if epoch in wanted:
            say(f"epoch {epoch}: return {float(info.return_after):.1f}")
            kept.append((epoch, jax.tree.map(np.asarray, state.params)))
    return kept


class Episodes:
    """The episodes that every policy plays everywhere: their random numbers."""

    def __init__(self, count: int, gravity: float, horizon: int):
        self.gravity, self.horizon, self.seeds = gravity, horizon, range(count)
        heights, forces, noise = (
            np.stack(rows) for rows in zip(*map(draws, self.seeds), strict=True)
        )
        self.forces, self.noise = np.float32(forces), np.float32(noise)
        with jax.enable_x64(True):
            self.terrain = np.float32(jax.vmap(smoothed)(jnp.asarray(heights)))
        uniform = np.stack([chances(seed)[0] for seed in self.seeds])
        self.uniform = np.float32(uniform)


class Ours:
    """The lander of one solver, compiled once for all policies."""

    def __init__(self, solver: str, policy: Any, episodes: Episodes):
        self.env, self.policy, self.episodes = (
            LunarLander(solver=solver),
            policy,
            episodes,
        )
        self.params = self.env.default_params.replace(
            gravity=jnp.float32(episodes.gravity)
        )
        self._launch = jax.jit(jax.vmap(self.env.launch, (0, 0, 0, None)))
        self._fly = jax.jit(jax.vmap(self._lane, (None, 0, 0, 0)))

    def _lane(self, theta: Any, carry: Any, noise: Any, uniform: Any) -> Any:
        def step(carry: Any, drawn: Any) -> Any:
            state, total = carry
            logits = self.policy.apply(theta, self.env.get_obs(state))
            action = self.policy.distribution.sample(logits, drawn[1])
            _, state, reward, _ = self.env.step_given(
                state, action, drawn[0], self.params
            )
            return (state, total + reward), None

        carry, _ = jax.lax.scan(step, carry, (noise, uniform))
        return carry, self.env.is_terminated(carry[0], self.params)

    def returns(self, theta: Any) -> np.ndarray:
        """Of all episodes."""
        given, count = self.episodes, len(self.episodes.seeds)
        moments = np.zeros((count, 2), np.int32)
        state = self._launch(given.terrain, given.forces, moments, self.params)
        carry = state, jnp.zeros(count)
        for start in range(0, given.horizon, CHUNK):
            rows = slice(start, start + CHUNK)
            carry, over = self._fly(
                theta, carry, given.noise[:, rows], given.uniform[:, rows]
            )
            if np.all(over):
                break
        return np.asarray(carry[1], float)


class Gymnasiums:
    """Gymnasium's landers, one for each episode, with one policy call for all."""

    def __init__(self, policy: Any, episodes: Episodes):
        self.episodes = episodes
        self.envs = [new_gymnasium() for _ in episodes.seeds]

        @jax.jit
        def act(theta: Any, obs: Any, uniform: Any) -> jax.Array:
            return policy.distribution.sample(policy.apply(theta, obs), uniform)

        self._act = act

    def returns(self, theta: Any) -> np.ndarray:
        """Of all episodes."""
        given, obs = self.episodes, []
        for env, seed in zip(self.envs, given.seeds, strict=True):
            env.gravity = -given.gravity
            obs.append(env.reset(seed=seed)[0])
        obs, totals = np.stack(obs), np.zeros(len(obs))
        flying = np.ones(len(obs), bool)
        for i in range(given.horizon):
            actions = np.asarray(self._act(theta, obs, given.uniform[:, i]))
            for lane in np.flatnonzero(flying):
                obs[lane], reward, over, *_ = self.envs[lane].step(int(actions[lane]))
                totals[lane] += float(reward)
                flying[lane] = not over
            if not flying.any():
                break
        return totals


def compared(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """The difference of two means, with intervals of 95 %, paired and not."""
    difference = ours - theirs
    paired = stats.ttest_1samp(difference, 0.0)
    apart = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = apart.confidence_interval(0.95)
    half = float(interval.high - interval.low) / 2
    own = float(paired.confidence_interval(0.95).high - np.mean(difference))
    mean = float(np.mean(difference))
    return {
        "difference": mean,
        "half_width": half,
        "within": abs(mean) <= half,
        "p": float(apart.pvalue),
        "paired_half_width": own,
        "p_paired": float(paired.pvalue),
    }


def text(row: dict[str, Any]) -> str:
    """A policy's line of the table."""
    cells = [str(row["epoch"])]
    for name in LANDERS:
        low_high = row[name]["half_width"]
        cells.append(f"{row[name]['mean']:.1f} ± {low_high:.1f}")
    for name in ("fast − Gymnasium", "fast − exact"):
        each = row[name]
        cells.append(
            f"{each['difference']:.1f} ± {each['half_width']:.1f}, "
            f"{'within' if each['within'] else '**outside**'}, p = {each['p']:.2f}"
        )
        cells.append(f"± {each['paired_half_width']:.1f}, p = {each['p_paired']:.2f}")
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| epoch | fast | exact | Gymnasium | fast − Gymnasium | paired | fast − exact "
    "| paired |\n" + "| --- " * 8 + "|"
)


def main() -> int:
    """Train, play, print the table and write it."""
    parser = argparse.ArgumentParser(prog="make carry-over", description=__doc__)
    parser.add_argument("--epochs", type=int, default=120, help="of the training run")
    parser.add_argument("--episodes", type=int, default=200, help="of every policy")
    parser.add_argument("--gravity", type=float, default=10.0, help="m/s²")
    parser.add_argument("--horizon", type=int, default=1000, help="steps at most")
    parser.add_argument("--seed", type=int, default=0, help="of the training run")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args()
    if given.epochs < POLICIES:
        parser.error(f"--epochs: {POLICIES} or more, one for each policy.")
    say("training with the fast solver")
    kept = trained(given.epochs, given.seed)
    env, _ = envs.make("lunarlander")
    config = configuration("lunarlander", "directed-maml")
    policy = default_policy(env, named_tasks(env, config), config)
    episodes = Episodes(given.episodes, given.gravity, given.horizon)
    landers = {name: functools.partial(Ours, name) for name in LANDERS[:2]}
    everyone = {name: make(policy, episodes) for name, make in landers.items()}
    everyone["Gymnasium"] = Gymnasiums(policy, episodes)
    rows = []
    print(HEADER)
    for epoch, theta in kept:
        returns = {name: lander.returns(theta) for name, lander in everyone.items()}
        row: dict[str, Any] = {"epoch": epoch}
        for name, values in returns.items():
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            row[name] = {"mean": float(np.mean(values)), "half_width": float(half)}
        for other in ("Gymnasium", "exact"):
            row[f"fast − {other}"] = compared(returns["fast"], returns[other])
        rows.append(row)
        print(text(row), flush=True)
    if given.json:
        about = {name: value for name, value in vars(given).items() if name != "json"}
        given.json.write_text(json.dumps(about | {"policies": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
