"""The random keys of a seed, each with a name and a single use."""

from typing import NamedTuple

import jax


class SeedKeys(NamedTuple):
    """What a seed's random numbers come from.

    Attributes:
        init: the key of the first parameters θ.
        epochs: the key of training; folding e into it gives epoch e's key.
        evaluation: the key of whatever is measured afterwards; training never uses it.
        tasks: test tasks of this number, the same for every run, so that runs of
            different seeds are measured on the same tasks.
    """

    init: jax.Array
    epochs: jax.Array
    evaluation: jax.Array
    tasks: jax.Array


def seed_keys(seed: int | jax.Array) -> SeedKeys:
    """The keys of a seed.

    Example:
        >>> len(set(map(str, map(jax.random.key_data, seed_keys(1)))))
        4
    """
    return SeedKeys(*jax.random.split(jax.random.key(seed), 4))
