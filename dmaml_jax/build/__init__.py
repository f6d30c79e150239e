"""From names and values to environment, policy, problem, learner and program."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmaml_jax.build.config import configuration as configuration


def __getattr__(name: str) -> Any:
    # On first use, as it imports JAX.
    if name == "configuration":
        return importlib.import_module(f"{__name__}.config").configuration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
