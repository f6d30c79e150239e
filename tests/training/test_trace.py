"""What is read off a trace: products counted by hand, times without those inside."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from dmaml_jax.learners.parts import OTHER, PARTS, part
from dmaml_jax.training import ceilings, trace
from dmaml_jax.training.trace import Event

SIZE = 32


@pytest.mark.float32
def test_products_that_ran_are_counted_and_time_goes_to_its_part(
    tmp_path: Path,
) -> None:
    """A loop of a known length, and one whose end is found while it runs."""

    @jax.jit
    def both(x: jax.Array, turns: jax.Array) -> jax.Array:
        with part("rollouts"):
            x, _ = jax.lax.scan(lambda c, _: (jnp.tanh(c @ c), None), x, length=7)
        with part("outer"):
            return jax.lax.fori_loop(0, turns, lambda _, c: jnp.sin(c @ c), x)

    x, turns = jnp.eye(SIZE), jnp.int32(5)
    compiled = both.lower(x, turns).compile()
    jax.block_until_ready(compiled(x, turns))
    with jax.profiler.trace(str(tmp_path)):
        jax.block_until_ready(compiled(x, turns))
    (file,) = tmp_path.rglob("*.xplane.pb")
    told = trace.read(file, compiled.as_text())
    assert told.flops == (7 + 5) * 2 * SIZE**3
    assert set(told.seconds) == {*PARTS, OTHER}
    busy = {name for name, seconds in told.seconds.items() if seconds > 0}
    assert busy >= {"rollouts", "outer"}
    assert not busy & {"pre_step", "inner_gradient", "second_order"}


def test_time_is_without_what_runs_inside() -> None:
    events = [
        Event(0, 100, "while"),
        Event(10, 40, "dot"),
        Event(40, 90, "call"),
        Event(50, 80, "dot"),
        Event(100, 130, "dot"),
    ]
    assert trace.own_times(events) == {"while": 20, "dot": 90, "call": 20}


def test_an_operation_without_a_name_belongs_to_what_is_around_it() -> None:
    text = """
%body (p: f32[2,3]) -> f32[2,5] {
  %p.1 = f32[2,3]{1,0} parameter(0), metadata={op_name="jit(f)/part.rollouts/p"}
  %w.1 = f32[3,5]{1,0} constant(0)
  ROOT %dot.1 = f32[2,5]{1,0} dot(%p.1, %w.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (a: f32[2,3]) -> f32[2,5] {
  %a.1 = f32[2,3]{1,0} parameter(0)
  ROOT %fusion.1 = f32[2,5]{1,0} fusion(%a.1), kind=kOutput, calls=%body
  %g.1 = f32[4,5]{1,0} custom-call(%a.1, %a.1), custom_call_target="__cublas$gemm", backend_config={"dot_dimension_numbers":{"lhs_contracting_dimensions":["0"]}}, metadata={op_name="jit(f)/add"}
}
"""  # noqa: E501
    found = trace.operations_of(text)
    product = 2 * 2 * 5 * 3
    assert found["dot.1"] == ("rollouts", product)
    assert found["fusion.1"] == ("rollouts", product)
    assert found["g.1"] == (OTHER, 2 * 4 * 5 * 2)


@pytest.mark.float32
def test_ceilings_are_rates() -> None:
    assert ceilings.product_rate(8, "highest", lambda call: 2.0) == 8**3
    assert ceilings.copy_rate(100, lambda call: call().size / 50) == 400
