"""Estimators of the meta-gradient against exact ones, summed over all data sets.

Nothing here is sampled: learners run on an MDP of two states and two actions, once for
every data set they could meet, and the sum with its probabilities is compared with the
derivative of the objective itself.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TABULAR, small_mdp

from dmaml_jax.exact.data_sets import (
    combinations,
    data_sets,
    num_data_sets,
    paths,
    sum_over,
    trajectories,
)
from dmaml_jax.exact.objectives import expected_return, objective_one, objective_two
from dmaml_jax.exact.problem import enumerated_problem, likelihood, request
from dmaml_jax.learners import maml, sg_mrl
from dmaml_jax.learners.base import loss_on_data
from dmaml_jax.learners.derivatives import gradient, value, value_and_gradient
from dmaml_jax.learners.inner_loop import inner_loop, last, replayed
from dmaml_jax.learners.task_axis import mean_of_others, over_tasks
from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.objectives import trajectory_log_probs
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import Surrogate, surrogate

ALPHA, GAMMA = 0.7, 0.9
PLAIN = {"num_inner_steps": 1, "size": 1, "can_end": False}


def theta() -> jax.Array:
    return jnp.array([[0.3, -0.4], [-0.2, 0.5]])


def ways(can_end: bool):
    return paths(2, 2, 3 if can_end else 2, can_end=can_end)


def objective(name="score-function", **options):
    """Advantages and losses of the tests of exactness, or with `options`."""
    values = {
        "surrogate": surrogate(name) if isinstance(name, str) else name,
        "baseline": None,
        "normalize_advantages": False,
        "discount_weighting": True,
        **options,
    }
    return policy_gradient(TABULAR, discount=GAMMA, **values)


def problem_of(name="score-function", *, size=1, can_end=False, **options):
    sets = data_sets(len(ways(can_end).lengths), size)
    return enumerated_problem(
        TABULAR,
        objective(name, **options),
        ways(can_end),
        sets,
        discount=GAMMA,
        outer=objective(name),
    )


def expected(problem, one_task, *, num_inner_steps=1, size=1, can_end=False):
    """E of a task's gradient of J, over all inner data sets, exact outside."""

    def summand(numbers):
        keys = jnp.stack([*map(request, numbers), request(0, every=True)])
        chance = likelihood(problem, keys, theta(), small_mdp(can_end), ALPHA)
        return -chance * one_task(problem, keys, theta(), small_mdp(can_end))

    num_sets = num_data_sets(len(ways(can_end).lengths), size)
    numbers = combinations(*[num_sets] * num_inner_steps)
    return jax.jit(lambda: sum_over(summand, numbers))()


def gradient_of(meta_loss, problem, keys, params, task, **options):
    def loss(params):
        return meta_loss(problem, params, keys, task, inner_lr=ALPHA, **options)[0]

    return jax.grad(loss)(params)


def plain(problem, keys, params, task, first_order=False):
    """MAML's gradient of a task."""
    return gradient_of(
        maml.meta_loss, problem, keys, params, task, first_order=first_order
    )


def scored(problem, keys, params, task, reduction="sum", baseline=jnp.zeros_like):
    """SG-MRL's."""
    options = {"score_reduction": reduction, "baseline": baseline}
    return gradient_of(sg_mrl.meta_loss, problem, keys, params, task, **options)


@cache
def exact_two(num_inner_steps=1, size=1, can_end=False, **options):
    """∇J^II by differentiating the sum over all data sets itself."""
    with jax.enable_x64(True):
        sets = data_sets(len(ways(can_end).lengths), size)
        value = partial(
            objective_two,
            TABULAR,
            objective(**options),
            mdp=small_mdp(can_end),
            ways=ways(can_end),
            sets=sets,
            discount=GAMMA,
            inner_lr=ALPHA,
            num_inner_steps=num_inner_steps,
        )
        return np.asarray(jax.jit(jax.grad(value))(theta()))


