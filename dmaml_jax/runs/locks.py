"""One writer per run folder: a lock that the system drops with its process."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dmaml_jax.errors import UsageError

_FILE = ".lock"
# File systems without locks, some of those that are shared over a network.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, for as long as the context or the process lasts.

    Raises:
        UsageError: another process holds it.
    """
    descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise UsageError(
                f"Another process ({holder or 'just starting'}) is writing {folder}: "
                "wait until it ends, or stop it."
            ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            print(
                f"note: the file system of {folder} has no locks; take care that no "
                "second process writes there."
            )
        with suppress(OSError):  # a full disk: the number is a courtesy
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
