"""The command line: each command is a file of `dmaml_jax.commands`."""

import importlib
import importlib.metadata
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.files import surviving_readers

COMMANDS = {
    "train": "Train a learner on an environment and write a run folder.",
    "sweep": "Train many settings with many seeds, side by side in few programs.",
    "evaluate": "Adapt a trained run to tasks that it has not seen, and measure.",
    "compare": "One table and one figure of several runs, with their paired "
    "differences.",
    "export": "Write one policy of a run as plain arrays, with a NumPy program that "
    "runs it.",
    "render": "Write a GIF of one episode before and after adaptation, side by side.",
    "report": "One page of a run, or of several, in a file that opens offline.",
    "algos": "List the learners: what they estimate, what they cost, who described "
    "them.",
    "envs": "List the environments; of those named, the parameters that tasks may vary "
    "too.",
    "estimators": "Hold every estimator of the meta-gradient against the exact one.",
}
"""The name of each command's module, and what it does."""
USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as on the command line, without the program's name.

    Returns:
        The exit code: 0 done, 1 failed while running, 2 wrong input, 130 Ctrl-C,
        143 SIGTERM, 129 SIGHUP.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # While Python and JAX import, an exception may land where nobody passes it on;
    # there is nothing to lose yet.
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _leave_at_once)
    try:
        with surviving_readers():
            return _run(words)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        what = error.strerror or error
        print(f"error: {what}; what was written before is whole.", file=sys.stderr)
        return 1
    except ValueError as error:
        said = _of_jax_setting(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        return USAGE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


def _of_jax_setting(error: ValueError) -> str | None:
    """What is wrong where JAX refuses an environment variable as it is imported."""
    found = re.search(r"(?:environment '|JAX flag )(jax_\w+)", str(error), re.I)
    name = found[1].upper() if found else ""
    if name not in os.environ:
        return None
    return (
        f"JAX does not take {name}={os.environ[name]}: unset it, or give it one of the "
        "values that JAX documents."
    )


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(importlib.metadata.version("dmaml-jax"))
        return 0
    if words[:1] in (["--help"], ["-h"]):
        print(_help())
        return 0
    if not words or words[0] not in COMMANDS:
        raise UsageError(_no_command(words))
    # XLA's own log lines, about caches, CPU features and long compiles, are for its
    # developers; what fails is raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return importlib.import_module(f"dmaml_jax.commands.{words[0]}").main(words[1:])


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: dmaml-jax COMMAND [flags]",
            "",
            "Gradient-based meta-reinforcement-learning on the device.",
            "",
            *(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()),
            "",
            "dmaml-jax COMMAND --help tells a command's flags; --version the version.",
        ]
    )


def _no_command(words: list[str]) -> str:
    known = ", ".join(COMMANDS)
    if not words:
        return f"There is no command: give one of {known}, or --help."
    hint = did_you_mean(words[0], COMMANDS)
    return f"There is no command {words[0]!r}: choose one of {known}.{hint}"
