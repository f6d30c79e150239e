"""What the studies declare, and that their quick versions draw everything."""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import studies_of_tests  # noqa: F401 - puts the checkout on the path

from dmaml_jax.build import problem
from dmaml_jax.rl import policy_gradient
from dmaml_jax.types import Trajectory
from experiments.controls.study import BETAS, PAIRS, PLACES
from experiments.engine.command import STUDIES, main, run, study_of
from experiments.engine.declared import Run
from experiments.engine.results import Results
from experiments.engine.training import config_of
from experiments.figure3.study import rounding


def equal_episodes() -> Trajectory:
    """Ten episodes of 200 steps, each of which pays 1, as on a solved CartPole."""
    ones = jnp.ones((10, 200))
    return Trajectory(
        obs=jnp.zeros((10, 201, 1)),
        actions=jnp.zeros((10, 200), jnp.int32),
        log_probs=-ones,
        rewards=ones,
        alive=ones > 0,
        terminated=ones < 0,
    )


def advantages() -> np.ndarray:
    objective = policy_gradient.policy_gradient(
        None,  # pyright: ignore - advantages look at no policy
        discount=0.99,
        baseline=problem._BASELINES["leave-one-out"],
    )
    return np.asarray(objective.advantages({}, equal_episodes()).advantages)


@pytest.mark.float32
def test_the_switch_of_figure_3_makes_gradients_of_rounding_and_nothing_else() -> None:
    """Equal episodes: 0 in the product, full size within the switch, 0 after it."""
    np.testing.assert_array_equal(advantages(), 0)
    with rounding():
        blown_up = advantages()
    assert np.abs(blown_up).max() > 1 and np.abs(blown_up.std() - 1) < 0.1
    np.testing.assert_array_equal(advantages(), 0)


def test_choices_are_made_on_seeds_of_their_own() -> None:
    """And from grids of equal size, plain and directed."""
    chosen = [own for own in study_of("controls").runs if own.choice is not None]
    assert len(chosen) == 2 * len(PLACES)
    for own in chosen:
        assert own.choice is not None and len(own.choice.seeds) == 3
        assert not set(own.choice.seeds) & set(own.seeds)
        assert len(own.candidates()) == len(BETAS) == len(PAIRS) == len(set(PAIRS))


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_that_is_declared_makes_sense(name: str) -> None:
    """They are configurations, by unique names within their panels."""
    runs = study_of(name).runs
    assert len({own.name for own in runs}) == len(runs)
    for own in runs:
        for candidate in own.candidates() or (own,):
            assert config_of(candidate).run.epochs == own.epochs


def test_the_extra_outer_episodes_cost_what_the_pre_step_costs() -> None:
    """Control (e) at equal episodes, in every environment that has it."""
    from experiments.engine.gathering import episodes_of

    runs = {own.name: own for own in study_of("controls").runs}
    for env in PLACES:
        more = runs.get(f"{env}/(e) MAML, more outer episodes")
        if more is None:
            assert env == "lunarlander"
            continue
        directed = runs[f"{env}/(b) Directed-MAML"]
        counts = [episodes_of(config_of(own).nested()) for own in (more, directed)]
        assert counts[0] == counts[1]


def test_what_two_studies_declare_is_one_run() -> None:
    """The controls' (a) and (b) are Figure 2's MAML and Directed-MAML."""
    figure2 = {own.name: own.id for own in study_of("figure2").runs}
    controls = {own.name: own.id for own in study_of("controls").runs}
    panels = {"cartpole": "cartpole-pg", "intersection": "intersection-preset"}
    for env, panel in panels.items():
        assert controls[f"{env}/(a) MAML"] == figure2[f"{panel}/MAML"]
        assert controls[f"{env}/(b) Directed-MAML"] == figure2[f"{panel}/Directed-MAML"]


@pytest.mark.parametrize("env", ["intersection", "lunarlander"])
def test_figure_2_has_table_i_whatever_the_preset_says(env: str) -> None:
    """α, β, δ, γ, M and K, one estimator and no falling rates, in each environment."""
    wanted = {
        "inner_lr": 0.001,
        "outer_lr": 0.001,
        "directed_lr": 0.005,
        "discount": 0.99,
        "num_tasks": 5,
        "num_trajectories": 10,
        "step_reduction": "sum",
        "normalize_advantages": True,
        "outer_schedule": "constant",
        "directed_schedule": "constant",
        "baseline": "leave-one-out",
    }
    for own in study_of("figure2").runs:
        if own.panel.startswith(env) and own.panel != f"{env}-preset":
            flat = config_of(own).flat()
            found = {name: flat[name] for name in wanted if name in flat}
            assert found == {name: wanted[name] for name in found}
            assert len(found) >= 8


@pytest.mark.slow
@pytest.mark.float32
@pytest.mark.parametrize("name", STUDIES)
def test_quick_versions_draw_everything(name: str, tmp_path: Path, monkeypatch) -> None:
    """`make reproduce QUICK=1`, a study at a time in this process."""
    monkeypatch.setattr("dmaml_jax.training.devices.configure", lambda *_: None)
    jax.config.update("jax_disable_most_optimizations", True)  # as the command does
    study, out = study_of(name), tmp_path / name
    assert run(study, quick=True, work=tmp_path / "work", out=out) == 0
    results = Results(out / "results")
    for own in study.quick().runs:
        resolved = results.resolved(own)
        assert resolved is not None and results.is_whole(resolved), own.name
    pictures = [path.name for path in study.home.glob("*.png")]
    assert pictures and all((out / picture).exists() for picture in pictures)
    assert "{" not in (out / "README.md").read_text()
    jax.clear_caches()


def test_toy_studies_have_a_process_each(monkeypatch) -> None:
    """What has not begun when one fails is left out, and its code is the command's."""
    begun: list[str] = []

    def fake(command: list[str], check: bool) -> SimpleNamespace:
        begun.append(command[3])
        assert command[1:3] == ["-m", "experiments"] and command[4:] == ["--quick"]
        return SimpleNamespace(returncode=130 if command[3] == "controls" else 0)

    monkeypatch.setattr("experiments.engine.command.subprocess.run", fake)
    monkeypatch.setattr("dmaml_jax.training.devices.usable_cores", lambda: 1)
    assert main(["figure2", "figure3", "--quick"]) == 0
    assert begun == ["figure2", "figure3"]
    begun.clear()
    assert main(["all", "--quick"]) == 130
    assert begun == list(STUDIES[: STUDIES.index("controls") + 1])


def test_so_many_seeds_may_be_enough(tmp_path: Path) -> None:
    """What `--first` asks for is not trained again where the tables have it."""
    run = Run("toy", "MAML", "cartpole", "maml", 3, range(1, 31))
    results = Results(tmp_path)
    results.runs = [
        {"run": run.name, "id": run.id, "first_seed": 1, "seeds": 10, "asked": 30}
    ]
    assert not results.is_whole(run)
    assert results.is_whole(run, 10)
    assert not results.is_whole(run, 11)
