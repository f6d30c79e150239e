"""SG-MRL as a learner: its baseline, its pieces; that it is exact, test_enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import START, noisy, quadratic

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.learners.sg_mrl import meta_loss, sg_mrl
from dmaml_jax.training.program import Program

TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.2, 0.2, -0.7]])
SMALL = {"horizon": 12, "num_tasks": 3, "num_trajectories": 3, "hidden_sizes": (5,)}


def scored_quadratic():
    """A quadratic whose data have a score, θ·target, and a return, Σ target."""
    return noisy(quadratic())._replace(
        log_probs=lambda params, data: (params @ data["target"])[None, None],
        objective=lambda data: jnp.sum(data["target"]),
    )


def task_gradient(problem, keys, params, task, alpha, reduction="sum"):
    """One task's share of the meta-gradient, without a baseline."""

    def loss(params):
        return meta_loss(
            problem,
            params,
            keys,
            task,
            inner_lr=alpha,
            baseline=jnp.zeros_like,
            score_reduction=reduction,
        )[0]

    return jax.grad(loss)(params)


def learner(**options):
    return sg_mrl(
        scored_quadratic(), inner_lr=0.3, meta_optimizer=optax.sgd(0.1), **options
    )


def gradient_of(tasks, state=None, key=1, **options):
    algorithm = learner(**options)
    state = state or algorithm.init(jax.random.key(0))
    return algorithm.step(jax.random.key(key), state, jnp.asarray(tasks))


def by_hand(targets, key=1):
    """The first targets of a step, which are their own scores, and their returns."""
    problem = scored_quadratic()
    key_collections, _ = jax.random.split(jax.random.key(key))
    keys = jax.random.split(key_collections, (len(targets), 2))
    first = np.stack(
        [
            problem.collect(k[0], None, jnp.asarray(t))["target"]
            for k, t in zip(keys, targets, strict=True)
        ]
    )
    return first, first.sum(axis=1)


def test_the_baseline_is_the_mean_of_the_others() -> None:
    first, before = by_hand(TARGETS)
    _, none = gradient_of(TARGETS, score_baseline="none")
    _, others = gradient_of(TARGETS)
    b = (before.sum() - before) / 2
    # The score's gradient is the first target, in descent.
    expected = np.mean(b[:, None] * first, axis=0)
    difference = np.asarray(others.meta_gradient) - np.asarray(none.meta_gradient)
    np.testing.assert_allclose(difference, expected, rtol=1e-10)


def test_one_task_remembers_earlier_epochs() -> None:
    """First nothing, then the first epoch's return, then an average."""
    algorithm, task = learner(), TARGETS[:1]
    bare = learner(score_baseline="none")
    state = algorithm.init(jax.random.key(0))
    remembered = 0.0
    for epoch in range(3):
        key = jax.random.key(epoch)
        first, before = by_hand(task, key=epoch)
        after, info = algorithm.step(key, state, jnp.asarray(task))
        _, plain = bare.step(key, state, jnp.asarray(task))
        np.testing.assert_allclose(
            info.meta_gradient - plain.meta_gradient,
            remembered * first[0],
            rtol=1e-9,
            atol=1e-12,
        )
        share = 0.0 if epoch == 0 else 0.9
        remembered = share * remembered + (1 - share) * before[0]
        np.testing.assert_allclose(after.mean_objective, remembered, rtol=1e-12)
        state = after


def test_e_maml_scales_the_term_by_the_steps() -> None:
    """`num_steps` of the quadratic is 1, so that both are the same there."""
    _, mean = gradient_of(TARGETS, score_reduction="mean")
    _, whole = gradient_of(TARGETS)
    np.testing.assert_allclose(mean.meta_gradient, whole.meta_gradient, rtol=1e-12)
    problem = scored_quadratic()._replace(num_steps=lambda data: jnp.int32(4))
    keys = jax.random.split(jax.random.key(3), 2)

    def gradient(reduction, scored=True):
        own = problem if scored else problem._replace(objective=lambda d: jnp.zeros(()))
        task = jnp.asarray(TARGETS[0])
        return np.asarray(
            task_gradient(own, keys, jnp.asarray(START), task, 0.3, reduction)
        )

    bare = gradient("sum", scored=False)
    np.testing.assert_allclose(
        gradient("mean") - bare, (gradient("sum") - bare) / 4, rtol=1e-10
    )


@pytest.mark.parametrize(
    "num_inner_steps", [pytest.param(1, marks=pytest.mark.slow), 2]
)
def test_scores_are_added_up_piece_by_piece(num_inner_steps: int) -> None:
    """In pieces, as on a CPU, and whole, as on a GPU: the same to rounding."""
    config = configuration(
        algo="sg-mrl", inner_lr=0.05, normalize_advantages=False, **SMALL
    )
    problem, _ = build(config)
    params = jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape),
        problem.init(jax.random.key(0)),
    )
    assert problem.pieces is not None
    keys = jax.random.split(jax.random.key(2), num_inner_steps + 1)

    def gradient(problem):
        task = problem.medium_task()
        return jax.jit(lambda: task_gradient(problem, keys, params, task, 0.05))()

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11),
        gradient(problem),
        gradient(problem._replace(pieces=None)),
    )


@pytest.mark.slow
def test_tasks_on_two_devices_share_their_baseline() -> None:
    """Three tasks on two devices, one share padded: the same as on one device."""
    returns = []
    for task_devices in (1, 2):
        program = Program(
            *make_train_step("cartpole", "sg-mrl", **SMALL),
            seeds=[3],
            chunk_epochs=2,
            devices=jax.devices()[:task_devices],
            task_devices=task_devices,
        )
        program.compile()
        metrics = program.run(0, 2)
        returns.append([metrics["meta_grad_norm"], metrics["loss"]])
    np.testing.assert_allclose(returns[0], returns[1], rtol=1e-9)
