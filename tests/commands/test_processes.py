"""Commands that run as several processes: one folder, the numbers of one process."""

import csv
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_cli import COMMAND, environment, wait_for_rows

TOY = (
    "--horizon 40 --num-tasks 5 --num-trajectories 2 --hidden-sizes 4 --cpu-devices 1 "
    "--chunk-epochs 2 --algo maml"
).split()
Said = list[tuple[int, str, str]]


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def started(
    count: int, command: str, *words: str, cwd: Path
) -> Iterator[list[subprocess.Popen]]:
    """So many processes of a command, in float64; a single one is none of several."""
    address = f"127.0.0.1:{port()}"
    processes = [
        subprocess.Popen(
            [*COMMAND, command, *words, *by_hand],
            cwd=cwd,
            env={**environment(), "JAX_ENABLE_X64": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(count)
        for by_hand in [
            f"--distributed --coordinator {address} --num-processes {count} "
            f"--process-id {number}".split()
            if count > 1
            else []
        ]
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def ended(processes: list[subprocess.Popen]) -> Said:
    said = [process.communicate(timeout=240) for process in processes]
    return [
        # What connects CPUs says so, to standard output and past Python.
        (process.returncode, re.sub(r"\[Gloo\] .*\n", "", out), err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


def done(count: int, command: str, *words: str, cwd: Path) -> str:
    """What the first of so many processes printed; all of them ended well."""
    with started(count, command, *words, cwd=cwd) as processes:
        said = ended(processes)
    notes = re.compile("note: the program is laid out differently.*\n")
    assert {(code, notes.sub("", err)) for code, _, err in said} == {(0, "")}, said
    assert [out for _, out, _ in said[1:]] == [""] * (count - 1)
    return said[0][1]


def rows(file: Path) -> tuple[list[str], np.ndarray]:
    """The head and the numbers of a table, without the seconds."""
    with open(file, newline="") as opened:
        head, *lines = csv.reader(opened)
    kept = [i for i, name in enumerate(head) if name not in ("seconds", "env", "algo")]
    table = [[float(line[i] or "nan") for i in kept] for line in lines]
    return [head[i] for i in kept], np.array(table)


def assert_equal(one: Path, other: Path, seeds: int = 99) -> None:
    """Of so many seeds."""
    (head, first), (others, second) = rows(one), rows(other)
    assert head == others and np.isfinite(first[:, :4]).all()
    if "seed" in head:
        second = second[second[:, head.index("seed")] <= seeds]
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A run of three seeds by one process."""
    here = tmp_path_factory.mktemp("alone")
    done(1, "train", *TOY, *"--seeds 3 --epochs 5 --out run".split(), cwd=here)
    return here / "run"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "seeds"), [(2, 3), (4, 2)])
def test_a_run_of_several_processes_is_that_of_one(
    count: int, seeds: int, alone: Path, tmp_path: Path
) -> None:
    """Of two each has seeds of its own; of four, each some tasks of one seed's."""
    words = f"--seeds {seeds} --epochs 5 --checkpoint-every 2 --out run".split()
    out = done(count, "train", *TOY, *words, cwd=tmp_path)
    assert f"{count} processes" in out and out.count("run folder") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert_equal(tmp_path / "run/metrics.csv", alone / "metrics.csv", seeds)
    one, other = (np.load(f / "params.npz") for f in (tmp_path / "run", alone))
    for name in one.files:
        np.testing.assert_allclose(
            one[name], other[name][:seeds], rtol=1e-9, atol=1e-12
        )
    assert "is finished" in done(1, "train", "--resume", "run", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "others"), [(0, 1), (1, 4)])
def test_kill_9_of_one_ends_all_and_any_number_goes_on(
    victim: int, others: int, tmp_path: Path
) -> None:
    """The first process and another one; one process goes on, and four."""
    words = [*TOY, *"--seeds 4 --epochs 100 --checkpoint-every 2".split()]
    with started(2, "train", *words, "--out", "run", cwd=tmp_path) as processes:
        wait_for_rows(processes[0], tmp_path / "run", 4 * 6)
        processes[victim].kill()
        said = ended(processes)
    assert said[victim][0] == -signal.SIGKILL and said[1 - victim][0] == 1, said
    for _, _, err in said:
        assert "has ended before the work was done" in err
        assert "dmaml-jax train --resume run" in err and "Traceback" not in err
    assert "has ended before" in (tmp_path / "run/stopped.txt").read_text()
    out = done(others, "train", "--resume", "run", cwd=tmp_path)
    assert "going on after epoch" in out
    assert not (tmp_path / "run/stopped.txt").exists()
    done(1, "train", *words, "--out", "whole", cwd=tmp_path)
    (_, one), (_, other) = (
        rows(tmp_path / n / "metrics.csv") for n in ("run", "whole")
    )
    assert one.shape == other.shape  # 100 epochs: a sampled action may have flipped
    np.testing.assert_allclose(one[: 4 * 5], other[: 4 * 5], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_signal_to_one_stops_all_at_the_same_epoch(tmp_path: Path) -> None:
    words = [*TOY, *"--seeds 2 --epochs 100000 --out run".split()]
    with started(2, "train", *words, cwd=tmp_path) as processes:
        wait_for_rows(processes[0], tmp_path / "run", 8)
        processes[1].send_signal(signal.SIGTERM)
        first, second = ended(processes)
    assert (first[0], second[0]) == (143, 143), (first, second)
    assert "SIGTERM: stopped after epoch" in first[1] and first[2] == ""
    assert second[2].startswith("SIGTERM: finishing the chunk of epochs")
    assert not (tmp_path / "run/stopped.txt").exists()


@pytest.mark.slow
def test_a_sweep_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    """Two programs, two waves, two rungs."""
    words = (
        "--seeds 3 --epochs 5 --waves 2 --halve 2 --at 2 --grid inner_lr=0.01,0.3 "
        "num_inner_steps=1,2"
    ).split()
    for count in (1, 2):
        out = done(count, "sweep", *TOY, *words, "--out", f"s{count}", cwd=tmp_path)
        assert out.count("leaderboard.csv") == 1
    for name in ("sweep.csv", "leaderboard.csv"):
        assert_equal(tmp_path / "s1" / name, tmp_path / "s2" / name)
    assert "is finished" in done(2, "sweep", "--resume", "s2", cwd=tmp_path)


def test_without_a_cluster_it_is_said(tmp_path: Path) -> None:
    cluster = ("SLURM_", "OMPI_", "KUBERNETES_")
    kept = {n: v for n, v in environment().items() if not n.startswith(cluster)}
    said = subprocess.run(
        [*COMMAND, "train", *TOY, "--distributed"],
        cwd=tmp_path,
        env={**kept, "JAX_PLATFORMS": "cpu"},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert said.returncode == 2 and not list(tmp_path.iterdir())
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: --distributed finds neither SLURM nor Open MPI")
