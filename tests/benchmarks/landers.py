"""What the lander's benchmark measures: everybody's landers, and an epoch of ours."""

import functools
import time
from typing import Any

import numpy as np
from figures import plural
from measure import MeasurementError, Ours, Sample, say

STEPS = 100  # of a batch in a sample
GYMNASIUM_STEPS = 3000  # of a sample
ALGO = "directed-maml"


class Gymnasium:
    """One lander in one process, with random actions drawn beforehand."""

    name, seeds = "Gymnasium", 1

    def __init__(self) -> None:
        import gymnasium

        self.env: Any = gymnasium.make("LunarLander-v3").unwrapped
        self.env.reset(seed=0)
        self.random = np.random.default_rng(0)

    def __call__(self) -> Sample:
        actions = self.random.integers(0, 4, GYMNASIUM_STEPS).tolist()
        begin = time.perf_counter()
        for action in actions:
            if self.env.step(action)[2]:
                self.env.reset()
        return Sample(time.perf_counter() - begin, GYMNASIUM_STEPS, 0.0)


class EnvPool:
    """Box2D's landers in C++ threads."""

    seeds = 1

    def __init__(self, batch: int, threads: int) -> None:
        import envpool

        self.name, self.batch = f"EnvPool, {threads} threads", batch
        self.envs: Any = envpool.make(
            "LunarLander-v3", "gymnasium", num_envs=batch, num_threads=threads, seed=0
        )
        self.envs.reset()
        self.random = np.random.default_rng(0)

    def __call__(self) -> Sample:
        actions = self.random.integers(0, 4, (STEPS, self.batch)).astype(np.int32)
        begin = time.perf_counter()
        for row in actions:
            self.envs.step(row)
        return Sample(time.perf_counter() - begin, STEPS * self.batch, 0.0)


class Lander:
    """One of ours: a batch from its resets on, compiled."""

    seeds = 1

    def __init__(self, solver: str, batch: int) -> None:
        import jax

        from dmaml_jax.envs.lunar_lander import LunarLander

        self.name, self._epoch = solver, 0
        env = LunarLander(solver=solver)
        params = env.default_params

        def fly(key: Any) -> Any:
            key_reset, key_steps = jax.random.split(key)

            def step(state: Any, key: Any) -> Any:
                key_action, key_step = jax.random.split(key)
                action = jax.random.randint(key_action, (), 0, 4)
                alive = ~env.is_terminated(state, params)
                _, state, reward, _, _ = env.step_env(key_step, state, action, params)
                return state, (alive, reward)

            _, state = env.reset_env(key_reset, params)
            return jax.lax.scan(step, state, jax.random.split(key_steps, STEPS))[1]

        self._keys = functools.partial(jax.random.split, num=batch)
        self._key = jax.random.key(0)
        self._fly = jax.jit(jax.vmap(fly)).lower(self._keys(self._key)).compile()

    def __call__(self) -> Sample:
        import jax

        self._epoch += 1
        keys = jax.block_until_ready(
            self._keys(jax.random.fold_in(self._key, self._epoch))
        )
        begin = time.perf_counter()
        alive, reward = jax.block_until_ready(self._fly(keys))
        took = time.perf_counter() - begin
        if not np.isfinite(np.sum(reward)):
            raise MeasurementError(f"{self.name}: numbers are no longer finite")
        return Sample(took, int(np.sum(alive)), 0.0)


class OurEpoch(Ours):
    """An epoch of Directed-MAML with the fast solver."""

    def __init__(self, full: bool, seeds: int = 1) -> None:
        import jax

        from dmaml_jax import envs
        from dmaml_jax.build import configuration
        from dmaml_jax.build.learner import build
        from dmaml_jax.envs.lunar_lander import LunarLander
        from dmaml_jax.tasks.distributions import uniform
        from dmaml_jax.training.chunk import train_step
        from dmaml_jax.training.devices import devices_per_seed
        from dmaml_jax.training.program import Program

        class Endless(LunarLander):
            """A lander that flies on after its end."""

            def advance(self, *args: Any) -> Any:
                state, reward = super().advance(*args)
                world = state.world.replace(
                    over=jax.numpy.array(False), awake=jax.numpy.array(True)
                )
                return state.replace(world=world), reward

            def is_terminated(self, state: Any, params: Any) -> jax.Array:
                return jax.numpy.isnan(self.get_obs(state)[0])

        self.name, self.algo, self.seeds = f"ours, {plural(seeds, 'seed')}", ALGO, seeds
        env = Endless(solver="fast") if full else LunarLander(solver="fast")
        ranges = envs.make("lunarlander")[1]
        tasks = uniform(env.default_params, **ranges)
        config = configuration(env, ALGO)  # M, K, H and the network
        problem, learner = build(config, env=env, tasks=tasks)
        num_tasks = config.sampling.num_tasks
        pair = train_step(problem, learner, num_tasks)
        devices = jax.devices()
        self.program = Program(
            *pair,
            seeds=range(1, seeds + 1),
            chunk_epochs=config.run.chunk_epochs,
            devices=devices,
            task_devices=devices_per_seed(len(devices), seeds, num_tasks),
        )
        say(f"  {self.name}: compiled in {self.program.compile():.1f} s")
        self._start, self._epoch = self.program.state, 0
