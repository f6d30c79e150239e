"""TRPO's outer step: natural gradients, Fisher products, a search within its bound."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import (
    HESSIAN,
    START,
    TABULAR,
    noisy,
    numpy_gradient,
    quadratic,
    tabular,
    two_mdps,
)

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import learner_of
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import maml, sg_mrl
from dmaml_jax.learners.base import mean_gradient, stored_objective
from dmaml_jax.learners.line_search import line_search
from dmaml_jax.learners.natural_gradient import conjugate_gradients
from dmaml_jax.learners.registry import entry, gradient_learners
from dmaml_jax.learners.task_axis import mean_of_others
from dmaml_jax.learners.trust_region import trust_region
from dmaml_jax.rl.actor_critic import actor_critic
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import Evaluation, Objective, Policy

ALPHA, BOUND = 0.3, 0.01
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0]])
FISHER = np.array([[1.5, 0.2, 0.1], [0.2, 0.8, -0.1], [0.1, -0.1, 2.0]])
CRITIC = Policy(
    init=lambda key, obs: {"logits": jnp.zeros((2, 2)), "values": jnp.zeros(2)},
    apply=lambda params, obs: obs @ params["logits"],
    distribution=TABULAR.distribution,
    value=lambda params, obs: obs @ params["values"],
    critic="values",
)
LOGITS = np.array([[0.3, -0.4], [-0.2, 0.5]])


def filled_at(problem, data, index):
    """One of a task's collections, with its advantages and weights."""
    own = jax.tree.map(lambda leaf: leaf[index], data)
    return problem.advantages(None, own)


def ratios_at(params, problem, own):
    """π_θ/π_old of stored steps as plain functions of θ, 0 where not alive."""
    return jnp.where(
        own.alive, jnp.exp(problem.log_probs(params, own) - own.log_probs), 0
    )


def weighted_return(params, problem, own):
    """Σ w (π_θ/π_old) A of stored data."""
    return jnp.sum(own.weights * ratios_at(params, problem, own) * own.advantages)


def natural_step(fisher, gradient, bound=BOUND):
    """−F⁻¹ g, as long as takes ½ sᵀFs to the bound."""
    solution = np.linalg.solve(fisher, gradient)
    return -np.sqrt(2 * bound / (solution @ fisher @ solution)) * solution


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_on_a_quadratic_it_is_the_natural_gradient_step(damping: float) -> None:
    """With damping the direction is (F + λ)⁻¹ g, and the length still F's."""

    def kl(params):
        away = params - jnp.asarray(START)
        return 0.5 * away @ FISHER @ away

    slope = numpy_gradient(START, TARGETS[0])
    objective = Objective(
        lambda params: Evaluation(slope @ params, kl(params)),
        jax.grad(lambda params: slope @ params),
        lambda params, v: jax.jvp(jax.grad(kl), (params,), (v,))[1],
    )
    rule = trust_region(kl_bound=BOUND, fisher_damping=damping, fisher_residual=1e-28)
    memory = rule.init(jnp.asarray(START))
    moved, _, extras = rule.apply(
        jnp.asarray(slope), memory, jnp.asarray(START), objective
    )
    direction = np.linalg.solve(FISHER + damping * np.eye(3), slope)
    step = -np.sqrt(2 * BOUND / (direction @ FISHER @ direction)) * direction
    np.testing.assert_allclose(moved, START + step, rtol=1e-10)
    assert extras["accepted"] == 1
    np.testing.assert_allclose(extras["kl"], BOUND, rtol=1e-9)
    np.testing.assert_allclose(extras["step_length"], np.linalg.norm(step), rtol=1e-10)


