"""A run's configuration, read back from its folder.

Pure Python, so that a wrong folder is said without importing JAX.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from dmaml_jax.errors import UsageError
from dmaml_jax.config.presets import TrainConfig, preset
from dmaml_jax.config.rules import validated


def read_record(path: str | Path, named: str = "") -> dict[str, Any]:
    """What a run's config.json holds.

    Args:
        path: the file, or the run folder.
        named: how the user named it, such as `--config FILE`; the path by default.

    Raises:
        UsageError: there is no such file, or it is not of a run.
    """
    named = named or str(path)
    try:
        file = Path(path).expanduser()
        file = file / "config.json" if file.is_dir() else file
        record = json.loads(file.read_text())
        if not isinstance(record["values"], dict):
            raise TypeError
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{named} cannot be read ({getattr(error, 'strerror', None) or error}): "
            "give a run folder that holds a config.json, or that file."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{named} is not the config.json of a run, or it is broken: give one that "
            "a training run wrote."
        ) from None
    return record


def read_values(path: str | Path, named: str = "") -> dict[str, Any]:
    """The values of a run, typed as `TrainConfig` has them, and known to be valid.

    Args:
        path: of the run folder or its config.json.
        named: as for `read_record`.

    Raises:
        UsageError: the file cannot be read, or a value is unknown or wrong.
    """
    named = named or str(path)
    values = dict(read_record(path, named)["values"])
    defaults = dataclasses.asdict(TrainConfig())
    for name, value in values.items():
        if name not in defaults:
            raise UsageError(
                f"{named} has a value {name!r} that this version does not know: remove "
                "it there, or use the version that wrote it."
            )
        kept = tuple(value) if isinstance(value, list) else value
        number = isinstance(defaults[name], float) and type(value) is int
        number |= name == "threshold" and value is None
        if not number and type(kept) is not type(defaults[name]):
            raise UsageError(
                f"{named}: {name} is {value!r}, but it must be like {defaults[name]!r}."
            )
        values[name] = kept
    return values


def read_config(path: str | Path, named: str = "") -> TrainConfig:
    """The configuration of a run.

    Raises:
        UsageError: as `read_values`, or the values make no sense together.
    """
    config = TrainConfig(**read_values(path, named))
    try:
        preset(config.env)
        return validated(config)
    except (UsageError, TypeError) as error:
        raise UsageError(f"{named or path}: {error}") from None
