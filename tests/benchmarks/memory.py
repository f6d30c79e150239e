"""RL²'s epoch beside PyTorch's; writes docs/memory-speed.md.

python tests/benchmarks/memory.py
python tests/benchmarks/memory.py --repetitions 2 --out /dev/stdout

Run by `make bench-memory`. Needs the extra `bench`.
"""

import argparse
import datetime
import importlib.metadata
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import Quartiles, plural, quartiles, say
from flops import matrix_flops
from measure import Load, Sample, TorchWorkers, in_process, interleave, ratio, seconds
from torch_rl2 import MINIBATCHES, PULLS, TRIALS, UPDATES

PAGE = Path(__file__).parents[2] / "docs" / "memory-speed.md"
TARGET = 2.0
INTRODUCTION = f"""# What RL²'s epoch costs

RL² on bandits of five arms, trials of {PULLS} pulls, the preset, float32, on a CPU. An
epoch is {TRIALS} trials, {TRIALS * PULLS:,} pulls, and {UPDATES * MINIBATCHES} steps of
Adam on minibatches of {TRIALS // MINIBATCHES} whole trials, so that every pull is gone
through {UPDATES} times by two GRUs of 64 units. A sample is one epoch of every seed,
compile apart; the candidates take turns. A ratio is the median [quartiles] of the
ratios of neighbouring samples. PyTorch does the same with arrays of its own in the
place of environments and a call of `torch.nn.GRU` for a whole minibatch
(`tests/benchmarks/torch_rl2.py`): one seed on one thread or two, whichever is faster,
two seeds in two processes of one thread. `make bench-memory` writes this page."""
ROOFLINE = """The matrix products of an epoch are counted in its program, loops as often
as they turn. Bytes are the least that has to be kept for a gradient: of each unit,
step and pass four numbers, written once and read once. Both are divided by what a
large matrix product and a large copy reach on as many threads as the candidate
uses."""


class Ours:
    """A compiled program; called, it runs another epoch."""

    def __init__(self, seeds: int) -> None:
        from dmaml_jax.build import configuration
        from dmaml_jax.build.learner import build
        from dmaml_jax.build.program import program_of
        from dmaml_jax.training.chunk import train_step

        self.seeds, self.name = seeds, f"ours, {plural(seeds, 'seed')}"
        config = configuration("bandit", "rl2", seeds=seeds, episodes_per_trial=PULLS)
        own = config.learner
        assert TRIALS == config.sampling.num_tasks * config.sampling.num_trajectories
        assert own.updates_per_batch == UPDATES
        assert own.num_minibatches == MINIBATCHES
        self.program = program_of(config)
        say(f"  {self.name}: compiled in {self.program.compile():.1f} s")
        problem, learner = build(config)
        self._pair = train_step(problem, learner, config.sampling.num_tasks)
        self._epoch = 0

    def __call__(self) -> Sample:
        import jax

        begin = time.perf_counter()
        metrics = self.program.run(self._epoch, 1)
        jax.block_until_ready(self.program.state)
        took = time.perf_counter() - begin
        self._epoch += 1
        steps, loss = metrics["env_steps"].sum(), metrics["loss"].mean()
        return Sample(took, int(steps), float(loss))

    def flops(self) -> float:
        """Of the matrix products in an epoch of one seed; a look is every 20 steps."""
        import jax

        init, step = self._pair
        key = jax.random.key(0)
        return matrix_flops(step, key, init(key), loop_turns=PULLS // 20)


def measured(repetitions: int, cores: int) -> dict[str, Any]:
    """One seed and two seeds of both sides, and what the machine can do."""
    ours = {seeds: Ours(seeds) for seeds in (1, 2)}
    workers = [
        TorchWorkers("gru", full=False, threads=threads, script="torch_rl2.py")
        for threads in range(1, min(2, cores) + 1)
    ]
    pair = TorchWorkers(
        "gru", full=False, threads=1, seeds=2, processes=2, script="torch_rl2.py"
    )
    samples: dict[str, list[Sample]] = {}
    with Load() as load:
        for candidates in ([ours[1], *workers], [ours[2], pair]):
            theirs = candidates[1:]
            try:
                for worker in theirs:
                    worker.__enter__()
                samples |= interleave(candidates, repetitions)
            finally:
                for worker in theirs:
                    worker.__exit__()
    best = min(workers, key=lambda each: seconds(samples[each.name]).median)
    with tempfile.TemporaryDirectory() as folder:
        machine = {
            threads: in_process("machine", threads, Path(folder)) for threads in (1, 2)
        }
    return {
        "samples": samples,
        "pairs": [(best.name, ours[1].name), (pair.name, ours[2].name)],
        "flops": ours[1].flops(),
        "machine": machine,
        "load": load,
        "seeds": {each.name: each.seeds for each in (*ours.values(), *workers, pair)},
        "threads": {ours[1].name: 2, ours[2].name: 2, pair.name: 2}
        | {worker.name: index for index, worker in enumerate(workers, 1)},
    }


def written(found: dict[str, Any], repetitions: int, cores: int) -> str:
    """The page."""
    from bench import cpu_model, markdown

    samples, flops = found["samples"], found["flops"]
    ratios = [
        _row(f"{above} / {below}", ratio(samples[above], samples[below]))
        for above, below in found["pairs"]
    ]
    kept = 2 * 4 * 4 * 64 * 2 * TRIALS * PULLS * UPDATES  # numbers, bytes, both GRUs
    times = []
    for name, taken in samples.items():
        took, seeds = seconds(taken), found["seeds"][name]
        machine = found["machine"][found["threads"][name]]
        speed = [sample.env_steps / sample.seconds / 1e3 for sample in taken]
        rate = flops * seeds / took.median
        times.append(
            (
                name,
                took.text(),
                f"{quartiles(speed).text()} k",
                f"{rate / 1e9:.3g}",
                f"{rate / machine['flops']:.0%}",
                f"{kept * seeds / took.median / machine['bytes']:.0%}",
            )
        )
    load = found["load"]
    names = ("jax", "jaxlib", "torch")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    about = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {cpu_model()}, "
        f"{cores} usable cores",
        f"Python {platform.python_version()}, {', '.join(versions)}",
        f"{repetitions} repetitions; {load.others:.2f} cores were busy with other work",
        f"{flops / 1e9:.3g} GFLOP in the matrix products of a seed's epoch, "
        f"{kept / 1e9:.3g} GB kept for its gradients",
    ]
    each = ("epoch of all seeds, s", "pulls/s", "GFLOP/s", "of a product", "of a copy")
    parts = [
        INTRODUCTION,
        "\n".join(f"- {line}" for line in about),
        markdown(("what", "median [quartiles]", "target", "met"), ratios),
        ROOFLINE,
        markdown(("candidate", *each), times),
    ]
    return "\n\n".join(parts) + "\n"


def _row(what: str, value: Quartiles) -> tuple[str, ...]:
    met = "yes" if value.median >= TARGET else "**no**"
    return what, f"{value.text()} ×", f"≥ {TARGET:g} ×", met


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    from dmaml_jax.training import devices

    cores = devices.usable_cores()
    devices.configure("cpu", cores)
    found = measured(given.repetitions, cores)
    given.out.write_text(written(found, given.repetitions, cores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
