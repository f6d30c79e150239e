"""Oracles of the task families: exact optima and simulated rules.

Writes docs/oracles.md.
"""

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmaml_jax.training import devices

SEED = 0
CELLS = ((2, 10), (5, 10), (10, 10), (5, 20), (5, 100))
"""Numbers of arms and of pulls."""
EXACT = 20
"""Pulls up to which the programmes are solved."""
BANDITS, MDPS = 5_000, 20_000
SCALE = 0.3
"""UCB1's c."""
DOCS = Path(__file__).parents[2] / "docs"


def mean_and_error(values: np.ndarray) -> str:
    """The mean and its standard error, as a cell of the table."""
    error = values.std() / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {error:.3f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def bandit_row(num_arms: int, num_pulls: int, num_bandits: int = BANDITS) -> list[str]:
    """Simulated rules and exact values of one cell."""
    import jax

    from dmaml_jax.envs import bandit_optimum as exact
    from dmaml_jax.envs import bandit_rules as rules

    size = (num_arms, num_pulls)
    simulated = [
        mean_and_error(np.asarray(rules.play(key, rule, *size, num_bandits)))
        for rule, key in zip(
            (rules.stay_or_shift, rules.thompson, rules.ucb1(SCALE), rules.greedy),
            jax.random.split(jax.random.key(SEED), 4),
            strict=True,
        )
    ]
    solved = ["-"] * 3
    if num_pulls <= EXACT:
        solved = [
            f"{exact.greedy_value(*size):.3f}",
            f"{exact.greedy_value(*size, ties='least-pulled'):.3f}",
            f"{exact.bayes_optimum(*size):.3f}",
        ]
    return [f"{num_arms}, {num_pulls}", f"{num_pulls / 2:g}", *simulated, *solved]


def mdp_rows(num_mdps: int = MDPS) -> list[list[str]]:
    """Mean returns of an episode when the tables are known."""
    import jax
    import jax.numpy as jnp

    from dmaml_jax.envs import RandomMDP
    from dmaml_jax.envs.tabular_optimum import best_policy, value_of

    env = RandomMDP()

    @jax.jit
    @jax.vmap
    def values(key: jax.Array) -> tuple[jax.Array, ...]:
        task = env.task_law.sample(key, env.default_params)
        greatest = jax.nn.one_hot(jnp.argmax(task.rewards, axis=1), 5)
        return (
            value_of(task, jnp.full((10, 5), 0.2), 10),
            value_of(task, greatest, 10),
            best_policy(task, 10).start_value,
            best_policy(task, 10, 0.99).start_value,
        )

    found = values(jax.random.split(jax.random.key(SEED), num_mdps))
    names = (
        "any action, each equally likely",
        "the action of the greatest mean reward here",
        "value iteration",
        "value iteration, discounted by 0.99",
    )
    return [
        [name, mean_and_error(np.asarray(each))]
        for name, each in zip(names, found, strict=True)
    ]


def gridworld_rows() -> list[list[str]]:
    """The best search for each number of episodes."""
    from dmaml_jax.envs.gridworld_optimum import best_search

    rows = []
    for episodes in (1, 2, 4):
        found = best_search(episodes)
        each = ", ".join(f"{value:.3f}" for value in found.episodes)
        rows.append([str(episodes), f"{found.total:.3f}", each])
    return rows


def page() -> list[str]:
    """The lines of docs/oracles.md."""
    bandits = (
        "k, n", "uniform", "win-stay-lose-shift", "Thompson", f"UCB1, c = {SCALE:g}",
        "greedy", "greedy, exact", "fewest pulls first, exact", "Bayes optimum, exact",
    )  # fmt: skip
    return [
        "# Oracles of the task families",
        "",
        f"CPU, {datetime.date.today()}; made by `make oracles`. What the families are",
        "is told in [task-families.md](task-families.md).",
        "",
        "## Bernoulli bandits",
        "",
        "Undiscounted return of n pulls of k arms. Rules are simulated on",
        f"{BANDITS:,} bandits each: mean ± standard error. Greedy pulls the arm of the",
        "greatest posterior mean; ties are decided evenly or, in one column, for the",
        f"arm with the fewest pulls. Exact values are solved up to {EXACT} pulls.",
        "",
        *table(bandits, [bandit_row(*cell) for cell in CELLS]),
        "",
        "## Random MDPs",
        "",
        "Exact returns of an episode of 10 steps for an agent that knows the tables,",
        f"mean ± standard error over {MDPS:,} MDPs.",
        "",
        *table(("policy", "return"), mdp_rows()),
        "",
        "## Gridworld",
        "",
        "Exact return of the Bayes-optimal search, the mean over the 21 goals.",
        "",
        *table(("episodes", "trial", "each episode"), gridworld_rows()),
    ]


def main() -> int:
    """Compute, and write the page."""
    devices.only_cpu()
    lines = page()
    (DOCS / "oracles.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
