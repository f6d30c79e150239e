"""The count of matrix products against counts by hand."""

import jax
import jax.numpy as jnp
from benchmarks.flops import matrix_flops


def test_products_are_counted_as_often_as_loops_turn():
    left, right = jnp.ones((3, 4)), jnp.ones((4, 5))
    product = 2 * 3 * 4 * 5

    def scanned(x, y):
        return jax.lax.scan(lambda carry, _: (carry, x @ y), 0, None, length=7)

    def nested(x, y):
        return jax.lax.fori_loop(
            0, jnp.int32(x[0, 0]), lambda _, total: total + scanned(x, y)[1].sum(), 0.0
        )

    def chosen(x, y):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ y, lambda: (x @ y) * (x @ y))

    assert matrix_flops(jax.jit(jnp.matmul), left, right, loop_turns=1) == product
    assert matrix_flops(scanned, left, right, loop_turns=1) == 7 * product
    assert matrix_flops(nested, left, right, loop_turns=10) == 70 * product
    assert matrix_flops(chosen, left, right, loop_turns=1) == 2 * product
    gradient = jax.grad(lambda x, y: (x @ y).sum(), (0, 1))
    assert matrix_flops(gradient, left, right, loop_turns=1) == 3 * product
