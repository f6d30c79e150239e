"""The directed pre-step: an epoch by hand, and its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, noisy, numpy_gradient, quadratic

from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.learners.base import with_params
from dmaml_jax.learners.directed import directed
from dmaml_jax.learners.gates import unless_opposed
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.medium_task import (
    fresh_task,
    given_task,
    medium_task_empirical,
    medium_task_exact,
    task_of_batch,
)
from dmaml_jax.learners.task_axis import modifier_key

ALPHA, BETA, DELTA = 0.3, 0.1, 0.05
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0]])
SMALL = {"horizon": 20, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (8,)}


def learner(problem, first_order=False, **options):
    base = maml(
        problem,
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        first_order=first_order,
    )
    return directed(base, problem, directed_lr=DELTA, **options)


@pytest.mark.parametrize("empirical", [False, True])
def test_one_epoch_by_hand(empirical: bool) -> None:
    """θ ← θ − δ∇loss_med(θ), then the outer step from there (Algorithm 1)."""
    problem = quadratic()
    medium = TARGETS.mean(axis=0) if empirical else np.zeros(3)
    rule = medium_task_empirical if empirical else medium_task_exact(problem)
    algorithm = learner(problem, task_rule=rule)
    state = algorithm.init(jax.random.key(0))
    state, info = algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))

    moved = START - DELTA * numpy_gradient(START, medium)
    contraction = np.eye(3) - ALPHA * HESSIAN
    meta = np.mean(
        [contraction @ HESSIAN @ contraction @ (moved - t) for t in TARGETS], axis=0
    )
    np.testing.assert_allclose(state.params, moved - BETA * meta, rtol=1e-10)
    pre = numpy_gradient(START, medium)
    cosine = pre @ meta / np.linalg.norm(pre) / np.linalg.norm(meta)
    assert float(info.cos_medium_meta) == pytest.approx(cosine, rel=1e-10)
    assert float(info.return_medium) == pytest.approx(medium.sum())
    assert int(info.num_steps) == 2 * len(TARGETS) + 1
    assert int(state.epoch) == 1


def test_adam_for_the_pre_step_keeps_its_own_moments() -> None:
    algorithm = learner(quadratic(), directed_optimizer=optax.adam)
    state = algorithm.init(jax.random.key(0))
    state, _ = algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    pre = numpy_gradient(START, np.zeros(3))
    np.testing.assert_allclose(state.optimizer[0].mu, 0.1 * pre, rtol=1e-6)


@pytest.mark.parametrize("first_order", [False, True])
def test_delta_zero_is_the_base_learner(first_order: bool) -> None:
    """Handed the same key, a directed learner's base draws the bare learner's data."""
    problem = noisy(quadratic())
    base = maml(
        problem,
        inner_lr=ALPHA,
        meta_optimizer=optax.adam(BETA),
        first_order=first_order,
    )
    algorithm = directed(base, problem, directed_lr=0.0)
    bare, wrapped = base.init(jax.random.key(0)), algorithm.init(jax.random.key(0))
    for epoch in range(3):
        key, tasks = jax.random.key(epoch), jnp.asarray(TARGETS)
        bare, bare_info = base.step(key, bare, tasks)
        wrapped, info = algorithm.step(key, wrapped, tasks)
        np.testing.assert_allclose(wrapped.params, bare.params, rtol=1e-12)
        np.testing.assert_allclose(info.loss, bare_info.loss, rtol=1e-12)


@pytest.mark.parametrize(
    "base",
    [
        "maml",
        *(
            pytest.param(base, marks=pytest.mark.slow)
            for base in ("fomaml", "joint", "reptile", "meta-sgd", "sg-mrl")
        ),
    ],
)
def test_delta_zero_is_the_base_learner_on_cartpole(base: str) -> None:
    """Through the public train step, over four epochs; with another δ it is not."""
    trained = []
    directed_base = f"directed-{base}"
    for algo, own in (
        (base, {}),
        (directed_base, {"directed_lr": jnp.array(0.0)}),
        (directed_base, {"directed_lr": jnp.array(0.05)}),
    ):
        init, step = make_train_step("cartpole", algo, **own, **SMALL)
        state, step = init(jax.random.key(0)), jax.jit(step)
        for epoch in range(4):
            state, _ = step(jax.random.key(epoch), state)
        trained.append(jax.flatten_util.ravel_pytree(state.params)[0])
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-9, atol=1e-12)
    assert np.abs(trained[0] - trained[2]).max() > 1e-3


def test_the_pre_step_goes_before_the_base_learner_with_all_of_delta() -> None:
    """θ − δ∇loss_med(θ) is where the base learner starts, for each of several δ."""
    problem = quadratic()
    base = maml(problem, inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA))
    for delta in (0.02, 0.3):
        algorithm = directed(base, problem, directed_lr=delta)
        state = algorithm.init(jax.random.key(0))
        after, _ = algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))
        moved = START - delta * numpy_gradient(START, np.zeros(3))
        start = with_params(state.base, jnp.asarray(moved))
        expected, _ = base.step(jax.random.key(1), start, jnp.asarray(TARGETS))
        np.testing.assert_allclose(after.params, expected.params, rtol=1e-12)
        # Not a step on the medium task after the base learner's, nor a base learner
        # that starts where the epoch began.
        bare, _ = base.step(jax.random.key(1), state.base, jnp.asarray(TARGETS))
        late = bare.params - delta * numpy_gradient(bare.params, np.zeros(3))
        assert np.abs(after.params - late).max() > 1e-4
        assert np.abs(after.params - bare.params).max() > 1e-3


def test_a_directed_learner_can_be_directed_again() -> None:
    """Two pre-steps, one after the other, each from where the last one led."""
    problem, tasks = noisy(quadratic()), jnp.asarray(TARGETS)
    base = maml(problem, inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA))
    once = directed(base, problem, directed_lr=DELTA)
    twice = directed(once, problem, directed_lr=2 * DELTA)
    state = twice.init(jax.random.key(0))
    after, info = twice.step(jax.random.key(1), state, tasks)
    keys = jax.random.split(modifier_key(jax.random.key(1)), 6)

    def pre_step(params, key, delta):
        target = problem.collect(key, None, jnp.zeros(3))["target"]
        return params - delta * numpy_gradient(params, np.asarray(target))

    # The outer one goes first, with the keys behind those of the inner one.
    moved = pre_step(pre_step(START, keys[4], 2 * DELTA), keys[1], DELTA)
    expected, _ = base.step(
        jax.random.key(1), with_params(state.base.base, jnp.asarray(moved)), tasks
    )
    np.testing.assert_allclose(after.params, expected.params, rtol=1e-12)
    assert int(info.num_steps) == 2 * len(TARGETS) + 2
    assert int(after.epoch) == 1


def test_the_modifiers_key_is_none_of_the_learners() -> None:
    key = jax.random.key(7)
    own, _ = jax.random.split(key)
    collections = jax.random.split(own, (2, 2)).reshape(-1)
    drawn = [*collections, modifier_key(key), *jax.random.split(modifier_key(key))]
    numbers = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in drawn}
    assert len(numbers) == len(drawn)


def test_adapt_is_the_base_learners() -> None:
    problem = quadratic()
    algorithm = learner(problem)
    state = algorithm.init(jax.random.key(0))
    path, curve = algorithm.adapt(jax.random.key(1), state, jnp.asarray(TARGETS[0]), 1)
    expected = START - ALPHA * numpy_gradient(START, TARGETS[0])
    np.testing.assert_allclose(path, [START, expected], rtol=1e-12)
    assert curve.shape == (2,)


def test_empirical_rule_takes_a_middle_value_of_what_cannot_be_averaged() -> None:
    tasks = {"gravity": jnp.array([5.0, 8.0, 8.0]), "limit": jnp.array([9, 2, 4])}
    task = medium_task_empirical(jax.random.key(0), tasks)
    assert float(task["gravity"]) == 7.0
    assert int(task["limit"]) == 4
    assert task["limit"].dtype == tasks["limit"].dtype


def outer_gradient(params: np.ndarray) -> np.ndarray:
    """MAML's on the quadratic, the mean over the targets."""
    contraction = np.eye(3) - ALPHA * HESSIAN
    matrix = contraction @ HESSIAN @ contraction
    return np.mean([matrix @ (params - t) for t in TARGETS], axis=0)


