"""Sweeps: lanes are what single runs are, and nothing is lost on the way."""

import csv
import json
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from test_cli import finish, start

from dmaml_jax import cli, load, train_settings
from dmaml_jax.build import configuration
from dmaml_jax.build.lanes import steps_of
from dmaml_jax.build.program import program_of
from dmaml_jax.config.grid import parse_grid, points
from dmaml_jax.config.settings import groups_of, settings_of
from dmaml_jax.errors import UsageError
from dmaml_jax.learners.registry import LEARNERS, options_class
from dmaml_jax.options import options_of
from dmaml_jax.runs.metrics import read_metrics
from dmaml_jax.runs.stopping import Stop
from dmaml_jax.sweeps import loop, sweeping
from dmaml_jax.sweeps.estimate import episodes_of
from dmaml_jax.sweeps.folder import Sweep, create, read
from dmaml_jax.sweeps.halving import ranked
from dmaml_jax.sweeps.loop import Training
from dmaml_jax.training.program import Program

TOY = {
    "horizon": 40,
    "num_tasks": 2,
    "num_trajectories": 2,
    "hidden_sizes": (4,),
    "seeds": 3,
    "epochs": 5,
    "chunk_epochs": 2,
    "cpu_devices": 1,
}
GRID = ("inner_lr=0.01,0.3", "outer_lr=0.003,0.05")


def plan(*algos: str, grid=GRID, waves=0, halve=0, at=0, **values) -> Sweep:
    """A toy sweep."""
    bases = [configuration("cartpole", a, **TOY | values) for a in algos or ("maml",)]
    settings, _ = settings_of(bases, points(parse_grid(grid, drawn=False)))
    return Sweep(tuple(settings), waves, halve, at)


def swept(sweep: Sweep, folder: Path) -> Path:
    """The folder of a sweep that was trained."""
    assert sweeping.begin(sweep, str(folder), verbosity="quiet") == 0
    return folder


def table(folder: Path, name: str = "sweep.csv") -> list[dict[str, str]]:
    """The rows of a table, without the seconds."""
    with open(folder / name, newline="") as file:
        return [
            {k: v for k, v in row.items() if k != "seconds"}
            for row in csv.DictReader(file)
        ]


