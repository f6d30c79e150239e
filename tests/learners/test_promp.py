"""ProMP: at θ_old it is MAML with LVC, and later steps are of the ratio's objective."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import TABULAR, quadratic, small_mdp, tabular, two_mdps

from dmaml_jax.build import configuration
from dmaml_jax.errors import UsageError
from dmaml_jax.exact.data_sets import data_sets, paths, trajectories
from dmaml_jax.exact.problem import enumerated_problem, request
from dmaml_jax.learners.base import mean_gradient, stored_objective
from dmaml_jax.learners.inner_loop import Adaptation, replayed
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.outer_rules import several_steps
from dmaml_jax.learners.promp import adapted_coefficient, inner_kl, meta_loss, promp
from dmaml_jax.rl.objectives import trajectory_log_probs
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import clipped_ratio, surrogate
from dmaml_jax.types import Evaluation, Objective

ALPHA, BETA, GAMMA = 0.7, 0.3, 0.9
THETA = np.array([[0.3, -0.4], [-0.2, 0.5]])
PLAIN = {
    "baseline": None,
    "normalize_advantages": False,
    "discount_weighting": True,
}


def objective(name="lvc", **options):
    return policy_gradient(
        TABULAR, discount=GAMMA, surrogate=surrogate(name), **options
    )


def theta():
    return jnp.asarray(THETA)


def stepped(learner):
    state = learner.init(jax.random.key(0))._replace(params=theta())
    return jax.jit(learner.step)(jax.random.key(1), state, two_mdps())


COMMON = {"inner_lr": ALPHA, "meta_optimizer": optax.sgd(BETA)}


@pytest.fixture(scope="module")
def base():
    """MAML with LVC after a plain step, and what it saw."""
    with jax.enable_x64(True):
        return stepped(maml(tabular(objective()), **COMMON))


@pytest.mark.slow
def test_at_theta_old_the_gradient_is_lvc_s_with_clip_and_kl(base) -> None:
    """To 1e-12; then two more steps are taken, and η follows its target."""
    held = promp(
        tabular(objective()),
        steps_per_batch=3,
        ratio_clip=0.01,
        kl_schedule="adaptive",
        kl_coefficient=2.0,
        kl_target=1e-9,
        **COMMON,
    )
    state, info = stepped(held)
    expected = base[1].meta_gradient
    np.testing.assert_allclose(info.meta_gradient, expected, atol=1e-12)
    assert np.linalg.norm(expected) > 0.05
    assert info.num_steps == base[1].num_steps
    # What is shown is of the data after all three steps.
    assert info.extras["kl"] > 0 and info.extras["inner_kl"] > 0
    assert info.extras["kl_coefficient"] == 2.0 and state.kl_coefficient == 4.0
    assert np.abs(state.params - base[0].params).max() > 1e-3


@pytest.mark.slow
def test_with_one_step_and_no_kl_it_is_maml_with_lvc(base) -> None:
    bare = promp(tabular(objective()), steps_per_batch=1, kl_coefficient=0.0, **COMMON)
    state, info = stepped(bare)
    np.testing.assert_allclose(state.params, base[0].params, atol=1e-12)
    np.testing.assert_allclose(info.return_after, base[1].return_after, rtol=1e-12)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_several_steps_follow_the_gradient_where_they_are(num_steps: int) -> None:
    """The first the meta-gradient; with one step it is the optimiser's own rule."""
    hessian, start = jnp.diag(jnp.array([1.0, 0.5])), jnp.array([1.0, -2.0])
    objective = Objective(
        lambda params: Evaluation(params @ hessian @ params / 2, jnp.zeros(())),
        lambda params: hessian @ params,
        lambda params, v: hessian @ v,
    )
    rule = several_steps(optax.sgd(BETA, momentum=0.5), num_steps)
    first = jnp.array([0.3, 0.1])
    found, _, extras = rule.apply(first, rule.init(start), start, objective)
    params, speed = start, 0.0
    for index in range(num_steps):
        speed = 0.5 * speed + (first if index == 0 else hessian @ params)
        params = params - BETA * speed
    np.testing.assert_allclose(found, params, rtol=1e-12)
    assert set(extras) == {"kl"}


