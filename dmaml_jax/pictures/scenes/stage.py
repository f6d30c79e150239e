"""Which scene shows an environment."""

import importlib
from typing import Any

from dmaml_jax.pictures.scenes.look import Stage


def stage_of(env: Any, task: Any) -> Stage:
    """How to show an environment: as the scene does that it names.

    Args:
        env: the environment; one that names no scene is shown as observations and
            rewards against time.
        task: its parameters, from which the duration of a step is taken.
    """
    scene = getattr(env, "scene", "trace")
    module = importlib.import_module(f"dmaml_jax.pictures.scenes.{scene}")
    return module.stage(env, task)