@cache
def exact_one(num_inner_steps=1, can_end=False):
    with jax.enable_x64(True):
        value = partial(
            objective_one,
            TABULAR,
            mdp=small_mdp(can_end),
            ways=ways(can_end),
            discount=GAMMA,
            inner_lr=ALPHA,
            num_inner_steps=num_inner_steps,
        )
        return np.asarray(jax.grad(value)(theta()))


def error(estimate, exact) -> float:
    return float(np.linalg.norm(np.asarray(estimate) - np.asarray(exact)))


# What the sums run over.


@pytest.mark.parametrize("can_end", [False, True])
@pytest.mark.parametrize("size", [1, 2])
def test_all_data_sets_together_have_probability_one(can_end: bool, size: int) -> None:
    every, dynamics = trajectories(small_mdp(can_end), ways(can_end))
    assert len(dynamics) == (84 if can_end else 16)
    log_probs = trajectory_log_probs(TABULAR, theta(), every)
    chances = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))
    sets = data_sets(len(dynamics), size)
    total = jnp.sum(sets.orders * jnp.prod(chances[sets.rows], axis=1))
    np.testing.assert_allclose(total, 1, rtol=1e-13)
    assert sets.orders.sum() == len(dynamics) ** size


@pytest.mark.parametrize("can_end", [False, True])
def test_the_expected_return_is_that_of_dynamic_programming(can_end: bool) -> None:
    mdp, policy = small_mdp(can_end), jax.nn.softmax(theta())
    values = jnp.zeros(2)
    for _ in range(ways(can_end).actions.shape[1]):
        after = (1 - mdp.termination) * (mdp.transitions @ values)
        values = jnp.sum(policy * (mdp.rewards + GAMMA * after), axis=1)
    np.testing.assert_allclose(
        expected_return(TABULAR, theta(), mdp, ways(can_end), discount=GAMMA),
        mdp.start @ values,
        rtol=1e-13,
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_data_sets_cover_every_order(size: int) -> None:
    sets = data_sets(4, size)
    assert len(sets.rows) == num_data_sets(4, size)
    ordered = np.sort(combinations(*[4] * size), axis=1)
    counted = [np.sum(np.all(ordered == row, axis=1)) for row in sets.rows]
    np.testing.assert_array_equal(counted, sets.orders)


# First and second derivatives of the surrogates.


def derivatives(name, *, size=1, can_end=True, **options):
    """E of gradient and Hessian of −inner_loss, by the code of the inner loop."""
    problem = problem_of(name, size=size, can_end=can_end, **options)

    def of_data(number):
        key, task = request(number), small_mdp(can_end)
        data = problem.advantages(theta(), problem.collect(key, theta(), task))
        inner = gradient(problem, problem.inner_loss)
        _, pullback = jax.vjp(lambda p: inner(p, data), theta())
        rows = jax.vmap(lambda v: pullback(v)[0])(jnp.eye(4).reshape(4, 2, 2))
        first = inner(theta(), data)
        return jax.tree.map(lambda x: -data.chance * x, (first, rows.reshape(4, 4)))

    num_sets = num_data_sets(len(ways(can_end).lengths), size)
    return jax.jit(
        lambda: sum_over(lambda row: of_data(row[0]), combinations(num_sets))
    )()


@cache
def hessian_terms(can_end=True):
    """∇J, and H1, H2 and the whole Hessian of J, by their definitions."""
    with jax.enable_x64(True):
        mdp, all_ways = small_mdp(can_end), ways(can_end)
        value = partial(
            expected_return, TABULAR, mdp=mdp, ways=all_ways, discount=GAMMA
        )
        every, dynamics = trajectories(mdp, all_ways)

        def log_probs(params):
            return trajectory_log_probs(TABULAR, params.reshape(2, 2), every)

        flat = theta().ravel()
        chances = dynamics * jnp.exp(jnp.sum(log_probs(flat), axis=1))
        horizon = every.rewards.shape[1]
        to_go = np.array(
            [
                [
                    np.sum(GAMMA ** np.arange(horizon - t) * row[t:])
                    for t in range(horizon)
                ]
                for row in np.asarray(every.rewards)
            ]
        )
        factor = chances[:, None] * GAMMA ** np.arange(horizon) * to_go
        scores = jax.jacobian(log_probs)(flat)
        h1 = jnp.einsum("nt,nti,ntj->ij", factor, scores, scores)
        h2 = jnp.einsum("nt,ntij->ij", factor, jax.hessian(log_probs)(flat))
        whole = jax.hessian(lambda p: value(p.reshape(2, 2)))(flat)
        return tuple(map(np.asarray, (jax.grad(value)(theta()), h1, h2, whole)))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("score-function", {}),
        ("lvc", {}),
        ("dice", {}),
        ("loaded-dice", {}),
        ("loaded-dice", {"baseline": leave_one_out_time_mean}),
        ("lvc", {"baseline": leave_one_out_time_mean}),
    ],
)
def test_gradients_and_second_derivatives_of_surrogates(name, options, size) -> None:
    """H2 for the score function, H1 + H2 for LVC, the Hessian for both DiCEs."""
    first, second = derivatives(name, size=size, **options)
    exact, h1, h2, whole = hessian_terms()
    np.testing.assert_allclose(first, exact, atol=1e-12)
    promised = {"score-function": h2, "lvc": h1 + h2}.get(name, whole)
    np.testing.assert_allclose(second, promised, atol=1e-12)
    assert error(h1 + h2, whole) > 0.05 and error(h2, whole) > 0.05


