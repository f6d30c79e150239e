"""Gradient-based meta-reinforcement-learning, end to end on the device.

The public names; each is loaded on first use, so that `dmaml-jax --help` does not wait
for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmaml_jax.build.config import configuration as configuration
    from dmaml_jax.build.train_step import make_train_step as make_train_step
    from dmaml_jax.config.composition import TrainConfig as TrainConfig
    from dmaml_jax.errors import UsageError as UsageError
    from dmaml_jax.learners.directed import directed as directed
    from dmaml_jax.learners.imaml import imaml as imaml
    from dmaml_jax.learners.joint import joint as joint
    from dmaml_jax.learners.maml import maml as maml
    from dmaml_jax.learners.maml2 import maml2 as maml2
    from dmaml_jax.learners.maml_plus_plus import maml_plus_plus as maml_plus_plus
    from dmaml_jax.learners.medium_task import (
        medium_task_empirical as medium_task_empirical,
    )
    from dmaml_jax.learners.medium_task import medium_task_exact as medium_task_exact
    from dmaml_jax.learners.meta_sgd import meta_sgd as meta_sgd
    from dmaml_jax.learners.promp import promp as promp
    from dmaml_jax.learners.reptile import reptile as reptile
    from dmaml_jax.learners.sg_mrl import sg_mrl as sg_mrl
    from dmaml_jax.learners.sharp_maml import sharp_maml as sharp_maml
    from dmaml_jax.learners.trust_region import trust_region as trust_region
    from dmaml_jax.rl.action_distributions import categorical as categorical
    from dmaml_jax.rl.action_distributions import clipped_normal as clipped_normal
    from dmaml_jax.rl.action_distributions import diagonal_normal as diagonal_normal
    from dmaml_jax.rl.action_distributions import squashed_normal as squashed_normal
    from dmaml_jax.rl.actor_critic import actor_critic as actor_critic
    from dmaml_jax.rl.policies import mlp_categorical as mlp_categorical
    from dmaml_jax.rl.policies import mlp_normal as mlp_normal
    from dmaml_jax.rl.policy_gradient import policy_gradient as policy_gradient
    from dmaml_jax.rl.problem import make_problem as make_problem
    from dmaml_jax.rl.surrogates import Surrogate as Surrogate
    from dmaml_jax.rl.surrogates import surrogate as surrogate
    from dmaml_jax.runs.loading import Loaded as Loaded
    from dmaml_jax.runs.loading import load as load
    from dmaml_jax.sweeps.in_memory import train_settings as train_settings
    from dmaml_jax.tasks.distributions import TaskDistribution as TaskDistribution
    from dmaml_jax.tasks.distributions import finite as finite
    from dmaml_jax.tasks.distributions import independent as independent
    from dmaml_jax.tasks.distributions import mixture as mixture
    from dmaml_jax.tasks.distributions import on_circle as on_circle
    from dmaml_jax.tasks.distributions import uniform as uniform
    from dmaml_jax.training.adaptation import adaptation as adaptation
    from dmaml_jax.training.chunk import train_step as train_step
    from dmaml_jax.training.program import Program as Program
    from dmaml_jax.types import Agent as Agent
    from dmaml_jax.types import Distribution as Distribution
    from dmaml_jax.types import Info as Info
    from dmaml_jax.types import MetaLearner as MetaLearner
    from dmaml_jax.types import OuterRule as OuterRule
    from dmaml_jax.types import Percept as Percept
    from dmaml_jax.types import Pieces as Pieces
    from dmaml_jax.types import Policy as Policy
    from dmaml_jax.types import Problem as Problem
    from dmaml_jax.types import Trajectory as Trajectory

_MODULES = {
    "build.config": "configuration",
    "build.train_step": "make_train_step",
    "config.composition": "TrainConfig",
    "errors": "UsageError",
    "learners.directed": "directed",
    "learners.imaml": "imaml",
    "learners.joint": "joint",
    "learners.maml": "maml",
    "learners.maml2": "maml2",
    "learners.maml_plus_plus": "maml_plus_plus",
    "learners.medium_task": "medium_task_empirical medium_task_exact",
    "learners.meta_sgd": "meta_sgd",
    "learners.promp": "promp",
    "learners.reptile": "reptile",
    "learners.sg_mrl": "sg_mrl",
    "learners.sharp_maml": "sharp_maml",
    "learners.trust_region": "trust_region",
    "rl.action_distributions": (
        "categorical clipped_normal diagonal_normal squashed_normal"
    ),
    "rl.actor_critic": "actor_critic",
    "rl.policy_gradient": "policy_gradient",
    "rl.policies": "mlp_categorical mlp_normal",
    "rl.problem": "make_problem",
    "rl.surrogates": "Surrogate surrogate",
    "runs.loading": "Loaded load",
    "sweeps.in_memory": "train_settings",
    "tasks.distributions": (
        "TaskDistribution finite independent mixture on_circle uniform"
    ),
    "training.adaptation": "adaptation",
    "training.chunk": "train_step",
    "training.program": "Program",
    "types": (
        "Agent Distribution Info MetaLearner OuterRule Percept Pieces Policy Problem "
        "Trajectory"
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
