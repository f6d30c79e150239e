"""Gymnasium's lander and ours under the same policies, seeds and noise.

Run by `make conformance-closed-loop EPISODES=250 JSON=result.json`, in an environment
of its own with Box2D. First some recorded episodes are replayed through Gymnasium, so
that it is known to be the recorded one; then every policy flies at every gravity in
Gymnasium, in the exact and in the fast solver, with equal terrains, forces and noise.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils import seeding
from recordings import PUBLIC, Recording, read
from scipy import stats

from dmaml_jax.envs.lunar_lander import LunarLander
from dmaml_jax.envs.lunar_lander.terrain import smoothed

GRAVITIES = (5.0, 7.5, 10.0, 12.5, 15.0)
POLICIES = ("heuristic", "noisy", "random")
NOISE = 0.2  # share of random actions of the noisy heuristic
MAX_STEPS = 1000
CHUNK = 100
CRASHED, LANDED, TIMEOUT = range(3)
REPLAYED_EPISODES = 5


def heuristic(obs: Any, where: Any, maximum: Any) -> Any:
    """Gymnasium's control law: tilt against the drift, hover lower towards the pad.

    Works on the observation's components, `[8]`, in NumPy or JAX alike.
    """
    x, y, x_dot, y_dot, angle, spin, first, second = obs
    wanted_angle = maximum(-0.4, -maximum(-0.4, -(0.5 * x + x_dot)))
    turn = 0.5 * (wanted_angle - angle) - spin
    climb = 0.5 * (0.55 * abs(x) - y) - 0.5 * y_dot
    on_ground = (first + second) > 0
    turn = where(on_ground, 0.0, turn)
    climb = where(on_ground, -0.5 * y_dot, climb)
    sideways = where(turn < -0.05, 3, where(turn > 0.05, 1, 0))
    return where((climb > abs(turn)) & (climb > 0.05), 2, sideways)


def chances(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the policies draw in an episode: when to act at random, and how."""
    random = np.random.default_rng(10_000_000 + seed)
    return random.uniform(size=MAX_STEPS), random.integers(0, 4, MAX_STEPS)


def chosen(policy: str, steered: Any, chance: Any, action: Any, where: Any) -> Any:
    """The action of a policy that would steer in one way, and its draws."""
    share = {"heuristic": 0.0, "noisy": NOISE, "random": 1.0}[policy]
    return where(chance < share, action, steered)


def new_gymnasium() -> Any:
    """Gymnasium's lander without its wrappers."""
    return gymnasium.make("LunarLander-v3").unwrapped


def as_recorded(recording: Recording) -> float:
    """The largest difference of recorded episodes replayed through Gymnasium."""
    a, env, largest = recording.arrays, new_gymnasium(), 0.0
    plain = np.flatnonzero(~a["wind"])[:REPLAYED_EPISODES]
    for k in plain:
        env.gravity = -float(a["gravity"][k])
        obs, _ = env.reset(seed=int(a["seed"][k]))
        largest = max(largest, float(np.max(np.abs(obs - a["obs0"][k]))))
        for i in range(a["ep_start"][k], a["ep_start"][k + 1]):
            obs, *_ = env.step(int(a["action"][i]))
            largest = max(largest, float(np.max(np.abs(obs - a["obs"][i]))))
    return largest


def in_gymnasium(policy: str, gravity: float, seeds: range) -> dict[str, np.ndarray]:
    """Returns, lengths and outcomes of Gymnasium's episodes."""
    env, rows = new_gymnasium(), []
    for seed in seeds:
        env.gravity = -gravity
        obs, _ = env.reset(seed=seed)
        chance, action = chances(seed)
        total, outcome, steps = 0.0, TIMEOUT, MAX_STEPS
        for i in range(MAX_STEPS):
            steered = heuristic(obs, np.where, np.maximum)
            act = int(chosen(policy, steered, chance[i], action[i], np.where))
            obs, reward, terminated, _, _ = env.step(act)
            total += float(reward)
            if terminated:
                outcome, steps = (CRASHED if env.lander.awake else LANDED), i + 1
                break
        rows.append((total, steps, outcome))
    totals, lengths, outcomes = np.array(rows).T
    return {"returns": totals, "lengths": lengths, "outcomes": outcomes.astype(int)}


