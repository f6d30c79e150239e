"""What a sweep varies: how it is written, and the settings that it makes."""

import pytest

from dmaml_jax.build import configuration
from dmaml_jax.commands.table import read_table
from dmaml_jax.config.grid import Axis, parse_grid, points
from dmaml_jax.config.settings import groups_of, settings_of
from dmaml_jax.errors import UsageError

DIRECTED, MAML = (configuration("cartpole", algo) for algo in ("directed", "maml"))


def test_forms_of_a_grid() -> None:
    axes = parse_grid(
        ["inner_lr=0.001,0.01", "--outer-lr=0.1:0.3:3", "directed_lr=1e-3:1e-1:log3"],
        drawn=False,
    )
    assert axes == [
        Axis("inner_lr", ("0.001", "0.01")),
        Axis("outer_lr", (0.1, 0.2, 0.3)),
        Axis("directed_lr", (0.001, 0.01, 0.1)),
    ]
    assert len(points(axes)) == 2 * 3 * 3


def test_drawn_settings_stay_in_their_ranges_and_follow_from_their_seed() -> None:
    axes = parse_grid(
        ["inner_lr=0.001:0.1:log", "outer_lr=0:1", "num_inner_steps=1:3"], drawn=True
    )
    drawn = points(axes, samples=400, seed=3)
    assert drawn == points(axes, samples=400, seed=3)
    assert drawn != points(axes, samples=400, seed=4)
    rates = [point["inner_lr"] for point in drawn]
    assert all(0.001 <= rate <= 0.1 for rate in rates)
    # Evenly in the logarithm: half of them below the geometric middle.
    assert abs(sum(rate < 0.01 for rate in rates) - 200) < 60
    assert abs(sum(point["outer_lr"] < 0.5 for point in drawn) - 200) < 60
    settings, _ = settings_of([MAML], drawn)
    steps = {own.config.learner.num_inner_steps for own in settings}
    assert steps == {1, 2, 3}


def test_what_decides_shapes_is_a_program_of_its_own() -> None:
    axes = parse_grid(
        ["inner_lr=0.001,0.01", "num_tasks=2,3", "hidden_sizes=8x4,16"], drawn=False
    )
    settings, notes = settings_of([MAML], points(axes))
    groups = groups_of(settings)
    assert not notes and len(settings) == 8 and len(groups) == 4
    assert all(group.varying == ("inner_lr",) for group in groups)
    assert {own.config.policy.hidden_sizes for own in settings} == {(8, 4), (16,)}
    assert sorted(n for group in groups for n in group.numbers) == list(range(8))


def test_a_value_that_a_learner_does_not_have_is_dropped_there() -> None:
    axes = parse_grid(["directed_lr=0.01,0.02", "inner_lr=0.1,0.2"], drawn=False)
    settings, notes = settings_of([DIRECTED, MAML], points(axes))
    # MAML's four settings are two, as the others are equal to them.
    assert [own.config.run.algo for own in settings] == ["directed-maml"] * 4 + [
        "maml"
    ] * 2
    assert settings[0].swept == ("directed_lr", "inner_lr")
    assert settings[-1].swept == ("inner_lr",)
    assert len(notes) == 1 and "directed_lr" in notes[0] and "maml" in notes[0]


def test_choices_come_before_what_belongs_to_them() -> None:
    axes = parse_grid(["gae_lambda=0.9,1", "method=pg,ac"], drawn=False)
    settings, notes = settings_of([MAML], points(axes))
    assert [own.config.run.method for own in settings] == ["pg", "ac", "ac"]
    assert len(groups_of(settings)) == 2 and "gae_lambda" in notes[0]


def test_a_table_gives_its_rows(tmp_path) -> None:
    file = tmp_path / "settings.csv"
    file.write_text("inner_lr,--outer-lr\n0.1,0.2\n0.3,\n")
    rows = read_table(str(file))
    assert rows == [{"inner_lr": "0.1", "outer_lr": "0.2"}, {"inner_lr": "0.3"}]
    axes = parse_grid(["discount=0.9,1"], drawn=False)
    settings, _ = settings_of([MAML], points(axes, rows))
    found = [(s.config.learner.inner_lr, s.config.learner.outer_lr) for s in settings]
    assert found == [(0.1, 0.2)] * 2 + [(0.3, MAML.learner.outer_lr)] * 2


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("inner_lr", "not of a known form"),
        ("inner_lr=", "not of a known form"),
        ("inner_lr=0.1,,0.2", "empty value"),
        ("inner_lr=-0.1,1", "--inner-lr is -0.1, but it must be a finite number, 0"),
        ("inner_lr=nan,1", "--inner-lr is nan"),
        ("inner_lr=1:1:3", "LOW below HIGH"),
        ("inner_lr=0.1:1:1", "2 values or more"),
        ("inner_lr=0:1:log3", "begins at 0"),
        ("inner_lr=0:1:3:4", "is no range"),
        ("inner_lr=a:b:3", "is no range"),
        ("inner_lr=0:inf:3", "is no range"),
        ("inner_lr=0:1", "inner_lr=0:1:5, or give --samples"),
        ("inner_lr=0.1:1:log", "inner_lr=0.1:1:log5, or give --samples"),
        ("inner_rl=1,2", "There is no value 'inner_rl' to vary. Did you mean inner_lr"),
        ("gae_lambda=0.5,1", "--gae-lambda belongs to --method ac"),
        ("directed_lr=0.5,1", "--directed-lr belongs to directed learners"),
        ("horizon=10,1.5", "--horizon is 1.5"),
        ("hidden_sizes=8xa,4", "--hidden-sizes is 8xa"),
        ("seeds=1,2", "--seeds cannot vary within a sweep"),
        ("epochs=1,2", "--epochs cannot vary within a sweep"),
        ("vary=a,b", "--vary takes several words"),
        ("algo=maml,reptile", "--algo A B"),
        ("method=pg,dpg", "--method is 'dpg'"),
        ("obs_squash=True,maybe", "--obs-squash is 'maybe'"),
    ],
)
def test_wrong_items_are_told_in_a_sentence(item: str, words: str) -> None:
    with pytest.raises(UsageError) as told:
        settings_of([MAML], points(parse_grid([item], drawn=False)))
    assert words in str(told.value)


def test_names_that_are_given_twice_are_refused() -> None:
    with pytest.raises(UsageError, match="has inner_lr twice"):
        parse_grid(["inner_lr=1,2", "--inner-lr=3"], drawn=False)
    with pytest.raises(UsageError, match="both have inner_lr"):
        points(parse_grid(["inner_lr=1,2"], drawn=False), [{"inner_lr": "1"}])


def test_a_grid_that_is_too_large_is_refused_before_it_is_made() -> None:
    axes = parse_grid([f"{n}=0:1:1000" for n in ("inner_lr", "outer_lr")], drawn=False)
    with pytest.raises(UsageError, match="1,000,000 settings"):
        points(axes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no row"),
        ("inner_lr\n", "a row or more"),
        ("inner_lr,inner_lr\n1,2\n", "different names"),
        ("inner_lr,outer_lr\n1\n", "row 1 has 1 cells"),
    ],
)
def test_broken_tables_are_told(text: str, words: str, tmp_path) -> None:
    file = tmp_path / "settings.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_table(str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(str(tmp_path / "other.csv"))