def test_loaded_dice_without_memory_is_lvc() -> None:
    forgetful = surrogate("loaded-dice", 0.0)
    for mine, other in zip(derivatives(forgetful), derivatives("lvc"), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-12)
    half = derivatives(surrogate("loaded-dice", 0.5))[1]
    _, h1, h2, whole = hessian_terms()
    assert error(half, whole) > 1e-2 and error(half, h1 + h2) > 1e-2


def test_the_box_of_all_steps_before_a_return_to_go_is_no_policy_gradient() -> None:
    """γ^t □(w_t) R_t counts every reward once per step before it."""

    def wrong(log_probs, advantages, weights):
        upto = jnp.cumsum(log_probs, axis=1)
        return jnp.sum(
            weights * jnp.exp(upto - jax.lax.stop_gradient(upto)) * advantages
        )

    first, _ = derivatives(Surrogate(wrong, additive=False))
    assert error(first, hessian_terms()[0]) > 0.05


# The same data at another θ.


@pytest.mark.parametrize("name", ["dice", "lvc", "score-function"])
def test_a_replay_at_other_parameters_estimates_the_gradient_there(name) -> None:
    """DiCE's, whose rewards weigh by the chance of all actions so far, exactly.

    The others are the gradient of Σ (π/π_old) A, whose states are still the old
    policy's; a replay without ratios is neither.
    """
    problem, mdp = problem_of(name, can_end=True), small_mdp(True)
    stored, other = replayed(problem), theta() + jnp.array([[0.5, 0.0], [-0.6, 0.2]])
    old, all_ways = theta(), ways(True)

    def of_data(number):
        data = problem.collect(request(number), old, mdp)
        slopes = [
            gradient(each, each.inner_loss)(other, each.advantages(other, data))
            for each in (stored, problem)
        ]
        return jax.tree.map(lambda x: -data.chance * x, slopes)

    numbers = combinations(num_data_sets(len(all_ways.lengths), 1))
    found, without = jax.jit(lambda: sum_over(lambda row: of_data(row[0]), numbers))()

    def ratios(params):
        every, dynamics = trajectories(mdp, all_ways)
        before, after = (trajectory_log_probs(TABULAR, p, every) for p in (old, params))
        chances = dynamics * jnp.exp(jnp.sum(before, axis=1))
        filled = objective().advantages(params, every)
        share = chances[:, None] * filled.weights * len(dynamics)
        return jnp.sum(share * jnp.exp(after - before) * filled.advantages)

    whole = partial(expected_return, TABULAR, mdp=mdp, ways=all_ways, discount=GAMMA)
    exact = jax.grad(whole if name == "dice" else ratios)(other)
    np.testing.assert_allclose(found, exact, atol=1e-12)
    assert error(without, exact) > 0.05


