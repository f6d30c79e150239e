"""What each detail of the fast lander is worth: the closed loop with one switched off.

    python tests/conformance/details.py --episodes 1000

Run in the environment of `make conformance-closed-loop`. Prints a Markdown table, for
Gymnasium's heuristic at one gravity: returns, landings, time limits, share of episodes
that end as in Gymnasium, and the Kolmogorov-Smirnov distance of the returns.
"""

import argparse
import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax.numpy as jnp
from closed_loop import Ours, compared, in_gymnasium

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.fast import position as placing
from dmaml_jax.envs.lunar_lander.fast import reduced, standing
from dmaml_jax.envs.lunar_lander.fast import velocity as sweeps
from dmaml_jax.envs.lunar_lander.fast import world as fast


def _plain_flag(flag: Any, before: Any, now: list[Any]) -> Any:
    return now[0] | now[1]


def _no_impact(start: Any, end: Any, ground: Any, one: Any) -> Any:
    return jnp.ones_like(start.angle)


def _cold_joints(joint: Any, *given: Any) -> Any:
    joint = sweeps_limited(joint, *given)
    nothing = jnp.zeros_like(joint.limit)
    push = joint.impulse * 0
    return joint.replace(impulse=push, limit=nothing, motor=nothing)


def _cold_foot(*given: Any) -> Any:
    foot = standing_foot(*given)
    nothing = jnp.zeros_like(foot.normal)
    return foot.replace(normal=nothing, tangent=nothing)


def _level(ground: Any) -> Any:
    return jnp.zeros_like(ground.ups[0].x, bool)


_converged = types.SimpleNamespace(**{**vars(c), "VELOCITY_ITERATIONS": 10**7})
sweeps_limited, standing_foot = sweeps._limited, standing._foot
Patch = tuple[Any, str, Any]
DETAILS: dict[str, tuple[Patch, ...]] = {
    "all details": (),
    "flags: plain touching, not the last event": ((fast, "flag_after", _plain_flag),),
    "no truncation: every sweep solves its rows": ((sweeps, "c", _converged),),
    "no continuous collision": ((fast, "impact_time", _no_impact),),
    "no warm start of the feet": ((standing, "_foot", _cold_foot),),
    "no warm start of feet and joints": (
        (standing, "_foot", _cold_foot),
        (sweeps, "_limited", _cold_joints),
    ),
    "no second edge under a foot": ((standing, "is_valley", _level),),
    "one position iteration": ((placing, "POSITION_PASSES", 1),),
    "10 sweeps on the ground, in place of 30": ((reduced, "GROUND_SWEEPS", 10),),
    "60 sweeps on the ground": ((reduced, "GROUND_SWEEPS", 60),),
}


@contextlib.contextmanager
def switched(patches: tuple[Patch, ...]) -> Iterator[None]:
    """The fast solver with something else in a detail's place."""
    with contextlib.ExitStack() as stack:
        for module, name, value in patches:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def main() -> int:
    """Fly with every detail in turn switched off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--gravity", type=float, default=10.0)
    parser.add_argument("--policy", default="heuristic")
    given = parser.parse_args()
    seeds = range(given.episodes)
    theirs = in_gymnasium(given.policy, given.gravity, seeds)
    print("| fast solver with | return | lands % | time limit % | same end % | KS |")
    print("| --- " * 6 + "|")

    def line(name: str, fly: Callable[[], dict[str, Any]]) -> None:
        cell = compared(theirs, fly())
        print(
            f"| {name} | {cell['return_mean']:.1f} ± {cell['return_std']:.1f} "
            f"| {cell['lands']:.1f} | {cell['times_out']:.1f} "
            f"| {cell['same_outcome']:.1f} | {cell['ks']:.3f} |",
            flush=True,
        )

    line("(Gymnasium)", lambda: theirs)
    for name, patches in DETAILS.items():
        with switched(patches):
            line(name, lambda: Ours("fast").fly(given.policy, given.gravity, seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
