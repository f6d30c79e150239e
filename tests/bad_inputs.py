"""Wrong inputs of every kind: what is given, what is wrong, what must be said.

A row is `(what is given, what is wrong, the words that the sentence must contain)`.
What is given is a command line, in a folder that `prepared` has filled, or a call of
the library. `test_bad_inputs.py` runs them all.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from dmaml_jax import load, make_train_step, uniform
from dmaml_jax.build import configuration
from dmaml_jax.envs import CartPole, Point

Row = tuple[str | Callable[[], object], str, tuple[str, ...]]


def prepared(folder: Path, run: Path) -> None:
    """Fill a folder with copies of a run, each damaged in its own way.

    Args:
        folder: that is empty.
        run: a finished run of two seeds, with checkpoints.
    """
    names = (
        "run cut list strange typed place vary5 nometrics bom header binary nul half "
        "sums gone nocheckpoint"
    )
    for name in (*names.split(), "a b", "ü"):
        shutil.copytree(run, folder / name)
    config = (run / "config.json").read_text()
    (folder / "cut/config.json").write_text(config[:100])
    (folder / "list/config.json").write_text("[1, 2]")
    for name, values in (
        ("strange", {"flavour": 1}),
        ("typed", {"epochs": "many"}),
        ("place", {"env": "cartpol"}),
        ("vary5", {"vary": [5]}),
    ):
        (folder / name / "config.json").write_text(json.dumps({"values": values}))
    metrics = (run / "metrics.csv").read_bytes()
    (folder / "nometrics/metrics.csv").unlink()
    for name, content in (
        ("bom", b"\xef\xbb\xbf" + metrics),
        ("header", metrics.replace(b"return_after", b"return_later")),
        ("binary", b"\xff\xfe" + metrics),
        ("nul", metrics[:-9] + b"\0" + metrics[-8:]),
        ("half", metrics[: metrics.index(b"\n") + 9]),
    ):
        (folder / name / "metrics.csv").write_bytes(content)
    for sums in (folder / "sums/checkpoints").glob("*/sha256.json"):
        sums.write_text("{}")
    for state in (folder / "gone/checkpoints").glob("*/state"):
        shutil.rmtree(state)
    shutil.rmtree(folder / "nocheckpoint/checkpoints")
    (folder / "empty").mkdir()
    (folder / "file").write_text("")


def _train(**values: object) -> Callable[[], object]:
    return lambda: make_train_step("cartpole", "maml", **values)


def _with(env: object, **given: object) -> Callable[[], object]:
    return lambda: make_train_step(env, "maml", **given)


_CART, _POINT = CartPole().default_params, Point().default_params

COMMANDS: list[Row] = [
    ("", "no command", ("There is no command", "train")),
    ("trian", "a typing error", ("no command 'trian'", "Did you mean 'train'?")),
    ("--verbose", "a flag alone", ("no command '--verbose'",)),
    ("envs nowhere", "no environment", ("nowhere", "choose")),
    ("envs cartpol", "a typing error", ("Did you mean 'cartpole'",)),
    ("envs gymnax:Nonsense-v9", "not gymnax's", ("no environment 'Nonsense-v9'",)),
    ("envs --all", "no such flag", ("no flag --all", "dmaml-jax envs --help")),
    ("algos maml", "takes nothing", ("Nothing takes maml,",)),
    ("algos --long", "no such flag", ("no flag --long",)),
]
NUMBERS: list[Row] = [
    (f"train {flags}", "a number that is none or not allowed", words)
    for flags, words in {
        "--epochs 0": ("--epochs is 0", "1 or more"),
        "--epochs -5": ("--epochs is -5", "1 or more"),
        "--epochs 1.5": ("--epochs is '1.5'", "a whole number"),
        "--epochs ten": ("--epochs is 'ten'", "a whole number"),
        "--epochs 1e3": ("--epochs is '1e3'", "a whole number"),
        "--epochs=": ("--epochs is ''", "a whole number"),
        "--epochs": ("--epochs", "Missing value"),
        "--epochs 3 4": ("Nothing takes 4,",),
        "cartpole maml": ("Nothing takes cartpole, maml,",),
        "--gravity 12": ("a parameter gravity", "--set gravity=NUMBER"),
        "--seeds ²": ("--seeds is '²'", "a whole number"),
        "--seed 4294967296": ("--seed is 4294967296", "2^32"),
        "--seed -1": ("--seed is -1", "from 0"),
        "--num-tasks nan": ("--num-tasks is 'nan'", "a whole number"),
        "--inner-lr nan": ("--inner-lr is nan", "finite"),
        "--inner-lr inf": ("--inner-lr is inf", "finite"),
        "--inner-lr 1e400": ("--inner-lr is inf", "finite"),
        "--inner-lr -1e-9": ("--inner-lr is -1e-09", "0 or more"),
        "--inner-lr 0,1": ("--inner-lr is '0,1'", "a number"),
        "--discount 1.01": ("--discount is 1.01", "from 0 to 1"),
        "--discount -0.1": ("--discount is -0.1", "from 0 to 1"),
        "--threshold nan": ("--threshold is nan", "finite"),
        "--obs-scale 0": ("--obs-scale is 0", "above 0"),
        "--hidden-sizes 0": ("--hidden-sizes is 0",),
        "--hidden-sizes x": ("--hidden-sizes", "x"),
        "--held-out 1": ("--held-out is 1", "from 0 below 1"),
        "--cpu-devices -1": ("--cpu-devices is -1", "from 0"),
        "--chunk-epochs 0": ("--chunk-epochs is 0",),
        "--keep-checkpoints 0": ("--keep-checkpoints is 0",),
        "--clip-norm nan": ("--clip-norm is nan",),
        "--normalize-advantages maybe": ("normalize-advantages", "maybe"),
    }.items()
]
CHOICES: list[Row] = [
    (f"train {flags}", "a choice that is none or does not go together", words)
    for flags, words in {
        "--env nowhere": ("nowhere", "choose"),
        "--algo mamml": ("mamml", "Did you mean 'maml'"),
        "--algo imaml --proximal-weight 0": ("--proximal-weight is 0", "above 0"),
        "--algo imaml --surrogate score-function": ("does not go with --algo imaml",),
        "--algo imaml --implicit-iterations 0": ("--implicit-iterations is 0", "1 or"),
        "--algo imaml --implicit-solver minres --curvature-floor 0.2": (
            "--curvature-floor belongs to --implicit-solver cg",
        ),
        "--algo imaml --implicit-solver lu": ("--implicit-solver", "cg", "minres"),
        "--algo rl2 --inner-lr 0.1": ("--inner-lr belongs to learners that adapt",),
        "--algo rl2 --method ac": ("--method belongs to learners that adapt",),
        "--algo directed-rl2": ("rl2 adapts by its memory", "choose --algo rl2"),
        "--algo maml --episodes-per-trial 4": ("belongs to --algo rl2 or snail",),
        "--algo rl2 --num-minibatches 7": ("does not divide the 400 trials",),
        "--algo snail --filters 0": ("--filters is 0", "1 or more"),
        "--algo maml --proximal-weight 2": ("belongs to --algo imaml",),
        "--algo maml2 --base joint": ("--base is joint", "maml++", "imaml"),
        "--algo maml2 --base maml++ --num-inner-steps 1": (
            "--base maml++",
            "needs 2 or more",
        ),
        "--algo maml2 --categories 9 --bank-tasks 8": ("--categories is 9", "8 tasks"),
        "--algo maml2 --categories 1 --sort-every 5": (
            "no effect with --categories 1",
        ),
        "--algo maml2 --sorting random --sorting-steps 5": ("--sorting adapted",),
        "--algo maml --readapt False": ("--readapt belongs to --algo maml2",),
        "--method xx": ("--method is 'xx'", "pg, ac"),
        "--surrogate x": ("x", "score-function"),
        "--device tpu": ("--device", "tpu"),
        "--log csv": ("--log", "csv"),
        "--inner-rl 0.1": ("no flag --inner-rl", "Did you mean --inner-lr?"),
        "--inner-lr 0.1 --inner-lr 0.2": ("--inner-lr is given twice",),
        "--gae-lambda 0.5": ("--gae-lambda belongs to --method ac",),
        "--algo maml --directed-lr 0.1": ("--directed-lr belongs to directed",),
        "--algo reptile --outer-trajectories 2": ("belongs to --algo maml or fomaml",),
        "--algo maml --outer-trajectories -1": ("--outer-trajectories is -1",),
        "--medium-task given": ("--medium-values", "both or neither"),
        "--out run": ("holds another run",),
        "--out file": ("file", "cannot be written"),
        "--out file/below": ("file/below cannot be written",),
        "--out /proc/nowhere/run": ("cannot be written",),
        "--out ~nobodyatall/x": ("~nobodyatall/x cannot be written",),
        "--config nowhere": ("nowhere", "cannot be read"),
        "--config empty": ("empty", "cannot be read"),
        "--config file": ("not the config.json of a run",),
        "--config cut": ("cut", "broken"),
        "--config strange": ("strange", "'flavour'"),
        "--config run --resume run": ("leave --config out",),
        "--resume nowhere": ("--resume nowhere cannot be read",),
        "--resume ~nobodyatall/x": ("cannot be read",),
        "--resume run --inner-lr 0.5": ("--inner-lr would change it",),
        "--resume run --epochs 1": ("--epochs is 1, but the run has 4",),
        "--resume run --epochs 9 --out empty/../run": ("is not empty",),
        "--resume list": ("not the config.json of a run",),
        "--resume typed": ("epochs is 'many'",),
        "--resume nometrics --epochs 9": ("nometrics holds checkpoints", "copy"),
        "--resume bom --epochs 9": ("bom holds checkpoints", "metrics.csv"),
        "--resume header --epochs 9": ("header holds checkpoints", "metrics.csv"),
        "--resume binary --epochs 9": ("binary holds checkpoints", "metrics.csv"),
        "--resume sums --epochs 9": ("sums holds checkpoints", "damaged"),
        "--resume gone --epochs 9": ("gone holds checkpoints", "damaged"),
    }.items()
]
_BY_HAND = "--distributed --num-processes 2 --coordinator"
PROCESSES: list[Row] = [
    (f"{command} {flags}", "processes that cannot meet", words)
    for command in ("train --epochs 1", "sweep --grid inner_lr=0.1,1")
    for flags, words in {
        "--coordinator a:1": ("--coordinator belongs to --distributed",),
        "--distributed False --num-processes 2": ("--num-processes belongs to --dist",),
        "--distributed --dry-run": ("--dry-run looks at one process",),
        "--distributed --coordinator a:1": ("go together", "all three, or none"),
        f"{_BY_HAND} a --process-id 0": ("--coordinator is a", "HOST:PORT"),
        f"{_BY_HAND} a:0 --process-id 0": ("--coordinator is a:0", "HOST:PORT"),
        f"{_BY_HAND} a:99999 --process-id 0": ("--coordinator is a:99999",),
        f"{_BY_HAND} a:1 --process-id 2": (
            "--process-id is 2",
            "below --num-processes",
        ),
        f"{_BY_HAND} a:1 --process-id -1": ("--process-id is -1", "from 0 below"),
        "--distributed --num-processes 0 --coordinator a:1 --process-id 0": (
            "--num-processes is 0",
            "1 or more",
        ),
    }.items()
]
TASKS: list[Row] = [
    (f"train {flags}", "tasks that cannot be", words)
    for flags, words in {
        "--vary gravity": ("gravity cannot be read", "NAME=LOW:HIGH"),
        "--vary gravity=": ("cannot be read",),
        "--vary =5:15": ("cannot be read",),
        "--vary gravity=5:15:20": ("cannot be read",),
        "--vary gravity=5:five": ("cannot be read",),
        "--vary gravity=５:１５ü": ("cannot be read",),
        "--vary gravity=15:5": ("gravity=15:5", "write 5:15"),
        "--vary gravity=5:5": ("every parameter at one value",),
        "--vary gravity=5:inf": ("finite",),
        "--vary gravity=nan:5": ("gravity",),
        "--vary gravity=5:1e400": ("finite",),
        "--vary gravity=1e300:3e300": ("gravity",),
        "--vary gravty=5:15": ("no parameter 'gravty'", "did you mean 'gravity'?"),
        "--vary max_steps_in_episode=5:9": ("time limit", "--horizon"),
        "--vary gravity=5:9 gravity=6:7": ("'gravity' twice",),
        "--vary gravity=log:0:9": ("gravity",),
        "--vary gravity=5,9 --held-out 0.9": ("nothing to train on",),
        "--vary gravity=5:9 --held-out 0.5": ("lists no values",),
        "--vary x,y=circle:1": ("no parameter",),
        "--env point --vary goal_x,goal_y=circle:-1": ("goal_x",),
        "--env bandit:1": ("A bandit of 1 arms leaves nothing", "2 or more"),
        "--env bandit:ten": ("a whole number above 0", "bandit:10"),
        "--env mdp --vary noise=0:1": ("--vary has no effect on mdp", "leave it out"),
        "--env mdp --held-out 0.2": ("--held-out keeps a share", "leave it out"),
        "--env gridworld --set goal_x=1": ("--set goal_x fixes", "leave it out"),
        "--set gravity=9": ("--set gravity fixes what --vary gravity varies",),
        "--set length": ("--set takes NAME=VALUE",),
        "--set length=": ("length",),
        "--set length=nan": ("length",),
        "--set length=0": ("length must be above 0",),
        "--set length=true": ("takes a number",),
        "--set length=1 length=2": ("'length' twice",),
        "--medium-task given --medium-values length=-1": ("above 0",),
        "--medium-task given --medium-values x": ("NAME=VALUE",),
        "--medium-values length=1": ("belongs to --medium-task given",),
    }.items()
]
OF_RUNS: list[Row] = [
    *[
        (f"{command} {run}", "what is no run, or one that is damaged", words)
        for command in ("evaluate", "render", "export", "compare", "report")
        for run, words in {
            "nowhere": ("nowhere cannot be read",),
            "file": ("not the config.json of a run",),
            "empty": ("empty cannot be read",),
            "~nobodyatall/x": ("cannot be read",),
            "cut": ("cut is not the config.json",),
            "list": ("list is not the config.json",),
            "strange": ("strange", "'flavour'"),
            "typed": ("typed", "epochs is 'many'"),
            "place": ("place", "Did you mean"),
            "vary5": ("vary5", "tuple of strings"),
        }.items()
    ],
    *[
        (f"{command} {run}", "a damaged checkpoint", words)
        for command in ("evaluate", "render", "export")
        for run, words in {
            "sums": ("no checkpoint that can be read", "train the same anew"),
            "gone": ("no checkpoint that can be read",),
            "nocheckpoint": ("no checkpoint yet", "--resume nocheckpoint"),
        }.items()
    ],
    *[
        (f"{command} run {run}", "damaged metrics", ("metrics.csv of", run, "--config"))
        for command in ("compare", "report")
        for run in ("nometrics", "bom", "header", "binary", "half")
    ],
    *[
        (command, "nothing to do it with", words)
        for command, words in {
            "evaluate": ("RUN is missing",),
            "render": ("RUN is missing",),
            "export": ("RUN is missing",),
            "compare": ("nothing to compare",),
            "report": ("nothing to report on",),
        }.items()
    ],
]
FLAGS_OF_RUNS: list[Row] = [
    (flags, "a flag's value that cannot be", words)
    for flags, words in {
        "evaluate run --tasks 0": ("--tasks is 0", "1 or more"),
        "evaluate run --tasks 1.5": ("--tasks is '1.5'", "a whole number"),
        "evaluate run --steps -1": ("--steps is -1",),
        "evaluate run --shots -1": ("--shots is -1", "0 or more"),
        "evaluate run --episodes 0": ("--episodes is 0",),
        "evaluate run --task-seed -1": ("--task-seed is -1",),
        "evaluate run --task gravity=1": ("no flag --task", "--tasks"),
        "evaluate run --solver fast": ("--solver fast has no effect on cartpole",),
        "evaluate run --solver slow": ("--solver", "slow"),
        "evaluate run --out-of-range mass=1:2": ("--out-of-range mass",),
        "evaluate run --out-of-range gravity=9:1": ("--out-of-range gravity",),
        "evaluate run --out-of-range gravity=nan:1": ("--out-of-range gravity",),
        "evaluate run --out file": ("--out file cannot be written",),
        "evaluate run --out file/x": ("--out file/x cannot be written",),
        "evaluate run --out ~nobodyatall/x": ("--out ~nobodyatall/x",),
        "evaluate run cut": ("Nothing takes cut,",),
        "render run --steps 0": ("--steps is 0",),
        "render run --episode 0": ("--episode is 0",),
        "render run --seed 99": ("--seed is 99", "seeds 1 to 2"),
        "render run --seed x": ("--seed is 'x'", "None"),
        "render run --fps 0": ("--fps is 0", "1 to 50"),
        "render run --fps nan": ("--fps is nan",),
        "render run --task gravity": ("--task takes NAME=VALUE",),
        "render run --task gravty=9": ("no parameter 'gravty'",),
        "render run --task length=-1": ("above 0",),
        "render run --task gravity=1e999": ("gravity",),
        "render run --task gravity=9 gravity=8": ("'gravity' twice",),
        "render run --out file/x.gif": ("--out file/x.gif cannot be written",),
        "render run --out ~nobodyatall/x.gif": ("--out ~nobodyatall/x.gif",),
        "export run --steps -1": ("--steps is -1",),
        "export run --seed 99": ("--seed is 99",),
        "export run --task gravity=9": ("--task is what --steps adapt to",),
        "export run --steps 1 --task mass=1": ("no parameter 'mass'",),
        "export run --out file": ("--out file cannot be written",),
        "export run --out ~nobodyatall/x": ("--out ~nobodyatall/x",),
        "compare run --threshold nan": ("--threshold is nan",),
        "compare run --threshold high": ("--threshold is 'high'", "a number"),
        "compare run --x miles": ("miles", "epochs"),
        "compare run --out file": ("--out file cannot be written",),
        "compare run --out ~nobodyatall/x": ("--out ~nobodyatall/x",),
        "compare run --steps 3": ("no flag --steps",),
        "report run --out file": ("--out file cannot be written", ".html"),
        "report run --out file/x.html": ("--out file/x.html cannot be written",),
        "report run --out ~nobodyatall/x": ("--out ~nobodyatall/x",),
        "report run --title x": ("no flag --title",),
        "estimators --states 0": ("--states is 0",),
        "estimators --horizon x": ("--horizon is 'x'", "a whole number"),
        "estimators --inner-lr nan": ("--inner-lr is nan",),
        "estimators --discount 2": ("--discount is 2",),
        "estimators --samples 0": ("--samples is 0",),
        "estimators --out run": ("holds another run",),
        "estimators --out file": ("cannot be written",),
        "estimators --flavour 1": ("--flavour",),
    }.items()
]
_GRID = "sweep --grid inner_lr=0.1,0.2"
SWEEPS: list[Row] = [
    (given, "a sweep that cannot be", words)
    for given, words in {
        "sweep": ("Nothing varies",),
        "sweep --resume nowhere": ("--resume nowhere cannot be read",),
        "sweep --resume ~nobodyatall/x": ("cannot be read",),
        "sweep --resume run": ("is not the folder of a sweep",),
        "sweep --grid inner_lr": ("is not of a known form",),
        "sweep --grid inner_lr=0.1,x": ("--inner-lr is x", "finite"),
        "sweep --grid inner_lr=nan,1": ("--inner-lr is nan",),
        "sweep --grid flavour=1,2": ("no value 'flavour'",),
        "sweep --table nowhere": ("--table nowhere cannot be read",),
        "sweep --table ~nobodyatall/x": ("--table ~nobodyatall/x cannot be read",),
        f"{_GRID} --out run": ("holds another run",),
        f"{_GRID} --out file/x": ("file/x cannot be written",),
        f"{_GRID} --out ~nobodyatall/x": ("--out ~nobodyatall/x cannot be written",),
        f"{_GRID} --inner-lr 0.3": ("give one of the two",),
        f"{_GRID} --flavour 3": ("no flag --flavour",),
        f"{_GRID} --epochs x": ("--epochs is 'x'", "dmaml-jax sweep --help"),
    }.items()
]
LIBRARY: list[Row] = [
    (lambda: load("nowhere"), "no run", ("nowhere cannot be read",)),
    (lambda: load("cut"), "a cut config.json", ("cut is not the config.json",)),
    (lambda: load("sums"), "damaged checkpoints", ("that can be read",)),
    (lambda: load("run", solver="fast"), "no solvers", ("has no effect on",)),
    (_train(inner_lr="0.1"), "a string", ("--inner-lr is '0.1'",)),
    (_train(inner_lr=None), "None", ("--inner-lr is None",)),
    (_train(inner_lr=[0.1]), "a list", ("--inner-lr is [0.1]",)),
    (_train(inner_lr=np.float32(0.1)), "NumPy's number", ("give float(x)",)),
    (_train(inner_lr=jnp.ones(2)), "an array", ("shape (2,)", "vmap")),
    (_train(num_tasks=jnp.int32(2)), "a traced shape", ("is a jax.Array",)),
    (_train(num_tasks=2.0), "a float", ("--num-tasks is 2.0",)),
    (_train(num_tasks=True), "a bool", ("--num-tasks is True",)),
    (_train(seeds=3), "the caller's business", ("training loop",)),
    (_train(flavour=3), "no such value", ("no value 'flavour'",)),
    (_train(vary="gravity=5:15"), "a string for a tuple", ("a tuple of strings",)),
    (_with("nowhere"), "no environment", ("nowhere",)),
    (_with(3), "a number", ("must be an environment's name",)),
    (_with(CartPole), "a class", ("made, not its class",)),
    (_with(CartPole()), "no tasks", ("needs its task distribution",)),
    (
        _with(CartPole(), tasks=uniform(_POINT, goal_x=(0.0, 1.0))),
        "another environment's tasks",
        ("tasks are no parameters of",),
    ),
    (lambda: make_train_step("cartpole", "mamml"), "no learner", ("mamml",)),
    (lambda: make_train_step("cartpole", 3), "a number", ("3",)),
    (lambda: configuration("cartpole", epochs=0), "no epochs", ("--epochs is 0",)),
    (lambda: uniform(_CART, gravty=(1.0, 2.0)), "no field", ("'gravty'",)),
    (lambda: uniform(_CART, gravity=(2.0, 1.0)), "upside down", ("gravity",)),
    (lambda: uniform(_CART, gravity=(1.0, np.inf)), "no end", ("gravity",)),
]
ROWS = [
    *COMMANDS,
    *NUMBERS,
    *CHOICES,
    *PROCESSES,
    *TASKS,
    *OF_RUNS,
    *FLAGS_OF_RUNS,
    *SWEEPS,
    *LIBRARY,
]
