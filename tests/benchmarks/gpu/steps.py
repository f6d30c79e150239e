"""Environment steps per second, with random actions and nothing else around them."""

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.gpu.compiling import Candidate

from dmaml_jax import envs


class Steps(Candidate):
    """A batch of environments that are reset and then take a number of steps.

    They are stepped as a rollout steps them: `step_env`, an ended environment stays
    where it ended, and only the steps of living ones are counted. CartPole's
    thresholds are infinite, so that none ends: a random policy would be done in 20
    steps. Nothing is stored but the sum of rewards, without which XLA would drop them.
    """

    def __init__(self, name: str, batch: int, num_steps: int) -> None:
        """Name it; nothing is traced yet."""
        self.env_name, self.batch, self.num_steps = name, batch, num_steps
        self.name = f"{name}, {batch:,} lanes"
        self.alive = math.nan
        self._keys: Any = None

    def lower(self) -> Any:
        """Trace a reset and the steps."""
        lanes = jax.ShapeDtypeStruct((self.batch,), np.uint32)
        episode = _episode(self.env_name, self.num_steps)
        return jax.jit(jax.vmap(episode)).lower(lanes)

    def prepare(self, compiled: Any) -> None:
        """Make the lanes' seeds, and count once who is alive."""
        self._keys = jax.device_put(np.arange(self.batch, dtype=np.uint32))

    def __call__(self) -> float:
        """Seconds of one call."""
        begin = time.perf_counter()
        alive, rewards = jax.block_until_ready(self.compiled(self._keys))
        took = time.perf_counter() - begin
        if math.isnan(self.alive):
            counted = np.sum(np.asarray(alive), dtype=np.int64)
            self.alive = float(counted) / (self.batch * self.num_steps)
            if not np.isfinite(np.sum(np.asarray(rewards))):
                raise ValueError(f"{self.name}: numbers are no longer finite")
        return took

    def rate(self, seconds: float) -> float:
        """Steps of living environments per second."""
        return self.alive * self.batch * self.num_steps / seconds


def _episode(name: str, num_steps: int) -> Any:
    """A function of a lane's seed: steps that it was alive, and its return."""
    env, _ = envs.make(name)
    params = env.default_params
    if name == "cartpole":
        params = params.replace(theta_threshold=math.inf, x_threshold=math.inf)

    def step(carry: Any, t: jax.Array) -> tuple[Any, None]:
        key, state, alive, lived, total = carry
        # Folded within the loop: keys of all steps beforehand would fill the memory.
        key_action, key_step = jax.random.split(jax.random.fold_in(key, t))
        action = jax.random.randint(key_action, (), 0, env.num_actions)
        _, after, reward, terminated, _ = env.step_env(key_step, state, action, params)
        after = jax.tree.map(lambda n, o: jnp.where(alive, n, o), after, state)
        total = total + jnp.where(alive, reward, 0)
        ended = terminated | env.is_truncated(after, params)
        return (key, after, alive & ~ended, lived + alive, total), None

    def episode(lane: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_reset, key_steps = jax.random.split(jax.random.key(lane))
        _, state = env.reset_env(key_reset, params)
        start = key_steps, state, jnp.array(True), jnp.int32(0), jnp.float32(0)
        # Environments start with Python's numbers, a loop's carry needs arrays.
        after, _ = jax.eval_shape(step, start, jnp.int32(0))
        start = jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), start, after)
        end, _ = jax.lax.scan(step, start, jnp.arange(num_steps))
        return end[3], end[4]

    return episode
