"""Owners: their names, their presets, and what a choice brings and takes away."""

import dataclasses

import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.environment import world_of
from dmaml_jax.config.composition import CHOICES, owners_of
from dmaml_jax.config.values import ContinuousPolicy, Directed, Policy
from dmaml_jax.envs.registry import ENVIRONMENTS
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import LearnerOptions
from dmaml_jax.options import checked, options_of

ALGOS = registry.names()


@pytest.mark.parametrize("algo", ALGOS)
def test_no_two_owners_share_a_name(algo: str) -> None:
    for env in ("cartpole", "point"):
        for method in ("pg", "ac"):
            owners = owners_of(world_of(env), algo, method)
            names = [name for owner in owners.values() for name in options_of(owner)]
            assert len(names) == len(set(names))
            assert not {"out", "config", "resume", "log", "verbosity"} & set(names)


@pytest.mark.parametrize("algo", registry.LEARNERS)
def test_a_learner_s_options_are_its_function_s_arguments(algo: str) -> None:
    owner = registry.options_class(algo)
    assert issubclass(owner, LearnerOptions) and dataclasses.is_dataclass(owner)
    arguments = registry.find(algo).__kwdefaults__ or {}
    assert set(registry.own_options(owner())) <= set(arguments)


@pytest.mark.parametrize("env", [*ENVIRONMENTS, "gymnax:Pendulum-v1"])
def test_an_environment_s_preset_names_owners_and_their_values(env: str) -> None:
    """Each value is one that some choice has, and allowed there."""
    world = world_of(env)
    owners = owners_of(world, "directed-maml", "pg")
    for place, values in world.preset.items():
        options = options_of(owners[place])
        for name, value in values.items():
            checked(options[name], value)
    configuration(env)


@pytest.mark.parametrize("algo", ALGOS)
def test_a_learner_s_preset_names_owners_and_their_values(algo: str) -> None:
    owners = owners_of(world_of("cartpole"), algo, "pg")
    for place, values in registry.entry(algo).preset.items():
        for name, value in values.items():
            option = options_of(owners[place])[name]
            assert checked(option, value) != option.default
    config = configuration(algo=algo)
    assert (config.directed is None) != registry.is_directed(algo)


def test_help_of_every_value_is_a_line_with_its_symbol() -> None:
    for algo in registry.LEARNERS:
        for owner in owners_of(world_of("point"), f"directed-{algo}", "ac").values():
            for option in options_of(owner).values():
                assert 10 < len(option.help) < 100 and "\n" not in option.help
                assert checked(option, option.default) == option.default


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_what_a_learner_needs_somewhere_names_owners_and_values(env: str) -> None:
    for algo, preset in world_of(env).learner_presets.items():
        config = configuration(env, algo)
        for place, values in preset.items():
            for name, value in values.items():
                assert getattr(getattr(config, place), name) == value


def test_a_learner_s_preset_for_a_place_is_for_its_variants_and_no_others() -> None:
    for algo in ("sg-mrl", "directed-sg-mrl"):
        assert configuration("point", algo).learner.inner_lr == 0.01
        assert configuration("cartpole", algo).learner.inner_lr == 0.001
    assert configuration("point", "maml2", base="sg-mrl").learner.inner_lr == 0.01
    assert configuration("point", "maml").learner.inner_lr == 0.1


def test_a_learner_on_another_has_its_preset_too() -> None:
    """ProMP's η and clipping are stated for losses that are means, in MAML² as well."""
    promp = configuration(algo="promp")
    built = configuration(algo="maml2", base="promp")
    assert built.learner.surrogate == promp.learner.surrogate == "lvc"
    assert built.learner.inner_lr == promp.learner.inner_lr
    assert built.method.step_reduction == promp.method.step_reduction == "mean"
    assert built.learner.steps_per_epoch == promp.learner.steps_per_epoch == 5
    plain = configuration(algo="maml2")
    assert plain.method.step_reduction == "sum" and plain.learner.steps_per_epoch == 1
    given = configuration(algo="maml2", base="promp", step_reduction="sum")
    assert given.method.step_reduction == "sum"
    with pytest.raises(UsageError, match="--base is mamml"):
        configuration(algo="maml2", base="mamml")


