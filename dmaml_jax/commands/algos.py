"""The algos command: every learner, told without importing JAX."""

import dataclasses
import textwrap
from collections.abc import Sequence

from dmaml_jax.commands.words import parsed
from dmaml_jax.config.values import Sampling
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import GradientOptions

_HEADS = ("--algo", "order", "episodes", "paper", "")


@dataclasses.dataclass(frozen=True)
class Algos:
    """List the learners: what they estimate, what they cost, who described them."""


def main(words: Sequence[str]) -> int:
    """Print the table.

    Returns:
        The exit code, 0.
    """
    parsed(Algos, "algos", words)
    print(table())
    return 0


def table() -> str:
    """Every learner with its order, cost, paper, and what its pairs estimate.

    Episodes are those of an epoch with the learner's preset on CartPole.
    """
    rows: list[tuple[str, ...]] = [_HEADS]
    for name, entry in registry.LEARNERS.items():
        steps = entry.preset.get("learner", {}).get(
            "num_inner_steps", GradientOptions.num_inner_steps
        )
        episodes = [
            registry.episodes_per_epoch(
                algo, Sampling.num_tasks, Sampling.num_trajectories, steps
            )
            for algo in (name, registry.DIRECTED + name)
        ]
        cost = entry.episodes or f"{episodes[0]} ({episodes[1]})"
        rows.append((name, _order(entry), cost, entry.paper, entry.summary))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]
        ).rstrip()
        for row in rows
    ]
    lines += [
        "",
        "Those with an order exist directed too: directed-NAME (directed is short for",
        "directed-maml). The others adapt by a memory and have no gradient step.",
        "Episodes: of an epoch with the preset, and in brackets directed; M tasks, K",
        "trials of each, n episodes in a trial.",
        "A learner's options: dmaml-jax train --help --algo NAME.",
        "",
        "What a meta-gradient estimates, by --surrogate:",
    ]
    pairs_of: dict[registry.Estimate, list[str]] = {}
    for name, entry in registry.LEARNERS.items():
        for surrogate, estimate in entry.objectives.items():
            pairs_of.setdefault(estimate, []).append(f"{name} {surrogate}".rstrip())
    for estimate, pairs in pairs_of.items():
        lines += [f"  {estimate}", textwrap.indent("\n".join(pairs), "    ")]
    return "\n".join(lines)


def _order(entry: registry.Entry) -> str:
    """The order of the meta-gradient; nothing where there is no inner gradient."""
    return str(entry.order) if entry.adapts_by == "gradient" else ""
