"""How a config.json that an older version wrote is read, under today's names."""

from collections.abc import Mapping
from typing import Any

from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry

_PLAIN = {"rates": "parameter", "multi_step_epochs": 0, "second_order_epochs": 0}
"""What MAML's and Meta-SGD's flags of MAML++'s remedies were by default."""


def current(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a flat config.json, which held every value of every choice.

    MAML's step losses and annealing and Meta-SGD's step sizes per layer and step were
    flags of those learners; they are MAML++'s.

    Args:
        values: the file's values by name, whatever choice they belong to.

    Returns:
        Values by name; some may not apply to the choice that they describe.

    Raises:
        UsageError: they describe a learner that there is no longer.
    """
    found = dict(values)
    remedies = {name: found.pop(name, plain) for name, plain in _PLAIN.items()}
    used = [name for name, value in remedies.items() if value != _PLAIN[name]]
    if not used:
        return found
    algo = registry.full_name(found.get("algo", "directed-maml"))
    base = algo.removeprefix(registry.DIRECTED)
    if base not in ("maml", "meta-sgd"):
        raise UsageError(
            f"{algo} with {' and '.join(used)} is no longer there: --algo maml++ has "
            "that, and differentiates through the inner steps."
        )
    if remedies["rates"] == "parameter":
        remedies["rates"] = "fixed"
    return {**found, **remedies, "algo": algo.removesuffix(base) + "maml++"}