# SG-MRL, exactly.

SIZES = [
    {"num_inner_steps": 1, "size": 1},
    {"num_inner_steps": 1, "size": 2},
    {"num_inner_steps": 1, "size": 4},
    {"num_inner_steps": 2, "size": 1},
    {"num_inner_steps": 2, "size": 2},
    {"num_inner_steps": 3, "size": 1},
    {"num_inner_steps": 1, "size": 1, "can_end": True},
    {"num_inner_steps": 1, "size": 2, "can_end": True},
    {"num_inner_steps": 2, "size": 1, "can_end": True},
]


def split(case):
    """What of a case shapes the problem, beside the number of steps."""
    return {name: case[name] for name in case if name != "num_inner_steps"}


def some_slow(cases):
    """Cases of which those with the most data sets are left to the slow tests."""

    def is_dear(case) -> bool:
        return len(case) == 2 and case["num_inner_steps"] * case["size"] > 2

    return [pytest.param(c, marks=[pytest.mark.slow] * is_dear(c)) for c in cases]


@pytest.mark.parametrize("case", some_slow(SIZES), ids=str)
def test_sg_mrl_is_exact(case) -> None:
    estimate = expected(problem_of(**split(case)), scored, **case)
    np.testing.assert_allclose(estimate, exact_two(**case), atol=1e-12)
    assert np.linalg.norm(exact_two(**case)) > 0.05


@pytest.mark.parametrize(
    "inner",
    [
        {"normalize_advantages": True},
        {"baseline": leave_one_out_time_mean},
        {"step_reduction": "mean", "discount_weighting": False},
    ],
)
def test_sg_mrl_is_exact_for_whatever_the_inner_step_is(inner) -> None:
    """The inner gradient as computed is part of objective (II)."""
    case = {"num_inner_steps": 1, "size": 2}
    estimate = expected(problem_of(size=2, **inner), scored, **case)
    np.testing.assert_allclose(estimate, exact_two(**case, **inner), atol=1e-12)
    assert error(exact_two(**case, **inner), exact_two(**case)) > 1e-2


@pytest.mark.parametrize(
    "case",
    some_slow(
        c for c in SIZES if (c["num_inner_steps"] + 1) * c["size"] <= 4 and len(c) < 3
    ),
    ids=str,
)
def test_sg_mrl_with_its_baseline_is_exact(case) -> None:
    """The other task's first data are summed over too; they score nothing here."""
    problem, steps = problem_of(size=case["size"]), case["num_inner_steps"]
    tasks = jax.tree.map(lambda *x: jnp.stack(x), small_mdp(), small_mdp(other=True))

    def one_task(problem, keys, params, task):
        return scored(
            problem, keys, params, task, baseline=partial(mean_of_others, num_tasks=2)
        )

    def summand(numbers):
        own = jnp.stack([*map(request, numbers[:steps]), request(0, every=True)])
        first = request(numbers[steps])
        others = jnp.stack([first, *[request(0)] * steps])
        chance = likelihood(problem, own, theta(), small_mdp(), ALPHA)
        chance = chance * problem.collect(first, theta(), small_mdp(other=True)).chance
        gradients = over_tasks(
            lambda keys, task: one_task(problem, keys, theta(), task),
            jnp.stack([own, others]),
            tasks,
        )
        square = jnp.sum(gradients[0] ** 2)
        return chance, -chance * gradients[0], chance * square

    numbers = combinations(*[num_data_sets(16, case["size"])] * (steps + 1))
    total, estimate, square = jax.jit(lambda: sum_over(summand, numbers))()
    np.testing.assert_allclose(total, 1, rtol=1e-12)
    np.testing.assert_allclose(estimate, exact_two(**case), atol=1e-12)
    assert square > 0


