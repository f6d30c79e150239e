"""What the report measures, at full size and at one that a CPU can do in a test."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything there is."""

    seeds: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    """Of CartPole's epochs, full and fresh."""
    few: int = 1
    """Seeds of the smaller program in a comparison."""
    many: int = 64
    """Seeds of the larger one, of the roofline's first line and of the curve."""
    most: int = 256
    """Seeds of the roofline's second line and of the second profile."""
    landers: tuple[str, ...] = ("lunarlander-exact", "lunarlander")
    """Environments whose steps are counted beside CartPole's."""
    lander: str = "lunarlander"
    """Environment of the lander's epochs."""
    # An epoch of 256 has as many steps as one of 1024 seeds on CartPole, for which XLA
    # asks 30 GiB. 1024 would ask 120 GiB, and keep the others waiting to be measured.
    lander_seeds: tuple[int, ...] = (1, 64, 256)
    """Of the lander's epochs, smallest first."""
    # Only CartPole's step is cheap enough for millions of lanes, and each batch size is
    # a program of its own, which takes a lander a minute to compile.
    batches: Mapping[str, tuple[int, ...]] = dataclasses.field(
        default_factory=lambda: {
            "cartpole": tuple(4**power for power in range(6, 13)),
            "lunarlander": (4096, 32768, 262144),
            "lunarlander-exact": (4096, 32768, 262144),
        }
    )
    """Lanes that are stepped at once, by environment."""
    steps: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {
            "cartpole": 200,
            "lunarlander": 100,
            "lunarlander-exact": 100,
        }
    )
    """Steps that each lane takes, by environment."""
    matrix: int = 8192
    """Rows and columns of the matrix product."""
    copied: int = 2**28
    """Numbers in the copy."""
    curve_epochs: int = 300
    """Epochs of the curve."""
    repetitions: tuple[int, int] = (3, 15)
    """Samples at least and at most, within a sample's allotment."""
    allotment: float = 3.0
    """Seconds for the samples of one row."""
    values: Mapping[str, Any] = dataclasses.field(default_factory=lambda: NOTHING)
    """What differs from the presets: nothing, but in a test."""


FULL = Sizes()
SMALL = Sizes(
    seeds=(1, 2),
    many=2,
    most=2,
    lander_seeds=(1,),
    batches={"cartpole": (4, 16), "lunarlander": (4,), "lunarlander-exact": (4,)},
    steps={"cartpole": 5, "lunarlander": 5, "lunarlander-exact": 5},
    matrix=64,
    copied=2**12,
    curve_epochs=4,
    repetitions=(2, 3),
    allotment=0.2,
    values={
        "horizon": 10,
        "num_tasks": 2,
        "num_trajectories": 2,
        "hidden_sizes": (8,),
        "chunk_epochs": 2,
    },
)