@pytest.mark.parametrize(
    "num_inner_steps", [pytest.param(1, marks=pytest.mark.slow), 2]
)
def test_the_fisher_matrix_is_that_of_the_adapted_policies(num_inner_steps) -> None:
    """Of MAML on the quadratic: KL = ½ ‖(I − αH)^N (θ − θ_old)‖²."""
    rule = trust_region(kl_bound=BOUND, fisher_damping=0.0, fisher_residual=1e-28)
    learner = maml.maml(
        noisy(quadratic()),
        inner_lr=ALPHA,
        meta_optimizer=rule,
        num_inner_steps=num_inner_steps,
    )
    state = learner.init(jax.random.key(0))
    step = jax.jit(learner.step)
    after, info = step(jax.random.key(1), state, jnp.asarray(TARGETS))
    through = np.linalg.matrix_power(np.eye(3) - ALPHA * HESSIAN, num_inner_steps)
    expected = natural_step(through.T @ through, np.asarray(info.meta_gradient))
    np.testing.assert_allclose(after.params - state.params, expected, rtol=1e-8)
    np.testing.assert_allclose(info.extras["kl"], BOUND, rtol=1e-8)


def test_conjugate_gradients_stop_at_the_residual_and_solve_in_as_many_steps() -> None:
    target = jnp.array([1.0, -2.0, 0.5])

    def solved(iterations, residual=0.0):
        return conjugate_gradients(
            lambda v: FISHER @ v,
            target,
            iterations=iterations,
            damping=0.1,
            residual=residual,
        )

    exact = np.linalg.solve(FISHER + 0.1 * np.eye(3), target)
    np.testing.assert_allclose(solved(3).step, exact, rtol=1e-12)
    np.testing.assert_allclose(solved(3).product, FISHER @ exact, rtol=1e-12)
    assert np.abs(solved(2).step - exact).max() > 1e-3
    # After one iteration the residual is short enough already.
    np.testing.assert_array_equal(solved(9, residual=5.0).step, solved(1).step)
    zero = conjugate_gradients(
        lambda v: FISHER @ v, 0 * target, iterations=3, damping=0.0, residual=0.0
    )
    np.testing.assert_array_equal(zero.step, 0 * target)


@pytest.mark.parametrize(
    ("num_inner_steps", "chunk"),
    [pytest.param(1, None, marks=pytest.mark.slow), (2, 0)],
)
def test_fisher_products_are_those_of_the_kl_s_hessian(num_inner_steps, chunk) -> None:
    """Against `jax.hessian` of the KL written out anew, on a small MDP, to 1e-10.

    The surrogate is the score function's, and the ratios are constants to derivatives
    as they are in the learner. Of the KL that the line search asks it is not the second
    derivative: an inner step that weighs by ratios curves as LVC's does (next test),
    and the score function leaves H1 out of that, in gradients as in Fisher products.
    """
    problem = tabular(policy_gradient(TABULAR, discount=0.9), chunk=chunk)
    loss = partial(maml.meta_loss, inner_lr=ALPHA, first_order=False)
    keys = jax.random.split(jax.random.key(2), (2, num_inner_steps + 1))
    tasks = two_mdps()
    theta = jnp.asarray(LOGITS).ravel()

    def kl(flat, data):
        params = flat.reshape(2, 2)
        for j in range(num_inner_steps):
            own = jax.tree.map(lambda x, j=j: x[j], data)
            filled = problem.advantages(params, own)
            ratios = jnp.exp(problem.log_probs(params, own) - own.log_probs)
            weights = filled.weights * jax.lax.stop_gradient(ratios)
            filled = filled._replace(weights=weights)
            slope = jax.grad(problem.inner_loss)(params, filled)
            params = params - ALPHA * slope
        return problem.kl(params, jax.tree.map(lambda x: x[-1], data))

    @jax.jit
    def both(theta):
        _, seen = mean_gradient(problem, loss, theta.reshape(2, 2), keys, tasks)
        objective = stored_objective(problem, loss, seen.data, tasks)
        rows = jax.lax.map(
            lambda v: objective.kl_product(
                theta.reshape(2, 2), v.reshape(2, 2)
            ).ravel(),
            jnp.eye(4),
        )
        mean = jnp.mean(jax.vmap(partial(jax.hessian(kl), theta))(seen.data), axis=0)
        return rows, mean

    found, expected = both(theta)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert np.linalg.eigvalsh(expected).max() > 1e-2


