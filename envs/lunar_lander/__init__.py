"""Gymnasium's LunarLander in pure JAX, after Box2D."""

from dmaml_jax.envs.lunar_lander.environment import EnvParams, EnvState, LunarLander

__all__ = ["EnvParams", "EnvState", "LunarLander"]
