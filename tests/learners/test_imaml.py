"""iMAML against closed forms, the exact argmin of an MDP, and its own memory."""

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
    central_difference,
    noisy,
    numpy_gradient,
    quadratic,
    small_mdp,
)

from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.errors import UsageError
from dmaml_jax.exact.data_sets import data_sets, paths
from dmaml_jax.exact.objectives import expected_return
from dmaml_jax.exact.problem import enumerated_problem, request
from dmaml_jax.learners.imaml import imaml, implicit_gradient
from dmaml_jax.learners.linear_systems import conjugate_gradients, minimal_residuals
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.proximal import towards
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import OuterRule

ALPHA, BETA, WEIGHT = 0.3, 0.1, 1.7
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.2, 0.2, -0.7]])
SYSTEM = np.eye(3) + HESSIAN / WEIGHT


def one_epoch(problem=None, **options):
    """State before and after an epoch, and its info."""
    values = {
        "inner_lr": ALPHA,
        "meta_optimizer": optax.sgd(BETA),
        "proximal_weight": WEIGHT,
        "implicit_iterations": 3,
        **options,
    }
    learner = imaml(problem or quadratic(), **values)
    state = learner.init(jax.random.key(0))
    after, info = jax.jit(learner.step)(jax.random.key(1), state, jnp.asarray(TARGETS))
    return state, after, info


def steps_by_hand(target: np.ndarray, num: int) -> np.ndarray:
    """φ after n proximal steps on the quadratic."""
    phi, pull = START, ALPHA * WEIGHT
    for _ in range(num):
        phi = phi - ALPHA * numpy_gradient(phi, target) + pull * START
        phi = phi / (1 + pull)
    return phi


@pytest.mark.parametrize(
    ("solver", "pieces"), [("cg", False), ("cg", True), ("minres", False)]
)
def test_closed_form_after_a_few_steps(solver: str, pieces: bool) -> None:
    """(I + H/λ)⁻¹ H (φ_n − t), the mean over the tasks; iterations = dimensions."""
    state, after, info = one_epoch(
        quadratic(pieces), num_inner_steps=4, implicit_solver=solver
    )
    ends = [steps_by_hand(target, 4) for target in TARGETS]
    slopes = [numpy_gradient(e, t) for e, t in zip(ends, TARGETS, strict=True)]
    expected = np.mean(np.linalg.solve(SYSTEM, np.transpose(slopes)), axis=1)
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)
    np.testing.assert_allclose(after.params, START - BETA * expected, rtol=1e-10)
    left = [s + WEIGHT * (e - START) for s, e in zip(slopes, ends, strict=True)]
    np.testing.assert_allclose(
        info.extras["inner_residual"], np.mean(np.linalg.norm(left, axis=1)), rtol=1e-10
    )
    assert info.extras["inner_noise"] == 0 and info.extras["solver_damping"] == 0
    assert info.extras["solver_residual"] < 1e-12
    least = np.linalg.eigvalsh(SYSTEM)[0]
    assert least * (1 - 1e-9) <= info.extras["least_curvature"] < 2 * least
    assert int(info.num_steps) == 6 * len(TARGETS) and int(after.epoch) == 1
    assert int(state.epoch) == 0


def test_the_minimiser_and_the_gradient_of_its_loss() -> None:
    """φ* = (H + λ)⁻¹ (H t + λ θ), and H-weighted: λ (H + λ)⁻¹ H (φ* − t)."""
    _, _, info = one_epoch(num_inner_steps=200)
    inverse = np.linalg.inv(HESSIAN + WEIGHT * np.eye(3))
    ends = [inverse @ (HESSIAN @ t + WEIGHT * START) for t in TARGETS]
    expected = [
        WEIGHT * inverse @ HESSIAN @ (e - t) for e, t in zip(ends, TARGETS, strict=True)
    ]
    np.testing.assert_allclose(info.meta_gradient, np.mean(expected, axis=0), rtol=1e-9)
    assert info.extras["inner_residual"] < 1e-12


@pytest.mark.parametrize("weight", [1e12])
def test_a_pull_without_bounds_is_fomaml_at_theta(weight: float) -> None:
    """Nothing moves then, and I + H/λ is I: FOMAML with α = 0."""
    _, _, info = one_epoch(noisy(quadratic()), proximal_weight=weight)
    plain = maml(
        noisy(quadratic()),
        inner_lr=0.0,
        meta_optimizer=optax.sgd(BETA),
        num_inner_steps=6,  # as many collections, and so the same keys
        first_order=True,
    )
    state = plain.init(jax.random.key(0))
    _, expected = plain.step(jax.random.key(1), state, jnp.asarray(TARGETS))
    np.testing.assert_allclose(info.meta_gradient, expected.meta_gradient, rtol=1e-8)


