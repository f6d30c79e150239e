"""The folder of a sweep: what it is to do, in config.json, and what it has written.

config.json        the settings, seeds and epochs
waves/             lanes in training; removed at the end
settings/001/ …    a run folder for each setting, as `dmaml-jax train` writes one
sweep.csv          a row for each setting, seed and epoch
sweep.parquet      the same, where pyarrow is installed
leaderboard.csv    a row for each setting, the best first
sweep.png          the picture
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dmaml_jax.config.settings import Setting
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.folder import (
    create_run_folder,
    describe_run,
    json_values,
    output_path,
)
from dmaml_jax.runs.stored import configured, read_json
from dmaml_jax.training.devices import numbers

LEADERBOARD, ROWS, PICTURE = "leaderboard.csv", "sweep.csv", "sweep.png"
PARQUET = "sweep.parquet"
SETTINGS, WAVES = "settings", "waves"


class Sweep(NamedTuple):
    """What a sweep is to do.

    Attributes:
        settings: the settings; all have the same seeds and epochs.
        waves: into how many waves the lanes of a program are cut; 0 asks the memory.
        halve: k: of k settings one is kept at each rung; 0 keeps all.
        at: the epochs between two rungs.
    """

    settings: tuple[Setting, ...]
    waves: int = 0
    halve: int = 0
    at: int = 0

    @property
    def seeds(self) -> range:
        """The numbers of the seeds."""
        return self.settings[0].config.seed_numbers

    @property
    def epochs(self) -> int:
        """The epochs of every setting that is kept to the end."""
        return self.settings[0].config.run.epochs

    @property
    def swept(self) -> list[str]:
        """Names of all values that vary, in the order in which they were given."""
        return list(dict.fromkeys(n for own in self.settings for n in own.swept))


def create(sweep: Sweep, out: str | None) -> Path:
    """Make the folder of a sweep, with its config.json.

    Raises:
        UsageError: the folder holds something else already.
    """
    if out is not None:
        there = output_path(out)
        taken = [n for n in (ROWS, WAVES, SETTINGS) if (there / n).exists()]
        if taken:
            raise UsageError(
                f"{there} holds another sweep ({taken[0]}): go on with it by --resume, "
                "give --out a new folder, or remove that one."
            )
    settings = [
        {"swept": list(own.swept), "values": json_values(own.config.nested())}
        for own in sweep.settings
    ]
    plan = {
        "waves": sweep.waves,
        "halve": sweep.halve,
        "at": sweep.at,
        "settings": settings,
    }
    record = describe_run({}, sweep=plan, program=numbers())
    algos = dict.fromkeys(own.config.run.algo for own in sweep.settings)
    env = sweep.settings[0].config.run.env
    return create_run_folder(out, f"sweep-{env}-{'-'.join(algos)}", record)


def read(folder: Path) -> Sweep:
    """What the sweep of a folder is to do.

    Raises:
        UsageError: it holds no sweep, or one that this version cannot read.
    """
    plan = record_of(folder)["sweep"]
    try:
        settings = tuple(
            Setting(configured(own["values"]), tuple(own["swept"]))
            for own in plan["settings"]
        )
        sweep = Sweep(settings, plan["waves"], plan["halve"], plan["at"])
        _require_whole(sweep)
    except UsageError as error:
        raise UsageError(f"{folder}/config.json: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UsageError(
            f"{folder}/config.json is not that of a sweep, or it is broken."
        ) from None
    return sweep


def _require_whole(sweep: Sweep) -> None:
    """Refuse what no sweep was begun with.

    Raises:
        ValueError: there is such a thing.
    """
    counts = sweep.waves, sweep.halve, sweep.at
    whole = all(type(number) is int and number >= 0 for number in counts)
    rungs = not sweep.halve or (sweep.halve > 1 and sweep.at > 0)
    alike = {(own.config.seed_numbers, own.config.run.epochs) for own in sweep.settings}
    known = all({*own.swept} <= {*own.config.flat()} for own in sweep.settings)
    if not (whole and rungs and len(alike) == 1 and known):
        raise ValueError("no sweep")


def record_of(folder: Path) -> dict[str, Any]:
    """What config.json of a sweep holds.

    Raises:
        UsageError: it is not of a sweep.
    """
    record = read_json(folder, str(folder))
    if not isinstance(record.get("sweep"), dict):
        raise UsageError(
            f"{folder} is the folder of a single run: go on with it by dmaml-jax train "
            "--resume."
        )
    return record


def setting_folder(folder: Path, number: int) -> Path:
    """Where the run of a setting is; they are counted from 1."""
    return folder / SETTINGS / f"{number + 1:03d}"


def is_finished(folder: Path) -> bool:
    """Whether nothing is left to do in a sweep's folder."""
    return (folder / LEADERBOARD).exists()  # it is written last


def shown_values(setting: Setting, names: Sequence[str]) -> dict[str, Any]:
    """The values of a setting by name; empty where one has no effect there."""
    flat = setting.config.flat()
    return {name: _shown(flat[name]) if name in flat else "" for name in names}


def _shown(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, tuple) else value
