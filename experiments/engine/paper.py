"""What Directed-MAML (arXiv 2510.00212) says of its experiments, as values of runs.

The paper leaves the gradient's estimator open. Here it is the same in all environments
unless a run says otherwise: sums over steps and means over trajectories, as the paper
writes ∇J, advantages normalised per task; Adam outside, plain steps for α and δ.
"""

from collections.abc import Mapping
from typing import Any

TABLE_I: Mapping[str, Any] = {
    "inner_lr": 0.001,
    "outer_lr": 0.001,
    "discount": 0.99,
    "num_tasks": 5,
    "num_trajectories": 10,
}
DELTA: Mapping[str, Any] = {"directed_lr": 0.005}
SCHEDULES: Mapping[str, Any] = {"outer_schedule": "constant"}
ESTIMATOR: Mapping[str, Any] = {"step_reduction": "sum", "normalize_advantages": True}
LEARNERS: Mapping[str, str] = {
    "MAML": "maml",
    "FOMAML": "fomaml",
    "Reptile": "reptile",
    "Meta-SGD": "meta-sgd",
    "Directed-MAML": "directed-maml",
}
DIRECTED: Mapping[str, str] = {
    "Directed-FOMAML": "directed-fomaml",
    "Directed-Meta-SGD": "directed-meta-sgd",
    "Directed-Reptile": "directed-reptile",
}


def table_i(algo: str, method: str = "pg") -> dict[str, Any]:
    """Table I for a learner, whatever the environment's preset says."""
    values = {"method": method, **TABLE_I, **SCHEDULES, **ESTIMATOR}
    if method == "pg":
        values["baseline"] = "leave-one-out"
    if algo.startswith("directed"):
        values |= {**DELTA, "directed_schedule": "constant"}
    return values
