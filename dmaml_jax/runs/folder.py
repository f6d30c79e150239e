"""The run folder: config.json, params.npz, and who writes there."""

import datetime
import errno
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.files import is_text, require_room, write_arrays, write_json, writing

FILES = (
    "config.json",
    "metrics.csv",
    "params.npz",
    "curves.png",
    "estimators.csv",
    "estimators.png",
    "checkpoints",
)
STOPPED = "stopped.txt"
"""How a run of several processes ended before its time; gone where it goes on."""


def describe_run(values: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """What config.json keeps: all that is needed to run the same again.

    Args:
        values: the configuration's values, by owner or by name.
        **parts: what else belongs there, such as the layout of the compiled program.
    """
    return {"values": values, **parts, **circumstances()}


def circumstances() -> dict[str, Any]:
    """The versions, commit and time with which something runs."""
    packages = ("dmaml-jax", "jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in packages},
        },
        "commit": _commit(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def create_run_folder(out: str | None, name: str, config: dict[str, Any]) -> Path:
    """Make the folder of a run; it appears with its config.json in it.

    Args:
        out: the folder to make, or None for `runs/NAME-TIME`, with a counter where
            that is taken.
        name: the run's name; characters unfit for a file name become hyphens.
        config: what goes into config.json, as `describe_run` returns it.

    Returns:
        The folder.

    Raises:
        UsageError: the folder holds a run already, or cannot be written.
    """
    try:
        if out is not None:
            return _create(Path(out).expanduser().resolve(), config)
        time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{time}")
        for count in range(1, 1000):
            folder = Path("runs", stem if count == 1 else f"{stem}-{count}")
            if not folder.exists():
                return _create(folder, config)
        raise UsageError(f"runs/{stem} and its like are taken: give --out FOLDER.")
    # RuntimeError: no such home folder; ValueError: a zero byte in the name.
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The run folder {out or 'runs'} cannot be written ({reason}): "
            "give --out a folder that can."
        ) from None


def require_text(folder: Path) -> None:
    """Refuse a folder whose name is no text in this locale.

    Raises:
        UsageError: it is such a one.
    """
    if not is_text(folder):
        raise UsageError(
            f"The path {str(folder)!r} is not text in this locale, and no run can be "
            "kept there: set PYTHONUTF8=1, or choose a folder of another name."
        )


def output_path(out: str) -> Path:
    """The path that `--out` names, with `~` resolved; nothing is made.

    Raises:
        UsageError: there is no such home folder.
    """
    try:
        return Path(out).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"--out {out} cannot be written ({str(error).rstrip('.')}): give a folder "
            "that can."
        ) from None


def output_folder(out: str, default: Path, what: str = "a folder that can") -> Path:
    """The folder that a command writes into, made where it is missing.

    Args:
        out: the folder that was named by `--out`; empty for the default.
        default: the folder to take then.
        what: what to give instead, for the error.

    Raises:
        UsageError: it cannot be made or written.
    """
    try:
        folder = Path(out).expanduser() if out else default
        folder.mkdir(parents=True, exist_ok=True)
        require_room(folder, 1)
    except (OSError, RuntimeError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        named = f"--out {out}" if out else str(default)
        give = f"give {what}" if out else f"give --out {what}"
        raise UsageError(f"{named} cannot be written ({reason}): {give}.") from None
    return folder


def output_file(out: str, name: str, suffixes: Sequence[str]) -> Path:
    """The file that a command writes, in a folder made where it is missing.

    Args:
        out: the file or the folder that was named by `--out`.
        name: the name of the file in a folder.
        suffixes: how a file's name ends, in lower case; any other names a folder.

    Raises:
        UsageError: it cannot be written.
    """
    file = Path(out).suffix.lower() in suffixes and not Path(out).is_dir()
    folder, name = os.path.split(out) if file else (out, name)
    what = f"a folder or a file ending in {' or '.join(suffixes)}"
    try:
        return output_folder(folder, Path("."), what) / name
    except UsageError as error:
        told = str(error).replace(f"--out {folder} ", f"--out {out} ", 1)
        raise UsageError(told) from None


def _create(folder: Path, config: dict[str, Any]) -> Path:
    require_text(folder)
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise UsageError(
            f"{folder} holds another run ({taken[0]}): go on with it by --resume, give "
            "--out a new folder, or remove that one."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():  # one that holds other things keeps them
        write_json(folder / "config.json", config)
        return folder
    with writing(folder) as aside:
        aside.mkdir()
        write_json(aside / "config.json", config)
    return folder


def write_params(
    folder: Path, params: Any, seeds: Sequence[int], name: str = "params.npz"
) -> None:
    """Keep θ of every seed in a file: one array per leaf, seeds on axis 0.

    Leaves are named by their path, such as `Dense_0/kernel`; `seed` numbers the rows.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }
    write_arrays(folder / name, {"seed": np.asarray(seeds), **arrays})


def read_params(file: Path, like: Any) -> Any:
    """The parameters of a file that `write_params` wrote.

    Args:
        file: the .npz file to read.
        like: a pytree with the structure that the parameters have.

    Raises:
        OSError: it cannot be read.
        KeyError: it holds other parameters.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in paths]
    with np.load(file, allow_pickle=False) as arrays:
        return structure.unflatten([arrays[name] for name in names])


def json_values(values: dict[str, Any]) -> dict[str, Any]:
    """Values of a configuration as JSON keeps them."""
    return json.loads(json.dumps(values))


def shown(folder: Path) -> str:
    """A path as short as it is unambiguous from here."""
    try:
        path = str(folder.relative_to(Path.cwd()))
    except ValueError:
        path = str(folder)
    # Else it would be read as a flag, or as somebody's home.
    return f"./{path}" if path.startswith(("-", "~")) else path


def rerun_command(folder: Path) -> str:
    """The command that does a run again in a new folder, quoted for a shell."""
    new = f"{shown(folder)}-again"
    return shlex.join(["dmaml-jax", "train", "--config", shown(folder), "--out", new])


def resume_command(folder: Path) -> str:
    """The command that goes on with a run, quoted for a shell."""
    return shlex.join(["dmaml-jax", "train", "--resume", shown(folder)])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree that the package runs from, if it is one."""

    def git(*arguments: str) -> str:
        # A process killed while git refreshes its index would leave a lock behind.
        git = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent)]
        command = [*git, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
