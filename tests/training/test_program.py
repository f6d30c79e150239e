"""The compiled chunk of epochs: keys, widths, chunks, frozen seeds, traces."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.learners import registry
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.training.program import Program
from dmaml_jax.types import Info, MetaLearner

SMALL = {"horizon": 20, "num_tasks": 2, "num_trajectories": 3, "hidden_sizes": (8,)}


def small_step(algo: str = "directed-maml"):
    return make_train_step("cartpole", algo, **SMALL)


class ToyState(NamedTuple):
    params: jax.Array
    epoch: jax.Array


def toy_step(bad_epoch: int, bad: Any = jnp.nan):
    """A learner that counts, and whose θ goes bad for seeds that began odd."""

    def init(key: jax.Array) -> ToyState:
        return ToyState(jnp.floor(1000 * jax.random.uniform(key)), jnp.int32(0))

    def step(key: jax.Array, state: ToyState) -> tuple[ToyState, Info]:
        goes_bad = (state.params % 2 >= 1) & (state.epoch + 1 == bad_epoch)
        params = jnp.where(goes_bad, bad, state.params + 2.0)
        zero = jnp.zeros(())
        info = Info(zero, state.params, zero, zero, jnp.int32(1))
        return ToyState(params, state.epoch + 1), info

    return init, step


@pytest.fixture(scope="module")
def small_program() -> Program:
    """Compiled once for what is asked of it, which no test changes."""
    with jax.enable_x64(True):
        program = Program(*small_step(), seeds=[1], chunk_epochs=1)
        program.compile()
    return program


def flat(tree: Any) -> np.ndarray:
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0])


def test_keys_of_init_and_of_ten_epochs_differ() -> None:
    key_init, key_epochs, *_ = seed_keys(3)
    keys = [key_init, *jax.random.split(key_init, 4)]
    for epoch in range(10):
        key = jax.random.fold_in(key_epochs, epoch)
        keys += [key, *jax.random.split(key)]
    numbers = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in keys}
    assert len(numbers) == len(keys)


def test_all_learners_start_alike_and_see_the_same_tasks() -> None:
    names = [
        name
        for name in registry.names()
        if name.removeprefix("directed-") in registry.gradient_learners()
    ]
    starts, tasks = [], []
    for name in names:
        config = configuration(algo=name, num_inner_steps=2, **SMALL)
        problem, learner = build(config)
        starts.append(flat(learner.init(jax.random.key(0)).params))

        def spy(key, state, batch):
            return batch, None

        _, step = train_step(problem, MetaLearner(learner.init, spy, None), 2)
        tasks.append(np.asarray(step(jax.random.key(1), None)[0].gravity))
    assert len(starts) == len(names) >= 8
    for start, batch in zip(starts, tasks, strict=True):
        np.testing.assert_array_equal(start, starts[0])
        np.testing.assert_array_equal(batch, tasks[0])
    assert len(set(tasks[0].tolist())) == 2
    assert ((tasks[0] >= 5) & (tasks[0] <= 15)).all()


@pytest.mark.slow
def test_five_seeds_in_one_vmap_equal_five_single_runs() -> None:
    init, step = small_step()

    def run(seed: jax.Array):
        key_init, key_epochs, *_ = seed_keys(seed)
        state = init(key_init)
        for epoch in range(3):
            state, info = step(jax.random.fold_in(key_epochs, epoch), state)
        return state.params, info.return_after

    seeds = np.arange(1, 6, dtype=np.uint32)
    together = jax.jit(jax.vmap(run))(seeds)
    single = jax.jit(run)
    for lane, seed in enumerate(seeds):
        alone = single(seed)
        np.testing.assert_allclose(
            flat(alone), flat(jax.tree.map(lambda x, i=lane: x[i], together)), rtol=1e-9
        )


@pytest.mark.parametrize(
    ("seeds", "task_devices"), [(5, 1), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_spreading_over_devices_changes_nothing(seeds: int, task_devices: int) -> None:
    """Five seeds, or one seed's three tasks, on two devices and on one.

    Neither is divided by two: there is a lane of padding each time.
    """
    found = []
    for count in (1, 2):
        program = Program(
            *make_train_step("cartpole", "directed", **{**SMALL, "num_tasks": 3}),
            seeds=range(1, 1 + seeds),
            chunk_epochs=3,
            devices=jax.devices()[:count],
            task_devices=min(count, task_devices),
        )
        program.compile()
        metrics = program.run(0, 3)
        assert metrics["return_after"].shape == (3, seeds)
        found.append((flat(program.params()), metrics["loss"], metrics["env_steps"]))
    assert program.seed_devices * program.task_devices == 2
    assert program.width == (3 if seeds == 5 else 1)
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_lanes_that_take_turns_are_those_side_by_side(monkeypatch) -> None:
    """Five lanes two at a time, with one of padding."""
    found = []
    for at_once in (5, 2):
        monkeypatch.setattr("dmaml_jax.training.program._ON_A_CPU", at_once)
        program = Program(
            *make_train_step("cartpole", "directed-fomaml", **SMALL),
            seeds=range(1, 6),
            chunk_epochs=3,
        )
        program.compile()
        metrics = program.run(0, 3)
        assert metrics["return_after"].shape == (3, 5)
        found.append((flat(program.params()), metrics["loss"], metrics["env_steps"]))
    assert program.width == 6
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_five_tasks_on_two_and_on_eight_devices_are_those_on_one(tmp_path) -> None:
    """Two do three tasks each, of eight five do one, and the others nothing."""
    child = Path(__file__).parent / "device_child.py"
    subprocess.run(
        [sys.executable, str(child), str(tmp_path / "found.npz")], check=True
    )
    found = np.load(tmp_path / "found.npz")
    shares = [int(found[f"share {devices}"]) for devices in (1, 2, 8)]
    assert shares == [1, 2, 5]
    for what in ("theta", "return"):
        one = found[f"{what} 1"]
        assert np.ptp(one) > 0
        for devices in (2, 8):
            np.testing.assert_allclose(found[f"{what} {devices}"], one, rtol=1e-9)


def test_one_trace_one_program_and_equal_bits_for_any_chunking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Seven epochs as 3 + 3 + 1 and as 3 + 2 + 2: the same bits, one trace.

    Once compiled, a program compiles nothing more, whatever the length of a chunk.
    """
    traces = []
    init, inner = small_step()

    def step(key, state):
        traces.append("step")
        return inner(key, state)

    results = []
    program = Program(init, step, seeds=[1, 2], chunk_epochs=3)
    for cuts in ((3, 3, 1), (3, 2, 2)):
        with compiling(caplog) as compiled:
            program.compile()
        assert bool(compiled) == (not results)  # the second time it is there already
        done, losses = 0, []
        with compiling(caplog) as compiled:
            for cut in cuts:
                losses.append(program.run(done, cut)["loss"])
                done += cut
        assert compiled == []
        results.append((np.concatenate(losses), flat(program.params())))
        assert len(traces) == 1
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@contextmanager
def compiling(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The programs that JAX says it compiles meanwhile."""
    said: list[str] = []
    caplog.clear()
    with jax.log_compiles():
        yield said
    messages = [record.getMessage() for record in caplog.records]
    said += [message for message in messages if message.startswith("Compiling")]


def test_no_callback_in_the_program(small_program: Program) -> None:
    """And the text in which it is looked for would show one."""
    init, inner = toy_step(0)

    def calling(key, state):
        jax.debug.callback(lambda epoch: None, state.epoch)
        return inner(key, state)

    with_one = Program(init, calling, seeds=[0, 1], chunk_epochs=2)
    with_one.compile()
    texts = [p.lowered().as_text() for p in (small_program, with_one)]
    assert ["callback" in text for text in texts] == [False, True]
    assert all("while" in text for text in texts)


def test_buffers_are_donated(small_program: Program) -> None:
    before = jax.tree.leaves(small_program.state.learner.params)
    small_program.run(0, 1)
    assert all(leaf.is_deleted() for leaf in before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_seed_that_fails_is_frozen_and_the_others_go_on(bad: float) -> None:
    init, step = toy_step(3, bad)
    seeds = range(1, 9)
    starts = np.array([float(init(seed_keys(seed).init).params) for seed in seeds])
    odd = starts % 2 == 1
    assert odd.any() and not odd.all()
    program = Program(init, step, seeds=seeds, chunk_epochs=4, devices=jax.devices())
    program.compile()
    first = program.run(0, 4)
    np.testing.assert_array_equal(first["failed_at"], np.where(odd, 3, 0))
    second = program.run(4, 4)
    # The state before the bad epoch stays; a later chance to go on is not taken.
    np.testing.assert_array_equal(
        program.params(), np.where(odd, starts + 4, starts + 16)
    )
    np.testing.assert_array_equal(second["failed_at"], np.where(odd, 3, 0))


def test_all_epochs_are_the_chunks_in_a_row() -> None:
    """Seven as 3 + 3 + 1: the toy's loss is its θ, two more after every epoch."""
    init, step = toy_step(5)
    seeds = range(1, 9)
    starts = np.array([float(init(seed_keys(seed).init).params) for seed in seeds])
    program = Program(init, step, seeds=seeds, chunk_epochs=3)
    program.compile()
    metrics = program.run_all(7)
    odd = starts % 2 == 1
    living = starts + 2 * np.arange(7)[:, None]
    np.testing.assert_array_equal(metrics["loss"][:, ~odd], living[:, ~odd])
    np.testing.assert_array_equal(metrics["loss"][:5, odd], living[:5, odd])
    np.testing.assert_array_equal(metrics["env_steps"], np.ones((7, 8)))
    np.testing.assert_array_equal(metrics["failed_at"], np.where(odd, 5, 0))


@pytest.mark.parametrize("where", ["loss", "meta_gradient"])
def test_bad_loss_or_meta_gradient_freezes_too(where: str) -> None:
    init, inner = toy_step(0)

    def step(key, state):
        after, info = inner(key, state)
        return after, info._replace(**{where: jnp.where(state.epoch == 1, jnp.inf, 0)})

    program = Program(init, step, seeds=[1], chunk_epochs=4)
    program.compile()
    assert program.run(0, 4)["failed_at"].tolist() == [2]


@pytest.mark.slow
@pytest.mark.float32
def test_float32_is_what_training_runs_in() -> None:
    program = Program(*small_step(), seeds=[1, 2], chunk_epochs=2)
    program.compile()
    metrics = program.run(0, 2)
    floats = [v for v in metrics.values() if v.dtype.kind == "f"]
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in floats)
    leaves = jax.tree.leaves(program.params())
    assert all(leaf.dtype == np.float32 for leaf in leaves)
    assert set(metrics) >= {"return_medium", "cos_medium_meta", "meta_grad_norm"}


@pytest.mark.slow
@pytest.mark.float32
def test_rates_may_be_vmapped() -> None:
    """α, β, δ and γ as leaves of one program: each lane is its own single run."""
    config = {"horizon": 10, "num_tasks": 2, "num_trajectories": 3}
    config |= {"hidden_sizes": (4,)}

    def epoch(rates):
        init, step = make_train_step("cartpole", "directed-maml", **config, **rates)
        return step(jax.random.key(1), init(jax.random.key(0)))[0].params

    rates = {
        "inner_lr": jnp.array([0.0, 0.1]),
        "outer_lr": jnp.array([0.01, 0.002]),
        "directed_lr": jnp.array([0.0, 0.05]),
        "discount": jnp.array([0.9, 1.0]),
    }
    swept = jax.jit(jax.vmap(epoch))(rates)
    for lane in (1,):  # in the other one two rates are 0
        numbers = {name: float(values[lane]) for name, values in rates.items()}
        one = jax.jit(lambda numbers=numbers: epoch(numbers))()
        jax.tree.map(
            lambda a, b, i=lane: np.testing.assert_allclose(
                a[i], b, rtol=1e-4, atol=1e-6
            ),
            swept,
            one,
        )
