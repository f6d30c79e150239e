"""Whole lives of what was trained, and of the best and the simplest agents.

`lives.csv` has a row for each run, seed and K, `oracles.csv` one for each agent that
was not trained.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.declared import Run
from experiments.engine.measured import RunTable, read_rows, write_rows
from experiments.engine.work import Part
from experiments.lifetimes.cells import CELLS, is_memory, run_of, seeds_together

TABLE, ORACLES = "lives.csv", "oracles.csv"
MEASURED_ON = 5
"""Episodes that measure a policy between two gradient steps, in each task."""
SIMULATED = 20_000
"""Tasks that a rule is played in, where its value is not known exactly."""
EXACT = 20
"""Pulls up to which bandits are solved."""
SCALE = 0.3
"""UCB1's c, which the cells do not choose."""
Rows = list[dict[str, Any]]


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure what the tables lack, of runs that have ended.

    Args:
        folder: of the study's tables.
        quick: whether the runs are toys, of which few lives are measured.
        raw: the folder of raw runs.
    """
    table = RunTable(folder / TABLE, "cell", "learner")
    declared = [run_of(name, own) for name, cell in CELLS.items() for own in cell.runs]
    for run, part in table.lacking(declared, quick, raw, seeds_together):
        table.put(run, _lives(run, part, 20 if quick else CELLS[run.panel].lives))
        _add_oracles(folder, run.panel, 50 if quick else SIMULATED)


def _lives(run: Run, part: Part, num_lives: int) -> Rows:
    """A row for each seed, and for each K of a learner that takes gradient steps."""
    from dmaml_jax.results.lifetime import lifetime, trials
    from dmaml_jax.runs.loading import load

    loaded, cell = load(part.folder), CELLS[run.panel]
    if is_memory(run.label):
        found = {"": trials(loaded, num_trials=num_lives)}
    else:
        found = {
            each: lifetime(
                loaded,
                num_episodes=cell.episodes,
                episodes_per_step=each,
                num_tasks=num_lives,
                measured_on=MEASURED_ON,
            )
            for each in cell.steps_after
        }
    rate = "" if is_memory(run.label) else loaded.config.learner.inner_lr
    return [
        {
            "seed": seed,
            "alpha": rate,
            "steps_after": each,
            "lives": num_lives,
            "return": f"{own.total[lane].mean():.6g}",
            "error": float(own.total[lane].std() / np.sqrt(num_lives)),
            "last": float(own.last[lane].mean()),
        }
        for each, own in found.items()
        for lane, seed in enumerate(loaded.seeds)
    ]


def _add_oracles(folder: Path, name: str, simulated: int) -> None:
    """The rows of a cell's other agents, where there are none yet."""
    rows = read_rows(folder / ORACLES)
    if any(row["cell"] == name for row in rows):
        return
    cell = CELLS[name]
    agents = _of_mdps if cell.env == "mdp" else _of_bandits
    rows += [
        {"cell": name, "agent": agent, "return": f"{value:.6g}", "error": error}
        for agent, (value, error) in agents(name, simulated).items()
    ]
    write_rows(folder / ORACLES, rows)


Agents = Mapping[str, tuple[float, float | None]]
"""Returns of a life by agent, each with a standard error where it was simulated."""


def _of_bandits(name: str, simulated: int) -> Agents:
    """Exact values where they can be had, and simulated rules."""
    from dmaml_jax import envs
    from dmaml_jax.envs import bandit_optimum as exact
    from dmaml_jax.envs import bandit_rules as rules

    cell = CELLS[name]
    env, _ = envs.make(cell.env)
    arms, pulls = env.num_actions, cell.episodes
    played: dict[str, Any] = {
        "Thompson sampling": rules.thompson,
        f"UCB1, c = {SCALE:g}": rules.ucb1(SCALE),
    }
    known: dict[str, float] = {"any arm": pulls / 2}
    if pulls <= EXACT:
        known["win-stay-lose-shift"] = exact.stay_or_shift_value(arms, pulls)
        known["greedy"] = exact.greedy_value(arms, pulls)
        known["Bayes optimum"] = exact.bayes_optimum(arms, pulls)
    else:
        played["win-stay-lose-shift"] = rules.stay_or_shift
        played["greedy"] = rules.greedy
    if cell.steps_after:
        known["one choice after uniform pulls"] = max(
            m / 2 + (pulls - m) * exact.best_after_uniform(arms, m)
            for m in range(1, min(pulls, EXACT + 1))
        )
    return {
        **{agent: (value, None) for agent, value in known.items()},
        **_simulated(
            played, lambda key, rule: rules.play(key, rule, arms, pulls, simulated)
        ),
    }


def _of_mdps(name: str, simulated: int) -> Agents:
    """Agents that learn an MDP's tables, and one that knows them."""
    import jax

    from dmaml_jax.envs import RandomMDP, tabular_rules
    from dmaml_jax.envs.tabular_optimum import best_policy
    from dmaml_jax.tasks.of_environment import lawful_tasks

    cell, env = CELLS[name], RandomMDP()
    tasks = lawful_tasks(env, env.default_params)
    keys = jax.random.split(jax.random.key(0), simulated)
    best = jax.jit(
        jax.vmap(lambda key: best_policy(tasks.sample(key), cell.horizon).start_value)
    )(keys)
    total = cell.episodes * np.asarray(best)
    rules = {
        "greedy": tabular_rules.certain,
        "posterior sampling": tabular_rules.sampled,
    }
    return {
        "any action": (cell.episodes * cell.horizon * 1.0, None),
        "knows the task": (total.mean(), total.std() / np.sqrt(simulated)),
        **_simulated(
            rules,
            lambda key, rule: tabular_rules.play(
                key, rule, cell.episodes, simulated // 10
            ).sum(axis=1),
        ),
    }


def _simulated(played: Mapping[str, Any], play: Callable[[Any, Any], Any]) -> Agents:
    """Means with standard errors of what rules earn in a life."""
    import jax

    keys = jax.random.split(jax.random.key(1), len(played))
    found = {}
    for key, (agent, rule) in zip(keys, played.items(), strict=True):
        returns = np.asarray(play(key, rule))
        found[agent] = (returns.mean(), returns.std() / np.sqrt(len(returns)))
    return found