def numbers(folder: Path) -> np.ndarray:
    """All numbers of sweep.csv, of all settings."""
    rows = [list(row.values())[3:] for row in table(folder)]
    return np.array([[float(cell or "nan") for cell in row] for row in rows])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The sweep of 2 x 2 settings and 3 seeds, in one wave."""
    with jax.enable_x64(True):
        return swept(plan(), tmp_path_factory.mktemp("whole") / "sweep")


@pytest.mark.parametrize(
    "numbers_of_settings", [(3,), pytest.param((0, 1, 2), marks=pytest.mark.slow)]
)
def test_lanes_equal_single_runs(whole: Path, numbers_of_settings) -> None:
    """In float64, over five epochs, to rounding."""
    for number in numbers_of_settings:
        config = plan().settings[number].config
        program = program_of(config)
        program.compile()
        alone = program.run_all(config.run.epochs)
        folder = whole / "settings" / f"{number + 1:03d}"
        lanes = read_metrics(folder)
        # A gradient may be 0: once, all episodes of a seed's epoch may be alike.
        assert np.ptp(alone["return_after"]) > 1
        assert np.mean(alone["meta_grad_norm"] > 0) > 0.9
        for name in ("return_before", "return_after", "loss", "meta_grad_norm"):
            np.testing.assert_allclose(lanes[name], alone[name], rtol=1e-9)
        steps = np.cumsum(alone["env_steps"], axis=0)
        np.testing.assert_array_equal(lanes["env_steps"], steps)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
            load(folder).states.params,
            program.params(),
        )
    found = [row["inner_lr"] for row in table(whole)]
    assert found == ["0.01"] * 30 + ["0.3"] * 30


def test_settings_are_runs_and_the_leaderboard_ranks_them(whole: Path) -> None:
    rows = table(whole, "leaderboard.csv")
    finals = [float(row["final"]) for row in rows]
    assert len(rows) == 4 and finals == sorted(finals, reverse=True)
    assert {row["setting"] for row in rows} == {"1", "2", "3", "4"}
    assert all(row["seeds"] == row["alive"] == "3" for row in rows)
    run = load(whole / "settings" / "002")
    assert (run.epoch, run.seeds) == (5, [1, 2, 3])
    assert run.config.learner.outer_lr == 0.05
    assert (whole / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert not (whole / "waves").exists()
    assert sweeping.go_on(str(whole)) == 0  # nothing is left to do
    with pytest.raises(UsageError, match="is the folder of a sweep: give one of its"):
        load(whole)
    with pytest.raises(UsageError, match="holds another sweep"):
        create(plan(), str(whole))


def test_a_kill_while_the_waves_are_removed_loses_nothing(whole: Path) -> None:
    (whole / "waves/0-0-0/checkpoints/5").mkdir(parents=True)
    before = table(whole)
    assert sweeping.go_on(str(whole)) == 0
    assert table(whole) == before and not (whole / "waves").exists()


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_loses_nothing(tmp_path, monkeypatch) -> None:
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    parts = ["write_settings", "write_rows", "write_leaderboard"]
    sweep, place = plan(seeds=1, epochs=2), tmp_path / "sweep"
    for number, part in enumerate(parts):
        with monkeypatch.context() as patched:
            patched.setattr(sweeping, part, full)
            with pytest.raises(OSError, match="make room, then go on with dmaml-jax"):
                if number:
                    sweeping.go_on(str(place), verbosity="quiet")
                else:
                    swept(sweep, place)
    assert sweeping.go_on(str(place), verbosity="quiet") == 0
    assert len(table(place)) == 4 * 2


@pytest.mark.float32  # as a resumed sweep computes as it says
@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(sweep=[]),
        lambda record: record.update(program=None),
        lambda record: record["sweep"].update(settings=[]),
        lambda record: record["sweep"].update(settings={}),
        lambda record: record["sweep"].update(waves="x"),
        lambda record: record["sweep"].update(halve=2, at=0),
        lambda record: record["sweep"].pop("halve"),
        lambda record: record["sweep"]["settings"][1].update(swept=["nope"]),
        lambda record: record["sweep"]["settings"][1].update(values=3),
        lambda record: record["sweep"]["settings"][0]["values"]["run"].update(
            cpu_devices="x"
        ),
        lambda record: record["sweep"]["settings"][1]["values"]["run"].update(seeds=9),
        lambda record: record["sweep"]["settings"][1]["values"]["learner"].update(
            inner_lr=-1
        ),
    ],
)
def test_a_broken_plan_is_told_in_a_sentence(damage, tmp_path, capsys) -> None:
    folder = create(plan(cpu_devices=2), str(tmp_path / "sweep"))
    record = json.loads((folder / "config.json").read_text())
    damage(record)
    (folder / "config.json").write_text(json.dumps(record))
    assert cli.main(["sweep", "--resume", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "config.json" in err, err
    assert [path.name for path in folder.iterdir()] == ["config.json"]


@pytest.mark.slow
def test_every_number_that_may_be_traced_is_traced() -> None:
    """As a sweep does it: a train step as a function of all of them at once."""
    seen = set()
    for env, algo, values in (
        ("cartpole", "directed-maml", {"surrogate": "loaded-dice"}),
        ("point", "maml", {"method": "ac"}),
        ("point", "maml++", {}),
        ("cartpole", "sg-mrl", {}),
        ("cartpole", "meta-sgd", {"outer_optimizer": "trust-region", "method": "ac"}),
        ("point", "promp", {"kl_schedule": "adaptive"}),
        ("cartpole", "sharp-maml", {"sharpness": "both"}),
        ("cartpole", "imaml", {}),
        ("cartpole", "maml2", {}),
        ("bandit", "rl2", {"num_minibatches": 2}),
        ("point", "snail", {"episodes_per_trial": 2, "num_minibatches": 2}),
        ("point", "pearl", {}),
    ):
        small = {"horizon": 4, "num_tasks": 2, "num_trajectories": 2}
        config = configuration(env, algo, **small, **values)
        flat = config.flat()
        traced = {
            name: jax.numpy.asarray(flat[name], float)
            for owner in config.nested()
            for name, option in options_of(type(getattr(config, owner))).items()
            if option.traced and name in flat
        }
        seen |= set(traced)

        def epoch(values, key, config=config):
            init, step = steps_of(config)(values)
            return step(key, init(key))[1].loss

        assert jax.eval_shape(epoch, traced, jax.random.key(0)).shape == ()
    of_learners = {
        name
        for algo in LEARNERS
        for name, option in options_of(options_class(algo)).items()
        if option.traced
    }
    assert of_learners | {"min_std", "gae_lambda", "discount", "directed_lr"} <= seen


def test_no_clipping_is_a_program_of_its_own() -> None:
    sweep = plan(grid=("clip_norm=0,1,2",))
    assert [len(group.numbers) for group in groups_of(sweep.settings)] == [1, 2]


@pytest.mark.slow
def test_settings_with_and_without_clipping_load(tmp_path) -> None:
    sweep = plan(grid=("clip_norm=0,1,2",), seeds=1, epochs=1)
    folder = swept(sweep, tmp_path / "sweep")
    for number in (1, 2):
        assert load(folder / "settings" / f"{number:03d}").epoch == 1


@pytest.mark.slow
def test_environments_are_ranked_by_themselves(tmp_path) -> None:
    """Their returns do not compare: each keeps its best at a rung."""
    settings = []
    for env in ("cartpole", "point"):
        base = configuration(env, "maml", **TOY | {"seeds": 2, "epochs": 2})
        axes = parse_grid(("outer_lr=0.003,0.05",), drawn=False)
        settings += settings_of([base], points(axes))[0]
    folder = swept(Sweep(tuple(settings), halve=2, at=1), tmp_path / "sweep")
    rows = table(folder, "leaderboard.csv")
    assert [(row["env"], row["epochs"]) for row in rows] == [
        ("cartpole", "2"),
        ("cartpole", "1"),
        ("point", "2"),
        ("point", "1"),
    ]


def test_waves_equal_no_waves(whole: Path, tmp_path, monkeypatch) -> None:
    """As many lanes at once as there is memory for: five of the twelve, so four."""
    made: list[int] = []

    def bytes_of_width(program: Program) -> int:
        made.append(program.width)
        return 1000 * program.width

    monkeypatch.setattr(Program, "memory", bytes_of_width)
    monkeypatch.setattr(loop, "free_memory", lambda _: 5500)
    folder = swept(plan(), tmp_path / "sweep")
    assert made == [12, 4]
    np.testing.assert_allclose(numbers(folder), numbers(whole), rtol=1e-9)


def test_what_does_not_fit_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "free_memory", lambda _: 1)
    with pytest.raises(UsageError, match="lanes of maml on cartpole need"):
        sweeping.begin(plan(), str(tmp_path / "sweep"), verbosity="quiet")


@pytest.mark.slow
def test_two_devices_equal_one(whole: Path, tmp_path) -> None:
    folder = swept(plan(cpu_devices=2, seeds=3), tmp_path / "sweep")
    record = json.loads((folder / "settings/001/config.json").read_text())
    assert record["values"]["run"]["cpu_devices"] == 2
    np.testing.assert_allclose(numbers(folder), numbers(whole), rtol=1e-9)


class StopAt(Stop):
    """A signal that comes after so many looks at whether one has come."""

    def __init__(self, looks: int) -> None:
        """Count down from there."""
        super().__init__()
        self._looks = looks

    @property
    def received(self):
        """The signal, once its time has come."""
        self._looks -= 1
        return 15 if self._looks < 0 else None

    @received.setter
    def received(self, value) -> None:
        """Nothing is remembered."""


@pytest.mark.slow
def test_a_sweep_that_is_stopped_anywhere_goes_on_to_the_same(
    tmp_path, monkeypatch
) -> None:
    """Three rungs, two waves each at first: stopped after every few chunks."""
    halving = plan(waves=2, halve=2, at=2, epochs=6)
    whole = swept(halving, tmp_path / "whole")
    folder = create(halving, str(tmp_path / "stopped"))
    (folder / "waves").mkdir()
    stops = 0
    while True:
        training = Training(
            read(folder), folder, stop=StopAt(3 + stops), verbosity="quiet"
        )
        if training.run():
            break
        stops += 1
    assert stops >= 2
    # All waves are done: what is left is to read them, for which nothing is compiled.
    with monkeypatch.context() as patched:
        patched.setattr(Program, "compile", lambda self: pytest.fail("compiled"))
        again = Training(read(folder), folder, stop=Stop(), verbosity="quiet")
        assert again.run() and again.reached == training.reached
    assert sweeping.go_on(str(folder), verbosity="quiet") == 0
    assert table(folder) == table(whole)
    assert table(folder, "leaderboard.csv") == table(whole, "leaderboard.csv")


def test_halving_keeps_the_best_and_their_curves_go_on(whole: Path, tmp_path) -> None:
    folder = swept(plan(halve=2, at=2), tmp_path / "sweep")
    rows = table(folder, "leaderboard.csv")
    assert [row["epochs"] for row in rows] == ["5", "4", "2", "2"]
    kept = {int(row["setting"]) for row in rows[:2]}
    # Of two epochs the smoothed return is nine tenths the first and one the second.
    smoothed = [
        read_metrics(whole / "settings" / f"{n:03d}")["return_after"][:2]
        for n in range(1, 5)
    ]
    ends = [np.mean(0.9 * one[0] + 0.1 * one[1]) for one in smoothed]
    assert kept == {n + 1 for n in np.argsort(ends)[-2:]}
    best = f"{int(rows[0]['setting']):03d}"
    np.testing.assert_allclose(
        read_metrics(folder / "settings" / best)["return_after"],
        read_metrics(whole / "settings" / best)["return_after"],
        rtol=1e-9,
    )


@pytest.mark.float32
def test_a_lane_that_is_no_longer_finite_is_frozen_and_counted(tmp_path) -> None:
    sweep = plan(grid=("outer_lr=0.01,3e38",), seeds=2, epochs=3)
    folder = swept(sweep, tmp_path / "sweep")
    best, worst = table(folder, "leaderboard.csv")
    assert (best["outer_lr"], best["alive"]) == ("0.01", "2")
    assert (worst["outer_lr"], worst["alive"], worst["final"]) == ("3e+38", "0", "")
    assert set(load(folder / "settings" / "002").failed_at) <= {1, 2}
    assert len(table(folder)) == 2 * 2 * 3


def test_ranking_takes_a_frozen_seed_for_the_worst() -> None:
    nan = np.nan
    finals = np.array([[5.0, 5, 5, 5], [9, 9, nan, nan], [1, 1, 1, 1], [nan] * 4])
    assert ranked(finals) == [0, 1, 2, 3]
    assert ranked(np.full((2, 3), nan)) == [0, 1]


@pytest.mark.slow
def test_programs_follow_each_other(tmp_path) -> None:
    """Two learners: the second is compiled while the first one trains, in float64."""
    sweep = plan("maml", "fomaml", grid=("inner_lr=0.01,0.3",), seeds=2, epochs=2)
    folder = swept(sweep, tmp_path / "sweep")
    rows = table(folder, "leaderboard.csv")
    assert sorted(row["algo"] for row in rows) == ["fomaml", "fomaml", "maml", "maml"]
    loss = read_metrics(folder / "settings" / "003")["loss"]
    assert loss.dtype == np.float64 and len(str(loss[0, 0])) > 12


def test_settings_in_memory_are_those_of_a_sweep(whole: Path) -> None:
    settings = [dict(own.config.flat()) for own in plan().settings]
    rates = [{n: own[n] for n in ("inner_lr", "outer_lr")} for own in settings]
    found = train_settings("cartpole", "maml", settings=rates[::-1], **TOY)
    assert found["return_after"].shape == (5, 4, 3) and not found["failed_at"].any()
    for number in range(4):
        metrics = read_metrics(whole / "settings" / f"{number + 1:03d}")
        own = found["return_after"][:, 3 - number]
        np.testing.assert_allclose(own, metrics["return_after"], rtol=1e-9)
    with pytest.raises(UsageError, match="--inner-lr is -1"):
        train_settings(settings=[{"inner_lr": -1.0}])
    with pytest.raises(UsageError, match="settings is empty"):
        train_settings(settings=[])


T = "--num-tasks 2 --num-trajectories 2 --horizon 20 --hidden-sizes 4"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "Nothing varies"),
        ("--algo maml", "Nothing varies"),
        ("--grid inner_lr=-1,1", "--inner-lr is -1"),
        ("--grid inner_rl=1,2", "no value 'inner_rl'"),
        ("--grid seeds=1,2", "cannot vary within a sweep"),
        ("--grid inner_lr=0:1", "give --samples"),
        ("--grid inner_lr=0:1:99999 outer_lr=0:1:99999", "--samples"),
        ("--grid inner_lr=0.1,1 --waves 0", "--waves is 0"),
        ("--grid inner_lr=0.1,1 --waves some", "--waves is some"),
        ("--grid inner_lr=0.1,1 --halve 1", "--halve is 1"),
        ("--grid inner_lr=0.1,1 --halve 3 --at 4", "--at 4 leaves no rung"),
        ("--grid inner_lr=0.1,1 --samples -1", "--samples is -1"),
        ("--samples 3 --algo maml fomaml joint", "--samples draws from a grid"),
        ("--grid inner_lr=0.1,1 --on-nan stop", "--on-nan stop does not go"),
        ("--grid inner_lr=0.1,1 --inner-rl 3", "There is no flag --inner-rl"),
        ("--grid inner_lr=0.1,1 --gae-lambda 1", "--gae-lambda belongs to --method ac"),
        ("--grid inner_lr=0.1,1 --inner-lr 1", "--inner-lr is given, and --grid or"),
        ("--algo nonsense --grid inner_lr=0.1,1", "nonsense"),
        ("--env nonsense --grid inner_lr=0.1,1", "nonsense"),
        ("--table nowhere.csv", "--table nowhere.csv cannot be read"),
        ("--resume nowhere", "nowhere cannot be read"),
        ("--resume nowhere --epochs 9", "leave --epochs out"),
        (
            "--grid inner_lr=0.1,1 --halve 2 --at 2 --outer-schedule cosine",
            "--outer-schedule cosine",
        ),
    ],
)
def test_wrong_input_is_told_before_anything_is_compiled(
    line: str, words: str, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeping, "begin", None)
    own = [] if "--resume" in line else f"{T} --epochs 4".split()
    assert cli.main(["sweep", *line.split(), *own]) == 2
    err = capsys.readouterr().err
    assert words in err and err.startswith("error: ") and err.count("\n") == 1, err
    assert not list(tmp_path.iterdir())


KILLED = (
    f"{T} --algo maml --seeds 2 --grid inner_lr=0.01,0.3 --waves 2 --epochs 40 "
    "--halve 2 --at 20 --chunk-epochs 1 --checkpoint-every 3 --out s"
)


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory) -> Path:
    """A sweep in a process of its own that was left to itself."""
    here = tmp_path_factory.mktemp("unharmed")
    code, _, err = finish(start("sweep", *KILLED.split(), cwd=here))
    assert code == 0, err
    return here / "s"


@pytest.mark.slow
@pytest.mark.parametrize("rows", range(1, 110, 12))
def test_kill_9_leaves_what_a_sweep_goes_on_from(
    rows: int, unharmed: Path, tmp_path
) -> None:
    """Killed as soon as so many rows are written, in either wave or rung."""
    process = start("sweep", *KILLED.split(), cwd=tmp_path)
    while True:
        files = list(tmp_path.glob("s/waves/*/metrics.csv"))
        if sum(file.read_text().count("\n") - 1 for file in files) >= rows:
            break
        assert process.poll() in (None, 0), process.communicate()
        if process.poll() == 0:  # it was quicker than this test
            break
        time.sleep(0.005)
    process.kill()
    process.communicate()
    code, out, err = finish(start("sweep", "--resume", "s", cwd=tmp_path))
    assert code == 0, err
    assert table(tmp_path / "s") == table(unharmed)
    code, out, _ = finish(start("sweep", "--resume", "s", cwd=tmp_path))
    assert code == 0 and "is finished" in out


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"sweep --dry-run --algo maml --grid inner_lr=0.1,1 {T} --seeds 2 --epochs 4"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "2 settings x 2 seeds = 4 lanes" in out and "MiB" in out
    # Two collections of two trajectories for each of two tasks, in four epochs.
    assert f"{4 * 4 * 2 * 2 * 2} episodes to learn from" in out
    assert "nothing was written" in out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("algo", "own", "expected"),
    [
        ("maml", {"outer_trajectories": 3}, 5 * 20 + 5 * 3),
        ("directed-fomaml", {"outer_trajectories": 3}, 5 * 20 + 5 * 3 + 10),
        ("sharp-maml", {"sharpness": "low"}, 5 * 20),
        ("sharp-maml", {"sharpness": "up"}, 5 * 40),
        ("sharp-maml", {"sharpness": "both", "uphill_data": "stored"}, 5 * 20),
    ],
)
def test_episodes_of_an_epoch_count_what_a_learner_adds(algo, own, expected) -> None:
    """With M = 5 tasks, K = 10 trajectories and one inner step."""
    values = {"num_tasks": 5, "num_trajectories": 10, "num_inner_steps": 1, **own}
    assert episodes_of(configuration("cartpole", algo, **values)) == expected


def test_flags_that_some_learners_have_hold_there(
    tmp_path, capsys, monkeypatch
) -> None:
    """A fixed value of one learner is left out for the others, with a word."""
    seen = []
    monkeypatch.setattr(
        sweeping, "begin", lambda sweep, out, verbosity: seen.append(sweep) or 0
    )
    line = f"sweep --algo directed maml --grid inner_lr=0.1,1 --directed-lr 0.3 {T}"
    line += " --epochs 4"
    assert cli.main(line.split()) == 0
    assert "--directed-lr has no effect with maml" in capsys.readouterr().out
    configs = [own.config for own in seen[0].settings]
    assert [c.directed and c.directed.directed_lr for c in configs] == [
        0.3,
        0.3,
        None,
        None,
    ]
    assert {c.run.epochs for c in configs} == {4}


def test_flags_of_a_choice_that_is_varied_hold_where_it_is_taken(
    capsys, monkeypatch
) -> None:
    """Flags of either method, beside a grid that takes both."""
    seen = []
    monkeypatch.setattr(
        sweeping, "begin", lambda sweep, out, verbosity: seen.append(sweep) or 0
    )
    line = f"sweep --algo maml directed --grid method=pg,ac medium_task=exact,given {T}"
    line += " --gae-lambda 0.9 --baseline none --medium-values gravity=9 --inner-lr 0.2"
    assert cli.main([*line.split(), "--epochs", "4"]) == 0
    found = [own.config.flat() for own in seen[0].settings]
    # MAML has no medium task: its settings become equal.
    assert len(found) == 2 + 4
    for flat in found:
        assert flat.get("gae_lambda") == (0.9 if flat["method"] == "ac" else None)
        assert flat.get("baseline") == ("none" if flat["method"] == "pg" else None)
        given = ("gravity=9",) if flat.get("medium_task") == "given" else None
        assert (flat.get("medium_values"), flat["inner_lr"]) == (given, 0.2)
    out = capsys.readouterr().out
    assert "--gae-lambda has no effect in some settings of maml, directed-maml" in out
    assert "--medium-values has no effect with maml, and is left out" in out
    assert "--medium-values has no effect in some settings of directed-maml" in out
    assert cli.main([*f"{line} --plateau-patience 3".split(), "--epochs", "4"]) == 2
    assert "--plateau-patience belongs to --directed-gate" in capsys.readouterr().err


@pytest.mark.parquet
def test_the_table_is_written_as_parquet_too(tmp_path: Path) -> None:
    """Where pyarrow is installed."""
    from pyarrow import parquet

    folder = swept(plan(seeds=1, epochs=2), tmp_path / "sweep")
    rows = parquet.read_table(folder / "sweep.parquet").to_pylist()
    lines = (folder / "sweep.csv").read_text().splitlines()
    for row, cells in zip(rows, csv.DictReader(lines), strict=True):
        assert list(row) == list(cells)
        assert row["return_after"] == float(cells["return_after"])
        assert (row["algo"], row["epoch"]) == (cells["algo"], int(cells["epoch"]))
