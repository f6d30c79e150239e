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
from dmaml_jax.learners.inner_loop import replayed
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.promp import adapted_coefficient, meta_loss, promp
from dmaml_jax.rl.objectives import trajectory_log_probs
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import clipped_ratio, surrogate

pytestmark = pytest.mark.unoptimised

ALPHA, BETA, GAMMA, CLIP = 0.7, 0.3, 0.9, 0.3
THETA = jnp.array([[0.3, -0.4], [-0.2, 0.5]])
PLAIN = {
    "baseline": None,
    "normalize_advantages": False,
    "discount_weighting": True,
}


def objective(name="lvc", **options):
    return policy_gradient(
        TABULAR, discount=GAMMA, surrogate=surrogate(name), **options
    )


def stepped(learner, params=THETA):
    state = learner.init(jax.random.key(0))._replace(params=params)
    return jax.jit(learner.step)(jax.random.key(1), state, two_mdps())


@pytest.fixture(scope="module")
def base():
    """MAML with LVC after a plain step, and what it saw."""
    with jax.enable_x64(True):
        learner = maml(
            tabular(objective()), inner_lr=ALPHA, meta_optimizer=optax.sgd(BETA)
        )
        return stepped(learner)


def test_one_step_without_kl_is_maml_with_lvc(base) -> None:
    """The gradient at θ_old to 1e-12, whatever the clip; with η as well."""
    state, info = base
    learner = promp(
        tabular(objective()),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        steps_per_batch=1,
        kl_coefficient=0.0,
    )
    mine, own = stepped(learner)
    np.testing.assert_allclose(own.meta_gradient, info.meta_gradient, atol=1e-12)
    np.testing.assert_allclose(mine.params, state.params, atol=1e-12)
    assert np.linalg.norm(info.meta_gradient) > 0.05
    assert own.num_steps == info.num_steps
    np.testing.assert_allclose(own.return_after, info.return_after, rtol=1e-12)


def test_at_theta_old_the_gradient_is_lvc_s_with_clip_and_kl(base) -> None:
    learner = promp(
        tabular(objective()),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        steps_per_batch=3,
        ratio_clip=0.01,
        kl_coefficient=2.0,
    )
    mine, own = stepped(learner)
    np.testing.assert_allclose(own.meta_gradient, base[1].meta_gradient, atol=1e-12)
    # What is shown is of the data after all three steps.
    assert own.extras["kl"] > 0 and own.extras["inner_kl"] > 0
    assert own.extras["kl_coefficient"] == 2.0
    assert np.abs(mine.params - base[0].params).max() > 1e-3


def ratio_objective(params, old, *, of_ratio=True, clip=CLIP):
    """J of ratios, summed over every trajectory of the small MDP, by plain JAX.

    Inside, the gradient of Σ_τ q(τ; θ_old) Σ_t γ^t (π_θ/π_old) R_t; outside the same,
    clipped, with the trajectories' probabilities at θ'(θ_old). With `of_ratio=False`
    log π stands in the place of the ratios.
    """
    ways = paths(2, 2, 2)
    every, dynamics = trajectories(small_mdp(), ways)
    rewards = np.asarray(every.rewards)
    gains = np.stack([rewards[:, 0] + GAMMA * rewards[:, 1], rewards[:, 1]], axis=1)
    discounts = np.array([1, GAMMA])

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


