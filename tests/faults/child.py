"""A training process that kills itself: python child.py FOLDER KIND N [--go-on].

N says when: at the N-th Python call that changes a file of a checkpoint, in the middle
of the N-th append to the metrics, before the N-th checkpoint, or N milliseconds after
compiling. KIND none lets it live; KIND room gives it N bytes a file.
"""

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import jax

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "jax"
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

from dmaml_jax.build import configuration  # noqa: E402
from dmaml_jax.runs import metrics  # noqa: E402
from dmaml_jax.runs import training as run  # noqa: E402
from dmaml_jax.runs.checkpoint import Checkpoints  # noqa: E402
from dmaml_jax.training.program import Program  # noqa: E402

CONFIG = configuration(
    horizon=10,
    num_tasks=2,
    num_trajectories=2,
    hidden_sizes=(4,),
    epochs=40,
    chunk_epochs=3,
    checkpoint_every=2,
    keep_checkpoints=2,
    seeds=2,
    cpu_devices=2,
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def at_checkpoint_call(number: int) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and "r" != str(arguments[1])[:1]
        )
        if writes and "checkpoints" in str(arguments[0]):
            seen += 1
            if seen == number:
                die()

    sys.addaudithook(hook)


def inside_append(number: int) -> None:
    appends = 0

    class Half:
        def __init__(self, *arguments: object, **options: object) -> None:
            self.file = open(*arguments, **options)

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: memoryview) -> int:
            nonlocal appends
            appends += 1
            if appends == number:
                self.file.write(content[: len(content) * (number % 5 + 1) // 6])
                die()
            return self.file.write(content)

    def opened(path: Path, mode: str = "r", **options: object) -> object:
        return (Half if mode == "ab" else open)(path, mode, **options)

    metrics.open = opened


def before_checkpoint(number: int) -> None:
    original = Checkpoints.save
    calls = 0

    def save(self, epoch, state):
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        original(self, epoch, state)

    Checkpoints.save = save


def after_compiling(milliseconds: int) -> None:
    original = Program.compile

    def compile(self):
        seconds = original(self)
        threading.Timer(milliseconds / 1000, die).start()
        return seconds

    Program.compile = compile


def room(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


KINDS = {
    "checkpoint": at_checkpoint_call,
    "append": inside_append,
    "between": before_checkpoint,
    "random": after_compiling,
    "room": room,
    "none": lambda number: None,
}

if __name__ == "__main__":
    folder, kind, number = sys.argv[1:4]
    KINDS[kind](int(number))
    try:
        if "--go-on" in sys.argv:
            code = run.resume(CONFIG, folder, None, verbosity="quiet")
        else:
            code = run.train(CONFIG, folder, verbosity="quiet")
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)
