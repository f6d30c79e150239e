"""Cosines between gradients that are free of noise."""

import numpy as np
import studies_of_tests  # noqa: F401 - puts the checkout on the path

from experiments.mechanism.measuring import KINDS, angles

SIZE, BATCHES, NOISE = 200, 4000, 5.0


def expectations() -> np.ndarray:
    """Vectors of known lengths and angles, one for each kind."""
    axes = np.eye(SIZE)
    vectors = [
        2 * axes[0],
        axes[0] + axes[1],
        3 * axes[1],
        -axes[0],
        axes[0] + 2 * axes[2],
    ]
    assert len(vectors) == len(KINDS)
    return np.array(vectors)


def test_exact_vectors_have_their_own_angles() -> None:
    found = angles(np.repeat(expectations()[None], 2, axis=0))
    assert [row["kind"] for row in found] == list(KINDS)
    half = np.sqrt(0.5)
    for name, expected in (
        ("ceiling", [1, 1, 1, 1, 1]),
        ("length", [1, half, 1.5, 0.5, np.sqrt(5) / 2]),
        ("cos_meta", [1, half, 0, -1, 1 / np.sqrt(5)]),
        ("cos_second_order", [half, 1, half, -half, 1 / np.sqrt(10)]),
    ):
        np.testing.assert_allclose([row[name] for row in found], expected, atol=1e-12)


def test_noise_shortens_plain_cosines_and_not_these() -> None:
    """The means have as much noise as length, so plain cosines are far off."""
    noise = np.random.default_rng(0).normal(size=(BATCHES, len(KINDS), SIZE))
    found = angles(expectations() + NOISE * noise)
    exact = angles(np.repeat(expectations()[None], 2, axis=0))
    for own, true in zip(found, exact, strict=True):
        for name in ("meta", "second_order"):
            assert abs(own[f"cos_{name}"] - true[f"cos_{name}"]) < 0.25
    assert found[3]["plain_meta"] > -0.75
    assert found[3]["ceiling"] < 0.5


def test_what_is_all_noise_has_no_cosine() -> None:
    rows = np.zeros((2, len(KINDS), 2))
    rows[:, 0] = [[1, 0], [1, 0]]
    rows[:, 1] = [[1, 0], [-1, 0.1]]
    found = angles(rows)
    assert np.isnan(found[1]["cos_meta"]) and np.isnan(found[2]["ceiling"])
    assert found[0]["cos_meta"] == 1
