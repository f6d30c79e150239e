"""Gradient-based meta-reinforcement-learning, end to end on the device.

The public names; each is loaded on first use, so that `dmaml-jax --help` does not wait
for JAX.
"""

import importlib
from typing import Any

_MODULES = {
    "make_train_step": "factory",
    "make_problem": "problem",
    "maml": "learners.maml",
    "directed": "learners.directed",
    "medium_task_exact": "learners.directed",
    "medium_task_empirical": "learners.directed",
    "policy_gradient": "objectives",
    "mlp_categorical": "policies",
    "categorical": "distributions",
    "uniform": "tasks",
    "TaskDistribution": "tasks",
    "train_step": "training",
    "Program": "training",
    "Distribution": "types",
    "Info": "types",
    "MetaLearner": "types",
    "Pieces": "types",
    "Policy": "types",
    "Problem": "types",
    "Trajectory": "types",
    "TrainConfig": "presets",
    "UsageError": "errors",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
