"""Environment, tasks and networks with a latent variable, put together for PEARL."""

from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from dmaml_jax.learners.beliefs import (
    Evidence,
    believed,
    drawn,
    evidence,
    nothing,
    together,
)
from dmaml_jax.learners.parts import part
from dmaml_jax.rl.latent_networks import Networks
from dmaml_jax.rl.policies import as_vector
from dmaml_jax.rl.problem import discounted_return
from dmaml_jax.rl.rollout import rollout
from dmaml_jax.rl.soft_actor_critic import Weights, losses
from dmaml_jax.rl.transitions import transitions_of
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import (
    Agent,
    OffPolicy,
    Params,
    Policy,
    Problem,
    Task,
    Trajectory,
)

_CHUNK = 20  # steps between two checks of whether every episode has ended


def latent_policy(
    env: Any,
    tasks: TaskDistribution,
    networks: Networks,
    *,
    obs_scale: float = 1.0,
    obs_squash: bool = False,
) -> Policy:
    """π(a|o, z), whose parameters are a pair of θ and z.

    Args:
        env: an environment with gymnax's interface, whose observations are arrays.
        tasks: the distribution of its parameters.
        networks: the shapes of the networks.
        obs_scale: what observations are multiplied by.
        obs_squash: whether they are squashed then, see `policies.on_arrays`.

    Returns:
        The policy; its `init` makes all of θ, without a z.
    """
    vector = _vectors_of(env, tasks, obs_scale, obs_squash)

    def apply(params: tuple[Params, jax.Array], obs: jax.Array) -> Any:
        theta, latent = params
        return networks.act(theta["actor"], vector(obs), latent)

    return Policy(
        init=lambda key, obs: networks.init(key, vector(obs).shape[-1]),
        apply=apply,
        distribution=networks.actions.distribution,
    )


def latent_problem(
    env: Any,
    tasks: TaskDistribution,
    networks: Networks,
    weights: Weights,
    *,
    horizon: int,
    num_trajectories: int,
    obs_scale: float = 1.0,
    obs_squash: bool = False,
    dense: bool = True,
) -> Problem:
    """The problem that PEARL learns.

    What acts is an `Agent` whose memory is the evidence of what each of its lives has
    met: every episode draws a z from the belief that follows, and keeps it to its end.

    Args:
        env: an environment with gymnax's interface, whose observations are arrays.
        tasks: the distribution of its parameters.
        networks: the shapes of the networks.
        weights: the numbers of the losses.
        horizon: H, the number of steps that an episode has at most.
        num_trajectories: K, the number of trajectories of a collection, and of lives.
        obs_scale: what observations are multiplied by.
        obs_squash: whether they are squashed then, see `policies.on_arrays`.
        dense: whether values are learned from the environment's dense reward, where a
            task pays a sparse one. What an agent is shown is the task's own, always.

    Returns:
        The problem, without losses of trajectories: it has those of transitions.
    """
    policy = latent_policy(
        env, tasks, networks, obs_scale=obs_scale, obs_squash=obs_squash
    )
    vector = _vectors_of(env, tasks, obs_scale, obs_squash)
    of_data = partial(
        transitions_of,
        vector=vector,
        shown=networks.actions.shown,
        dense=dense_reward_of(env) if dense else None,
    )

    def init(key: jax.Array) -> Params:
        return policy.init(key, jnp.zeros(*_observed(env, tasks)))

    def collect(
        key: jax.Array, agent: Agent, task: Task, num: int = num_trajectories
    ) -> Trajectory:
        num_lives = agent.memory.precision.shape[0]

        def one(key: jax.Array, life: jax.Array) -> Trajectory:
            key_latent, key_rollout = jax.random.split(key)
            return rollout(
                key_rollout,
                _embodied(key_latent, agent, life),
                task,
                env=env,
                policy=policy,
                horizon=horizon,
                chunk=_CHUNK,
            )

        lives = jnp.arange(num, dtype=jnp.int32) % num_lives
        with part("rollouts"):
            return jax.vmap(one)(jax.random.split(key, num), lives)

    def newborn(params: Params) -> Agent:
        # Critics do not act.
        acting = {name: params[name] for name in ("actor", "encoder")}
        return Agent(acting, _lives(nothing(networks.latent_size), num_trajectories))

    def live(key: jax.Array, agent: Agent, task: Task) -> tuple[Trajectory, Agent]:
        params, memory = agent
        data = collect(key, agent, task, memory.precision.shape[0])

        def met(episode: Trajectory) -> Evidence:
            of_one = jax.tree.map(lambda leaf: leaf[None], episode)
            transitions, mask = of_data(of_one, task)
            return evidence(networks.factors(params, transitions), mask)

        grown = jax.vmap(together)(memory, jax.vmap(met)(data))
        return data, Agent(params, grown)

    return Problem(
        init=init,
        sample_tasks=lambda key, num: jax.vmap(tasks.sample)(
            jax.random.split(key, num)
        ),
        medium_task=tasks.mean,
        collect=collect,
        advantages=_absent,
        inner_loss=_absent,
        outer_loss=_absent,
        objective=partial(discounted_return, weights.discount),
        log_probs=_absent,
        kl=None,
        performance=lambda data: jnp.mean(jnp.sum(data.rewards, axis=1)),
        num_steps=lambda data: jnp.sum(data.alive, dtype=jnp.int32),
        newborn=newborn,
        live=live,
        off_policy=OffPolicy(
            transitions=of_data,
            factors=networks.factors,
            loss=partial(losses, networks, weights),
            target=lambda params: params["critic"],
            embodied=_embodied,
        ),
    )


def dense_reward_of(env: Any) -> Any:
    """`(o', task) -> ` the dense reward beside an environment's sparse one, or None."""
    return getattr(env, "dense_reward", None)


def _embodied(
    key: jax.Array, agent: Agent, life: jax.Array
) -> tuple[Params, jax.Array]:
    """θ, and a z of what a life believes."""
    own = jax.tree.map(lambda leaf: leaf[life], agent.memory)
    return agent.params, drawn(key, believed(own))


def _lives(one: Evidence, num: int) -> Evidence:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), one)


def _observed(env: Any, tasks: TaskDistribution) -> tuple[tuple[int, ...], Any]:
    """The shape and the type of an observation."""
    with jax.numpy_dtype_promotion("standard"):
        obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), tasks.mean())
    return obs.shape, obs.dtype


def _vectors_of(env: Any, tasks: TaskDistribution, scale: float, squash: bool) -> Any:
    shape, _ = _observed(env, tasks)
    return partial(as_vector, shape=shape, scale=scale, squash=squash)


def _absent(*_: Any) -> NoReturn:
    """Losses of trajectories, which nobody may ask an off-policy problem for."""
    raise TypeError("This problem has losses of single transitions only.")
