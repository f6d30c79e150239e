"""Training what is missing: runs of equal structure go as lanes of one sweep.

A batch is one sweep, so it stops gently, goes on after a kill, and leaves a run folder
for each of its runs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dmaml_jax.build import configuration
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.settings import Setting
from dmaml_jax.options import options_of
from dmaml_jax.runs.course import DONE, FAILED
from dmaml_jax.sweeps import sweeping
from dmaml_jax.sweeps.folder import Sweep
from dmaml_jax.training import devices
from experiments.engine.declared import Block, Run, written
from experiments.engine.work import Work

_MOST_LANES = 40
_CHECKPOINT_EVERY = 40

Switches = Mapping[str, Callable[[], AbstractContextManager[None]]]


def train(
    block: Block,
    work: Work,
    *,
    done: Callable[[Run], bool],
    switches: Switches,
    gathered: Callable[[], None],
    first: int = 0,
) -> int:
    """Train the parts of a block's runs that are missing.

    Args:
        block: whose runs are to be trained; none of them has a choice to make.
        work: what was trained before.
        done: whether the tables have a run already.
        switches: of the study.
        gathered: called after each batch.
        first: how many seeds of each run are trained at most; 0 trains all.

    Returns:
        The exit code: 0 done, 128 + signal if one stopped it.
    """
    wanted = [
        part
        for run in block.runs
        if not done(run)
        for part in work.missing(run.first(first, block.chunk), block.chunk)
    ]
    order = {run.id: index for index, run in enumerate(_by_chunk(block))}
    wanted.sort(key=lambda part: order[part.id])
    for folder, runs in work.begun(wanted):
        print(f"going on with {_told(runs)}", flush=True)
        with _switched(runs, switches):
            code = sweeping.go_on(str(folder))
        if code not in (DONE, FAILED):
            return code
        gathered()
        wanted = [run for run in wanted if run not in runs]
    for runs in batches(wanted):
        print(f"training {_told(runs)}", flush=True)
        with _switched(runs, switches):
            code = sweeping.begin(_sweep(runs), str(work.place_for(runs)))
        # A batch of which no lane is left alive has failed, and that is its result.
        if code not in (DONE, FAILED):
            return code
        gathered()
    return DONE


def _by_chunk(block: Block) -> Iterator[Run]:
    """The parts of all runs: the first seeds of each before the next seeds of any."""
    parts = [list(run.chunks(block.chunk)) for run in block.runs]
    for index in range(max(map(len, parts), default=0)):
        yield from (own[index] for own in parts if index < len(own))


def batches(runs: Sequence[Run]) -> list[list[Run]]:
    """Which runs one program trains side by side, in the order of their first ones."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        own = groups.setdefault(_structure(run), [])
        own.append(run)
    found: list[list[Run]] = []
    for group in groups.values():
        size = max(_MOST_LANES // len(group[0].seeds), 1)
        found += [group[i : i + size] for i in range(0, len(group), size)]
    order = {run.id: index for index, run in enumerate(runs)}
    return sorted(found, key=lambda group: order[group[0].id])


def _structure(run: Run) -> Any:
    """All that decides a program: what may be traced is left out."""
    config = config_of(run)
    flat = config.flat()
    kept = {name: flat[name] for name in sorted(flat) if name not in traced(config)}
    return json.dumps([kept, run.switch, run.seeds.start, run.seeds.stop])


def traced(config: TrainConfig) -> set[str]:
    """Names of the values that may differ from lane to lane of a program."""
    return {
        name
        for owner in config.nested()
        for name, option in options_of(type(getattr(config, owner))).items()
        if option.traced
    }


def config_of(run: Run) -> TrainConfig:
    """The configuration of a run.

    Raises:
        UsageError: the run declares a value that is wrong.
    """
    return configuration(
        run.env,
        run.algo,
        epochs=run.epochs,
        seed=run.seeds.start,
        seeds=len(run.seeds),
        checkpoint_every=_CHECKPOINT_EVERY,
        cpu_devices=devices.usable_cores(),
        **run.values,
    )


def _sweep(runs: Sequence[Run]) -> Sweep:
    configs = [config_of(run) for run in runs]
    flats = [config.flat() for config in configs]
    swept = tuple(
        name
        for name in flats[0]
        if name in traced(configs[0]) and len({own[name] for own in flats}) > 1
    )
    return Sweep(tuple(Setting(config, swept) for config in configs))


def _switched(runs: Sequence[Run], switches: Switches) -> AbstractContextManager[None]:
    switch = runs[0].switch
    return switches[switch]() if switch else nullcontext()


def _told(runs: Sequence[Run]) -> str:
    first = runs[0]
    names = ", ".join(dict.fromkeys(run.name for run in runs))
    seeds = f"seeds {first.seeds.start} to {first.seeds.stop - 1}"
    return f"{names}: {seeds}, {first.epochs} epochs ({written(first.values)})"
