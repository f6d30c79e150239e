"""The actor-critic: literal losses, bootstraps, and the value head's meta-gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TABULAR, small_mdp

from dmaml_jax.errors import UsageError
from dmaml_jax.exact.data_sets import (
    combinations,
    data_sets,
    paths,
    sum_over,
    trajectories,
)
from dmaml_jax.exact.objectives import expected_return
from dmaml_jax.exact.problem import enumerated_problem, likelihood, request
from dmaml_jax.learners import maml, sg_mrl
from dmaml_jax.rl.actor_critic import actor_critic
from dmaml_jax.rl.objectives import trajectory_log_probs
from dmaml_jax.rl.policies import mlp_categorical
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import Policy, Trajectory

ALPHA, GAMMA = 0.7, 0.9

# Tables of logits and of values; observations are one-hot states.
CRITIC = Policy(
    init=lambda key, obs: {"logits": jnp.zeros((2, 2)), "values": jnp.zeros(2)},
    apply=lambda params, obs: obs @ params["logits"],
    distribution=TABULAR.distribution,
    value=lambda params, obs: obs @ params["values"],
)
RAW = {"normalize_advantages": False, "discount_weighting": True}


def theta():
    return {
        "logits": jnp.array([[0.3, -0.4], [-0.2, 0.5]]),
        "values": jnp.array([0.8, -0.3]),
    }


def two_episodes() -> Trajectory:
    """One that ends by itself after two of three steps, one that is cut at three."""
    states = np.array([[0, 1, 1, 1], [1, 0, 1, 0]])
    alive = np.array([[True, True, False], [True, True, True]])
    return Trajectory(
        obs=jnp.asarray(np.eye(2)[states]),
        actions=jnp.array([[1, 0, 0], [0, 1, 1]], jnp.int32),
        log_probs=jnp.zeros((2, 3)),
        rewards=jnp.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]]),
        alive=jnp.asarray(alive),
        terminated=jnp.array([[False, True, False], [False, False, False]]),
    )


def test_advantages_targets_and_loss_literally() -> None:
    data, params, decay = two_episodes(), theta(), 0.5
    objective = actor_critic(
        CRITIC,
        discount=GAMMA,
        gae_lambda=decay,
        value_coefficient=0.7,
        entropy_coefficient=0.1,
        normalize_advantages=False,
    )
    filled = objective.advantages(params, data)
    a, b = 0.8, -0.3  # V of the two states
    # Bootstrapped where it was cut, 0 where it ended.
    first = [1 + GAMMA * b - a, 2 - b]
    second = [0.5 + GAMMA * a - b, -1 + GAMMA * b - a, 3 + GAMMA * a - b]
    gae = np.zeros((2, 3))
    gae[0, :2] = [first[0] + GAMMA * decay * first[1], first[1]]
    gae[1, 2] = second[2]
    gae[1, 1] = second[1] + GAMMA * decay * gae[1, 2]
    gae[1, 0] = second[0] + GAMMA * decay * gae[1, 1]
    np.testing.assert_allclose(filled.advantages, gae, rtol=1e-12)
    values = np.array([[a, b, 0], [b, a, b]])
    np.testing.assert_allclose(
        filled.value_targets, (gae + values) * np.asarray(data.alive), rtol=1e-12
    )

    moved = {**params, "values": jnp.array([1.0, 0.5])}
    errors = np.array([[1.0, 0.5, 0], [0.5, 1.0, 0.5]]) - filled.value_targets
    squares = np.sum(np.asarray(errors**2)[np.asarray(data.alive)]) / 5 / 2
    log_probs = np.asarray(trajectory_log_probs(CRITIC, params, data))
    logits = np.asarray(data.obs[:, :-1] @ params["logits"])
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    entropy = -np.sum(chances * np.log(chances), axis=-1) * np.asarray(data.alive)
    expected = 0.7 * squares - np.sum(log_probs * gae) / 2 - 0.1 * entropy.sum() / 2
    loss = objective.inner_loss(moved, filled)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    np.testing.assert_allclose(objective.outer_loss(moved, filled), loss, rtol=1e-14)


def test_without_a_critic_s_part_it_is_the_policy_gradient() -> None:
    """λ = 1, V = 0, no weight on the value: REINFORCE without a baseline."""
    params = {**theta(), "values": jnp.zeros(2)}
    mine = actor_critic(
        CRITIC, discount=GAMMA, gae_lambda=1.0, value_coefficient=0.0, **RAW
    )
    plain = policy_gradient(CRITIC, discount=GAMMA, baseline=None, **RAW)
    gradients = [
        jax.grad(o.inner_loss)(params, o.advantages(params, two_episodes()))["logits"]
        for o in (mine, plain)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-12)


@pytest.mark.parametrize(
    "num_inner_steps", [pytest.param(1, marks=pytest.mark.slow), 2]
)
def test_the_value_head_receives_its_adaptation_gradient(num_inner_steps: int) -> None:
    """∇J^II in θ, critic and all, against its sum over all data sets differentiated.

    A is a constant for the inner gradient and a function of the value head for the
    outer one: what the head does to adaptation is all of its gradient, and stopping
    the gradient at A would lose it.
    """
    mdp, ways, sets = small_mdp(), paths(2, 2, 2), data_sets(16, 1)
    inner = actor_critic(CRITIC, discount=GAMMA, gae_lambda=0.6, **RAW)
    outer = policy_gradient(CRITIC, discount=GAMMA, baseline=None, **RAW)
    problem = enumerated_problem(CRITIC, inner, ways, sets, discount=GAMMA, outer=outer)

    def summand(numbers, gradient):
        keys = jnp.stack([*map(request, numbers), request(0, every=True)])
        chance = likelihood(problem, keys, theta(), mdp, ALPHA)
        return jax.tree.map(lambda leaf: -chance * leaf, gradient(keys))

    def expected(gradient):
        numbers = combinations(*[16] * num_inner_steps)
        return jax.jit(lambda: sum_over(partial(summand, gradient=gradient), numbers))()

    def gradient_of(meta_loss, keys, **options):
        def loss(params):
            return meta_loss(problem, params, keys, mdp, inner_lr=ALPHA, **options)[0]

        return jax.grad(loss)(theta())

    def scored(keys):
        options = {"baseline": jnp.zeros_like, "score_reduction": "sum"}
        return gradient_of(sg_mrl.meta_loss, keys, **options)

    def value(params, steps=num_inner_steps):
        if steps == 0:
            return expected_return(CRITIC, params, mdp, ways, discount=GAMMA)
        every, dynamics = trajectories(mdp, ways)
        log_probs = trajectory_log_probs(CRITIC, params, every)
        chances = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))

        def after(index):
            rows = jax.tree.map(lambda leaf: leaf[index][None], every)
            given = inner.advantages(params, rows)
            # The gradient at p = θ with A(θ) beside it, and no stop at A.
            descent = jax.grad(inner.inner_loss)(params, given)
            moved = jax.tree.map(lambda p, g: p - ALPHA * g, params, descent)
            return chances[index] * value(moved, steps - 1)

        return jnp.sum(jax.vmap(after)(jnp.arange(16)))

    exact = jax.jit(jax.grad(value))(theta())
    found = expected(scored)
    for name in ("logits", "values"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-12)
    assert np.linalg.norm(exact["values"]) > 0.005

    def first_order(keys):
        return gradient_of(maml.meta_loss, keys, first_order=True)

    # FOMAML's outer loss does not look at the value head here.
    np.testing.assert_allclose(expected(first_order)["values"], 0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "looks"),
    [("score-function", True), ("lvc", False), ("loaded-dice", False)],
)
def test_who_looks_at_the_value_head(name: str, looks: bool) -> None:
    """Objective (II)'s inner policy gradient is a function of it, (I)'s is not."""
    objective = actor_critic(
        CRITIC, discount=GAMMA, surrogate=surrogate(name), normalize_advantages=False
    )

    def length(params):
        filled = objective.advantages(params, two_episodes())
        return jnp.sum(jax.grad(objective.inner_loss)(params, filled)["logits"] ** 2)

    moved = jnp.max(jnp.abs(jax.grad(length)(theta())["values"]))
    assert (moved > 1e-3) if looks else (moved == 0)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="needs a policy with a value"):
        actor_critic(TABULAR, discount=GAMMA)
    with pytest.raises(UsageError, match="DiCE takes raw rewards"):
        actor_critic(CRITIC, discount=GAMMA, surrogate=surrogate("dice"))
    with pytest.raises(UsageError, match="choose sum or mean"):
        actor_critic(CRITIC, discount=GAMMA, step_reduction="median")


@pytest.mark.parametrize("shared", [False, True])
def test_networks(shared: bool) -> None:
    """Logits and values for any leading axes; one trunk or two."""
    policy = mlp_categorical(3, (5,), critic="shared" if shared else "separate")
    params = policy.init(jax.random.key(0), jnp.zeros(4))
    obs = jax.random.normal(jax.random.key(1), (2, 7, 4))
    assert policy.apply(params, obs).shape == (2, 7, 3)
    assert policy.value(params, obs).shape == (2, 7)
    by_policy = jax.grad(lambda p: jnp.sum(policy.apply(p, obs) ** 2))(params)
    by_value = jax.grad(lambda p: jnp.sum(policy.value(p, obs) ** 2))(params)
    touched = [
        {str(path) for path, leaf in jax.tree.leaves_with_path(tree) if leaf.any()}
        for tree in (by_policy, by_value)
    ]
    assert bool(touched[0] & touched[1]) == shared and all(touched)


def test_one_trajectory_of_one_step_has_finite_meta_gradients() -> None:
    """Nothing to normalise by: 0 advantages, and no NaN through the value head."""
    data = jax.tree.map(lambda leaf: leaf[:1, :1], two_episodes())
    data = data._replace(obs=two_episodes().obs[:1, :2])
    objective = actor_critic(CRITIC, discount=GAMMA)

    def through(params):
        filled = objective.advantages(params, data)
        descent = jax.grad(objective.inner_loss)(params, filled)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(descent))

    for leaf in jax.tree.leaves(jax.grad(through)(theta())):
        assert jnp.all(jnp.isfinite(leaf))