def test_with_lvc_fisher_products_are_those_of_the_kl_that_is_searched() -> None:
    """Against plain derivatives of ratios that none of them stops at, to 1e-10.

    sg(r) □(log π) is π/π_old with all its derivatives, so that LVC's replay is plain
    importance weighting; and against finite differences of what the line search asks.
    """
    lvc = policy_gradient(TABULAR, discount=0.9, surrogate=surrogate("lvc"))
    problem = tabular(lvc)
    loss = partial(maml.meta_loss, inner_lr=ALPHA, first_order=False)
    keys = jax.random.split(jax.random.key(2), (2, 3))
    tasks, theta = two_mdps(), jnp.asarray(LOGITS)
    direction, share = jnp.array([[1.0, -0.5], [0.3, 0.8]]), 1e-2

    def kl(params, data):
        for j in range(2):
            own = filled_at(problem, data, j)
            params = params + ALPHA * jax.grad(weighted_return)(params, problem, own)
        return problem.kl(params, jax.tree.map(lambda x: x[-1], data))

    def hessian_product(data):
        slope = jax.grad(partial(kl, data=data))
        return jax.jvp(slope, (theta,), (direction,))[1]

    @jax.jit
    def all_three():
        _, seen = mean_gradient(problem, loss, theta, keys, tasks)
        objective = stored_objective(problem, loss, seen.data, tasks)
        searched = jax.lax.map(
            lambda at: objective.evaluate(theta + at * direction).kl,
            share * jnp.arange(-2.0, 3.0),
        )
        expected = jnp.mean(jax.vmap(hessian_product)(seen.data), axis=0)
        return objective.kl_product(theta, direction), expected, searched

    found, expected, searched = map(np.asarray, all_three())
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert np.abs(expected).max() > 1e-2
    curvature = np.array([-1, 16, -30, 16, -1]) @ searched / (12 * share**2)
    np.testing.assert_allclose(np.sum(found * direction), curvature, rtol=1e-7)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_stored_score_weighs_by_ratios(reduction) -> None:
    """SG-MRL's and E-MAML's stored loss and gradient away from the data's θ, by hand.

    The loss that a line search compares is −Σ w (π_θ'/π_old) A − (Ĵ(θ') − b) Σ π/π_old.
    The gradient is its own, but with the inner step's ratios held where they are: that
    step's second derivative is the score function's.
    """
    problem = tabular(policy_gradient(TABULAR, discount=0.9))
    loss = partial(
        sg_mrl.meta_loss,
        inner_lr=ALPHA,
        baseline=partial(mean_of_others, num_tasks=2),
        score_reduction=reduction,
    )
    keys = jax.random.split(jax.random.key(2), (2, 3))
    tasks, theta = two_mdps(), jnp.asarray(LOGITS)
    moved = theta + jnp.array([[0.3, -0.1], [-0.2, 0.4]])

    def inner(params, held, own):
        ratios = ratios_at(held, problem, own)
        log_probs = problem.log_probs(params, own)
        return jnp.sum(own.weights * ratios * log_probs * own.advantages)

    def value(params, data, gain):
        # Equal to θ_j in value alone, so that no derivative sees it.
        held, score = moved, 0.0
        for j in range(2):
            own = filled_at(problem, data, j)
            steps = jnp.sum(own.alive, dtype=float) if reduction == "mean" else 1.0
            score = score + jnp.sum(ratios_at(params, problem, own)) / steps
            slope = partial(jax.grad(inner), held=held, own=own)
            params, held = (x + ALPHA * slope(x) for x in (params, held))
        last = filled_at(problem, data, 2)
        return weighted_return(params, problem, last) + gain * score

    @jax.jit
    def stored():
        _, seen = mean_gradient(problem, loss, theta, keys, tasks)
        objective = stored_objective(problem, loss, seen.data, tasks)
        return seen.data, objective.evaluate(moved).loss, objective.gradient(moved)

    @jax.jit
    def by_hand(data, gains):
        both = jax.vmap(jax.value_and_grad(value), in_axes=(None, 0, 0))
        return jax.tree.map(lambda x: -x.mean(axis=0), both(moved, data, gains))

    data, found_loss, found = stored()
    # Of rewards [tasks, collections, trajectories, steps].
    returns = (np.asarray(data.rewards) * 0.9 ** np.arange(4)).sum(axis=3).mean(axis=2)
    gains = jnp.asarray(returns[:, -1] - returns[::-1, 0])
    expected_loss, expected = by_hand(data, gains)
    np.testing.assert_allclose(found_loss, expected_loss, rtol=1e-10)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    _, without = by_hand(data, 0 * gains)
    assert np.linalg.norm(without - expected) > 0.1 * np.linalg.norm(expected)


