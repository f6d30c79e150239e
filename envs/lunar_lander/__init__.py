"""Gymnasium's LunarLander in pure JAX, after Box2D."""

from dmaml_jax.envs.lunar_lander.environment import LunarLander
from dmaml_jax.envs.lunar_lander.parameters import EnvParams, EnvState

__all__ = ["EnvParams", "EnvState", "LunarLander"]