def test_every_step_has_fresh_data_and_so_have_hessian_and_gradient() -> None:
    """The noise between the last two collections is what is told."""
    problem = noisy(quadratic())
    _, _, info = one_epoch(problem, num_inner_steps=2)
    key_collections, _ = jax.random.split(jax.random.key(1))
    keys = jax.random.split(key_collections, (3, 4))
    gradients, noises = [], []
    for own, target in zip(keys, TARGETS, strict=True):
        seen = [
            np.asarray(problem.collect(k, None, jnp.asarray(target))["target"])
            for k in own
        ]
        phi, pull = START, ALPHA * WEIGHT
        for met in seen[:2]:
            phi = (phi - ALPHA * numpy_gradient(phi, met) + pull * START) / (1 + pull)
        gradients.append(np.linalg.solve(SYSTEM, numpy_gradient(phi, seen[3])))
        apart = numpy_gradient(phi, seen[2]) - numpy_gradient(phi, seen[3])
        noises.append(np.linalg.norm(apart) / np.sqrt(2))
    np.testing.assert_allclose(
        info.meta_gradient, np.mean(gradients, axis=0), rtol=1e-10
    )
    np.testing.assert_allclose(info.extras["inner_noise"], np.mean(noises), rtol=1e-10)


def bent(least: float):
    """The quadratic with another Hessian, of one negative eigenvalue."""
    hessian = jnp.diag(jnp.array([least, 1.0, 0.5]))

    def loss(params, data):
        away = params - data["target"]
        return 0.5 * away @ hessian @ away

    return quadratic()._replace(inner_loss=loss), np.asarray(hessian)


def test_negative_curvature_is_damped_and_told() -> None:
    """I + H/λ has −1: cg takes so much from it that every direction is above 0."""
    problem, hessian = bent(-2 * WEIGHT)
    _, _, info = one_epoch(problem, implicit_iterations=3)
    assert -1 <= info.extras["least_curvature"] < 0
    assert info.extras["solver_damping"] >= 0.1 - info.extras["least_curvature"]
    assert np.isfinite(info.meta_gradient).all()
    _, _, as_it_is = one_epoch(problem, implicit_iterations=3, implicit_solver="minres")
    np.testing.assert_allclose(as_it_is.extras["least_curvature"], -1, rtol=1e-8)
    assert as_it_is.extras["solver_damping"] == 0
    ends = []
    for target in TARGETS:
        phi, pull = START, ALPHA * WEIGHT
        for _ in range(5):
            step = phi - ALPHA * hessian @ (phi - target) + pull * START
            phi = step / (1 + pull)
        ends.append(numpy_gradient(phi, target))
    exact = np.linalg.solve(np.eye(3) + hessian / WEIGHT, np.transpose(ends))
    np.testing.assert_allclose(as_it_is.meta_gradient, exact.mean(axis=1), rtol=1e-8)


def test_it_adapts_as_it_was_trained_to() -> None:
    learner = imaml(
        quadratic(),
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        proximal_weight=WEIGHT,
    )
    state, task = learner.init(jax.random.key(0)), jnp.asarray(TARGETS[0])
    path, curve = learner.adapt(jax.random.key(5), state, task, 3)
    expected = [steps_by_hand(TARGETS[0], num) for num in range(4)]
    np.testing.assert_allclose(path, expected, rtol=1e-12)
    assert curve.shape == (4,)
    shorter, _ = learner.adapt(jax.random.key(5), state, task, 1)
    np.testing.assert_array_equal(shorter, path[:2])


def test_a_rule_that_asks_is_told_why_not() -> None:
    rule = OuterRule(
        lambda params: (),
        lambda g, memory, p, objective: (p, objective.evaluate(p), {}),
    )
    with pytest.raises(UsageError, match="iMAML keeps no data of its inner steps"):
        one_epoch(meta_optimizer=rule)


# The exact argmin on an MDP of 16 trajectories, each of them summed over.

GAMMA, STEPS, PULL = 0.9, 80, 2.0