def ratio_objective(params, old, clip, of_ratio=True):
    """J of ratios, summed over every trajectory of the small MDP, by plain JAX.

    Inside, the gradient of Σ_τ q(τ; θ_old) Σ_t γ^t (π_θ/π_old) R_t; outside the same,
    clipped, with the trajectories' probabilities at θ'(θ_old). With `of_ratio=False`
    log π stands in the place of the ratios.
    """
    ways = paths(2, 2, 2)
    every, dynamics = trajectories(small_mdp(), ways)
    first, second = every.rewards.T
    gains = jnp.stack([first + GAMMA * second, second], axis=1)
    discounts = jnp.array([1.0, GAMMA])

    def log_probs(params):
        return trajectory_log_probs(TABULAR, params, every)

    def weights(params):
        chances = dynamics * jnp.exp(jnp.sum(log_probs(params), axis=1))
        return jax.lax.stop_gradient(chances)[:, None] * discounts

    def inner(params):
        new = log_probs(params)
        value = jnp.exp(new - log_probs(old)) if of_ratio else new
        return jnp.sum(weights(old) * value * gains)

    def adapted(params):
        return params + ALPHA * jax.grad(inner)(params)

    there = jax.lax.stop_gradient(
        old
        + ALPHA * jax.grad(lambda p: jnp.sum(weights(old) * log_probs(p) * gains))(old)
    )
    ratios = jnp.exp(log_probs(adapted(params)) - log_probs(there))
    if not of_ratio:
        return jnp.sum(weights(there) * log_probs(adapted(params)) * gains)
    clipped = jnp.clip(ratios, 1 - clip, 1 + clip)
    return jnp.sum(weights(there) * jnp.minimum(ratios * gains, clipped * gains))


def kl_of_states(params, old, visited):
    """KL(π_old ‖ π_θ) by plain JAX, the mean over the states that were visited."""
    before, after = (jax.nn.log_softmax(table[visited]) for table in (old, params))
    return jnp.mean(jnp.sum(jnp.exp(before) * (before - after), axis=1))


def test_the_second_step_is_the_enumerated_gradient_of_the_ratio_objective() -> None:
    """On every trajectory; the log-probability surrogate's is another gradient.

    The KL of an enumerated problem is of a single trajectory, which the requests name:
    state 0 and then 1 with action 0 inside, outside state 1 alone.
    """
    problem = enumerated_problem(
        TABULAR, objective(**PLAIN), paths(2, 2, 2), data_sets(16, 1), discount=GAMMA
    )
    keys = jnp.stack([request(2, every=True), request(10, every=True)])[None]
    tasks = jax.tree.map(lambda x: jnp.asarray(x)[None], small_mdp())

    @jax.jit
    def both(params, clip, eta):
        options = {"inner_lr": ALPHA, "ratio_clip": clip, "kl_coefficient": eta}
        loss = partial(meta_loss, **options)
        first, seen = mean_gradient(problem, loss, params, keys, tasks)
        second = params - BETA * first
        stored = stored_objective(problem, loss, seen.data, tasks)
        return first, second, stored.gradient(second)

    def penalised(params, old, clip, eta, of_ratio=True):
        penalty = eta * kl_of_states(params, old, np.array([0, 1]))
        return ratio_objective(params, old, clip, of_ratio) - penalty

    exact = jax.jit(jax.grad(penalised), static_argnames="of_ratio")
    for clip, other, eta in ((0.3, 0.02, 0.0), (0.02, 0.3, 0.0), (0.3, 0.02, 2.0)):
        first, second, found = both(theta(), clip, eta)
        at_old = exact(theta(), theta(), clip, eta)
        np.testing.assert_allclose(-first, at_old, atol=1e-12)
        expected = exact(second, theta(), clip, eta)
        np.testing.assert_allclose(-found, expected, atol=1e-12)
        assert np.linalg.norm(exact(second, theta(), other, eta) + found) > 1e-3
        wrong = exact(second, theta(), clip, eta, of_ratio=False)
        assert np.linalg.norm(wrong + found) > 0.05 * np.linalg.norm(found)
        unpenalised = exact(second, theta(), clip, 0.0)
        assert (np.linalg.norm(unpenalised + found) > 1e-2) == (eta > 0)


