"""metrics.csv with columns of a learner's own."""

import numpy as np
import pytest

from dmaml_jax.runs.metrics import (
    COLUMNS,
    MetricsWriter,
    read_metrics,
    whole_epochs,
)

SEEDS = [4, 5]


def chunk(first, epochs, failed_at=(0, 0), **extras):
    """Metrics that count up, `[epochs, seeds]`."""
    number = first + np.arange(1, epochs + 1)[:, None] + np.array([0.0, 0.5])
    names = ("return_before", "return_after", "loss", "meta_grad_norm")
    return {
        **{name: number for name in names},
        "env_steps": np.full((epochs, 2), 10),
        "failed_at": np.array(failed_at),
        **{name: np.full((epochs, 2), value) for name, value in extras.items()},
    }


def test_extras_stand_behind_the_ten_columns(tmp_path) -> None:
    writer = MetricsWriter(tmp_path, SEEDS)
    writer.append(0, chunk(0, 2, kl=0.25), 0.0, 1.0)
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header == ",".join([*COLUMNS, "kl"])
    found = read_metrics(tmp_path)
    np.testing.assert_array_equal(found["kl"], np.full((2, 2), 0.25))
    np.testing.assert_array_equal(found["loss"], [[1, 1.5], [2, 2.5]])
    assert np.isnan(found["return_medium"]).all()
    assert whole_epochs(tmp_path, SEEDS) == 2


def test_a_column_that_comes_later_is_empty_before(tmp_path) -> None:
    """As where a run of an older version goes on, whose header has ten columns."""
    MetricsWriter(tmp_path, SEEDS).append(0, chunk(0, 2, (0, 2)), 0.0, 1.0)
    again = MetricsWriter(tmp_path, SEEDS, epochs=1)
    again.append(1, chunk(1, 2, kl=0.5, cg_residual=1e-3), 1.0, 2.0)
    found = read_metrics(tmp_path)
    assert list(found) == [*COLUMNS, "kl", "cg_residual"]
    assert np.isnan(found["kl"][0]).all()
    np.testing.assert_array_equal(found["kl"][1:], np.full((2, 2), 0.5))
    assert whole_epochs(tmp_path, SEEDS) == 3
    np.testing.assert_array_equal(found["env_steps"][-1], [30, 30])


@pytest.mark.parametrize("cut", [1, 7])
def test_a_row_that_was_cut_is_no_whole_epoch(tmp_path, cut: int) -> None:
    MetricsWriter(tmp_path, SEEDS).append(0, chunk(0, 3, kl=0.5), 0.0, 1.0)
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    assert whole_epochs(tmp_path, SEEDS) == 2


def test_frozen_seeds_have_as_many_cells_as_others(tmp_path) -> None:
    MetricsWriter(tmp_path, SEEDS).append(0, chunk(0, 3, (0, 2), kl=0.5), 0.0, 1.0)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert {row.count(",") for row in rows} == {len(COLUMNS)}
    assert np.isnan(read_metrics(tmp_path)["kl"][2, 1])