@pytest.mark.parametrize("clip", [CLIP, 0.02])
def test_the_second_step_is_the_enumerated_gradient_of_the_ratio_objective(
    clip: float,
) -> None:
    """On every trajectory; the log-probability surrogate's is another gradient."""
    problem = enumerated_problem(
        TABULAR,
        objective(**PLAIN),
        paths(2, 2, 2),
        data_sets(16, 1),
        discount=GAMMA,
    )
    loss = partial(meta_loss, inner_lr=ALPHA, ratio_clip=clip, kl_coefficient=0.0)
    keys = jnp.stack([request(0, every=True)] * 2)[None]
    tasks = jax.tree.map(lambda x: jnp.asarray(x)[None], small_mdp())

    @jax.jit
    def both(params):
        first, seen = mean_gradient(problem, loss, params, keys, tasks)
        second = params - BETA * first
        stored = stored_objective(problem, loss, seen.data, tasks)
        return first, second, stored.gradient(second)

    first, second, found = both(THETA)
    exact = jax.grad(ratio_objective)
    np.testing.assert_allclose(-first, exact(THETA, THETA, clip=clip), atol=1e-12)
    np.testing.assert_allclose(-found, exact(second, THETA, clip=clip), atol=1e-12)
    wrong = exact(second, THETA, of_ratio=False)
    assert np.linalg.norm(wrong + found) > 0.05 * np.linalg.norm(found)
    other = exact(second, THETA, clip=CLIP if clip != CLIP else 0.02)
    assert np.linalg.norm(other + found) > 1e-3


def test_the_clip_leaves_a_gradient_inside_and_none_outside() -> None:
    """Outside in the direction that pays; a step that has lost still has its own."""
    ratios = jnp.array([[1.1, 0.8, 1.4, 1.4, 0.5, 0.5]])
    gains = jnp.array([[1.0, -2.0, 1.0, -1.0, 1.0, -1.0]])
    old, weights = jnp.full((1, 6), -0.7), jnp.full((1, 6), 0.5)
    slope = jax.grad(clipped_ratio)(old + jnp.log(ratios), old, gains, weights, 0.3)
    free = weights * ratios * gains
    np.testing.assert_allclose(
        slope, free * jnp.array([[1, 1, 0, 1, 1, 0]]), rtol=1e-12
    )


def test_a_problem_s_clipped_loss_is_its_ratio_s_where_nothing_is_clipped() -> None:
    problem = tabular(objective())
    data = problem.collect(jax.random.key(3), THETA, small_mdp(can_end=True))
    moved = THETA + jnp.array([[0.2, 0.0], [-0.1, 0.1]])
    filled = replayed(problem).advantages(moved, data)
    assert problem.clipped_loss is not None
    wide = jax.grad(problem.clipped_loss)(moved, filled, 9.0)
    plain = jax.grad(problem.outer_loss)(moved, filled)
    np.testing.assert_allclose(wide, plain, rtol=1e-12)
    # None pays beyond a ratio of 1, so that what has gained has no gradient.
    narrow = jax.grad(problem.clipped_loss)(moved, filled, 1e-9)
    ratios = np.asarray(problem.ratios(moved, data))
    kept = (np.asarray(filled.advantages) * (ratios - 1) < 0) * 1.0
    part = filled._replace(weights=filled.weights * kept)
    np.testing.assert_allclose(
        narrow, jax.grad(problem.outer_loss)(moved, part), rtol=1e-9, atol=1e-12
    )
    assert 0 < kept.sum() < np.asarray(data.alive).sum()


def test_eta_doubles_and_halves_towards_its_target() -> None:
    kls = jnp.array([0.0151, 0.0149, 0.01, 0.0067, 0.0066])
    found = adapted_coefficient(jnp.full(5, 3.0), kls, 0.01)
    np.testing.assert_array_equal(found, [6.0, 3.0, 3.0, 3.0, 1.5])
    learner = promp(
        tabular(objective()),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        steps_per_batch=2,
        kl_schedule="adaptive",
        kl_coefficient=0.25,
        kl_target=1e-9,
    )
    state, info = stepped(learner)
    assert info.extras["kl_coefficient"] == 0.25 and state.kl_coefficient == 0.5


def test_what_promp_cannot_learn_is_told() -> None:
    with pytest.raises(UsageError, match="needs a problem with ratios"):
        promp(quadratic(), inner_lr=0.1, meta_optimizer=optax.sgd(0.1))
    with pytest.raises(UsageError, match="would stay so"):
        configuration(algo="promp", kl_schedule="adaptive", kl_coefficient=0.0)


def test_a_schedule_counts_every_step_of_the_optimiser() -> None:
    config = configuration(algo="promp", steps_per_batch=3)
    assert config.learner.steps_per_epoch == 3
    assert configuration(algo="maml").learner.steps_per_epoch == 1
