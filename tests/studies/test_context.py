"""The study of memory, belief and gradient: equal steps, and what the best earn."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import studies_of_tests  # noqa: F401 - puts the checkout on the path

from dmaml_jax import envs
from dmaml_jax.envs.bandit_optimum import bayes_optimum
from experiments.context import oracles
from experiments.context.learners import epochs_of, learners_of, run_of
from experiments.context.places import PLACES
from experiments.engine.declared import HERE
from experiments.engine.gathering import episodes_of
from experiments.engine.results import Results
from experiments.engine.training import config_of

EXACT = ("bandit", "gridworld", "mdp")
"""The places whose episodes never end early."""
CELLS = [(name, learner) for name in PLACES for learner in learners_of(name)]


def steps_of_epoch(name: str, learner: str) -> float:
    """By the configuration of the run itself."""
    place = PLACES[name]
    config = config_of(run_of(name, learner)).nested()
    return episodes_of(config) * place.lengths.get(learner, place.horizon)


@pytest.mark.parametrize(("name", "learner"), CELLS)
def test_every_learner_trains_with_the_budget_of_its_place(
    name: str, learner: str
) -> None:
    """But for the rounding to whole epochs; PEARL's first look counts too."""
    place, run = PLACES[name], run_of(name, learner)
    steps = run.epochs * steps_of_epoch(name, learner)
    if learner == "PEARL":
        values = config_of(run).learner
        length = place.lengths.get(learner, place.horizon)
        steps += values.bank_tasks * run.values["num_trajectories"] * length
    assert run.epochs == epochs_of(place, learner)
    assert abs(steps - place.budget) <= steps_of_epoch(name, learner) / 2


def test_measured_runs_took_the_steps_that_they_were_to_take() -> None:
    """The tables have the steps that training counted itself."""
    results = Results(HERE / "context" / "results")
    counted = 0
    for name, learner in CELLS:
        if name in EXACT:
            steps = results.column(f"{name}/{learner}", "steps")
            short = np.abs(np.asarray(steps) - PLACES[name].budget)
            assert (short <= steps_of_epoch(name, learner) / 2).all(), (name, learner)
            counted += len(steps)
    assert counted > 0


def test_no_choice_is_made_on_a_seed_that_is_shown() -> None:
    for name, learner in CELLS:
        run = run_of(name, learner)
        if run.choice is not None:
            assert not set(run.choice.seeds) & set(run.seeds)


def test_a_bandit_s_optimum_by_pull_adds_up_to_that_of_the_trial() -> None:
    curves = oracles._of_bandits(20, 10)
    best, uniform = curves["Bayes optimum"], curves["best after uniform pulls"]
    assert sum(best.values()) == pytest.approx(bayes_optimum(5, 20), rel=1e-9)
    # The first pull tells as much in either way, and later ones less at random.
    assert best[1] == pytest.approx(7 / 12) and uniform[1] == pytest.approx(7 / 12)
    assert all(uniform[pulls] < best[pulls] for pulls in range(2, 11))


def test_the_gridworld_s_search_ends_as_one_who_sees_the_goal() -> None:
    curves = oracles._of_grids(4)
    assert curves["best search"][0] == 4 and len(curves["best search"]) == 4
    # From the start a goal d steps away is paid from step d on: 15 - d + 1 times.
    cells = [(x, y) for x in range(5) for y in range(5) if x > 1 or y > 1]
    known = [(16 - x - y) - 0.1 * (x + y - 1) for x, y in cells]
    found = curves["knows the task"][""]
    assert len(cells) == 21 and found == pytest.approx(np.mean(known))
    assert curves["best search"][3] == pytest.approx(found)


def test_who_sees_the_goal_of_the_point_goes_straight_to_it() -> None:
    """Flown in the environment itself; half as fast near the goal is worse."""
    env, _ = envs.make("point")

    def task(goal: jax.Array) -> Any:
        place = {"goal_x": goal[0], "goal_y": goal[1], "goal_radius": 0.0}
        return env.default_params.replace(**place)

    def fly(goal: jax.Array, share: float) -> jax.Array:
        def step(carry: Any, _: None) -> tuple[Any, jax.Array]:
            obs, state = carry
            move = share * (goal - obs)
            obs, state, reward, *_ = env.step_env(key, state, move, task(goal))
            return (obs, state), reward

        key = jax.random.key(0)
        first = env.reset_env(key, task(goal))
        return jnp.sum(jax.lax.scan(step, first, length=12)[1])

    goals = jnp.array([[0.5, -0.37], [0.03, 0.21], [-0.44, 0.0]])
    flown = jax.jit(jax.vmap(fly, in_axes=(0, None)), static_argnums=1)
    straight = oracles._of_goals(jax.vmap(task)(goals), 12)
    assert straight == pytest.approx(float(flown(goals, 1.0).mean()))
    assert flown(goals, 0.5).mean() < straight - 0.004


def test_who_knows_its_tables_gets_the_mean_of_the_tasks() -> None:
    """Two MDPs of one state in effect: the best action pays 2, and 3."""
    env, _ = envs.make("mdp")
    params = env.default_params
    rewards = jnp.zeros_like(params.rewards).at[:, 1].set(1.0)
    tasks = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        params.replace(rewards=2 * rewards),
        params.replace(rewards=3 * rewards),
    )
    assert oracles._of_tables(tasks, 10) == pytest.approx(25.0)