def test_a_search_never_exceeds_its_bound() -> None:
    """Ten thousand random bandits: logits, gains and bounds of many sizes."""
    num, arms = 10_000, 4
    keys = jax.random.split(jax.random.key(0), 4)
    logits = jax.random.normal(keys[0], (num, arms))
    logits = logits * 10 ** jax.random.uniform(keys[1], (num, 1), minval=-1, maxval=1)
    gains = jax.random.normal(keys[2], (num, arms))
    bounds = 10 ** jax.random.uniform(keys[3], (num,), minval=-4, maxval=1)

    def kl(old, new):
        return TABULAR.distribution.kl(old, new)

    def loss(params, gains):
        return -jax.nn.softmax(params) @ gains

    @jax.jit
    @jax.vmap
    def stepped(params, gains, bound):
        objective = Objective(
            lambda other: Evaluation(loss(other, gains), kl(params, other)),
            jax.grad(loss),
            lambda at, v: jax.jvp(jax.grad(partial(kl, params)), (at,), (v,))[1],
        )
        rule = trust_region(kl_bound=bound, max_backtracks=5)
        gradient = jax.grad(loss)(params, gains)
        moved, _, extras = rule.apply(gradient, (), params, objective)
        whole = trust_region(kl_bound=bound, max_backtracks=0)
        at_once = whole.apply(gradient, (), params, objective)[2]["accepted"]
        gained = loss(params, gains) - loss(moved, gains)
        return moved, extras, kl(params, moved), gained, at_once

    moved, extras, found, gained, at_once = map(
        partial(jax.tree.map, np.asarray), stepped(logits, gains, bounds)
    )
    accepted = extras["accepted"] == 1
    assert np.all(found <= np.asarray(bounds) * (1 + 1e-6))
    assert np.all(gained[accepted] > 0)
    np.testing.assert_array_equal(moved[~accepted], np.asarray(logits)[~accepted])
    np.testing.assert_allclose(extras["kl"], np.where(accepted, found, 0), atol=1e-12)
    # All three happen: at once, after backtracking, and not at all.
    shares = at_once.mean(), (accepted & (at_once == 0)).mean(), (~accepted).mean()
    assert min(shares) > 1e-3, shares


@pytest.mark.parametrize(
    ("step", "taken"),
    [
        (1.0, 0.8**2),  # KL = share² ≤ 0.5
        (-1.0, 0.0),  # uphill: never
        (np.nan, 0.0),
    ],
)
def test_the_first_share_that_lowers_the_loss_within_the_bound(step, taken) -> None:
    found = line_search(
        lambda params: Evaluation(-params[0], params[0] ** 2),
        jnp.zeros(1),
        jnp.array([step]),
        kl_bound=0.5,
        backtracking=0.8,
        max_backtracks=15,
    )
    np.testing.assert_allclose(found.params, [taken], rtol=1e-12)
    assert bool(found.accepted) == (taken > 0)
    np.testing.assert_allclose([found.length, found.kl], [taken, taken**2], rtol=1e-12)


