"""What only a GPU can show: the other batching, precision, donation, transfers."""

import jax
import numpy as np
import optax
import pytest
from learners.test_maml import TARGETS
from problems import HESSIAN, START, quadratic

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import build
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.learners.maml import maml
from dmaml_jax.training.program import Program

pytestmark = pytest.mark.gpu
SMALL = {"horizon": 40, "num_tasks": 3, "num_trajectories": 4, "inner_lr": 0.1}


def test_this_is_a_gpu() -> None:
    assert jax.default_backend() == "gpu"


@pytest.mark.parametrize("first_order", [False, True])
def test_closed_forms(first_order: bool) -> None:
    """(I − αH) H (I − αH) (θ − t) and H (I − αH) (θ − t), in float64."""
    learner = maml(
        quadratic(),
        inner_lr=0.3,
        meta_optimizer=optax.sgd(0.1),
        first_order=first_order,
    )
    state = learner.init(jax.random.key(0))
    _, info = jax.jit(learner.step)(jax.random.key(1), state, TARGETS)
    contraction = np.eye(3) - 0.3 * HESSIAN
    left = np.eye(3) if first_order else contraction
    expected = np.mean([left @ HESSIAN @ contraction @ (START - t) for t in TARGETS], 0)
    np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)


def epoch_on(device: jax.Device, **values):
    """One Directed-MAML epoch on a device: meta-gradient, and its cost."""
    with jax.default_device(device):
        config = configuration(**SMALL, **values)
        problem, learner = build(config)
        state = learner.init(jax.random.key(0))
        tasks = problem.sample_tasks(jax.random.key(1), config.sampling.num_tasks)
        _, info = jax.jit(learner.step)(jax.random.key(2), state, tasks)
        flat, _ = jax.flatten_util.ravel_pytree(info.meta_gradient)
        return np.asarray(flat), int(info.num_steps)


def test_an_epoch_is_the_cpu_s_in_float64() -> None:
    (gpu, gpu_steps), (cpu, cpu_steps) = (
        epoch_on(jax.devices(platform)[0]) for platform in ("gpu", "cpu")
    )
    assert gpu_steps == cpu_steps
    np.testing.assert_allclose(gpu, cpu, rtol=1e-8, atol=1e-10)


@pytest.mark.float32
def test_an_epoch_is_the_cpu_s_in_float32() -> None:
    """To 1e-3 of its norm: full float32 products, where TF32's would be off by more.

    A sampled action may flip on the last bit; with these keys none does.
    """
    (gpu, gpu_steps), (cpu, cpu_steps) = (
        epoch_on(jax.devices(platform)[0]) for platform in ("gpu", "cpu")
    )
    assert gpu_steps == cpu_steps
    assert np.linalg.norm(gpu - cpu) <= 1e-3 * np.linalg.norm(cpu)


@pytest.mark.float32
def test_the_program_donates_traces_once_and_copies_nothing_back() -> None:
    traces = []
    init, inner = make_train_step("cartpole", "directed-maml", **SMALL)

    def step(key, state):
        traces.append("step")
        return inner(key, state)

    program = Program(init, step, seeds=[1, 2], chunk_epochs=3)
    program.compile()
    assert len(traces) == 1
    before = jax.tree.leaves(program.state)
    arguments = jax.device_put(program._arguments(0, 3)[2:])
    with jax.transfer_guard("disallow"):
        program.state, metrics = program._compiled(
            program._lanes, program.state, *arguments
        )
        jax.block_until_ready(metrics)
    assert all(leaf.is_deleted() for leaf in before)
    metrics = program.run(3, 2)
    assert len(traces) == 1
    assert np.isfinite(metrics["loss"]).all()