def test_the_kl_is_the_mean_over_the_inner_steps() -> None:
    """The last collection is the outer step's, and has no part in it."""
    away = jnp.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 30.0]])
    path = Adaptation(away, {"params": jnp.zeros((3, 3))}, *[jnp.zeros(3)] * 3)
    np.testing.assert_allclose(inner_kl(quadratic(), path), (0.5 + 2.0) / 2)


def test_the_clip_leaves_a_gradient_inside_and_none_outside() -> None:
    """Outside in the direction that pays; a step that has lost still has its own."""
    ratios = jnp.array([[1.1, 0.8, 1.4, 1.4, 0.5, 0.5]])
    gains = jnp.array([[1.0, -2.0, 1.0, -1.0, 1.0, -1.0]])
    old, weights = jnp.full((1, 6), -0.7), jnp.full((1, 6), 0.5)
    slope = jax.grad(clipped_ratio)(old + jnp.log(ratios), old, gains, weights, 0.3)
    free = weights * ratios * gains
    np.testing.assert_allclose(
        slope, free * jnp.array([[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]]), rtol=1e-12
    )


def test_a_problem_s_clipped_loss_is_its_ratio_s_where_nothing_is_clipped() -> None:
    problem = tabular(objective())
    data = problem.collect(jax.random.key(3), theta(), small_mdp(can_end=True))
    moved = theta() + jnp.array([[0.2, 0.0], [-0.1, 0.1]])
    filled = replayed(problem).advantages(moved, data)
    assert problem.clipped_loss is not None
    losses = (problem.clipped_loss, problem.outer_loss)
    clipped, whole = (jax.jit(jax.grad(loss)) for loss in losses)
    wide, plain = clipped(moved, filled, 9.0), whole(moved, filled)
    np.testing.assert_allclose(wide, plain, rtol=1e-12)
    # None pays beyond a ratio of 1, so that what has gained has no gradient.
    narrow = clipped(moved, filled, 1e-9)
    ratios = np.asarray(problem.ratios(moved, data))
    kept = (np.asarray(filled.advantages) * (ratios - 1) < 0) * 1.0
    part = filled._replace(weights=filled.weights * kept)
    np.testing.assert_allclose(narrow, whole(moved, part), rtol=1e-9, atol=1e-12)
    assert 0 < kept.sum() < np.asarray(data.alive).sum()


def test_eta_doubles_and_halves_towards_its_target() -> None:
    kls = jnp.array([0.0151, 0.0149, 0.01, 0.0067, 0.0066])
    found = adapted_coefficient(jnp.full(5, 3.0), kls, 0.01)
    np.testing.assert_array_equal(found, [6.0, 3.0, 3.0, 3.0, 1.5])


def test_what_promp_cannot_learn_is_told() -> None:
    with pytest.raises(UsageError, match="needs a problem with ratios"):
        promp(quadratic(), inner_lr=0.1, meta_optimizer=optax.sgd(0.1))
    with pytest.raises(UsageError, match="would stay so"):
        configuration(algo="promp", kl_schedule="adaptive", kl_coefficient=0.0)


def test_a_schedule_counts_every_step_of_the_optimiser() -> None:
    config = configuration(algo="promp", steps_per_batch=3)
    assert config.learner.steps_per_epoch == 3
    assert configuration(algo="maml").learner.steps_per_epoch == 1
