"""The differentiable gradient: the written-down pullback against plain autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import HESSIAN, quadratic

from dmaml_jax.build.config import configuration
from dmaml_jax.build.learner import build, learner_of
from dmaml_jax.learners.derivatives import gradient, value_and_gradient
from dmaml_jax.learners.inner_loop import inner_loop
from dmaml_jax.types import Pieces, Problem


def loss(params, data):
    """Not a quadratic, and its advantages enter as an actor-critic's do."""
    scores = jnp.tanh(data["x"] @ params["w"] + params["b"])
    return jnp.sum(scores**2 * data["advantages"])


def problem_of_rows(pieces: bool) -> Problem:
    def split(data):
        def pick(index):
            return jax.tree.map(
                lambda x: jax.lax.dynamic_slice_in_dim(x, jnp.int32(2) * index, 2), data
            )

        return Pieces(jnp.int32(3), pick)

    return quadratic()._replace(inner_loss=loss, pieces=split if pieces else None)


def draw(seed: int = 0):
    k1, k2, k3, k4 = jax.random.split(jax.random.key(seed), 4)
    params = {"w": jax.random.normal(k1, (3,)), "b": jax.random.normal(k2, ())}
    data = {
        "x": jax.random.normal(k3, (6, 3)),
        "advantages": jax.random.normal(k4, (6,)),
        "count": jnp.arange(6, dtype=jnp.int32),
    }
    return params, data


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-11), a, b)


def twice(make):
    """A scalar whose derivative needs the gradient's derivative, data included."""

    def f(params, scale):
        _, data = draw()
        # The advantages depend on θ, as through a value head.
        data = {**data, "advantages": data["advantages"] * scale + params["b"] ** 2}
        step = make(params, data)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(step))

    return f


@pytest.mark.parametrize("pieces", [False, True])
def test_pullback_through_parameters_and_data(pieces: bool) -> None:
    params, _ = draw()
    ours = twice(gradient(problem_of_rows(pieces), loss))
    plain = twice(jax.grad(loss))
    argument = (params, jnp.asarray(1.3))
    assert_close(
        jax.grad(ours, argnums=(0, 1))(*argument),
        jax.grad(plain, argnums=(0, 1))(*argument),
    )


@pytest.mark.parametrize("pieces", [False, True])
def test_hessian_vector_product_alone(pieces: bool) -> None:
    params, data = draw()
    ours = gradient(problem_of_rows(pieces), loss)
    direction = jax.tree.map(jnp.cos, params)
    expected = jax.vjp(lambda p: jax.grad(loss)(p, data), params)[1](direction)[0]
    found = jax.vjp(lambda p: ours(p, data), params)[1](direction)[0]
    assert_close(found, expected)


def test_pieces_add_up_under_nested_vmap() -> None:
    """Lanes that take turns give what one batch gives; unmapped arguments stay."""
    params, _ = draw()
    data = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[draw(seed)[1] for seed in range(3)]
    )
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), params)
    results = []
    for pieces in (False, True):
        f = value_and_gradient(problem_of_rows(pieces), loss)
        over_data = jax.vmap(f, in_axes=(None, 0))
        both = jax.vmap(over_data, in_axes=(0, None))
        results.append(jax.jit(both)(stacked, data))
    assert_close(*results)


def test_a_mapped_value_inside_the_loss_is_hoisted() -> None:
    """A sweep builds its loss inside vmap: tracers that it closes over are mapped."""
    params, data = draw()

    def swept(coefficient, pieces):
        problem = problem_of_rows(pieces)

        def weighted(p, d):
            return coefficient * loss(p, d)

        f = gradient(problem, weighted)
        return jax.grad(lambda p: jnp.sum(f(p, data)["w"] ** 2))(params)

    coefficients = jnp.array([0.5, 2.0])
    assert_close(
        *(jax.vmap(lambda c, p=p: swept(c, p))(coefficients) for p in (False, True))
    )


def test_first_order_stops_exactly_one_thing() -> None:
    """∂θ'/∂θ is the identity in first order, I − αH in second."""
    problem, task = quadratic(), jnp.array([1.0, 2.0, 3.0])

    def adapted(params, second_order):
        return inner_loop(
            problem,
            jax.random.split(jax.random.key(0), 2),
            params,
            task,
            inner_lr=0.2,
            second_order=second_order,
        ).params[-1]

    start = jnp.ones(3)
    jacobian = jax.jacrev(adapted)(start, False)
    np.testing.assert_allclose(jacobian, np.eye(3), atol=1e-15)
    whole = jax.jacrev(adapted)(start, True)
    np.testing.assert_allclose(whole, np.eye(3) - 0.2 * HESSIAN, rtol=1e-12)
    np.testing.assert_allclose(adapted(start, False), adapted(start, True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "algo", [pytest.param("maml", marks=pytest.mark.slow), "directed-maml"]
)
def test_platform_forms_agree_on_cartpole(algo: str) -> None:
    """Turns in pieces (a CPU's form) and one batch (a GPU's) are the same epoch."""
    config = configuration(
        algo=algo,
        horizon=30,
        num_tasks=2,
        num_trajectories=3,
        hidden_sizes=(8,),
        inner_lr=0.1,
    )
    found = []
    for whole in (False, True):
        problem, learner = build(config)
        assert problem.pieces is not None
        if whole:
            problem = problem._replace(pieces=None)
            learner = learner_of(config, problem)
        tasks = problem.sample_tasks(jax.random.key(1), 2)
        state = learner.init(jax.random.key(0))
        _, info = jax.jit(learner.step)(jax.random.key(2), state, tasks)
        found.append(info)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12), *found
    )