def epoch(**options):
    """One epoch from the start on the quadratic."""
    algorithm = learner(quadratic(), **options)
    state = algorithm.init(jax.random.key(0))
    return algorithm.step(jax.random.key(1), state, jnp.asarray(TARGETS))


def test_a_second_pre_step_before_the_outer_one() -> None:
    """Section IV's text: its gradient is taken where the inner steps started from."""
    state, info = epoch(placement="inner-and-outer")
    moved = START - DELTA * numpy_gradient(START, np.zeros(3))
    again = moved - DELTA * numpy_gradient(moved, np.zeros(3))
    expected = again - BETA * outer_gradient(moved)
    np.testing.assert_allclose(state.params, expected, rtol=1e-12)
    assert int(info.num_steps) == 2 * len(TARGETS) + 2


def test_controls_of_the_pre_step_s_task() -> None:
    """One of the batch, a fresh one, a given one: each by hand."""

    def expected(task: np.ndarray) -> np.ndarray:
        moved = START - DELTA * numpy_gradient(START, task)
        return moved - BETA * outer_gradient(moved)

    given = np.array([3.0, -1.0, 0.5])
    state, _ = epoch(task_rule=given_task(jnp.asarray(given)))
    np.testing.assert_allclose(state.params, expected(given), rtol=1e-12)

    state, _ = epoch(task_rule=task_of_batch)
    matches = [np.allclose(state.params, expected(t), rtol=1e-12) for t in TARGETS]
    assert sum(matches) == 1

    key_rule = jax.random.split(modifier_key(jax.random.key(1)), 3)[0]
    fresh = np.asarray(quadratic().sample_tasks(key_rule, 1)[0])
    state, _ = epoch(task_rule=fresh_task(quadratic()))
    np.testing.assert_allclose(state.params, expected(fresh), rtol=1e-12)


