"""Which scene shows an environment."""

import importlib
from typing import Any

from dmaml_jax.pictures.scenes.look import Stage


def stage_of(env: Any, task: Any) -> Stage:
    """How to show an environment, which its class decides by naming a scene.

    Args:
        env: the environment. One that names no scene is shown as observations and
            rewards against time.
        task: the environment's parameters, which tell how long a step is.
    """
    scene = getattr(env, "scene", "trace")
    module = importlib.import_module(f"dmaml_jax.pictures.scenes.{scene}")
    return module.stage(env, task)