TRUSTING = [name for name in gradient_learners() if not entry(name).no_trust_region]
AT_ONCE = ("fomaml", "meta-sgd", "sg-mrl", "directed-maml")


@pytest.mark.parametrize(
    "algo",
    [
        *AT_ONCE,
        *(
            pytest.param(algo, marks=pytest.mark.slow)
            for algo in TRUSTING
            if algo not in AT_ONCE
        ),
    ],
)
def test_every_learner_with_an_objective_takes_it(algo: str) -> None:
    """On the quadratic, whose target moves from one collection to the next."""
    config = configuration(
        algo=algo, inner_lr=ALPHA, outer_optimizer="trust-region", kl_bound=0.02
    )
    learner = learner_of(config, noisy(quadratic()))
    state = learner.init(jax.random.key(0))
    after, info = jax.jit(learner.step)(jax.random.key(1), state, jnp.asarray(TARGETS))
    assert info.extras["accepted"] == 1
    assert 0 < info.extras["kl"] <= 0.02 * (1 + 1e-6)
    assert info.extras["step_length"] > 0
    assert np.all(np.asarray(after.params) != np.asarray(state.params))


def test_learners_that_cannot_take_it_say_why() -> None:
    for algo in gradient_learners():
        if entry(algo).no_trust_region:
            with pytest.raises(UsageError, match=r"does not go with --algo.*: choose"):
                configuration(algo=algo, outer_optimizer="trust-region")


@pytest.mark.slow
def test_a_value_network_steps_by_adam_and_the_policy_within_the_bound() -> None:
    """The Fisher matrix is the policy's block, also where A moves the inner step."""
    problem = tabular(actor_critic(CRITIC, discount=0.9), CRITIC)
    rate = 0.02
    learner = maml.maml(
        problem,
        inner_lr=0.5,
        meta_optimizer=trust_region(
            kl_bound=BOUND,
            fisher_damping=0.0,
            fisher_residual=1e-28,
            critic=problem.critic,
            critic_optimizer=optax.adam(rate),
        ),
    )
    state = learner.init(jax.random.key(0))
    params = {"logits": jnp.asarray(LOGITS), "values": jnp.array([0.8, -0.3])}
    state = state._replace(params=params)
    after, info = jax.jit(learner.step)(jax.random.key(1), state, two_mdps())
    value_slope = np.asarray(info.meta_gradient["values"])
    expected = np.array([0.8, -0.3]) - rate * np.sign(value_slope)
    np.testing.assert_allclose(after.params["values"], expected, rtol=1e-5)
    assert np.abs(value_slope).min() > 1e-3
    step = np.asarray(after.params["logits"] - params["logits"])
    np.testing.assert_allclose(
        info.extras["step_length"], np.linalg.norm(step), rtol=1e-9
    )
    assert info.extras["accepted"] == 1 and info.extras["kl"] <= BOUND * (1 + 1e-6)
    # Adam's memory is the value network's alone.
    assert {leaf.shape for leaf in jax.tree.leaves(after.optimizer)} == {(), (2,)}


def test_a_value_network_needs_an_optimiser() -> None:
    with pytest.raises(UsageError, match="give critic_optimizer"):
        trust_region(critic="values")


def test_a_policy_that_does_not_tell_its_value_s_parameters_is_refused() -> None:
    config = configuration(method="ac", algo="maml", outer_optimizer="trust-region")
    with pytest.raises(UsageError, match="does not say which parameters are the value"):
        learner_of(config, quadratic())
    with pytest.raises(UsageError, match="needs the KL of action distributions"):
        learner_of(config, quadratic()._replace(kl=None))