def draws(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights, initial force and noise, as Gymnasium draws them after a reset."""
    random, _ = seeding.np_random(seed)
    heights = random.uniform(0, 20 / 3, size=12)
    force = [random.uniform(-1000, 1000) for _ in range(2)]
    noise = random.uniform(-1, 1, size=(1 + MAX_STEPS, 2))  # the reset's step first
    return heights, np.array(force), noise[1:]


class Ours:
    """The lander of one solver, compiled once for all cells."""

    def __init__(self, solver: str):
        self.env = LunarLander(solver=solver)
        self._launch = jax.jit(jax.vmap(self.env.launch, (0, 0, 0, None)))
        self._fly = jax.jit(self._chunk, static_argnames="policy")

    def _chunk(
        self, state: Any, sums: Any, draws: Any, params: Any, policy: str
    ) -> Any:
        def episode(state: Any, sums: Any, noise: Any, chance: Any, action: Any) -> Any:
            def step(carry: Any, drawn: Any) -> Any:
                state, (total, steps) = carry
                noise, chance, action = drawn
                obs = self.env.get_obs(state)
                steered = heuristic(obs, jnp.where, jnp.maximum)
                act = chosen(policy, steered, chance, action, jnp.where)
                alive = ~self.env.is_terminated(state, params)
                after, reward = self.env.advance(state, act, noise, params)
                state = jax.tree.map(
                    lambda new, old: jnp.where(alive, new, old), after, state
                )
                reward = jnp.where(alive, reward, 0)
                return (state, (total + reward, steps + alive)), None

            return jax.lax.scan(step, (state, sums), (noise, chance, action))[0]

        state, sums = jax.vmap(episode)(state, sums, *draws)
        over = jax.vmap(self.env.is_terminated, (0, None))(state, params)
        return state, sums, over

    def fly(self, policy: str, gravity: float, seeds: range) -> dict[str, np.ndarray]:
        """Returns, lengths and outcomes with Gymnasium's random numbers."""
        params = self.env.default_params.replace(gravity=jnp.float32(gravity))
        heights, forces, noise = (
            np.stack(x) for x in zip(*map(draws, seeds), strict=True)
        )
        chance, action = (np.stack(x) for x in zip(*map(chances, seeds), strict=True))
        with jax.enable_x64(True):
            terrain = np.float32(jax.vmap(smoothed)(jnp.asarray(heights)))
        wind = np.zeros((len(seeds), 2), np.int32)
        state = self._launch(terrain, np.float32(forces), wind, params)
        sums = (jnp.zeros(len(seeds)), jnp.zeros(len(seeds), jnp.int32))
        over = np.zeros(len(seeds), bool)
        for start in range(0, MAX_STEPS, CHUNK):
            rows = slice(start, start + CHUNK)
            drawn = np.float32(noise[:, rows]), chance[:, rows], action[:, rows]
            state, sums, over = self._fly(state, sums, drawn, params, policy)
            if np.all(over):
                break
        outcomes = np.where(over, CRASHED, TIMEOUT)
        outcomes = np.where(~np.asarray(state.world.awake), LANDED, outcomes)
        return {
            "returns": np.asarray(sums[0], float),
            "lengths": np.asarray(sums[1]),
            "outcomes": outcomes,
        }


def compared(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """One cell of the table."""
    same = theirs["outcomes"] == ours["outcomes"]
    return {
        "lands": 100 * float(np.mean(ours["outcomes"] == LANDED)),
        "times_out": 100 * float(np.mean(ours["outcomes"] == TIMEOUT)),
        "return_mean": float(np.mean(ours["returns"])),
        "return_std": float(np.std(ours["returns"])),
        "length_mean": float(np.mean(ours["lengths"])),
        "same_outcome": 100 * float(np.mean(same)),
        "ks": float(stats.ks_2samp(theirs["returns"], ours["returns"]).statistic),
    }


def main() -> int:
    """Fly, print the table and write it."""
    parser = argparse.ArgumentParser(
        prog="make conformance-closed-loop", description=__doc__
    )
    parser.add_argument("--episodes", type=int, default=250, help="of every cell")
    parser.add_argument("--policies", nargs="+", default=POLICIES, choices=POLICIES)
    parser.add_argument("--gravities", nargs="+", type=float, default=GRAVITIES)
    parser.add_argument("--solvers", nargs="+", default=("exact", "fast"))
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()
    difference = as_recorded(read(PUBLIC))
    print(
        f"Gymnasium {gymnasium.__version__} differs from its recordings by {difference}"
    )
    seeds = range(arguments.episodes)
    landers = {solver: Ours(solver) for solver in arguments.solvers}
    cells: list[dict[str, Any]] = []
    columns = (
        "lands times_out return_mean return_std length_mean same_outcome ks seconds"
    )
    print(
        f"{'policy':10}{'g':>6} {'lander':10}"
        + "".join(f"{n:>13}" for n in columns.split())
    )
    for policy in arguments.policies:
        for gravity in arguments.gravities:
            began = time.time()
            theirs = in_gymnasium(policy, gravity, seeds)
            results = {"gymnasium": (theirs, time.time() - began)}
            for solver, lander in landers.items():
                began = time.time()
                results[solver] = (
                    lander.fly(policy, gravity, seeds),
                    time.time() - began,
                )
            for name, (result, seconds) in results.items():
                figures = compared(theirs, result) | {"seconds": seconds}
                cells.append(
                    {"policy": policy, "gravity": gravity, "lander": name} | figures
                )
                shown = "".join(f"{figures[n]:13.3f}" for n in columns.split())
                print(f"{policy:10}{gravity:6} {name:10}{shown}", flush=True)
    if arguments.json:
        result = {"episodes": arguments.episodes, "recorded_difference": difference}
        arguments.json.write_text(
            json.dumps(result | {"cells": cells}, indent=2) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
