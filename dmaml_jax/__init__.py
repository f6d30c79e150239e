"""Gradient-based meta-reinforcement-learning, end to end on the device.

The public names; each is loaded on first use, so that `dmaml-jax --help` does not wait
for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmaml_jax.distributions import categorical as categorical
    from dmaml_jax.distributions import clipped_normal as clipped_normal
    from dmaml_jax.distributions import diagonal_normal as diagonal_normal
    from dmaml_jax.distributions import squashed_normal as squashed_normal
    from dmaml_jax.errors import UsageError as UsageError
    from dmaml_jax.evaluation import adaptation as adaptation
    from dmaml_jax.factory import make_train_step as make_train_step
    from dmaml_jax.learners.directed import directed as directed
    from dmaml_jax.learners.directed import (
        medium_task_empirical as medium_task_empirical,
    )
    from dmaml_jax.learners.directed import medium_task_exact as medium_task_exact
    from dmaml_jax.learners.maml import maml as maml
    from dmaml_jax.learners.meta_sgd import meta_sgd as meta_sgd
    from dmaml_jax.learners.reptile import reptile as reptile
    from dmaml_jax.learners.sg_mrl import sg_mrl as sg_mrl
    from dmaml_jax.loading import Loaded as Loaded
    from dmaml_jax.loading import load as load
    from dmaml_jax.objectives import actor_critic as actor_critic
    from dmaml_jax.objectives import policy_gradient as policy_gradient
    from dmaml_jax.policies import mlp_categorical as mlp_categorical
    from dmaml_jax.policies import mlp_normal as mlp_normal
    from dmaml_jax.presets import TrainConfig as TrainConfig
    from dmaml_jax.problem import make_problem as make_problem
    from dmaml_jax.surrogates import Surrogate as Surrogate
    from dmaml_jax.surrogates import surrogate as surrogate
    from dmaml_jax.tasks import TaskDistribution as TaskDistribution
    from dmaml_jax.tasks import finite as finite
    from dmaml_jax.tasks import independent as independent
    from dmaml_jax.tasks import mixture as mixture
    from dmaml_jax.tasks import on_circle as on_circle
    from dmaml_jax.tasks import uniform as uniform
    from dmaml_jax.training import Program as Program
    from dmaml_jax.training import train_step as train_step
    from dmaml_jax.types import Distribution as Distribution
    from dmaml_jax.types import Info as Info
    from dmaml_jax.types import MetaLearner as MetaLearner
    from dmaml_jax.types import Pieces as Pieces
    from dmaml_jax.types import Policy as Policy
    from dmaml_jax.types import Problem as Problem
    from dmaml_jax.types import Trajectory as Trajectory

_MODULES = {
    "distributions": "categorical clipped_normal diagonal_normal squashed_normal",
    "errors": "UsageError",
    "evaluation": "adaptation",
    "factory": "make_train_step",
    "learners.directed": "directed medium_task_empirical medium_task_exact",
    "learners.maml": "maml",
    "learners.meta_sgd": "meta_sgd",
    "learners.reptile": "reptile",
    "learners.sg_mrl": "sg_mrl",
    "loading": "Loaded load",
    "objectives": "actor_critic policy_gradient",
    "policies": "mlp_categorical mlp_normal",
    "presets": "TrainConfig",
    "problem": "make_problem",
    "surrogates": "Surrogate surrogate",
    "tasks": "TaskDistribution finite independent mixture on_circle uniform",
    "training": "Program train_step",
    "types": "Distribution Info MetaLearner Pieces Policy Problem Trajectory",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
