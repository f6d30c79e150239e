"""Environments of one's own: what they may return, and what is refused at once.

Every odd environment is CartPole in other clothes, so that its numbers are known.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from dmaml_jax import make_train_step
from dmaml_jax.build.interface import require_sound
from dmaml_jax.envs import CartPole
from dmaml_jax.errors import UsageError
from dmaml_jax.rl.action_distributions import categorical
from dmaml_jax.rl.episodes import recorder
from dmaml_jax.rl.policies import mlp_categorical
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.types import Policy

pytestmark = pytest.mark.float32
SMALL = {"num_tasks": 2, "num_trajectories": 3, "horizon": 25}


class Odd:
    """CartPole by its plain functions, with what a step returns changed."""

    name = "odd"

    def __init__(self, params=None):
        self.inner = CartPole()
        self.default_params = params or self.inner.default_params
        self.action_space = self.inner.action_space
        self.is_truncated = self.inner.is_truncated

    def reset_env(self, key, params):
        obs, state = self.inner.reset_env(key, params)
        return self.seen(obs), state

    def step_env(self, key, state, action, params):
        obs, *rest = self.inner.step_env(key, state, action, params)
        return self.changed(self.seen(obs), *rest)

    def seen(self, obs):
        return obs

    def changed(self, obs, state, reward, terminated, info):
        return obs, state, reward, terminated, info


class OfParts(Odd):
    def seen(self, obs):
        return {"cart": obs[..., :2], "pole": {"angle": obs[..., 2:]}}


class OfNumbers(Odd):
    def changed(self, obs, state, reward, terminated, info):
        return obs, state, reward, terminated.astype(float), info


def whole(obs):
    if not isinstance(obs, dict):
        return obs
    return jnp.concatenate([obs["cart"], obs["pole"]["angle"]], axis=-1)


def policy_on_parts(critic: str = "none") -> Policy:
    plain = mlp_categorical(2, (4,), critic=critic)
    value = plain.value
    return Policy(
        lambda key, obs: plain.init(key, whole(obs)),
        lambda params, obs: plain.apply(params, whole(obs)),
        categorical(),
        value and (lambda params, obs: value(params, whole(obs))),
    )


def after_an_epoch(env, policy, **values):
    tasks = uniform(env.default_params, gravity=(5.0, 15.0))
    init, step = make_train_step(
        env, "maml", tasks=tasks, policy=policy, **SMALL, **values
    )
    state, info = jax.jit(step)(jax.random.key(1), init(jax.random.key(0)))
    return jax.tree.leaves((state.params, info.return_after, info.num_steps))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (OfParts, {}),
        pytest.param(OfParts, {"baseline": "linear"}, marks=pytest.mark.slow),
        pytest.param(OfParts, {"method": "ac"}, marks=pytest.mark.slow),
        (OfNumbers, {}),
    ],
)
def test_odd_clothes_change_no_number(kind, values) -> None:
    """Observations in parts; ends that are numbers, where ~1.0 is no truth value."""
    critic = "separate" if values.get("method") == "ac" else "none"
    plain = after_an_epoch(CartPole(), policy_on_parts(critic), **values)
    odd = after_an_epoch(kind(), policy_on_parts(critic), **values)
    # 2 tasks, 2 collections of 3 episodes: some ended before the horizon.
    assert plain[-1] < 2 * 2 * 3 * 25
    for one, two in zip(plain, odd, strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-6)


def test_an_end_that_is_a_python_bool_is_one() -> None:
    """Never ending, every trajectory lives through the horizon."""

    class Endless(Odd):
        def changed(self, obs, state, reward, terminated, info):
            return obs, state, reward, False, info

    leaves = after_an_epoch(Endless(), mlp_categorical(2, (4,)))
    assert leaves[-1] == 2 * 2 * 3 * 25


def test_episodes_of_parts_are_recorded() -> None:
    env, policy = OfParts(), policy_on_parts()
    task, key = env.default_params, jax.random.key(3)
    params = policy.init(key, jnp.zeros(4))
    odd = recorder(env, policy, 120)(key, params, task)
    plain = recorder(CartPole(), policy, 120)(key, params, task)
    assert odd.length == plain.length < 120 and odd.terminated and plain.terminated
    np.testing.assert_allclose(whole(odd.obs), plain.obs, rtol=1e-6)


@struct.dataclass
class WithStatic:
    """Parameters of which one is no data."""

    gravity: float = 9.8
    max_steps_in_episode: int = 200
    kind: str = struct.field(pytree_node=False, default="short")
    size: int = struct.field(pytree_node=False, default=3)


class Static(Odd):
    def __init__(self):
        super().__init__(WithStatic())
        self.reset_env = lambda key, params: (jnp.zeros(4), jnp.int32(0))
        self.step_env = lambda key, state, action, params: (
            jnp.zeros(4) + params.gravity,
            state + 1,
            params.gravity * params.size,
            jnp.array(False),
            {},
        )
        self.is_truncated = lambda state, params: False


def test_static_fields_stay_as_they_are_and_cannot_vary() -> None:
    env, policy = Static(), mlp_categorical(2, (4,))
    with pytest.raises(ValueError, match=r"'size' is a static field"):
        uniform(env.default_params, size=(1.0, 3.0))
    leaves = after_an_epoch(env, policy)
    # Three times the gravity of two tasks within 5 and 15, for 25 steps.
    assert 25 * 3 * 5 < leaves[-2] < 25 * 3 * 15


def changed(**parts):
    """An `Odd` whose step returns one thing else."""

    class Changed(Odd):
        def changed(self, obs, state, reward, terminated, info):
            found = {
                "obs": obs,
                "state": state,
                "reward": reward,
                "terminated": terminated,
                "info": info,
            }
            return tuple({**found, **parts}.values())

    return Changed()


def without(part: str):
    env = Odd()
    if part in vars(env):
        delattr(env, part)
        return env
    kept = {"reset_env", "step_env"} - {part}
    parts = {name: getattr(env, name) for name in kept}
    parts |= {"inner": env.inner, "default_params": env.default_params}
    parts |= {"action_space": env.action_space, "is_truncated": env.is_truncated}
    return type("Partial", (), parts)()


REFUSED = [
    (changed(reward=jnp.ones(1)), r"reward of odd is of shape \(1,\).*such as x\[0\]"),
    (changed(terminated=jnp.ones(2, bool)), r"terminated of odd is of shape \(2,\)"),
    (changed(obs=jnp.ones(3)), r"observation of odd is .*\(4,\).*\(3,\)"),
    (changed(state=jnp.ones(3)), r"The state of odd is"),
    (changed(extra=3), r"step_env of odd must return five values"),
    (without("is_truncated"), r"odd has no is_truncated: give it one, \(state, params"),
    (without("action_space"), r"odd has no action_space"),
    (without("reset_env"), r"Partial has no reset_env"),
    (CartPole, r"made, not its class"),
    (object(), r"must be an environment's name"),
    (OfParts(), r"observations of odd are no arrays.*pass policy="),
]


@pytest.mark.parametrize(("env", "said"), REFUSED)
def test_what_no_rollout_can_take_is_refused_before_compiling(env, said) -> None:
    tasks = uniform(CartPole().default_params, gravity=(5.0, 15.0))
    with pytest.raises(UsageError, match=said) as told:
        make_train_step(env, "maml", tasks=tasks)
    assert "\n" not in str(told.value) and str(told.value).endswith(".")


def test_a_time_limit_that_cannot_be_asked_is_told() -> None:
    env = Odd()
    env.is_truncated = lambda state, params: state.clock > 3
    with pytest.raises(UsageError, match=r"is_truncated of odd fails .*clock"):
        require_sound(env, env.default_params)
    static = Static()
    static.default_params = dataclasses.replace(WithStatic(), size=2)
    tasks = uniform(static.default_params, gravity=(5.0, 15.0))
    make_train_step(static, "maml", tasks=tasks, horizon=0)
