"""The command line from outside: help, wrong input, signals, a full disk, a kill."""

import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CACHE

from dmaml_jax import cli, options
from dmaml_jax.build import configuration
from dmaml_jax.commands.train import Train
from dmaml_jax.commands.words import REPEATED, settled
from dmaml_jax.envs.registry import ENVIRONMENTS
from dmaml_jax.learners import registry
from dmaml_jax.training import devices

COMMAND = [sys.executable, "-m", "dmaml_jax"]
TINY = (
    "train --horizon 10 --num-tasks 2 --num-trajectories 2 --hidden-sizes 4 "
    "--chunk-epochs 2"
).split()


def environment() -> dict[str, str]:
    """With the tests' cache of compiled programs."""
    return {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(CACHE)}


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()  # one that is still there would slow down all that follows
    return process.returncode, out, err


def wait_for_rows(process: subprocess.Popen[str], folder: Path, rows: int) -> None:
    deadline = time.monotonic() + 120
    path = folder / "metrics.csv"
    while not path.exists() or path.read_text().count("\n") <= rows:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["algos"], ["envs"]]
)
def test_what_is_told_first_does_not_import_jax(arguments: list[str]) -> None:
    code = (
        "import sys; from dmaml_jax.cli import main\n"
        f"try: code = main({arguments})\n"
        "except SystemExit as end: code = end.code\n"
        "print('code', code, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.rstrip().endswith("code 0 False"), done
    assert {"algos": "maml", "envs": "point"}.get(arguments[0], "train") in done.stdout


def flags_told(text: str) -> dict[str, str]:
    """What the help of a command says of each flag, its kind and default included."""
    told: dict[str, str] = {}
    flag = ""
    # Boxes are drawn where the output can show them.
    for line in text.replace("│", " ").splitlines():
        found = re.match(r" {1,4}(?:-h, )?(--[a-z][a-z-]*)(.*)", line)
        if found:
            flag = found[1]
            assert flag not in told
            told[flag] = " ".join(found[2].split())
        elif flag and line.startswith(" " * 20):
            told[flag] = " ".join([told[flag], *line.split()])
        else:
            flag = ""
    return told


def test_help_tells_of_every_value_its_symbol_use_and_default(capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    told = flags_told(capsys.readouterr().out)
    config = configuration()
    # What one learner alone has is told beside --algo.
    alone = registry.own_options(config.learner)
    values = {n: x for n, x in config.flat().items() if n not in alone}
    own = {"--help", *map(options.flag, Train.__dataclass_fields__)}
    assert set(told) - own == {"--" + name.replace("_", "-") for name in values}
    for flag, start in {
        "--inner-lr": "FLOAT alpha: inner step size",
        "--outer-lr": "FLOAT beta: outer step size",
        "--directed-lr": "FLOAT delta:",
        "--discount": "FLOAT gamma: discount",
        "--num-tasks": "INT M: tasks per epoch",
        "--num-trajectories": "INT K: trajectories per task",
        "--horizon": "INT H: steps per episode",
        "--num-inner-steps": "INT N: gradient steps of the inner loop",
        "--epochs": "INT E: epochs",
        "--vary": "[STR [STR ...]] phi: what varies over tasks",
        "--out": "STR The run folder to make",
        "--config": "STR A run's config.json",
        "--device": "{auto,cpu,gpu} Where to run",
        "--step-reduction": "{sum,mean} How a gradient adds up",
        "--seeds": "INT Number of seeds, trained side by side",
        "--seed": "INT FIRST seed",
    }.items():
        assert told[flag].startswith(start), (flag, told[flag])
    for name, value in values.items():
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text = told["--" + name.replace("_", "-")]
        assert text.endswith(f"(default: {shown})"), (name, text)


@pytest.mark.parametrize(
    ("chosen", "told_too", "not_told"),
    [
        (
            "--algo maml++ --env point",
            {"--rates", "--multi-step-epochs", "--initial-std"},
            {"--ratio-clip", "--gae-lambda", "--directed-lr"},
        ),
        (
            "--algo directed-promp --method ac",
            {"--ratio-clip", "--gae-lambda", "--directed-lr"},
            {"--rates", "--initial-std", "--kl-target"},
        ),
        ("--algo promp --kl-schedule adaptive", {"--kl-target"}, {"--directed-lr"}),
    ],
)
def test_help_tells_of_the_flags_of_what_is_chosen(
    chosen: str, told_too: set[str], not_told: set[str], capsys
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", *chosen.split(), "--help"])
    told = set(flags_told(capsys.readouterr().out))
    assert told_too <= told, told_too - told
    assert not not_told & told, not_told & told


def test_algos_lists_every_learner(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["algos"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line for line in lines[: lines.index("")]}
    for name, entry in registry.LEARNERS.items():
        assert entry.paper in table[name] and entry.summary in table[name]
        for surrogate, estimate in entry.objectives.items():
            # Pairs stand below what they estimate, one a line.
            above = lines[: lines.index(f"    {name} {surrogate}".rstrip())]
            heads = [line for line in above if not line.startswith("    ")]
            assert heads[-1] == f"  {estimate}"
    assert "100 (110)" in table["maml"]


@pytest.mark.float32
def test_envs_lists_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["envs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in ENVIRONMENTS.items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert entry.summary in line
        told = " ".join(entry.vary) or entry.law
        assert told and f"tasks {told}" in lines[lines.index(line) + 1]


@pytest.mark.float32
def test_envs_tells_the_details_of_those_that_are_named(capsys) -> None:
    assert cli.main(["envs", "intersection", "gymnax"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("intersection")
    assert lines[start + 1].split(", ") == [
        "    observations box of 2",
        "actions box of 1",
        "limit 200",
    ]
    assert lines[start + 2] == "    tasks u=5:15"
    assert lines[start + 3].startswith("    u 10, max_speed 15, desired_speed 10")
    assert cli.main(["envs", "bandit:7"]) == 0
    of_law = capsys.readouterr().out.splitlines()
    start = of_law.index("bandit:7")
    assert of_law[start + 1] == "    observations box of 1, actions 7 choices, limit 1"
    assert of_law[start + 2].endswith("the probability of each arm uniform on [0, 1]")
    start = lines.index("gymnax:Acrobot-v1")
    assert "3 choices" in lines[start + 1] and "link_mass_1 1," in lines[start + 2]


PENDULUM = "--env gymnax:Pendulum-v1 --vary"
WRONG = {
    "--env gymnax:Pendulm-v1 --vary g=5:15": ["'Pendulm-v1'", "Did you mean 'Pend"],
    "--env gymnax:Pendulum-v1": ["no task distribution", "--vary", "dmaml-jax envs"],
    f"{PENDULUM} gravity=5:15": ["no parameter 'gravity'", "max_torque, dt, g, m, l"],
    f"{PENDULUM} g=15:5": ["g=15:5", "write 5:15"],
    f"{PENDULUM} g=5:5": ["every parameter at one value", "LOW < HIGH"],
    f"{PENDULUM} l=0:1": ["l: at 0 or 1", "not finite"],
    f"{PENDULUM} g=5:15:20": ["cannot be read", "NAME=LOW:HIGH"],
    f"{PENDULUM} g=5,10 --held-out 0.9": ["nothing to train on"],
    f"{PENDULUM} g=5:15 --held-out 0.2": ["lists no values", "leave it out"],
    f"{PENDULUM} g=5:15 --held-out 1": ["--held-out is 1", "from 0 below 1"],
    "--env gymnax:CartPole-v1 --vary total_mass=1:2": ["total_mass", "stores"],
    "--env gymnax:CartPole-v1 --vary masspole=0.1:0.2": ["masspole", "stores"],
    "--env gymnax:MemoryChain-bsuite --vary memory_length=2:9": ["not a float", "list"],
    "--env gymnax:SimpleBandit-bsuite --vary optimal_return=1:2": [
        "nothing that an agent sees",
    ],
    "--env gymnax:Acrobot-v1 --vary available_torque=1:2": ["is an array"],
    "--env intersection --vary u=-5:15": ["u", "-5 to 15", "above 0"],
    "--env point --vary goal_x,goal_z=circle:1": ["no parameter 'goal_z'"],
    "--env intersection --initial-std 0.1": ["below --min-std 0.2"],
    "--env intersection --vary safe_distance=3:12": [
        "collision_distance reach 5 and safe_distance 3",
        "do not cross",
    ],
    "--env gymnax:Pendulum-v1 --held-out 0.25 --vary g=1,2,3,4|3,4,5,6": [
        "share a value",
    ],
    "--env gymnax:Nonsense-v9": ["gymnax has no environment 'Nonsense-v9'"],
    "--env intersection --initial-std 0": ["--initial-std is 0", "above 0"],
    "--env intersection --obs-scale -1": ["--obs-scale is -1", "above 0"],
    "--env cartpol": ["cartpol", "Did you mean 'cartpole'"],
    "--algo sg-mrl --surrogate dice": [
        "legal pairs",
        "maml, maml++, meta-sgd, sharp-maml, maml2 with score-function, lvc",
        "promp with lvc",
    ],
    "--algo directed-fomaml --surrogate lvc": [
        "sg-mrl, e-maml, joint with score-function"
    ],
    "--algo meta-sgd --surrogate dice --method ac": ["raw rewards", "--method pg"],
    "--algo directed-reptile --num-inner-steps 1": ["reptile needs 2 or more"],
    "--medium-task given": ["--medium-values", "both or neither"],
    "--medium-values gravity=9": ["belongs to --medium-task given: leave it out"],
    "--medium-task given --medium-values gravity": ["NAME=VALUE", "gravity=9.8"],
    "--medium-task given --medium-values gravty=9": [
        "gravty",
        "choose from",
        "gravity",
    ],
    "--medium-task given --medium-values gravity=9 gravity=8": ["'gravity' twice"],
    "--medium-task given --medium-values max_steps_in_episode=9": ["time limit"],
    "--algo reptile --second-order-epochs 5": [
        "--second-order-epochs belongs to --algo maml++ (directed or not): leave it "
        "out, or choose that."
    ],
    "--algo maml++ --num-inner-steps 1": [
        "--num-inner-steps is 1, but maml++ needs 2 or more"
    ],
    "--directed-schedule cosine --directed-gate until-plateau": [
        "leaves some out: choose one"
    ],
    "--algo maml --medium-task given --medium-values length=1": [
        "belongs to directed learners (--algo directed-NAME)"
    ],
    "--kl-bound 0.1": [
        "--kl-bound belongs to --outer-optimizer trust-region: leave it out"
    ],
    "--outer-optimizer trust-region --outer-lr 0.1": [
        "--outer-lr belongs to --outer-optimizer adam or sgd"
    ],
    "--outer-optimizer trust-region --outer-schedule cosine": ["adam or sgd"],
    "--outer-optimizer trust-region --clip-norm 1": ["adam or sgd"],
    "--outer-optimizer trust-region --critic-lr 0.1": [
        "--critic-lr belongs to --outer-optimizer trust-region and --method ac"
    ],
    "--outer-optimizer trust-region --method ac --shared-trunk True": [
        "does not see the value head",
        "choose adam or sgd",
    ],
    "--outer-optimizer trust-region --kl-bound 0": ["--kl-bound is 0", "above 0"],
    "--outer-optimizer trust-region --backtracking 1": ["above 0 and below 1"],
    "--outer-optimizer trust-region --max-backtracks -1": ["--max-backtracks is -1"],
    "--algo directed-reptile --outer-optimizer trust-region": [
        "does not go with --algo directed-reptile, which has no objective",
    ],
    "--algo promp --outer-optimizer trust-region": ["several clipped steps"],
    "--algo sharp-maml --outer-optimizer trust-region": ["choose adam or sgd"],
    "--algo promp --surrogate score-function": ["promp with lvc"],
    "--algo promp --ratio-clip 0": ["--ratio-clip is 0", "above 0"],
    "--algo promp --steps-per-batch 0": ["--steps-per-batch is 0"],
    "--algo promp --kl-target 0.1": ["belongs to --kl-schedule adaptive"],
    "--algo promp --kl-schedule adaptive --kl-coefficient 0": ["would stay so"],
    "--algo maml --ratio-clip 0.1": ["--ratio-clip belongs to --algo promp"],
    "--algo sharp-maml --rho -1": ["--rho is -1", "0 or more"],
    "--algo sharp-maml --uphill-data stored": [
        "--uphill-data belongs to --sharpness up or both"
    ],
    "--algo maml --sharpness up": ["--sharpness belongs to --algo sharp-maml"],
    "--clip-norm -1": ["--clip-norm is -1", "0 or more"],
    "--method ac --gae-lambda 2": ["--gae-lambda is 2.0", "from 0 to 1"],
    "--algo maml++ --second-order-epochs -1": ["--second-order-epochs is -1"],
    "--surrogate loaded-dice --loaded-dice-lambda 1.5": [
        "--loaded-dice-lambda is 1.5",
        "from 0 to 1",
    ],
    "--gae-lambda 0.5": [
        "--gae-lambda belongs to --method ac: leave it out, or choose that."
    ],
    "--method ac --baseline none": ["--baseline belongs to --method pg"],
    "--loaded-dice-lambda 0.5": ["belongs to --surrogate loaded-dice"],
    "--plateau-patience 3": [
        "--plateau-patience belongs to --directed-gate until-plateau"
    ],
    "--algo maml --plateau-patience 3": ["belongs to directed learners"],
    "--score-baseline none": [
        "--score-baseline belongs to --algo sg-mrl or e-maml (directed or not)"
    ],
    "--bounds clip": ["--bounds belongs to environments with continuous actions"],
    "--rates layer-and-step": ["--rates belongs to --algo maml++"],
    "--flavour 3": ["There is no flag --flavour"],
    "--inner-rl 0.1": ["no flag --inner-rl", "Did you mean --inner-lr?"],
    "--inner-lr 0.1 --seeds 2 --inner-lr=0.2": ["--inner-lr is given twice"],
    "--hidden-sizes 4 --hidden-sizes 8": ["--hidden-sizes is given twice"],
    "--set gravity=9": ["--set gravity fixes what --vary gravity varies"],
    "--set length": ["--set takes NAME=VALUE"],
    "--set length=-1": ["length must be above 0"],
    "--set length=true": ["'length' takes a number"],
    "--set lenght=1": ["no parameter 'lenght'"],
    "--env lunarlander --vary wind_power=0:20": [
        "without enable_wind: add --set enable_wind=true"
    ],
    "--env lunarlander --set turbulence_power=1": ["add --set enable_wind=true"],
    "--env lunarlander --set enable_wind=2": ["'enable_wind' takes true or false"],
    "--env lunarlander --vary gravity=1e30:3e30": ["none beyond 1e+06"],
    "--env lunarlander --set main_engine_power=1e30": ["none beyond 1e+06"],
    "--env lunarlander --algo directed --medium-task given "
    "--medium-values gravity=1e30": ["gravity is 1e+30", "none beyond 1e+06"],
    "--env point --vary sparse_radius=0.1:0.3": ["choose --env point-sparse"],
    "--env point-sparse --vary goal_radius=0.1:0.3": ["choose --env point or"],
    # In the float64 of these tests; in float32 the same happens at 1e38.
    "--vary gravity=1e300:3e300": ["gravity: at 1e+300 or 3e+300", "not finite"],
    "--medium-task given --medium-values length=-1": ["length must be above 0"],
    "--env intersection --medium-task given --medium-values safe_distance=3": [
        "safe_distance 3, but collision_distance must stay below safe_distance"
    ],
    "--algo mamml": ["mamml", "Did you mean 'maml'", "fomaml"],
    "--algo directed-reptil": ["directed-reptil", "choose one of"],
    "--num-tasks 0": ["--num-tasks is 0", "1 or more"],
    "--num-trajectories -3": ["--num-trajectories is -3", "1 or more"],
    "--seeds 0": ["--seeds is 0"],
    "--seed -1": ["--seed is -1", "from 0"],
    "--epochs 0": ["--epochs is 0"],
    "--inner-lr -0.1": ["--inner-lr is -0.1", "0 or more"],
    "--outer-lr nan": ["--outer-lr is nan", "finite"],
    "--directed-lr inf": ["--directed-lr is inf", "finite"],
    "--discount 1.5": ["--discount is 1.5", "from 0 to 1"],
    "--hidden-sizes 8 0": ["--hidden-sizes is 8 0"],
    "--vary gravity=15:5": ["gravity=15:5", "LOW <= HIGH"],
    "--vary gravity=5:inf": ["gravity=5:inf", "finite"],
    "--vary gravity": ["NAME=LOW:HIGH"],
    "--vary gravty=5:15": ["gravty", "gravity"],
    "--vary max_steps_in_episode=5:15": ["max_steps_in_episode", "time limit"],
    "--config nowhere/config.json": ["nowhere/config.json", "cannot be read"],
    "--config broken.json": ["broken.json", "broken"],
    "--config list.json": ["list.json", "not the config.json of a run"],
    "--config strange.json": ["strange.json", "'flavour'"],
    "--config typed.json": ["typed.json", "epochs is 'many'"],
    "--config place.json": ["place.json", "cartpol", "Did you mean"],
    "--config numbers.json": ["numbers.json", "--vary is 5", "tuple of strings"],
    "--config ~nobodyatall/x": ["cannot be read"],
    "--out ~nobodyatall/x": ["cannot be written"],
    "--vary gravity=5:15 gravity=6:7": ["'gravity' twice"],
    "--out taken": ["taken", "holds another run"],
    "--out taken/config.json/run": ["cannot be written"],
}


@pytest.mark.parametrize("flags", WRONG)
def test_wrong_input_is_one_sentence(flags, tmp_path, monkeypatch, capsys) -> None:
    """Exit code 2, no traceback, and nothing compiled."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text('{"values": {"env"')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "strange.json").write_text('{"values": {"flavour": 1}}')
    (tmp_path / "typed.json").write_text('{"values": {"epochs": "many"}}')
    (tmp_path / "place.json").write_text('{"values": {"env": "cartpol"}}')
    (tmp_path / "numbers.json").write_text('{"values": {"vary": [5]}}')
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    # JAX runs already in this process, and cannot be set up again.
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)
    monkeypatch.setattr(
        "dmaml_jax.training.program.Program.compile",
        lambda self: pytest.fail("compiled before the input was found wrong"),
    )
    assert cli.main(["train", *flags.split()]) == 2
    printed = capsys.readouterr()
    (sentence,) = printed.err.strip().splitlines()
    assert sentence.startswith("error: ") and sentence.endswith((".", "?"))
    for part in WRONG[flags]:
        assert part in sentence
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "arguments",
    ["trian", "", "train --inner-lr abc", "train --epochs 1.5", "train --seeds"],
)
def test_unparsable_input_exits_with_2(arguments: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)
    try:
        code = cli.main(arguments.split())
    except SystemExit as end:  # what the flags' own types refuse
        code = end.code
    assert code == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said


def test_a_command_that_does_not_exist_is_told_with_a_similar_one(capsys) -> None:
    assert cli.main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_the_commands_summaries_are_those_of_their_files() -> None:
    for name, summary in cli.COMMANDS.items():
        module = importlib.import_module(f"dmaml_jax.commands.{name}")
        doc = inspect.getdoc(getattr(module, name.capitalize()))
        assert doc is not None and doc.splitlines()[0] == summary


@pytest.mark.parametrize(
    "words",
    [
        ["--vary=a=1:2", "--vary=b=0:1"],
        ["--vary", "a=1:2", "--vary", "b=0:1"],
        ["--vary", "a=1:2", "b=0:1"],
        ["--vary", "a=1:2", "--vary=b=0:1"],
        ["--vary=a=1:2", "b=0:1"],
    ],
)
def test_a_repeated_flag_is_a_longer_list(words: list[str]) -> None:
    for flag in REPEATED:
        own = [word.replace("--vary", flag) for word in words]
        found = settled(["run", *own, "--seeds=3"])
        assert found == ["run", flag, "a=1:2", "b=0:1", "--seeds", "3"]
    assert settled(["-q"]) == ["--verbosity", "quiet"]
    assert settled([]) == []


def test_gpu_that_is_not_there(tmp_path: Path) -> None:
    import jax

    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.fail("run this test with JAX_PLATFORMS=cpu")
    code, _, err = finish(start(*TINY, "--device", "gpu", cwd=tmp_path))
    assert code == 2
    assert err.startswith("error: --device gpu") and "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_run_on_two_devices_and_again_from_its_config(tmp_path: Path) -> None:
    flags = ["--seeds", "3", "--cpu-devices", "2", "--epochs", "3"]
    code, out, err = finish(start(*TINY, *flags, "--out", "a", cwd=tmp_path))
    assert (code, err) == (0, "")
    assert "on 2 x cpu" in out
    assert "epoch 3/3" in out and "steps/s" in out and "left" in out
    again = ["train", "--config", "a/config.json", "--out", "b"]
    code, out, err = finish(start(*again, cwd=tmp_path))
    assert (code, err) == (0, "")
    first, second = (
        [line.split(",") for line in (tmp_path / name).read_text().splitlines()]
        for name in ("a/metrics.csv", "b/metrics.csv")
    )
    assert len(first) == 1 + 3 * 3
    for one, two in zip(first, second, strict=True):
        assert one[:3] + one[4:] == two[:3] + two[4:]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_signals_end_within_a_chunk(number, expected, tmp_path: Path) -> None:
    flags = ["--epochs", "1000000", "--out", "run"]
    process = start(*TINY, *flags, cwd=tmp_path)
    wait_for_rows(process, tmp_path / "run", 4)
    process.send_signal(number)
    code, out, err = finish(process)
    assert code == expected
    assert (
        err.startswith(f"{number.name}: finishing the chunk") and err.count("\n") == 1
    )
    assert f"{number.name}: stopped after epoch" in out
    epochs = int(out.split("stopped after epoch ")[1].split()[0])
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert len(rows) == epochs and epochs % 2 == 0
    names = {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    files = {"config.json", "metrics.csv", "params.npz", "curves.png", "checkpoints"}
    assert names == files


def test_kill_9_leaves_every_finished_chunk(tmp_path: Path) -> None:
    flags = ["--epochs", "1000000", "--out", "run"]
    process = start(*TINY, *flags, cwd=tmp_path)
    wait_for_rows(process, tmp_path / "run", 4)
    process.kill()
    finish(process)
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:5]] == [1, 2, 3, 4]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["values"]


def test_a_full_disk_ends_with_1_and_keeps_what_was_written(tmp_path: Path) -> None:
    """No file may grow beyond 4 kB: writing more fails as on a full disk."""
    flags = ["--epochs", "1000000", "--out", "run"]
    limited = ["sh", "-c", 'ulimit -f 8 && exec "$@"', "sh", *COMMAND, *TINY, *flags]
    done = subprocess.run(
        limited,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    code, err = done.returncode, done.stderr
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(lines) > 10 and lines[1].startswith("1,1,")
