"""What several processes do together: tell each other things, one gather at a time.

With a single process, which is the first one then, nothing here communicates.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from dmaml_jax.errors import UsageError

Found = TypeVar("Found")

_WORD = np.dtype(np.int32)
_LEAST_BYTES = 1024


def is_first() -> bool:
    """Whether this is the process that writes files and talks to people."""
    return jax.process_index() == 0


def are_several() -> bool:
    """Whether there are other processes."""
    return jax.process_count() > 1


def from_first(make: Callable[[], Found]) -> Found:
    """What the first process makes, on all of them; the others do not call `make`.

    Raises:
        UsageError: `make` raised it; all processes do.
        OSError: `make` raised it; all processes do.
    """
    if not are_several():
        return make()
    # Pickled, as a state or an error may be told: it goes between the processes of one
    # job, which run the same code, and into no file.
    told: Any = None
    if is_first():
        try:
            told = True, make()
        except (UsageError, OSError) as error:
            told = False, error
    good, found = pickle.loads(_broadcast(pickle.dumps(told)))
    if not good:
        raise found
    return found


def least(number: int) -> int:
    """The smallest of the numbers that the processes give."""
    if not are_several():
        return number
    sent = np.array([number], np.int64).view(np.uint8)
    return int(_from_all(sent).view(np.int64).min())


def shared_out(devices: Sequence[Any], groups: int, size: int) -> list[Any]:
    """Devices for groups of equal size, as evenly from all processes as can be.

    A group's devices are of one process wherever there are as many groups as
    processes.

    Args:
        devices: the devices that there are, those of a process together.
        groups: the number of groups.
        size: the number of devices in a group.

    Raises:
        UsageError: there are more processes than devices that have something to do.
    """
    owners = list(dict.fromkeys(device.process_index for device in devices))
    unit = size if groups >= len(owners) else 1
    each, more = divmod(groups * size // unit, len(owners))
    used = []
    for place, owner in enumerate(owners):
        own = [device for device in devices if device.process_index == owner]
        used += own[: unit * (each + (place < more))]
    if len(used) < groups * size:  # a process has fewer than its share
        used = list(devices[: groups * size])
    busy = {device.process_index for device in used}
    if len(busy) < jax.process_count():
        raise UsageError(
            f"There are {jax.process_count()} processes, but seeds and tasks can "
            f"occupy {groups * size} devices only, of {len(busy)} processes: start "
            "fewer of them, or train more --seeds."
        )
    return used


def fetched(
    leaves: Sequence[jax.Array],
    axes: Sequence[int],
    mesh: Mesh,
    ask: Callable[[], int] = lambda: 0,
) -> tuple[list[np.ndarray], int]:
    """Arrays that lie in pieces on a mesh, whole, and the greatest of some answers.

    All processes must call it with the same arrays. It is one gather.

    Args:
        leaves: the arrays, each cut along one axis over the mesh's first.
        axes: the number of that axis, for each array.
        mesh: the mesh of devices on which the arrays lie.
        ask: what each process answers, once its pieces are there.

    Returns:
        The arrays, on the host of every process; and the answer.
    """
    jax.block_until_ready(leaves)
    if not are_several():
        return [np.asarray(leaf) for leaf in leaves], ask()
    pieces = _Pieces(leaves, mesh)
    sent = pieces.own()
    word = np.array([ask()], _WORD).view(np.uint8)
    every = _from_all(np.concatenate([word, sent]))
    heard = every[:, : _WORD.itemsize].copy().view(_WORD).max()
    return pieces.whole(every[:, _WORD.itemsize :], axes), int(heard)


class _Pieces:
    """Arrays as bytes, cut along the first axis of a mesh.

    The devices in a row of the mesh hold the same; the first of them speaks for it.
    """

    def __init__(self, leaves: Sequence[jax.Array], mesh: Mesh) -> None:
        self._leaves = leaves
        self._speakers = [row[0] for row in mesh.devices]
        self._shapes = [leaf.sharding.shard_shape(leaf.shape) for leaf in leaves]
        sizes = [
            int(np.prod(shape)) * leaf.dtype.itemsize
            for shape, leaf in zip(self._shapes, leaves, strict=True)
        ]
        self._ends = np.cumsum([0, *sizes])

    def own(self) -> np.ndarray:
        """The pieces that this process speaks for, and room up to the most of any."""
        owners = [device.process_index for device in self._speakers]
        most = max(map(owners.count, owners))
        sent = np.zeros((most, self._ends[-1]), np.uint8)
        own = [d for d in self._speakers if d.process_index == jax.process_index()]
        for row, device in zip(sent, own, strict=False):
            parts = [_bytes_on(leaf, device) for leaf in self._leaves]
            row[:] = np.concatenate(parts)
        return sent.ravel()

    def whole(self, every: np.ndarray, axes: Sequence[int]) -> list[np.ndarray]:
        """The arrays, from what every process sent."""
        rows, taken = [], dict[int, int]()
        for device in self._speakers:
            owner = device.process_index
            place = taken.get(owner, 0)
            taken[owner] = place + 1
            rows.append(every[owner].reshape(-1, self._ends[-1])[place])
        found = []
        for index, (leaf, shape) in enumerate(
            zip(self._leaves, self._shapes, strict=True)
        ):
            here = slice(self._ends[index], self._ends[index + 1])
            parts = [row[here].copy().view(leaf.dtype).reshape(shape) for row in rows]
            found.append(np.concatenate(parts, axis=axes[index]))
        return found


def _bytes_on(leaf: jax.Array, device: Any) -> np.ndarray:
    (data,) = (s.data for s in leaf.addressable_shards if s.device == device)
    return np.ascontiguousarray(np.asarray(data)).reshape(-1).view(np.uint8)


def _from_all(sent: np.ndarray) -> np.ndarray:
    """Bytes of every process, as many of each, `[processes, bytes]`."""
    return np.ascontiguousarray(multihost_utils.process_allgather(sent))


def _broadcast(content: bytes) -> bytes:
    """The first process's bytes; those of the others do not count."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    # Sizes are rounded up, as each of them is a program of its own.
    room = max(_LEAST_BYTES, 1 << (size - 1).bit_length())
    sent = np.zeros(room, np.uint8)
    if is_first():
        sent[:size] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(sent))[:size].tobytes()