def test_every_task_of_the_batch_is_drawn_equally_often() -> None:
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: task_of_batch(key, jnp.arange(4)))(keys)
    np.testing.assert_allclose(np.bincount(np.asarray(drawn)) / 4000, 0.25, atol=0.03)


def test_a_schedule_of_delta() -> None:
    """Cosine to 0 in four epochs: δ (1 + cos(π e/4))/2 in epoch e."""
    schedule = optax.cosine_decay_schedule(DELTA, 4)
    problem = quadratic()
    base = maml(problem, inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA))
    algorithm = directed(base, problem, directed_lr=schedule)
    state = algorithm.init(jax.random.key(0))
    params = START
    for number in range(6):
        state, _ = algorithm.step(jax.random.key(number), state, jnp.asarray(TARGETS))
        delta = DELTA * (1 + np.cos(np.pi * min(number, 4) / 4)) / 2
        params = params - delta * numpy_gradient(params, np.zeros(3))
        params = params - BETA * outer_gradient(params)
        np.testing.assert_allclose(state.params, params, rtol=1e-6)


def test_a_shut_gate_leaves_the_base_learner_alone() -> None:
    """What points against the last meta-gradient is left out, and nothing else."""
    far = given_task(jnp.asarray(100 * START))  # its gradient points away from 0
    algorithm = learner(quadratic(), task_rule=far, gate=unless_opposed())
    state = algorithm.init(jax.random.key(0))
    params, last = START, np.zeros(3)
    skipped = []
    for number in range(3):
        state, _ = algorithm.step(jax.random.key(number), state, jnp.asarray(TARGETS))
        pre = numpy_gradient(params, 100 * START)
        skipped.append(pre @ last < 0)
        if not skipped[-1]:
            params = params - DELTA * pre
        last = outer_gradient(params)
        params = params - BETA * last
        np.testing.assert_allclose(state.params, params, rtol=1e-10)
    assert len(set(skipped)) == 2


def test_what_is_not_finite_does_not_pass_a_shut_gate() -> None:
    nowhere = given_task(jnp.full(3, jnp.nan))
    shut = unless_opposed()._replace(is_open=lambda memory, g: jnp.array(False))
    state, info = epoch(task_rule=nowhere, gate=shut)
    expected = START - BETA * outer_gradient(START)
    np.testing.assert_allclose(state.params, expected, rtol=1e-12)
    assert np.isnan(info.return_medium)


@pytest.mark.slow
def test_the_pre_step_may_reduce_steps_otherwise() -> None:
    """A mean over steps in the pre-step alone: shorter by the episodes' mean length."""
    moves = []
    values = {"directed_lr": 0.01, "outer_lr": 0.0, "outer_optimizer": "sgd", **SMALL}
    for reduction in ("same", "mean"):
        init, step = make_train_step(
            "cartpole", "directed-maml", directed_reduction=reduction, **values
        )
        state = init(jax.random.key(0))
        after, info = jax.jit(step)(jax.random.key(1), state)
        flat = [jax.flatten_util.ravel_pytree(s.params)[0] for s in (state, after)]
        moves.append(np.asarray(flat[1] - flat[0]))
    length = float(info.return_medium)  # reward 1 per step
    np.testing.assert_allclose(moves[0], moves[1] * length, rtol=1e-8, atol=1e-12)
