"""Configurations read back: today's files, and those that older versions wrote.

The files in `older/` are what the version before owners wrote for seven kinds of runs.
"""

import json
from pathlib import Path

import pytest

from dmaml_jax.build import configuration
from dmaml_jax.commands import train
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.folder import json_values
from dmaml_jax.runs.stored import read_config, read_record
from dmaml_jax.training import devices

OLDER = sorted((Path(__file__).parent / "older").glob("*.json"))
RENAMED = {
    "cartpole-maml-step-losses": {"algo": "maml++", "rates": "fixed"},
    "point-directed-meta-sgd-layers": {"algo": "directed-maml++"},
}
GONE = "cartpole-fomaml-step-losses"


@pytest.fixture(autouse=True)
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # JAX runs already in this process, and cannot be set up again.
    monkeypatch.setattr(devices, "configure", lambda device, cpu_devices: None)


def older(name: str) -> Path:
    return Path(__file__).parent / "older" / f"{name}.json"


@pytest.mark.parametrize(
    "path", [p for p in OLDER if p.stem != GONE], ids=lambda path: path.stem
)
def test_what_applies_of_an_older_file_is_kept(path: Path) -> None:
    stored = read_record(path)["values"]
    assert len(stored) == 55
    config = read_config(path)
    newer = {"set": [], "outer_trajectories": 0}  # these files know neither
    expected = {**newer, **stored, **RENAMED.get(path.stem, {})}
    found = json_values(config.flat())
    assert found == {name: expected[name] for name in found}
    # What is left out belongs to another choice, and was without effect.
    for name in set(stored) - set(found):
        with pytest.raises(UsageError, match=r"belongs to|no value"):
            config.replace(**{name: stored[name]})


def test_older_step_losses_and_layer_rates_are_those_of_maml_plus_plus() -> None:
    losses = read_config(older("cartpole-maml-step-losses"))
    own = losses.learner
    assert losses.run.algo == "maml++"
    assert (own.multi_step_epochs, own.second_order_epochs, own.rates) == (  # pyright: ignore
        50,
        20,
        "fixed",
    )
    layers = read_config(older("point-directed-meta-sgd-layers"))
    assert layers.run.algo == "directed-maml++" and layers.directed is not None
    assert layers.learner.rates == "layer-and-step"  # pyright: ignore
    assert read_config(older("cartpole-directed-maml")).run.algo == "directed-maml"
    with pytest.raises(UsageError, match=r"fomaml with multi_step_epochs is no longer"):
        read_config(older(GONE))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"env": "point-sparse", "algo": "directed-sg-mrl", "method": "ac"},
        {"algo": "maml++", "num_inner_steps": 2, "multi_step_epochs": 4},
        {"env": "lunarlander", "algo": "reptile", "set": ("enable_wind=true",)},
        {"surrogate": "loaded-dice", "loaded_dice_lambda": 0.25, "threshold": None},
        {"medium_task": "given", "medium_values": ("gravity=7",)},
    ],
)
def test_a_configuration_is_read_back_as_it_was(values, tmp_path: Path) -> None:
    config = configuration(**values)
    nested = json_values(config.nested())
    assert list(nested)[:3] == ["run", "sampling", "tasks"]
    (tmp_path / "config.json").write_text(json.dumps({"values": nested}))
    assert read_config(tmp_path) == config
    assert configuration(**config.flat()) == config


def test_a_value_without_effect_is_refused_in_a_file_of_today(tmp_path: Path) -> None:
    nested = json_values(configuration(algo="maml").nested())
    nested["method"]["gae_lambda"] = 0.5
    (tmp_path / "config.json").write_text(json.dumps({"values": nested}))
    with pytest.raises(UsageError, match="--gae-lambda belongs to --method ac"):
        read_config(tmp_path)


@pytest.mark.parametrize("name", ["older", "today"])
def test_flags_override_a_file_and_drop_what_no_longer_applies(name, tmp_path) -> None:
    path = older("gymnax-directed-maml")
    if name == "today":
        values = {"values": json_values(read_config(path).nested())}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(values))
    words = ["--config", str(path)]
    same, _ = train.arguments(words)
    assert same == read_config(path)
    assert same.directed is not None and same.directed.plateau_patience == 30
    bare, own = train.arguments([*words, "--algo", "maml", "--inner-lr=0.5"])
    assert bare.directed is None and bare.learner.inner_lr == 0.5
    assert bare.learner.loaded_dice_lambda == 0.5 and own.config == str(path)
    with pytest.raises(UsageError, match="--directed-lr belongs to directed learners"):
        train.arguments([*words, "--algo", "maml", "--directed-lr", "1"])
    resumed, _ = train.arguments(["--resume", str(path), "--epochs", "400"])
    assert resumed.run.epochs == 400
    with pytest.raises(UsageError, match="--plateau-patience would change it"):
        train.arguments(["--resume", str(path), "--plateau-patience", "31"])


def test_words_become_values() -> None:
    words = "--vary=length=0.2:1 --vary gravity=5:6 --vary=tau=0.01:0.02 --epochs=7"
    config, own = train.arguments([*words.split(), "-q", "--hidden_sizes", "3", "4"])
    assert config.tasks.vary == ("length=0.2:1", "gravity=5:6", "tau=0.01:0.02")
    assert config.run.epochs == 7 and config.policy.hidden_sizes == (3, 4)
    assert own.verbosity == "quiet"
