"""What older versions wrote into config.json, under today's names."""

from collections.abc import Mapping
from typing import Any

from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry

_STEP_LOSSES = {"multi_step_epochs": 0, "second_order_epochs": 0}


def current(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a flat config.json, which held every value of every choice.

    MAML's step losses and annealing and Meta-SGD's step sizes per layer and step were
    flags of those learners; they are MAML++'s.

    Args:
        values: by name, as the file has them.

    Returns:
        Values by name; some may not apply to the choice that they describe.

    Raises:
        UsageError: they describe a learner that there is no longer.
    """
    found = dict(values)
    rates = found.pop("rates", "parameter")
    losses = {name: found.pop(name, default) for name, default in _STEP_LOSSES.items()}
    algo = registry.full_name(found.get("algo", "directed-maml"))
    remedies = {name: value for name, value in losses.items() if value}
    if rates == "layer-and-step":
        remedies["rates"] = rates
    if not remedies:
        return found
    start, base = _parts(algo)
    if base not in ("maml", "meta-sgd"):
        raise UsageError(
            f"{algo} with {', '.join(remedies)} is no longer there: --algo maml++ has "
            "these, differentiating through the inner steps."
        )
    return {**found, **remedies, "algo": f"{start}maml++"}


def _parts(algo: str) -> tuple[str, str]:
    base = algo.removeprefix(registry.DIRECTED)
    return algo.removesuffix(base), base
