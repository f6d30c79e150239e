"""The study of whole lives: what it declares, its bounds, and what it tells."""

import pytest
import studies_of_tests  # noqa: F401 - puts the checkout on the path

from dmaml_jax.envs.bandit_optimum import bayes_optimum
from experiments.lifetimes import measuring, study
from experiments.lifetimes.cells import CELLS, is_memory, run_of


def row(learner: str, seed: int, total: float, after: int | str = "") -> dict[str, str]:
    return {"learner": learner, "seed": f"{seed}", "return": f"{total}"} | {
        "steps_after": f"{after}"
    }


def test_a_memory_lives_as_long_as_it_was_trained_to() -> None:
    """And the parts of a gradient learner's life are whole."""
    for name, cell in CELLS.items():
        for learner in cell.runs:
            run = run_of(name, learner)
            if is_memory(learner):
                assert run.values["episodes_per_trial"] == cell.episodes
            else:
                assert all(cell.episodes % each == 0 for each in cell.steps_after)
            if run.choice is not None:
                assert not set(run.choice.seeds) & set(run.seeds)


def test_one_change_of_the_policy_is_bounded_by_the_best_of_all() -> None:
    """Ten pulls of five arms: at random until the best number of them, then one arm."""
    agents = measuring._of_bandits("bandit-5-10", 2000)
    bound, error = agents["one choice after uniform pulls"]
    best, _ = agents["Bayes optimum"]
    assert best == pytest.approx(bayes_optimum(5, 10)) and error is None
    # After one pull the arm that paid has 2/3, another one 1/2: 7/12 on average.
    assert 0.5 + 9 * 7 / 12 < bound < agents["greedy"][0] < best
    mean, error = agents["Thompson sampling"]
    assert error is not None and abs(mean - 5.838) < 5 * error


def test_a_learner_is_told_with_the_k_that_is_best_for_it() -> None:
    rows = [row("MAML", seed, 60 + seed, 20) for seed in (1, 2)]
    rows += [row("MAML", seed, 70 + seed, 10) for seed in (1, 2)]
    assert study._best(rows) == "71.50 (71.00 to 72.00)"
    assert study._best(rows[:1]) == "61.00"
    assert study._label(rows[0]) == "MAML, K = 20"
    assert study._label(row("RL²", 1, 14.2)) == "RL²"
