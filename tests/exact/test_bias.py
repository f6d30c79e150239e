"""Sampling with the learners against sums over all data sets, and where bias leads."""

import jax
import numpy as np
import pytest
from problems import TABULAR, small_mdp

from dmaml_jax.exact.bias import ascent, enumerated, sampled
from dmaml_jax.exact.data_sets import paths
from dmaml_jax.exact.estimators import ESTIMATORS
from dmaml_jax.exact.setting import Setting, draw
from dmaml_jax.learners.registry import LEARNERS

FREE = [e for e in ESTIMATORS if not e.coupled]
COUPLED = [e for e in ESTIMATORS if e.coupled]


def setting(can_end: bool) -> Setting:
    return Setting(
        policy=TABULAR,
        params=jax.numpy.array([[0.3, -0.4], [-0.2, 0.5]]),
        mdp=small_mdp(can_end),
        ways=paths(2, 2, 3 if can_end else 2, can_end=can_end),
        discount=0.9,
        inner_lr=0.7,
        num_inner_steps=1,
    )


def test_every_legal_pair_is_held_against_the_exact_gradient() -> None:
    # Meta-SGD's gradient in θ is MAML's, and MAML++'s is, but for its step losses.
    # ProMP's first one of an epoch is MAML's with LVC, which test_promp asks to 1e-12
    # beside the enumerated gradient of the second. Sharp-MAML's is of neither.
    others = {"meta-sgd", "maml++", "promp"}
    legal = {
        (algo, surrogate): estimate.target
        for algo, entry in LEARNERS.items()
        for surrogate, estimate in entry.objectives.items()
        if estimate.target and algo not in others
    }
    held = {(e.algo, e.surrogate): e.target for e in ESTIMATORS}
    # It is of neither objective; held against (II), it shows what its term is worth.
    assert held.pop(("fomaml", "score-function")) == "II"
    assert held == legal


def test_each_target_is_told_in_the_words_for_people() -> None:
    of_neither = set()
    for algo, entry in LEARNERS.items():
        for estimate in entry.objectives.values():
            inner = {"I": "by the exact gradient", "II": "by the sampled gradient"}
            if estimate.target:
                assert str(estimate).startswith(f"({estimate.target}), ")
                assert inner[estimate.target] in estimate.words
            else:
                assert str(estimate) == estimate.words
                of_neither.add(algo)
    # iMAML's is of the argmin of a regularised return: the finite difference of that
    # holds it in learners/test_imaml.py. MAML²'s is its base learner's.
    of_neither -= {"imaml", "maml2"}
    # The gradient of a whole trial's return is summed over its histories in
    # rl/test_trials.py.
    of_neither -= {"rl2", "snail"}
    # PEARL's losses are enumerated in rl/test_soft_actor_critic.py.
    of_neither -= {"pearl"}
    assert of_neither == {"fomaml", "fo-meta-sgd", "reptile", "joint", "sharp-maml"}


@pytest.mark.parametrize(
    ("can_end", "size", "num_samples"),
    [
        pytest.param(True, 1, 5_000, marks=pytest.mark.slow),
        pytest.param(False, 2, 125_000, marks=pytest.mark.slow),
        pytest.param(True, 1, 250_000, marks=pytest.mark.slow),
    ],
)
def test_sampled_trajectories_agree_with_the_sums(
    can_end: bool, size: int, num_samples: int
) -> None:
    """An epoch of 2 tasks takes 4K trajectories: rollout, policy, jit and all.

    Twenty thousand of them, or a million. The estimators command's own test asks the
    same of fewer in a few seconds.
    """
    here = setting(can_end)
    samples = sampled(here, size, num_samples, seed=1)
    groups = [FREE] if can_end else [COUPLED, FREE]
    sums = [enumerated(here, group, size) for group in groups]
    means = np.concatenate([mean for mean, _ in sums])
    variances = np.concatenate([variance for _, variance in sums])
    order = [ESTIMATORS.index(e) for group in groups for e in group]

    # The tasks of an epoch may share a baseline: only epochs are independent.
    epochs = samples[:, order].mean(axis=2)
    noise = epochs.std(axis=0) / np.sqrt(num_samples)
    assert np.max(noise) < 5 / np.sqrt(num_samples)
    np.testing.assert_array_less(np.abs(epochs.mean(axis=0) - means), 4 * noise)
    spread = samples[:, order].var(axis=0).sum(axis=-1).mean(axis=1)
    np.testing.assert_allclose(spread, variances, rtol=15 / np.sqrt(num_samples))


@pytest.mark.slow
def test_ascent_by_sg_mrl_ends_where_the_gradient_does_and_maml_s_stalls() -> None:
    """Of expected gradients on two opposite tasks: no noise, bias alone."""
    drawn = draw(
        2,
        num_states=2,
        num_actions=2,
        horizon=2,
        discount=0.9,
        inner_lr=0.7,
        num_inner_steps=1,
    )
    norms = ascent(drawn, FREE, 200, 1.0)
    last = dict(zip((e.name for e in FREE), norms[-1], strict=True))
    assert last.pop("sg-mrl, score-function, no baseline") < 1e-12
    assert min(last.values()) > 0.1, last
    np.testing.assert_allclose(norms[-1], norms[-50], atol=1e-6)
