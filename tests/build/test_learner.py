"""Names of a learner's controls against the functions that they stand for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import noisy, quadratic

from dmaml_jax.build import configuration
from dmaml_jax.build.learner import learner_of
from dmaml_jax.learners.directed import directed
from dmaml_jax.learners.gates import unless_opposed, until_plateau
from dmaml_jax.learners.maml import maml
from dmaml_jax.learners.medium_task import (
    fresh_task,
    given_task,
    medium_task_empirical,
    task_of_batch,
)
from dmaml_jax.types import MetaLearner

ALPHA, BETA, DELTA, EPOCHS = 0.3, 0.1, 0.05, 6
TARGETS = np.array([[1.0, 0.0, 2.0], [-1.0, 0.5, 0.0], [0.3, 0.1, 1.0]])
GIVEN = np.array([9.0, -8.0, 7.0])
VALUES = {"inner_lr": ALPHA, "outer_lr": BETA, "directed_lr": DELTA, "epochs": EPOCHS}


def by_hand(outer: Any = None, **options: Any) -> MetaLearner:
    """The learner that the values describe, from the functions themselves."""
    problem = noisy(quadratic())
    outer = outer or optax.adam(BETA)
    base = maml(problem, inner_lr=ALPHA, meta_optimizer=outer)
    return directed(base, problem, **{"directed_lr": DELTA, **options})


def trained(learner: MetaLearner) -> np.ndarray:
    """θ after every epoch, `[epochs, 3]`."""
    state, step = learner.init(jax.random.key(0)), jax.jit(learner.step)
    params = []
    for epoch in range(EPOCHS):
        state, _ = step(jax.random.key(epoch), state, jnp.asarray(TARGETS))
        params.append(np.asarray(state.params))
    return np.stack(params)


def cosine(rate: float, steps: int) -> Any:
    return optax.cosine_decay_schedule(rate, steps)


CONTROLS = {
    "medium_task=empirical": {"task_rule": medium_task_empirical},
    "medium_task=one-of-batch": {"task_rule": task_of_batch},
    "medium_task=fresh": {"task_rule": fresh_task(quadratic())},
    "medium_task=given": {"task_rule": given_task(GIVEN)},
    "directed_placement=inner-and-outer": {"placement": "inner-and-outer"},
    "directed_schedule=cosine": {"directed_lr": cosine(DELTA, EPOCHS)},
    "directed_schedule=cosine directed_placement=inner-and-outer": {
        "directed_lr": cosine(DELTA, 2 * EPOCHS),
        "placement": "inner-and-outer",
    },
    "directed_gate=until-plateau": {"gate": until_plateau(2)},
    "medium_task=given directed_gate=unless-opposed": {
        "task_rule": given_task(GIVEN),
        "gate": unless_opposed(),
    },
    "directed_optimizer=adam": {"directed_optimizer": optax.adam},
    "outer_optimizer=sgd": {"outer": optax.sgd(BETA)},
    "outer_schedule=cosine": {"outer": optax.adam(cosine(BETA, EPOCHS))},
}


@pytest.mark.parametrize("controls", CONTROLS)
def test_a_control_is_the_function_of_its_name(controls: str) -> None:
    values: dict[str, Any] = dict(word.split("=") for word in controls.split())
    if values.get("directed_gate") == "until-plateau":
        values["plateau_patience"] = 2
    if values.get("medium_task") == "given":
        values["medium_values"] = ("gravity=9",)
    config = configuration(algo="directed-maml", **VALUES, **values)
    named = learner_of(config, noisy(quadratic()), medium_task=jnp.asarray(GIVEN))
    functions, found = CONTROLS[controls], trained(named)
    np.testing.assert_allclose(found, trained(by_hand(**functions)), rtol=1e-9)
    # Without the last of them it is another learner.
    others = dict(list(functions.items())[:-1])
    assert np.abs(found - trained(by_hand(**others))).max() > 1e-4
