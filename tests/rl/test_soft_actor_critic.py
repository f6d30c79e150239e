"""Soft values and losses against enumeration, closed forms and finite differences."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import central_difference

from dmaml_jax.rl.action_distributions import Normal, squashed_normal
from dmaml_jax.rl.latent_networks import Networks
from dmaml_jax.rl.soft_actor_critic import (
    Weights,
    actor_loss,
    critic_loss,
    losses,
    targets,
    temperature_loss,
)
from dmaml_jax.rl.soft_values import Actions, bounded_numbers, choices
from dmaml_jax.rl.transitions import Transition

STATES, ACTIONS = 3, 2
# A deterministic MDP, so that the transition of each pair says all of it.
NEXT = np.array([[1, 2], [0, 2], [2, 1]])
REWARD = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7]])
ENDS = np.array([[False, False], [True, False], [False, False]])
DISCOUNT, SCALE, TEMPERATURE = 0.9, 3.0, 0.4
WEIGHTS = Weights(DISCOUNT, SCALE, None)
KEY = jax.random.key(0)
LATENT = np.array([0.3, -0.8])  # of NumPy: JAX would take float32 here


class Tables(NamedTuple):
    """Networks that are tables: logits `[S, A]`, critics `[2, S, A]`; z shifts both."""

    actions: Actions = choices(ACTIONS)
    learn_temperature: bool = False

    def act(self, actor: Any, obs: Any, latent: Any) -> Any:
        return obs @ actor

    def judge(self, critic: Any, obs: Any, action: Any, latent: Any) -> Any:
        return jnp.einsum("bs,isa->iba", obs, critic)

    def log_temperature(self, params: Any) -> Any:
        return jnp.log(jnp.asarray(TEMPERATURE))


def every_pair() -> Transition:
    """The transition of each pair of state and action."""
    states, acts = np.divmod(np.arange(STATES * ACTIONS), ACTIONS)
    one_hot = np.eye(STATES)
    return Transition(
        obs=jnp.asarray(one_hot[states]),
        action=jnp.asarray(np.eye(ACTIONS)[acts]),
        reward=jnp.asarray(REWARD[states, acts]),
        next_obs=jnp.asarray(one_hot[NEXT[states, acts]]),
        terminated=jnp.asarray(ENDS[states, acts]),
    )


def tables() -> Any:
    key_actor, key_critic, key_target = jax.random.split(jax.random.key(1), 3)
    params = {
        "actor": jax.random.normal(key_actor, (STATES, ACTIONS)),
        "critic": jax.random.normal(key_critic, (2, STATES, ACTIONS)),
    }
    return params, jax.random.normal(key_target, (2, STATES, ACTIONS))


def literal_value(logits: np.ndarray, critics: np.ndarray) -> list[float]:
    """V(s) by loops over actions."""
    found = []
    for state in range(STATES):
        probs = np.exp(logits[state]) / np.exp(logits[state]).sum()
        found.append(
            sum(
                probs[a]
                * (
                    min(critics[0, state, a], critics[1, state, a])
                    - TEMPERATURE * np.log(probs[a])
                )
                for a in range(ACTIONS)
            )
        )
    return found


def test_values_and_targets_of_choices_are_those_of_a_literal_enumeration():
    params, target = tables()
    batch = every_pair()
    value = literal_value(np.asarray(params["actor"]), np.asarray(target))
    found = targets(Tables(), WEIGHTS, KEY, params, target, batch, LATENT)
    literal = [
        SCALE * REWARD[s, a] + (0 if ENDS[s, a] else DISCOUNT * value[NEXT[s, a]])
        for s in range(STATES)
        for a in range(ACTIONS)
    ]
    np.testing.assert_allclose(found, literal, rtol=1e-12)
    own = literal_value(np.asarray(params["actor"]), np.asarray(params["critic"]))
    loss, entropy = actor_loss(Tables(), KEY, params, jnp.eye(STATES), LATENT)
    np.testing.assert_allclose(loss, -np.mean(own), rtol=1e-12)
    probs = jax.nn.softmax(params["actor"])
    literal_entropy = -np.sum(np.asarray(probs * jnp.log(probs)), axis=1).mean()
    np.testing.assert_allclose(entropy, literal_entropy, rtol=1e-12)
    loss = critic_loss(Tables(), WEIGHTS, KEY, params, target, batch, LATENT)
    critic = np.asarray(params["critic"]).reshape(2, -1)
    squares = ((critic - np.array(literal)) ** 2).mean(axis=1).sum()
    np.testing.assert_allclose(loss, squares, rtol=1e-12)


def test_the_soft_values_of_a_policy_are_a_fixed_point():
    """Q = c r + γ P V solved as a linear system has no loss, and no gradient."""
    params, _ = tables()
    probs = np.asarray(jax.nn.softmax(params["actor"]))
    entropy = -TEMPERATURE * np.sum(probs * np.log(probs), axis=1)
    move = np.zeros((STATES, STATES))
    for s in range(STATES):
        for a in range(ACTIONS):
            move[s, NEXT[s, a]] += probs[s, a] * DISCOUNT * (not ENDS[s, a])
    bonus = SCALE * np.sum(probs * REWARD, axis=1) + entropy
    value = np.linalg.solve(np.eye(STATES) - move, bonus)
    q = SCALE * REWARD + DISCOUNT * np.where(ENDS, 0, value[NEXT])
    critic = jnp.asarray(np.stack([q, q]))
    params = {**params, "critic": critic}
    loss, slope = jax.value_and_grad(
        lambda params: critic_loss(
            Tables(), WEIGHTS, KEY, params, critic, every_pair(), LATENT
        )
    )(params)
    np.testing.assert_allclose(loss, 0, atol=1e-24)
    np.testing.assert_allclose(slope["critic"], 0, atol=1e-12)


def networks(actions: Actions, **other: Any) -> Networks:
    return Networks(
        **{
            "actions": actions,
            "latent_size": 2,
            "hidden_sizes": (6,),
            "encoder_sizes": (5,),
            "next_obs": False,
            "temperature": TEMPERATURE,
            "learn_temperature": True,
            "precision": "highest",
            **other,
        }
    )


NUMBERS = bounded_numbers(np.array([-0.1, -2.0]), np.array([0.1, 3.0]))
KINDS = {"choices": choices(3), "numbers": NUMBERS}


def batch_of(actions: Actions, num: int = 5) -> Transition:
    keys = jax.random.split(jax.random.key(7), 4)
    return Transition(
        obs=jax.random.normal(keys[0], (num, 4)),
        action=jax.nn.one_hot(
            jnp.arange(num) % actions.size, actions.size, dtype=float
        ),
        reward=jax.random.normal(keys[1], (num,)),
        next_obs=jax.random.normal(keys[2], (num, 4)),
        terminated=jnp.arange(num) == 1,
    )


def moving(net: Networks) -> Any:
    """Parameters whose outputs are not near 0, as those of a fresh last layer are."""
    params = net.init(jax.random.key(2), 4)
    noise = jax.random.key(3)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(noise, len(leaves))
    return structure.unflatten(
        [
            leaf + 0.3 * jax.random.normal(key, leaf.shape)
            for key, leaf in zip(keys, leaves, strict=True)
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_loss_moves_its_own_part_and_only_critics_move_z(kind: str):
    net = networks(KINDS[kind])
    params, batch = moving(net), batch_of(net.actions)
    target = jax.tree.map(lambda leaf: 1.1 * leaf, params["critic"])

    def norms(loss: Any) -> dict[str, float]:
        slope, of_latent = jax.grad(loss, argnums=(0, 1))(params, LATENT)
        told = {name: np.abs(_flat(own)).max() for name, own in slope.items()}
        return {**told, "z": np.abs(of_latent).max()}

    def of_critics(params: Any, latent: Any) -> Any:
        return critic_loss(net, WEIGHTS, KEY, params, target, batch, latent)

    def of_actor(params: Any, latent: Any) -> Any:
        return actor_loss(net, KEY, params, batch.obs, latent)[0]

    def of_temperature(params: Any, latent: Any) -> Any:
        _, entropy = actor_loss(net, KEY, params, batch.obs, latent)
        return temperature_loss(net, WEIGHTS, params, entropy)

    moved = {"critics": of_critics, "actor": of_actor, "temperature": of_temperature}
    expected = {
        "critics": {"critic", "z"},
        "actor": {"actor"},
        "temperature": {"log_temperature"},
    }
    for name, loss in moved.items():
        found = norms(loss)
        assert {part for part, norm in found.items() if norm > 0} == expected[name]

    def whole(params: Any, latent: Any) -> Any:
        return losses(net, WEIGHTS, KEY, params, target, batch, latent)[0]

    key_critic, _ = jax.random.split(KEY)
    of_latent = jax.grad(whole, argnums=1)(params, LATENT)
    alone = jax.grad(
        lambda latent: critic_loss(
            net, WEIGHTS, key_critic, params, target, batch, latent
        )
    )(LATENT)
    np.testing.assert_allclose(of_latent, alone, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_actors_gradient_is_that_of_a_finite_difference(kind: str):
    net = networks(KINDS[kind])
    params, obs = moving(net), batch_of(net.actions).obs
    direction = jax.tree.map(jnp.cos, params["actor"])

    def loss(actor: Any) -> Any:
        return actor_loss(net, KEY, {**params, "actor": actor}, obs, LATENT)[0]

    slope = jax.grad(loss)(params["actor"])
    along = sum(
        jnp.sum(a * b)
        for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True)
    )
    difference = central_difference(loss, params["actor"], direction)
    np.testing.assert_allclose(along, difference, rtol=1e-7)


def test_only_an_end_of_its_own_stops_the_bootstrap():
    net = networks(NUMBERS)
    params, batch = moving(net), batch_of(NUMBERS)
    aims = {
        ended: targets(
            net,
            WEIGHTS,
            KEY,
            params,
            params["critic"],
            batch._replace(terminated=jnp.full(5, ended)),
            LATENT,
        )
        for ended in (False, True)
    }
    np.testing.assert_allclose(aims[True], SCALE * batch.reward, rtol=1e-12)
    assert np.abs(aims[False] - aims[True]).min() > 1e-3
    mixed = targets(net, WEIGHTS, KEY, params, params["critic"], batch, LATENT)
    np.testing.assert_allclose(
        mixed, jnp.where(batch.terminated, aims[True], aims[False]), rtol=1e-12
    )


def test_targets_take_the_dense_reward_where_there_is_one():
    net = networks(NUMBERS)
    params, batch = moving(net), batch_of(NUMBERS)
    other = batch._replace(dense=batch.reward + 2)
    plain, dense = (
        targets(net, WEIGHTS, KEY, params, params["critic"], each, LATENT)
        for each in (batch, other)
    )
    np.testing.assert_allclose(dense - plain, 2 * SCALE, rtol=1e-10)
    found, same = (net.factors(params, each).mean for each in (batch, other))
    np.testing.assert_array_equal(found, same)


def test_the_density_of_numbers_is_in_the_unit_of_networks():
    """Other bounds change nothing; the mean of −log π is the entropy on −1 … 1."""
    wide = bounded_numbers(np.array([-5.0, 0.0]), np.array([5.0, 1.0]))
    params = Normal(jnp.array([[0.3, -0.6]]), jnp.array([[-0.5, 0.1]]))

    def flat(actions: Any) -> jax.Array:
        return jnp.zeros((2, 1, 1))

    keys = jax.random.split(KEY, 20_000)
    values, entropies = jax.vmap(
        lambda key: NUMBERS.soft_value(key, params, flat, TEMPERATURE)
    )(keys)
    one = wide.soft_value(keys[0], params, flat, TEMPERATURE)
    np.testing.assert_array_equal(one[0], values[0])
    np.testing.assert_allclose(values, TEMPERATURE * entropies, rtol=1e-12)
    exact = squashed_normal(-1.0, 1.0).entropy(params)
    error = 4 * np.std(entropies) / np.sqrt(len(keys))
    np.testing.assert_allclose(jnp.mean(entropies), exact[0], atol=error)


def test_too_little_entropy_raises_the_temperature():
    net = networks(choices(3))
    params = moving(net)
    for entropy, aim in ((0.2, 0.7), (0.9, 0.7)):
        slope = jax.grad(
            lambda params, h=entropy, aim=aim: temperature_loss(
                net, Weights(0.9, 1.0, aim), params, jnp.asarray(h)
            )
        )(params)
        np.testing.assert_allclose(slope["log_temperature"], entropy - aim, rtol=1e-12)
    default = jax.grad(
        lambda params: temperature_loss(net, WEIGHTS, params, jnp.asarray(0.0))
    )(params)
    np.testing.assert_allclose(default["log_temperature"], -0.98 * np.log(3))


def test_a_fixed_temperature_is_no_parameter():
    net = networks(choices(3), learn_temperature=False)
    params = net.init(jax.random.key(0), 4)
    assert set(params) == {"actor", "critic", "encoder"}
    np.testing.assert_allclose(jnp.exp(net.log_temperature(params)), TEMPERATURE)


def test_encoders_see_no_end_and_next_observations_by_choice():
    batch = batch_of(NUMBERS)
    changed = {
        "terminated": batch._replace(terminated=~batch.terminated),
        "next_obs": batch._replace(next_obs=batch.next_obs + 1),
        "obs": batch._replace(obs=batch.obs + 1),
        "action": batch._replace(action=batch.action + 1),
        "reward": batch._replace(reward=batch.reward + 1),
    }
    for next_obs, blind in (
        (False, {"terminated", "next_obs"}),
        (True, {"terminated"}),
    ):
        net = networks(NUMBERS, next_obs=next_obs)
        params = moving(net)
        before = net.factors(params, batch)
        unseen = {
            name
            for name, other in changed.items()
            if jnp.array_equal(net.factors(params, other).mean, before.mean)
        }
        assert unseen == blind


def test_variances_have_a_floor():
    net = networks(NUMBERS)
    params = moving(net)
    low = jax.tree.map(lambda leaf: leaf * 0 - 60, params["encoder"]["Dense_1"])
    params = {**params, "encoder": {**params["encoder"], "Dense_1": low}}
    factors = net.factors(params, batch_of(NUMBERS))
    np.testing.assert_array_equal(factors.variance, 1e-7)


def _flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