def exact_end(params: jax.Array) -> jax.Array:
    """argmin_φ −J(φ) + (λ/2)‖φ − θ‖², from the sum over all trajectories itself."""
    ways = paths(2, 2, 2)

    def slope(phi):
        return jax.grad(
            lambda p: -expected_return(TABULAR, p, small_mdp(), ways, discount=GAMMA)
        )(phi)

    def step(phi, _):
        return (phi - 0.5 * slope(phi) + 0.5 * PULL * params) / (1 + 0.5 * PULL), None

    return jax.lax.scan(step, params, None, length=STEPS)[0]


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("loaded-dice", partial(conjugate_gradients, iterations=4, floor=0.1)),
        pytest.param(
            "dice", partial(minimal_residuals, iterations=4), marks=pytest.mark.slow
        ),
    ],
)
def test_the_implicit_gradient_is_the_exact_argmin_s(name: str, solver) -> None:
    """Against central differences of θ ↦ −J(argmin(θ)); the argmin found both ways."""
    ways = paths(2, 2, 2)
    objective = policy_gradient(
        TABULAR,
        discount=GAMMA,
        surrogate=surrogate(name),
        baseline=None,
        normalize_advantages=False,
        discount_weighting=True,
    )
    sets = data_sets(len(ways.lengths), 1)
    problem = enumerated_problem(TABULAR, objective, ways, sets, discount=GAMMA)
    params = jnp.array([[0.3, -0.4], [-0.2, 0.5]])
    sources = jnp.stack([request(0, every=True)] * (STEPS + 2))
    walk = towards(problem, params, inner_lr=0.5, proximal_weight=PULL)
    found, seen = jax.jit(
        lambda: implicit_gradient(
            problem,
            params,
            sources,
            small_mdp(),
            walk=walk,
            proximal_weight=PULL,
            solve=solver,
        )
    )()
    assert seen.extras["inner_residual"] < 1e-12
    assert seen.extras["solver_damping"] == 0

    @jax.jit
    def loss(params):
        end = exact_end(params)
        return -expected_return(TABULAR, end, small_mdp(), ways, discount=GAMMA)

    expected = [
        central_difference(loss, params, direction, 1e-3)
        for direction in jnp.eye(4).reshape(4, 2, 2)
    ]
    np.testing.assert_allclose(jnp.ravel(found), expected, rtol=1e-7, atol=1e-10)
    # The Hessian matters here: without it the gradient would be another.
    plain = jax.grad(
        lambda p: -expected_return(TABULAR, p, small_mdp(), ways, discount=GAMMA)
    )(exact_end(params))
    apart = np.linalg.norm(plain - found) / np.linalg.norm(found)
    assert apart > 0.02, apart


# Memory.


def bytes_of_step(learner, num_inner_steps: int) -> int:
    """What XLA keeps beside arguments and results while an epoch runs."""
    made = learner(num_inner_steps=num_inner_steps)
    state = made.init(jax.random.key(0))
    step = jax.jit(made.step)
    compiled = step.lower(jax.random.key(1), state, jnp.asarray(TARGETS)).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_the_inner_steps() -> None:
    """Data of 24 kB a collection: 60 more steps add their keys and no data at all."""
    wide = jnp.ones((1000, 1))

    def collect(key, params, task):
        return {"target": wide * task + 0.1 * jax.random.normal(key, (1000, 3))}

    def loss(params, data):
        away = jnp.tanh(params - data["target"])
        return jnp.mean(jnp.sum(away * (away @ HESSIAN), axis=1))

    problem = quadratic()._replace(
        collect=collect,
        inner_loss=loss,
        outer_loss=loss,
        kl=None,
        performance=lambda data: jnp.mean(data["target"]),
    )
    common = {"inner_lr": ALPHA, "meta_optimizer": optax.sgd(BETA)}
    ours = partial(imaml, problem, proximal_weight=WEIGHT, **common)
    grown = bytes_of_step(ours, 64) - bytes_of_step(ours, 4)
    # A key is 8 bytes; a program may hold a few copies of all of them.
    assert grown <= 60 * len(TARGETS) * 8 * 8, grown
    theirs = partial(maml, problem, **common)
    assert bytes_of_step(theirs, 64) - bytes_of_step(theirs, 4) > 60 * 3 * 24_000


@pytest.mark.float32
@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(
            {"implicit_solver": "minres", "method": "ac"}, marks=pytest.mark.slow
        ),
    ],
)
def test_an_epoch_on_point_navigation(options) -> None:
    """The public step at a toy size, and its columns."""
    small = {"horizon": 6, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}
    small["set"] = ("goal_radius=1e-6",)  # no episode ends before its horizon
    init, step = make_train_step("point", "imaml", **small, **options)
    state = init(jax.random.key(0))
    after, info = jax.jit(step)(jax.random.key(1), state)
    assert set(info.extras) == {
        "inner_residual",
        "inner_noise",
        "solver_residual",
        "least_curvature",
        "solver_damping",
    }
    assert all(np.isfinite(x) and x.shape == () for x in info.extras.values())
    assert int(info.num_steps) == 2 * 3 * 6 * 7
    moved = jax.tree.map(lambda a, b: jnp.any(a != b), after.params, state.params)
    assert any(jax.tree.leaves(moved))
