"""Metrics beside metrics.csv: TensorBoard's event files, offline runs of wandb."""

from pathlib import Path

import numpy as np
import pytest

from dmaml_jax.errors import UsageError
from dmaml_jax.runs.sinks import Nowhere, open_sink, require_sink

SEEDS = [4, 5]


def chunk(first: int, epochs: int) -> dict[str, np.ndarray]:
    """Seed 5 fails in epoch 3; NaN stands for what a learner has no value of."""
    number = first + np.arange(1, epochs + 1)[:, None]
    return {
        "loss": number + np.array([0.0, 0.5]),
        "return_after": 10.0 * number + np.array([0.0, 1.0]),
        "cos_medium_meta": np.full((epochs, 2), np.nan),
        "failed_at": np.array([0, 3 if first + epochs >= 3 else 0]),
    }


def scalars(folder: Path) -> dict[tuple[str, str], dict[int, float]]:
    """By seed's folder and tag, values by step; later ones replace earlier ones."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import open_file

    del open_file  # only reading: records are length, CRC, content, CRC
    found: dict[tuple[str, str], dict[int, float]] = {}
    for path in sorted(folder.rglob("events*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                series = found.setdefault((path.parent.name, value.tag), {})
                series[event.step] = value.simple_value
    return found


def test_tensorboard_has_a_series_per_seed(tmp_path: Path) -> None:
    sink = open_sink("tensorboard", tmp_path, SEEDS, 0, {})
    sink.write(0, chunk(0, 2))
    sink.write(2, chunk(2, 2))
    sink.close()
    found = scalars(tmp_path / "tensorboard")
    assert found["seed-4", "loss"] == {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}
    # The epoch in which a seed fails is its last.
    assert found["seed-5", "return_after"] == {1: 11.0, 2: 21.0, 3: 31.0}
    assert not [tag for _, tag in found if tag in ("cos_medium_meta", "failed_at")]


def test_a_resumed_run_takes_later_events_back(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import SessionLog

    sink = open_sink("tensorboard", tmp_path, SEEDS, 2, {})
    sink.write(2, chunk(2, 1))
    sink.close()
    (path,) = (tmp_path / "tensorboard" / "seed-4").iterdir()
    assert SessionLog.START in path.read_bytes() or b"\x10\x03" in path.read_bytes()
    assert scalars(tmp_path / "tensorboard")["seed-4", "loss"] == {3: 3.0}


@pytest.mark.wandb
def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink("wandb", tmp_path, SEEDS, 0, {"inner_lr": 0.1})
    sink.write(0, chunk(0, 2))
    sink.close()
    (run,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = run.read_bytes()
    assert b"return_after/seed-4" in content and b"return_after/seed-5" in content


def test_nothing_is_written_by_default(tmp_path: Path) -> None:
    sink = open_sink("none", tmp_path, SEEDS, 0, {})
    assert isinstance(sink, Nowhere)
    sink.write(0, chunk(0, 2))
    sink.close()
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_said_before_anything_is_compiled(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--log wandb needs the package wandb: pip"):
        require_sink("wandb")
    require_sink("none")
