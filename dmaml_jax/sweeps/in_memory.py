"""Settings trained side by side for a search of one's own; nothing is written."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dmaml_jax.build.config import configuration
from dmaml_jax.build.lanes import part_of
from dmaml_jax.config.settings import groups_of, settings_of
from dmaml_jax.errors import UsageError
from dmaml_jax.sweeps.folder import Sweep
from dmaml_jax.sweeps.programs import compiled
from dmaml_jax.training.program import Metrics


def train_settings(
    env: str = "cartpole",
    algo: str = "directed-maml",
    *,
    settings: Sequence[Mapping[str, Any]],
    **values: Any,
) -> Metrics:
    """Train settings with seeds as lanes of one program, and keep their metrics.

    Args:
        env: the name of an environment.
        algo: the name of a learner.
        settings: the values of each setting by name, the same names in each. Those
            that may not be traced, such as `num_tasks`, cost a program for each value.
        **values: values by name that are the same in all settings, `seeds` and
            `epochs` among them.

    Returns:
        The columns of metrics.csv by name, `[epochs, settings, seeds]`, and
        `failed_at`, `[settings, seeds]`: the epoch at which a lane was frozen, 0 where
        it was not. From then on it is NaN, and so is a column that a setting lacks.

    Raises:
        UsageError: a value is unknown, wrong or cannot vary.

    Example:
        >>> rates = [{"inner_lr": 0.001}, {"inner_lr": 0.1}]
        >>> small = dict(epochs=2, horizon=5, num_tasks=2, hidden_sizes=(4,))
        >>> found = train_settings("cartpole", "maml", settings=rates, seeds=3, **small)
        >>> found["return_after"].shape
        (2, 2, 3)
    """
    if not settings:
        raise UsageError("settings is empty: give the values of one setting or more.")
    base = configuration(env, algo, **values)
    # Each by itself, so that their order stays.
    made = [settings_of([base], [own])[0][0] for own in settings]
    sweep = Sweep(tuple(made))
    shape = (sweep.epochs, len(made), len(sweep.seeds))
    epochs = np.arange(1, sweep.epochs + 1)[:, None]
    found: Metrics = {"failed_at": np.zeros(shape[1:], np.int32)}
    for group in groups_of(made):
        ready = compiled(sweep, group)
        for part in ready.waves:
            ready.program.take(part_of(ready.lanes, part))
            metrics = ready.program.run_all(sweep.epochs)
            rows, columns = np.divmod(ready.numbers[part], shape[2])
            failed = metrics.pop("failed_at")
            found["failed_at"][rows, columns] = failed
            lost = (failed > 0) & (epochs > failed)
            for name, table in metrics.items():
                found.setdefault(name, np.full(shape, np.nan))
                found[name][:, rows, columns] = np.where(lost, np.nan, table)
    return found