def test_sg_mrl_with_one_sampled_outer_trajectory_is_exact() -> None:
    problem, task = problem_of(), small_mdp()

    def summand(numbers):
        keys = jnp.stack([request(numbers[0]), request(0, single=numbers[1])])
        chance = likelihood(problem, keys, theta(), task, ALPHA)
        return chance, -chance * scored(problem, keys, theta(), task)

    total, estimate = jax.jit(lambda: sum_over(summand, combinations(16, 16)))()
    np.testing.assert_allclose(total, 1, rtol=1e-13)
    np.testing.assert_allclose(estimate, exact_two(), atol=1e-12)


def test_sg_mrl_with_its_outer_data_drawn_like_the_inner_ones_is_exact() -> None:
    problem, task = problem_of(), small_mdp()

    def summand(numbers):
        keys = jnp.stack([request(number) for number in numbers])
        chance = likelihood(problem, keys, theta(), task, ALPHA)
        return -chance * scored(problem, keys, theta(), task)

    estimate = jax.jit(lambda: sum_over(summand, combinations(16, 16)))()
    np.testing.assert_allclose(estimate, exact_two(), atol=1e-12)


# Objective (I), and the biases.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_inner_steps", "can_end"),
    [
        (2, False),
        pytest.param(1, True, marks=pytest.mark.slow),
        pytest.param(1, False, marks=pytest.mark.slow),
        pytest.param(2, True, marks=pytest.mark.slow),
    ],
)
def test_dice_s_limit_is_objective_one(num_inner_steps: int, can_end: bool) -> None:
    """With inner gradient and Hessian replaced by their expectations."""
    keys = jnp.stack([request(0, every=True)] * (num_inner_steps + 1))

    def limit(name):
        problem = problem_of(name, can_end=can_end)
        return jax.jit(lambda: -plain(problem, keys, theta(), small_mdp(can_end)))()

    exact = exact_one(num_inner_steps, can_end)
    for name in ("dice", "loaded-dice"):
        np.testing.assert_allclose(limit(name), exact, atol=1e-12)
    for name in ("lvc", "score-function"):
        assert error(limit(name), exact) > 1e-3


@pytest.mark.slow
def test_biases_as_numbers() -> None:
    """On this MDP, by the exact sums: of ‖∇J^II‖ and ‖∇J^I‖."""
    found = {
        "norm II": np.linalg.norm(exact_two()),
        "norm I": np.linalg.norm(exact_one()),
        "maml": error(expected(problem_of(), plain), exact_two()),
        "fomaml": error(
            expected(problem_of(), partial(plain, first_order=True)), exact_two()
        ),
        "lvc": error(expected(problem_of("lvc"), plain), exact_one()),
        "dice": error(expected(problem_of("dice"), plain), exact_one()),
        "dice scored": error(expected(problem_of("dice"), scored), exact_two()),
    }
    assert found == pytest.approx(
        {
            "norm II": 0.477019019382162,
            "norm I": 0.446197510571599,
            "maml": 0.123271348868364,
            "fomaml": 0.0257343490216694,
            "lvc": 0.0380327400695502,
            "dice": 0.0190116001233697,
            "dice scored": 0.079962014826451,
        },
        rel=1e-9,
    )


# Wrong variants, so that nobody brings them back.


@pytest.mark.slow
def test_the_score_term_s_mean_is_biased() -> None:
    estimate = expected(problem_of(), partial(scored, reduction="mean"))
    assert error(estimate, exact_two()) > 1e-2
    # It is the term scaled by 1/(K·H).
    bare = expected(problem_of(), plain)
    np.testing.assert_allclose(
        estimate - bare, (expected(problem_of(), scored) - bare) / 2, atol=1e-12
    )