@pytest.mark.parametrize("algo", ALGOS)
def test_what_decides_of_other_values_is_known_as_a_choice(algo: str) -> None:
    """Commands take these from the command line first, and then all others."""
    for method in ("pg", "ac"):
        for owner in owners_of(world_of("point"), algo, method).values():
            for option in options_of(owner).values():
                assert set(option.where) <= set(CHOICES), option.name


def test_a_choice_brings_its_values_with_the_presets() -> None:
    plain = configuration("point", "maml", inner_lr=0.3, outer_lr=0.5)
    assert "directed_lr" not in plain.flat() and "baseline" in plain.flat()
    directed = plain.replace(algo="directed-maml")
    assert isinstance(directed.directed, Directed)
    assert directed.directed.directed_lr == 0.02  # of point, not of Table I
    assert directed.learner.inner_lr == 0.3
    critic = directed.replace(method="ac", gae_lambda=0.5)
    assert "baseline" not in critic.flat() and critic.flat()["gae_lambda"] == 0.5
    assert critic.replace(algo="maml", method="pg") == plain
    scored = plain.replace(algo="sg-mrl")
    assert scored.flat()["score_baseline"] == "others"
    assert scored.method.normalize_advantages  # kept, not the learner's preset


def test_the_policy_s_values_follow_the_actions() -> None:
    assert type(configuration("cartpole").policy) is Policy
    assert type(configuration("point").policy) is ContinuousPolicy
    assert type(configuration("gymnax:Pendulum-v1").policy) is ContinuousPolicy
    assert type(configuration("gymnax:Acrobot-v1").policy) is Policy


def test_a_value_beside_another_choice_is_not_kept() -> None:
    config = configuration(surrogate="loaded-dice", loaded_dice_lambda=0.5)
    assert config.replace(seeds=2).learner.loaded_dice_lambda == 0.5
    other = config.replace(surrogate="lvc")
    assert "loaded_dice_lambda" not in other.flat()
    assert other.replace(surrogate="loaded-dice").learner.loaded_dice_lambda == 1.0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"gae_lambda": 0.5},
            "^--gae-lambda belongs to --method ac: leave it out",
        ),
        ({"method": "ac", "baseline": "none"}, "^--baseline belongs to --method pg"),
        ({"algo": "maml", "plateau_patience": 2}, "^--plateau-patience belongs to dir"),
        ({"plateau_patience": 2}, "belongs to --directed-gate until-plateau: leave"),
        ({"medium_values": ("gravity=9",)}, "belongs to --medium-task given"),
        ({"bounds": "clip"}, "belongs to environments with continuous actions"),
        ({"multi_step_epochs": 2}, r"belongs to --algo maml\+\+ \(directed or not\)"),
        ({"inner_rl": 2}, "no value 'inner_rl': .* Did you mean --inner-lr"),
        ({"vary": "gravity=5:15"}, "--vary is 'gravity=5:15', but .* a tuple of str"),
        ({"method": "reinforce"}, "--method is 'reinforce', but .* one of pg, ac"),
        ({"algo": 3}, "--algo is 3"),
        ({"env": 3}, "--env is 3"),
        ({"obs_squash": 1}, "--obs-squash is 1, but it must be True or False"),
        ({"seed": 2**32 - 1, "seeds": 2}, "the last seed below 2"),
        ({"set": ("gravity=9",)}, "fixes what --vary gravity varies"),
    ],
)
def test_a_refusal_is_one_sentence(values, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        configuration(**values)
    assert "\n" not in str(caught.value)


def test_lists_become_tuples() -> None:
    config = configuration(hidden_sizes=[3, 4], vary=["gravity=5:6"])
    assert config.policy.hidden_sizes == (3, 4) and config == configuration(
        hidden_sizes=(3, 4), vary=("gravity=5:6",)
    )
