"""Seconds per epoch, all learners in turn, and what an epoch takes besides."""

import importlib.util
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.files import write_csv
from experiments.engine.declared import HERE
from experiments.engine.paper import LEARNERS, table_i

SECONDS = "seconds.csv"
COMPARED = ("MAML", "FOMAML", "Meta-SGD", "Directed-MAML")
SEEDS, CHUNK, CHUNKS = range(1, 6), 10, 5
_BUSY = 0.5  # cores of other work
_QUICK = {"horizon": 10, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (4,)}


class Candidate:
    """A learner's compiled program of one seed, in training while it is measured."""

    def __init__(self, label: str, env: str, values: Mapping[str, Any]) -> None:
        """Compile it; `values` are further ones than Table I's."""
        from dmaml_jax.build import configuration
        from dmaml_jax.build.learner import build
        from dmaml_jax.training.chunk import train_step
        from dmaml_jax.training.program import Program

        self.label, algo = label, LEARNERS[label]
        self.config = configuration(env, algo, **{**table_i(algo), **values})
        self.problem, learner = build(self.config)
        self._pair = train_step(self.problem, learner, self.config.sampling.num_tasks)
        self.program = Program(*self._pair, seeds=[SEEDS[0]], chunk_epochs=CHUNK)
        self.program.compile()
        self._environment = self._collections()
        self.seconds: list[float] = []
        self.shares: list[float] = []

    def begin(self, seed: int) -> None:
        """Begin with another seed; nothing is compiled again."""
        from dmaml_jax.training.chunk import Lanes

        self.program.take(Lanes(np.array([seed], np.uint32), {}))
        self._epoch = 0

    def chunk(self) -> None:
        """Train some epochs, and time them and their rollouts."""
        import jax

        begin = time.perf_counter()
        self.program.run(self._epoch, CHUNK)
        jax.block_until_ready(self.program.state)
        spent = (time.perf_counter() - begin) / CHUNK
        self._epoch += CHUNK
        params = jax.tree.map(lambda leaf: leaf[0], self.program.params())
        key = jax.random.key(self._epoch)
        jax.block_until_ready(self._environment(key, params))
        begin = time.perf_counter()
        jax.block_until_ready(self._environment(key, params))
        self.seconds.append(spent)
        self.shares.append((time.perf_counter() - begin) / spent)

    def _collections(self) -> Any:
        """As many rollouts as an epoch has, and nothing else, compiled on first use."""
        import jax

        sampling, problem = self.config.sampling, self.problem
        steps = self.config.learner.num_inner_steps

        def all_of(key: Any, params: Any) -> Any:
            key_tasks, key_medium, *keys = jax.random.split(key, steps + 3)
            tasks = problem.sample_tasks(key_tasks, sampling.num_tasks)
            seen = []
            for own in keys:
                lanes = jax.random.split(own, sampling.num_tasks)
                collect = jax.vmap(problem.collect, in_axes=(0, None, 0))
                seen.append(collect(lanes, params, tasks).rewards)
            if self.config.directed is not None:
                medium = problem.collect(key_medium, params, problem.medium_task())
                seen.append(medium.rewards)
            return seen

        return jax.jit(all_of)

    def gflop(self) -> float:
        """Of the matrix products of an epoch whose episodes have full length."""
        import jax
        from flops import matrix_flops

        init, step = self._pair
        key = jax.random.key(0)
        turns = -(-(self.config.sampling.horizon or 1) // 20)
        return matrix_flops(step, key, init(key), loop_turns=turns) / 1e9


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure once, and write seconds.csv; a machine that is busy is left alone.

    Args:
        folder: of the study's tables.
        quick: whether toy sizes are measured, of CartPole, whatever else goes on.
        raw: the folder of raw runs, of which it needs none.
    """
    del raw
    if (folder / SECONDS).exists():
        return
    sys.path.insert(0, str(HERE.parent / "tests" / "benchmarks"))
    busy = _others(0.1 if quick else 5.0)
    if busy > _BUSY and not quick:
        print(
            f"Seconds are not measured, as other work keeps {busy:.1f} cores busy: "
            "call this again when the machine is quiet."
        )
        return
    labels = COMPARED[1:2] if quick else COMPARED
    env, values = ("cartpole", _QUICK) if quick else ("lunarlander", {})
    candidates = [Candidate(label, env, values) for label in labels]
    baseline = None if quick else _baseline()
    rows: list[list[Any]] = []
    theirs: list[float] = []
    for own in candidates:  # once untimed, as caches are cold
        own.begin(SEEDS[0])
        own.chunk()
    for seed in SEEDS[: 2 if quick else None]:
        for own in candidates:
            own.begin(seed)
            own.seconds, own.shares = [], []
        theirs = []
        for _ in range(2 if quick else CHUNKS):
            for own in candidates:
                own.chunk()
            if baseline is not None:
                theirs.append(baseline().seconds)
        for own in candidates:
            share = np.mean(own.shares)
            memory = own.program.memory() / 2**20
            rows.append(
                [own.label, seed, np.mean(own.seconds), memory, own.gflop(), share]
            )
        if baseline is not None:
            rows.append(["PyTorch, Directed-MAML", seed, np.mean(theirs), "", "", ""])
    if baseline is not None:
        baseline.__exit__()
    _write(folder, rows, _others(0.1 if quick else 5.0))


def _baseline() -> Any:
    """The PyTorch baseline in a process of its own; None where there is no PyTorch."""
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed here (make bench creates its environment).")
        return None
    from measure import TorchWorkers

    workers = TorchWorkers("list", full=False, threads=1, script="torch_lander.py")
    return workers.__enter__()


def _others(seconds: float) -> float:
    """Cores that other processes keep busy, looked at for so long."""
    from measure import Load

    with Load() as load:
        time.sleep(seconds)
    return load.others


def _write(folder: Path, rows: list[list[Any]], others: float) -> None:
    from dmaml_jax.runs.folder import circumstances
    from experiments.engine.work import machine

    about = circumstances()
    ends = [about["started"][:10], machine(), about["versions"]["jax"]]
    ends += [about["commit"] or "", f"{others:.2f}"]
    head = ["learner", "seed", "seconds", "memory_mib", "gflop", "environment_share"]
    head += ["date", "device", "jax", "commit", "others"]
    folder.mkdir(parents=True, exist_ok=True)
    cells = [[f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows]
    write_csv(folder / SECONDS, [head, *([*row, *ends] for row in cells)])