def test_alpha_as_the_score_s_coefficient_is_biased() -> None:
    problem = problem_of()
    scaled = problem._replace(objective=lambda data: ALPHA * problem.objective(data))
    assert error(expected(scaled, scored), exact_two()) > 1e-2


def test_a_normalised_advantage_in_the_score_cancels_it() -> None:
    """Its mean is 0: what is left is plain MAML."""
    problem = problem_of()

    def centred(data):
        powers = jnp.array([1, GAMMA])
        gains = data.every.rewards @ powers
        gains = gains - data.shares @ gains
        return data.shares @ (gains / jnp.sqrt(data.shares @ gains**2))

    estimate = expected(problem._replace(objective=centred), scored)
    np.testing.assert_allclose(estimate, expected(problem, plain), atol=1e-12)
    assert error(estimate, exact_two()) > 1e-2


def by_hand(problem, keys, params, task, *, second_order=True, all_scores=True):
    """SG-MRL's gradient put together anew, with what a careless version leaves out."""

    def score(params, data):
        return jnp.sum(problem.log_probs(params, data))

    def loss(params):
        path = inner_loop(
            problem, keys, params, task, inner_lr=ALPHA, second_order=second_order
        )
        scores = [
            value(problem, score)(
                *jax.tree.map(lambda x, j=j: x[j], (path.params, path.data))
            )
            for j in range(len(keys) - 1 if all_scores else 1)
        ]
        outer = loss_on_data(problem, last(path.params), last(path.data))
        weight = jax.lax.stop_gradient(problem.objective(last(path.data)))
        return outer - weight * sum(scores)

    return jax.grad(loss)(params)


@pytest.mark.slow
def test_the_version_by_hand_is_exact_and_the_first_step_s_score_alone_is_not() -> None:
    case = {"num_inner_steps": 2, "size": 1}
    whole = expected(problem_of(), by_hand, **case)
    np.testing.assert_allclose(whole, exact_two(**case), atol=1e-12)
    first_alone = partial(by_hand, all_scores=False)
    assert error(expected(problem_of(), first_alone, **case), exact_two(**case)) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("case", some_slow(SIZES[3:5]), ids=str)
def test_scores_not_differentiated_back_to_theta_are_biased(case) -> None:
    problem = problem_of(**split(case))

    def stopped(params, data):
        return problem.log_probs(jax.lax.stop_gradient(params), data)

    estimate = expected(problem._replace(log_probs=stopped), scored, **case)
    np.testing.assert_allclose(estimate, expected(problem, plain, **case), atol=1e-12)
    assert error(estimate, exact_two(**case)) > 1e-2


def test_an_inner_gradient_taken_for_a_constant_is_biased() -> None:
    constant = partial(by_hand, second_order=False)
    assert error(expected(problem_of(), constant), exact_two()) > 1e-2


def test_an_outer_step_without_the_discount_s_weights_is_biased() -> None:
    problem = enumerated_problem(
        TABULAR,
        objective(),
        ways(False),
        data_sets(16, 1),
        discount=GAMMA,
        outer=objective(discount_weighting=False),
    )
    assert error(expected(problem, scored), exact_two()) > 1e-2


def test_the_outer_gradient_is_the_policy_gradient() -> None:
    """Every trajectory, with its probability: ∇J, whatever the surrogate."""
    exact = jax.grad(
        lambda p: expected_return(TABULAR, p, small_mdp(), ways(False), discount=GAMMA)
    )(theta())
    for name in ("score-function", "dice"):
        problem = problem_of(name)
        data = problem.collect(request(0, every=True), theta(), small_mdp())
        data = problem.advantages(theta(), data)
        _, descent = value_and_gradient(problem, problem.outer_loss)(theta(), data)
        np.testing.assert_allclose(-descent, exact, atol=1e-13)
