"""A run's configuration, read back from its folder."""

import json
from pathlib import Path
from typing import Any

from dmaml_jax.build.config import reconfigured
from dmaml_jax.config.composition import TrainConfig, is_known
from dmaml_jax.config.older import current
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.folder import require_text


def folder_of(run: str | Path) -> Path:
    """The path of a run folder as it was given, with `~` resolved.

    Raises:
        UsageError: there is no such home folder.
    """
    try:
        return Path(run).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{run} cannot be read ({str(error).rstrip('.')}): give a run folder."
        ) from None


def read_record(path: str | Path, named: str = "") -> dict[str, Any]:
    """What a run's config.json holds.

    Args:
        path: the path of the file, or of the run folder.
        named: how the user named it, such as `--config FILE`, for errors; the path by
            default.

    Raises:
        UsageError: there is no such file, or it is not of a run.
    """
    named = named or str(path)
    record = read_json(path, named)
    if "sweep" in record:
        raise UsageError(
            f"{named} is the folder of a sweep: give one of its settings, such as "
            f"{Path(path).expanduser() / 'settings' / '001'}."
        )
    return record


def read_json(path: str | Path, named: str) -> dict[str, Any]:
    """What the config.json of a run or of a sweep holds.

    Args:
        path: the path of the file, or of the folder.
        named: how the user named it, for errors.

    Raises:
        UsageError: there is no such file, or it is of neither.
    """
    try:
        file = Path(path).expanduser()
        require_text(file)
        file = file / "config.json" if file.is_dir() else file
        record = json.loads(file.read_text("utf-8"))
        if not isinstance(record["values"], dict):
            raise TypeError
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        if isinstance(error, FileNotFoundError) and Path(path).expanduser().is_dir():
            reason = "it holds no config.json"
        raise UsageError(
            f"{named} cannot be read ({reason}): "
            "give a run folder that holds a config.json, or that file."
        ) from None
    except UsageError:
        raise
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{named} is not the config.json of a run, or it is broken: give one that "
            "a training run wrote."
        ) from None
    return record


def read_config(path: str | Path, named: str = "", **values: Any) -> TrainConfig:
    """The configuration of a run, with other values where they are given.

    Args:
        path: the path of the run folder, or of its config.json.
        named: how the user named it, for errors; the path by default.
        **values: values by name, in place of the run's own; what then no longer
            applies is left out.

    Raises:
        UsageError: the file cannot be read, or a value is unknown or wrong.
    """
    named = named or str(path)
    stored = read_record(path, named)["values"]
    try:
        config = configured(stored)
    except UsageError as error:
        raise UsageError(f"{named}: {error}") from None
    return reconfigured(config.flat(), **values) if values else config


def configured(stored: dict[str, Any]) -> TrainConfig:
    """What a file's values say, nested by owner, or flat as older versions wrote.

    Raises:
        UsageError: a value is unknown or wrong.
    """
    owners = [own for own in stored.values() if isinstance(own, dict)]
    values = {name: value for own in owners for name, value in own.items()}
    values = values if owners else current(stored)
    for name in values:
        if not is_known(name):
            raise UsageError(
                f"it has a value {name!r} that this version does not know: remove it "
                "there, or use the version that wrote it."
            )
    # Older versions wrote down what did not apply, too.
    return reconfigured({}, **values) if owners else reconfigured(values)
