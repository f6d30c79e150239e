"""The algos command, and what a learner estimates, in words."""

import textwrap

from dmaml_jax.config.presets import TrainConfig, preset
from dmaml_jax.learners import registry

_HEADS = ("--algo", "order", "episodes", "paper", "")


def table() -> str:
    """Every learner with its order, cost, paper, and what its pairs estimate.

    Episodes are those of an epoch with the learner's preset on CartPole.
    """
    rows: list[tuple[str, ...]] = [_HEADS]
    for name, entry in registry.LEARNERS.items():
        values = preset("cartpole", name)
        shape = (values.num_tasks, values.num_trajectories, values.num_inner_steps)
        episodes = [
            registry.episodes_per_epoch(algo, *shape)
            for algo in (name, registry.DIRECTED + name)
        ]
        cost = f"{episodes[0]} ({episodes[1]})"
        rows.append((name, str(entry.order), cost, entry.paper, entry.summary))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]
        ).rstrip()
        for row in rows
    ]
    lines += [
        "",
        "Any of them directed: directed-NAME (directed is short for directed-maml).",
        "Episodes: of an epoch with the preset, and in brackets directed.",
        "",
        "What a meta-gradient estimates, by --surrogate:",
    ]
    by_text: dict[str, list[str]] = {}
    for name, entry in registry.LEARNERS.items():
        for surrogate, text in entry.objectives.items():
            by_text.setdefault(text, []).append(f"{name} {surrogate}")
    for text, pairs in by_text.items():
        lines += [f"  {text}", textwrap.indent("\n".join(pairs), "    ")]
    return "\n".join(lines)


def objective(config: TrainConfig) -> str:
    """What the meta-gradient of a validated configuration estimates, for people."""
    text = registry.objective(config.algo, config.surrogate)
    departures = [
        flag
        for flag, departs in (
            ("--method pg", config.method != "pg"),
            (
                "--baseline leave-one-out",
                config.method == "pg" and config.baseline == "linear",
            ),
            ("--normalize-advantages False", config.normalize_advantages),
            ("--discount-weighting True", not config.discount_weighting),
            ("--step-reduction sum", config.step_reduction != "sum"),
        )
        if departs
    ]
    if "score_baseline" in registry.entry(config.algo).takes:
        if departures:
            text += f"; an unbiased outer step needs {' and '.join(departures)}"
    elif config.surrogate == "dice":
        text += "; DiCE's inner step takes raw rewards and needs a smaller --inner-lr"
    return text
