"""How long the lander's programs are: equations, fusions, instructions, seconds.

    python tests/benchmarks/lander_size.py
    python tests/benchmarks/lander_size.py --solvers fast --lanes 64

Prints a Markdown table of one step and of one reset, under `vmap`. *Equations* are
those of the jaxpr, those inside loops, branches and calls included, each once;
*fusions* and *instructions* are of the program that XLA compiled. The seconds are CPU
time of this process, once, without a cache.
"""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core as jax_core

from dmaml_jax.envs.lunar_lander import LunarLander


class Size(NamedTuple):
    """The length of one compiled program, and what making it took."""

    equations: int
    fusions: int
    instructions: int
    lowering: float
    compiling: float


def equations(jaxpr: Any) -> int:
    """The number of equations of a jaxpr and of all that it calls."""
    count = 0
    for equation in jaxpr.eqns:
        values = [*equation.params.values(), *_physics(equation)]
        inner = [x for value in values for x in _jaxprs(value)]
        count += sum(map(equations, inner)) if inner else 1
    return count


def _physics(equation: Any) -> list[Any]:
    """What `lanes.of_one_lane` computes, which a jaxpr holds as one equation."""
    if equation.primitive.name != "lanes":
        return []
    depth, structure = equation.params["depth"], equation.params["structure"]

    def lanes_last(x: Any) -> jax.ShapeDtypeStruct:
        shape = x.aval.shape
        return jax.ShapeDtypeStruct(
            (*shape[depth:], math.prod(shape[:depth])), x.aval.dtype
        )

    given = jax.tree.unflatten(structure, map(lanes_last, equation.invars))
    return [jax.make_jaxpr(equation.params["function"])(*given)]


def _jaxprs(value: Any) -> Iterator[Any]:
    if isinstance(value, jax_core.ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, jax_core.Jaxpr):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _jaxprs(item)


def programs(solver: str, lanes: int) -> dict[str, tuple[Callable[..., Any], Any]]:
    """A reset and a step of a batch, and what each is called with."""
    env = LunarLander(solver=solver)
    params, keys = env.default_params, jax.random.split(jax.random.key(0), lanes)
    reset = jax.vmap(lambda key: env.reset_env(key, params))
    step = jax.vmap(lambda key, state, a: env.step_env(key, state, a, params))
    _, state = jax.eval_shape(reset, keys)
    actions = jnp.zeros(lanes, jnp.int32)
    return {"reset": (reset, (keys,)), "step": (step, (keys, state, actions))}


def measured(function: Callable[..., Any], arguments: Any) -> Size:
    """Trace, lower and compile a function."""
    jax.clear_caches()
    begin = _cpu_seconds()
    traced = jax.jit(function).trace(*arguments)
    lowered = traced.lower()
    between = _cpu_seconds()
    text = lowered.compile().as_text() or ""
    compiling = _cpu_seconds() - between
    return Size(
        equations(traced.jaxpr.jaxpr),
        len(re.findall(r" fusion\(", text)),
        len(re.findall(r"^\s+(?:ROOT )?%?[\w.-]+ = ", text, re.MULTILINE)),
        between - begin,
        compiling,
    )


def _cpu_seconds() -> float:
    return sum(os.times()[:2])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--solvers", nargs="+", default=["fast", "exact"])
    parser.add_argument("--lanes", type=int, default=1024)
    given = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    print("| program | equations | fusions | instructions | lowering | compiling |")
    print("| --- " * 6 + "|")
    for solver in given.solvers:
        for name, (function, arguments) in programs(solver, given.lanes).items():
            size = measured(function, arguments)
            print(
                f"| {solver}, {name} | {size.equations:,} | {size.fusions:,} "
                f"| {size.instructions:,} | {size.lowering:.1f} s "
                f"| {size.compiling:.1f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
