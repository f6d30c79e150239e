"""Every estimator of the meta-gradient against the exact one, on a small random MDP."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs import TabularMDP
from dmaml_jax.exact.data_sets import DataSets, combinations, data_sets, sum_over
from dmaml_jax.exact.estimators import ESTIMATORS, NUM_TASKS, Estimator
from dmaml_jax.exact.problem import enumerated_problem, likelihood, request
from dmaml_jax.exact.setting import Setting, exact_gradient
from dmaml_jax.learners.task_axis import over_tasks
from dmaml_jax.rl.problem import make_problem
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Params, Problem, Task


def enumerated(
    setting: Setting, estimators: Sequence[Estimator], num_trajectories: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a task's gradient, summed over all data sets.

    The outer gradient is a mean over K independent trajectories, so that one of them
    is summed over for each inner data set, and its variance divided by K.

    Args:
        setting: the MDP, the policy and the rates.
        estimators: E of them, all coupled or none.
        num_trajectories: K, the number of trajectories in a data set.

    Returns:
        Expected gradients `[E, P]`, and the traces of their covariances `[E]`.
    """
    coupled, steps = estimators[0].coupled, setting.num_inner_steps
    num_paths = len(setting.ways.lengths)
    sets = data_sets(num_paths, num_trajectories)
    problems = _enumerated_problems(setting, estimators, sets)
    # The same task twice: the other one's data are another draw of its own.
    tasks = _stacked(setting.mdp, 1 + coupled)

    def keys_of(numbers: jax.Array, single: jax.Array) -> jax.Array:
        own = [*map(request, numbers[:steps]), request(0, single=single)]
        others = [*map(request, numbers[steps:]), *[request(0)] * steps]
        return jnp.stack([jnp.stack(keys) for keys in (own, others)[: 1 + coupled]])

    def given(numbers: jax.Array, single: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = keys_of(numbers, single)
        # Estimators adapt differently, and so meet other data.
        chances = [
            likelihood(p, keys[0], setting.params, setting.mdp, setting.inner_lr)
            for p in problems
        ]
        if coupled:
            other = problems[0].collect(keys[1, 0], setting.params, setting.mdp).chance
            chances = [chance * other for chance in chances]
        gradients = _task_gradients(setting, estimators, problems, keys, tasks)
        return jnp.stack(chances), gradients[:, 0]

    def over_outer(numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
        chances, gradients = jax.vmap(given, in_axes=(None, 0))(
            numbers, jnp.arange(num_paths)
        )
        chance = jnp.sum(chances, axis=0)
        shares = chances / chance
        mean = jnp.einsum("ne,nep->ep", shares, gradients)
        square = jnp.einsum("ne,nep->e", shares, gradients**2)
        mean_square = jnp.sum(mean**2, axis=1)
        noise = (square - mean_square) / num_trajectories
        return chance[:, None] * mean, chance * (mean_square + noise)

    numbers = combinations(*[len(sets.orders)] * (steps + coupled))
    batch_size = max(4096 // num_paths, 1)
    mean, square = jax.jit(lambda: sum_over(over_outer, numbers, batch_size))()
    return np.asarray(mean), np.asarray(square - jnp.sum(mean**2, axis=1))


def sampled(
    setting: Setting, num_trajectories: int, num_samples: int, seed: int
) -> np.ndarray:
    """Gradients by the learners on the environment itself, rollouts and all.

    Args:
        setting: the MDP, the policy and the rates.
        num_trajectories: K, the number of trajectories in a data set.
        num_samples: S, how many epochs are sampled.
        seed: the seed of the sampling.

    Returns:
        The gradient of each of an epoch's tasks, `[S, estimators, M, P]`.
    """
    env = TabularMDP(*setting.params.shape)
    outer = setting.objective("score-function")
    problems = [
        make_problem(
            env,
            TaskDistribution(lambda key: setting.mdp, lambda: setting.mdp),
            setting.policy,
            setting.objective(estimator.surrogate, estimator.baseline),
            horizon=setting.ways.actions.shape[1],
            num_trajectories=num_trajectories,
            discount=setting.discount,
            gradient_chunk=0,
        )._replace(
            outer_loss=lambda params, data: outer.outer_loss(
                params, outer.advantages(params, data)
            )
        )
        for estimator in ESTIMATORS
    ]
    # They differ in losses only; one `collect` is traced and compiled once.
    problems = [p._replace(collect=problems[0].collect) for p in problems]
    tasks = _stacked(setting.mdp, NUM_TASKS)

    def sample(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, (NUM_TASKS, setting.num_inner_steps + 1))
        return _task_gradients(setting, ESTIMATORS, problems, keys, tasks)

    keys = jax.random.split(jax.random.key(seed), num_samples)
    batch_size = min(2000, num_samples)
    return np.asarray(
        jax.jit(lambda keys: jax.lax.map(sample, keys, batch_size=batch_size))(keys)
    )


def ascent(
    setting: Setting,
    estimators: Sequence[Estimator],
    num_iterations: int,
    outer_lr: float,
) -> np.ndarray:
    """‖∇J^II‖ along plain ascent by each estimator's expectation, K = 1.

    On two tasks, the MDP and the same with its rewards turned round: no fixed policy is
    good at both, so that the best θ is one that adapts well, and lies inside.

    Args:
        setting: the MDP and the first θ.
        estimators: E of them, none coupled.
        num_iterations: how many steps of ascent are taken.
        outer_lr: β, the step size of the ascent.

    Returns:
        `[iterations, E]`.
    """
    sets = data_sets(len(setting.ways.lengths), 1)
    problems = _enumerated_problems(setting, estimators, sets)
    numbers = combinations(*[len(sets.orders)] * setting.num_inner_steps)
    opposite = setting.mdp.replace(rewards=-setting.mdp.rewards)
    tasks = jax.tree.map(lambda *leaves: jnp.stack(leaves), setting.mdp, opposite)

    def over_both(f: Callable[[Params, Task], Params], params: Params) -> Params:
        return jnp.mean(jax.vmap(f, in_axes=(None, 0))(params, tasks), axis=0)

    def expected(
        estimator: Estimator, problem: Problem, params: Params, task: Task
    ) -> Params:
        def summand(numbers: jax.Array) -> jax.Array:
            keys = jnp.stack([*map(request, numbers), request(0, every=True)])
            rate = setting.inner_lr
            chance = likelihood(problem, keys, params, task, rate)
            return -chance * estimator.gradient(problem, keys, params, task, rate)

        return sum_over(summand, numbers)

    def step(each: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        exact = jax.vmap(
            partial(over_both, lambda p, task: exact_gradient(setting, p, task, 1))
        )(each)
        moves = [
            over_both(partial(expected, estimator, problem), params)
            for estimator, problem, params in zip(
                estimators, problems, each, strict=True
            )
        ]
        return each + outer_lr * jnp.stack(moves), jnp.linalg.norm(exact, axis=(1, 2))

    start = jnp.stack([setting.params] * len(estimators))
    run = jax.jit(lambda each: jax.lax.scan(step, each, None, length=num_iterations)[1])
    return np.asarray(run(start))


def _enumerated_problems(
    setting: Setting, estimators: Sequence[Estimator], sets: DataSets
) -> list[Problem]:
    return [
        enumerated_problem(
            setting.policy,
            setting.objective(estimator.surrogate, estimator.baseline),
            setting.ways,
            sets,
            discount=setting.discount,
            outer=setting.objective("score-function"),
        )
        for estimator in estimators
    ]


def _task_gradients(
    setting: Setting,
    estimators: Sequence[Estimator],
    problems: Sequence[Problem],
    keys: jax.Array,
    tasks: Task,
) -> jax.Array:
    """Each task's gradient of J (not of the loss) by each estimator, `[E, M, P]`."""

    def gradients(estimator: Estimator, problem: Problem) -> jax.Array:
        return over_tasks(
            lambda keys, task: jnp.ravel(
                estimator.gradient(
                    problem, keys, setting.params, task, setting.inner_lr
                )
            ),
            keys,
            tasks,
        )

    pairs = zip(estimators, problems, strict=True)
    return -jnp.stack([gradients(*pair) for pair in pairs])


def _stacked(task: Task, num: int) -> Task:
    return jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * num), task)
