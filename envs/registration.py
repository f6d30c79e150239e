"""Importing this registers our environments with gymnax."""

from functools import partial

import gymnax

from dmaml_jax.envs import registry

GYMNAX_IDS = {name: f"{name}-dmaml" for name in registry.ENVIRONMENTS}
"""Under which `gymnax.make` knows each of ours."""

for _name, _id in GYMNAX_IDS.items():
    if _id not in gymnax.registered_envs:
        gymnax.register(_id, partial(registry.build, _name))
