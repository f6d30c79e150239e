"""Several processes on the loopback equal one, and end together."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dmaml_jax.errors import UsageError
from dmaml_jax.training import hosts, joining

sys.path.insert(0, str(Path(__file__).parent))
from host_problem import LAYOUTS, layouts_of, program_of, results

CHILD = Path(__file__).parent / "host_child.py"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def children(
    count: int, devices: int, folder: Path, *kind: str
) -> list[subprocess.CompletedProcess[str]]:
    """What so many processes ended with, the first one's first."""
    port = free_port()
    path = os.pathsep.join([str(CHILD.parent), str(CHILD.parents[1])])
    started = [
        subprocess.Popen(
            [sys.executable, str(CHILD)]
            + [str(x) for x in (port, count, number, devices, folder)]
            + list(kind),
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(count)
    ]
    try:
        said = [process.communicate(timeout=180) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *words)
        for process, words in zip(started, said, strict=True)
    ]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, list[subprocess.CompletedProcess[str]]]:
    """What two processes left that trained, after which the second one died."""
    folder = tmp_path_factory.mktemp("two")
    return folder, children(2, 1, folder, "train", "wait")


def assert_equal_to_one(folder: Path, processes: int) -> None:
    found = np.load(folder / "found.npz")
    alone = {}
    for name in layouts_of(processes):
        program = program_of(jax.devices()[:1], **LAYOUTS[name])
        program.compile()
        alone |= results(name, program)
    assert set(found.files) == set(alone) and len(alone) > 20
    for name, values in alone.items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-9, atol=1e-12, err_msg=name
        )


def test_two_processes_equal_one(two) -> None:
    """Seeds, and one seed's tasks, over processes: five epochs in float64."""
    folder, _ = two
    assert_equal_to_one(folder, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "devices"), [(2, 2), (4, 1)])
def test_several_processes_equal_one(count: int, devices: int, tmp_path: Path) -> None:
    for ended in children(count, devices, tmp_path, "train"):
        assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert_equal_to_one(tmp_path, count)


def test_one_that_dies_ends_all_with_a_sentence(two) -> None:
    """On a CPU at once, as the gather fails whose other end is gone."""
    folder, (first, second) = two
    assert (first.returncode, second.returncode) == (1, -signal.SIGKILL)
    for number, ended in enumerate((first, second)):
        *_, last = ended.stderr.splitlines()
        assert last.startswith(f"error: process {number} of 2 (from 0) has ended")
        assert last.endswith("what was written before is whole. Go on so.")
        assert "Traceback" not in ended.stderr
    assert (folder / "stopped.txt").read_text() in first.stderr


@pytest.mark.slow
def test_one_that_dies_ends_those_that_do_not_wait_for_it(tmp_path: Path) -> None:
    """As long as a program runs on a GPU: the heartbeats stay out, here for 5 s."""
    begin = time.monotonic()
    first, second, _ = children(3, 1, tmp_path, "wait", "beside", "short")
    assert 3 < time.monotonic() - begin < 60
    for ended in (first, second):
        assert ended.returncode not in (0, None)
        assert ended.stderr.endswith("what was written before is whole. Go on so.\n")
    assert "Go on so." in (tmp_path / "stopped.txt").read_text()


def device(process: int) -> SimpleNamespace:
    return SimpleNamespace(process_index=process)


@pytest.mark.parametrize(
    ("processes", "each", "groups", "size", "counts"),
    [
        (1, 8, 5, 1, [5]),
        (2, 4, 5, 1, [3, 2]),
        (2, 4, 3, 2, [4, 2]),
        (2, 4, 1, 5, [3, 2]),
        (4, 2, 4, 1, [1, 1, 1, 1]),
        (2, 3, 3, 2, [3, 3]),
    ],
)
def test_devices_are_shared_out_evenly(
    processes: int, each: int, groups: int, size: int, counts: list[int], monkeypatch
) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    devices = [device(number) for number in range(processes) for _ in range(each)]
    used = [d.process_index for d in hosts.shared_out(devices, groups, size)]
    assert [used.count(number) for number in range(processes)] == counts
    with pytest.raises(UsageError, match="start fewer of them, or train more --seeds"):
        monkeypatch.setattr(jax, "process_count", lambda: processes + groups * size)
        hosts.shared_out(devices, groups, size)


def test_the_help_says_when_all_end() -> None:
    from dmaml_jax.commands import processes

    said = " ".join(Path(processes.__file__).read_text().split())
    assert f"all end within {joining.HEARTBEAT_SECONDS} s" in said
