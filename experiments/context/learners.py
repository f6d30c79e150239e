"""The learners that meet: their runs, and how many epochs an equal budget is."""

from typing import Any

from dmaml_jax.learners import registry
from experiments.context.places import PLACES, Place
from experiments.engine.declared import Choice, Run

SEEDS = range(1, 5)
CHOICE_SEEDS = range(91, 93)
LEARNERS = {
    "RL²": "rl2",
    "SNAIL": "snail",
    "PEARL": "pearl",
    "MAML": "maml",
    "Directed-MAML": "directed-maml",
    "joint": "joint",
}
"""By what they are called; `joint` learns no adaptation, and is fine-tuned."""

# What docs/memory.md was measured with; more tasks than trials, as there.
_TRIALS = {
    "num_tasks": 96,
    "num_trajectories": 4,
    "num_minibatches": 6,
    "outer_schedule": "cosine",
}
# As many episodes with the belief as with the prior: control is learned from both.
_BELIEFS = {
    "bank_tasks": 80,
    "num_tasks": 20,
    "num_trajectories": 4,
    "extra_trajectories": 4,
}


def learners_of(place: str) -> list[str]:
    """The learners that a place has."""
    return [name for name in LEARNERS if name not in PLACES[place].without]


def adapts_by_gradients(learner: str) -> bool:
    """Whether a learner takes gradient steps in a task, and does not remember."""
    return registry.takes_gradients(LEARNERS[learner])


def values_of(place: Place, learner: str) -> dict[str, Any]:
    """The values of a learner's run, without those that are chosen."""
    own = place.of.get(learner, {})
    if learner == "PEARL":
        return {**place.values, **_BELIEFS, **own}
    if not adapts_by_gradients(learner):
        trials = {**_TRIALS, "episodes_per_trial": place.trial}
        return {**place.values, **trials, **own}
    sizes = {"num_tasks": place.num_tasks, "num_trajectories": place.num_trajectories}
    return {**place.values, **sizes, "inner_lr": place.rates[0], **own}


def run_of(name: str, learner: str) -> Run:
    """The run of a learner in a place."""
    place = PLACES[name]
    algo = LEARNERS[learner]
    values = values_of(place, learner)
    choice = None
    if len(place.rates) > 1 and learner in ("MAML", "Directed-MAML"):
        # `joint` does not train with α: its own is chosen when it is measured.
        grid = tuple({"inner_lr": rate} for rate in place.rates)
        choice = Choice(grid, CHOICE_SEEDS)
    epochs = epochs_of(place, learner)
    return Run(name, learner, place.env, algo, epochs, SEEDS, values, choice)


def epochs_of(place: Place, learner: str) -> int:
    """How many epochs of a learner come nearest to a place's budget of steps."""
    values = values_of(place, learner)
    length = place.lengths.get(learner, place.horizon)
    first = 0
    if learner == "PEARL":  # begins with a look at every task of its bank
        first = values["bank_tasks"] * values["num_trajectories"] * length
    epochs = (place.budget - first) / (episodes_of_epoch(place, learner) * length)
    return max(round(epochs), 1)


def episodes_of_epoch(place: Place, learner: str) -> int:
    """The episodes of an epoch of a learner, the same in every epoch but PEARL's first.

    This asks the registry alone, so that a figure is drawn without JAX.
    """
    values = values_of(place, learner)
    adaptations = 1 if adapts_by_gradients(learner) else place.trial - 1
    return registry.episodes_per_epoch(
        LEARNERS[learner],
        values["num_tasks"],
        values["num_trajectories"],
        adaptations,
        further=values.get("extra_trajectories", 0),
    )
