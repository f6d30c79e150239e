"""Training: one compiled program for a chunk of epochs of all seeds."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dmaml_jax.learners.task_axis import TASK_AXIS
from dmaml_jax.training.chunk import Init, Lanes, Step, Steps, first_state, run_chunk
from dmaml_jax.training.devices import bytes_of, compiler_options
from dmaml_jax.training.hosts import are_several, fetched, shared_out

Metrics = dict[str, np.ndarray]


_INITIALISING = threading.Lock()
# More than so many lanes at once leave a core's cache: 64 lanes of CartPole on two
# cores take 0.86 of the time and half of the memory in turns of 16.
_ON_A_CPU = 16


class Program:
    """Lanes that train side by side, spread over devices, a chunk at a time.

    A lane is a seed, in a sweep with numbers of its own. The lanes are one vmapped axis
    on each device. How many share a device is part of the program: XLA fuses another
    width differently, so bits agree only between runs of equal width. On a CPU many
    lanes take turns, some side by side in each. Lanes that devices and turns do not
    divide are padded with others whose results are dropped. Devices that are left over
    may share the tasks of each lane.

    A lane whose parameters, loss or meta-gradient stop being finite is frozen for
    good in the state before that epoch; the others go on.

    The devices may be those of several processes, all of which make the same calls.

    Attributes:
        heard: the greatest answer of the processes to what `run` asked last, 0 before.
    """

    def __init__(
        self,
        init: Init,
        step: Step,
        *,
        seeds: Sequence[int],
        chunk_epochs: int,
        devices: Sequence[Any] | None = None,
        task_devices: int = 1,
    ) -> None:
        """Lay the program out; nothing is compiled yet.

        Args:
            init: `(key) -> state`, as `train_step` returns it.
            step: `(key, state) -> (state, info)`, as `train_step` returns it.
            seeds: the numbers of the seeds, each of which is one lane.
            chunk_epochs: epochs that one call may run.
            devices: to spread the work over, no more than it can occupy. The default
                device alone by default.
            task_devices: how many of them share the tasks of one seed.
        """
        self._lay_out(
            lambda _: (init, step),
            Lanes(np.asarray(seeds, np.uint32), {}),
            chunk_epochs,
            list(devices or jax.devices()[:1]),
            task_devices,
        )

    @classmethod
    def of_lanes(
        cls,
        steps: Steps,
        lanes: Lanes,
        *,
        chunk_epochs: int,
        devices: Sequence[Any] | None = None,
    ) -> "Program":
        """A program whose lanes have numbers of their own beside their seeds.

        Args:
            steps: `(values) -> (init, step)`, called with a lane's numbers, traced.
            lanes: seeds `[lanes]`, and by name the numbers of each, `[lanes]`. Others
                may take their places later, see `take`.
            chunk_epochs: epochs that one call may run.
            devices: the devices to spread the work over; the default device alone by
                default.
        """
        program = cls.__new__(cls)
        used = list(devices or jax.devices()[:1])
        program._lay_out(steps, lanes, chunk_epochs, used, 1)
        return program

    def _lay_out(
        self,
        steps: Steps,
        lanes: Lanes,
        chunk_epochs: int,
        devices: list[Any],
        task_devices: int,
    ) -> None:
        self.num_seeds = len(lanes.seeds)
        self.chunk_epochs = chunk_epochs
        self.seed_devices = min(len(devices) // task_devices, self.num_seeds)
        self.task_devices = task_devices
        width = -(-self.num_seeds // self.seed_devices)
        turns = -(-width // _ON_A_CPU) if devices[0].platform == "cpu" else 1
        side_by_side = -(-width // turns)
        self.width = side_by_side * turns
        used = np.array(shared_out(devices, self.seed_devices, task_devices))
        mesh = Mesh(used.reshape(-1, task_devices), ("seed", TASK_AXIS))
        self._mesh = mesh
        self._by_seed = NamedSharding(mesh, P("seed"))
        self._first_device = jax.local_devices()[0] if are_several() else devices[0]
        self.heard = 0
        self._place(lanes)
        self._init = jax.jit(jax.vmap(lambda lane: first_state(steps, lane)))
        self._chunk = jax.jit(
            jax.shard_map(
                lambda *args: run_chunk(steps, chunk_epochs, side_by_side, *args),
                mesh=mesh,
                in_specs=(P("seed"), P("seed"), P(), P()),
                out_specs=(P("seed"), P(None, "seed")),
                check_vma=False,
            ),
            donate_argnums=1,
            compiler_options=compiler_options(devices[0].platform),
        )
        self._compiled: Any = None
        self.state: Any = None

    def _place(self, lanes: Lanes) -> None:
        rows = self._rows(len(lanes.seeds))
        padded = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], lanes)
        self._first_lanes = jax.device_put(padded, self._first_device)
        self._lanes = self._spread(padded)

    def _spread(self, tree: Any) -> Any:
        """Arrays with lanes on axis 0, the same in every process, over the devices."""
        if not are_several():
            return jax.device_put(tree, self._by_seed)
        # Putting them there would compare them between the processes first.
        return jax.tree.map(
            lambda leaf: jax.make_array_from_callback(
                leaf.shape, self._by_seed, np.asarray(leaf).__getitem__
            ),
            tree,
        )

    def _rows(self, number: int) -> np.ndarray:
        """Which lane stands at each place: padding repeats the last one."""
        return np.minimum(np.arange(self.width * self.seed_devices), number - 1)

    def take(self, lanes: Lanes) -> None:
        """Train other lanes from their beginning; nothing is compiled again.

        Args:
            lanes: the new lanes, with values of the same names, and no more than the
                program was laid out for.
        """
        assert 0 < len(lanes.seeds) <= self.width * self.seed_devices
        self.num_seeds = len(lanes.seeds)
        self._place(lanes)
        self.start()

    @property
    def is_compiled(self) -> bool:
        """Whether it can run."""
        return self._compiled is not None

    def memory(self) -> int:
        """Bytes that the compiled program takes on each device."""
        return bytes_of(self._compiled)

    def text(self) -> str:
        """The compiled program as XLA writes it down."""
        return self._compiled.as_text()

    def analysis(self) -> dict[str, float]:
        """XLA's count of FLOPs and bytes, which takes a loop's body once."""
        found = self._compiled.cost_analysis() or {}
        return found[0] if isinstance(found, list) else found

    def compile(self) -> float:
        """Compile, and make the first state; returns the seconds that it took."""
        begin = time.perf_counter()
        self.start()
        self._compiled = self.lowered().compile()
        jax.block_until_ready(self.state)
        return time.perf_counter() - begin

    def start(self) -> None:
        """Make the first state."""
        # On one device, and one at a time: an initialiser that calls LAPACK, as that of
        # orthogonal weights does, can hang when two CPU devices run it at once (seen
        # with jax 0.10.2).
        with _INITIALISING:
            first = jax.block_until_ready(self._init(self._first_lanes))
        self.state = self._spread(first)

    def traced(self) -> jax.stages.Traced:
        """The chunk as JAX traces it, once there is a first state."""
        return self._chunk.trace(*self._arguments(0, 0))

    def lowered(self) -> jax.stages.Lowered:
        """The chunk as XLA gets it, once there is a first state."""
        return self.traced().lower()

    def run(
        self, first_epoch: int, num_epochs: int, ask: Callable[[], int] = lambda: 0
    ) -> Metrics:
        """Run epochs `first_epoch + 1 …`, at most a chunk of them.

        Args:
            first_epoch: how many epochs were done before.
            num_epochs: how many epochs to run.
            ask: what each process answers at the end; the greatest is `heard`.

        Returns:
            Metrics by name, `[num_epochs, seeds]`; what the learner has no value of
            is absent. `failed_at` is `[seeds]`.
        """
        assert 0 < num_epochs <= self.chunk_epochs
        self.state, metrics = self._compiled(*self._arguments(first_epoch, num_epochs))
        found, self.heard = fetched(
            [*metrics.values(), self.state.failed_at],
            [1] * len(metrics) + [0],
            self._mesh,
            ask,
        )
        *tables, failed_at = found
        host = {
            name: table[:num_epochs, : self.num_seeds]
            for name, table in zip(metrics, tables, strict=True)
        }
        return {**host, "failed_at": failed_at[: self.num_seeds]}

    def run_all(self, num_epochs: int) -> Metrics:
        """Run the first epochs, chunk by chunk, keeping their metrics in memory.

        Args:
            num_epochs: how many, 1 or more.

        Returns:
            Metrics of all of them, as `run` returns those of a chunk.
        """
        chunks = [
            self.run(first, min(self.chunk_epochs, num_epochs - first))
            for first in range(0, num_epochs, self.chunk_epochs)
        ]
        rows = {name: [chunk[name] for chunk in chunks] for name in chunks[0]}
        whole = {name: np.concatenate(each) for name, each in rows.items()}
        return {**whole, "failed_at": self.failed_at()}

    def seeds_state(self) -> Any:
        """The state of every seed, on the host, without the lanes that pad."""
        leaves, structure = jax.tree.flatten(self.state)
        found, _ = fetched(leaves, [0] * len(leaves), self._mesh)
        return structure.unflatten([leaf[: self.num_seeds] for leaf in found])

    def shapes(self) -> Any:
        """Shapes and types of what `seeds_state` returns; nothing is compiled."""
        lanes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.num_seeds,), leaf.dtype),
            self._first_lanes,
        )
        return jax.eval_shape(self._init, lanes)

    def restore(self, state: Any) -> None:
        """Go on from what `seeds_state` once returned."""
        rows = self._rows(self.num_seeds)
        lanes = jax.tree.map(lambda leaf: leaf[rows], state)
        self.state = self._spread(lanes)

    def failed_at(self) -> np.ndarray:
        """The epoch at which each seed failed, 0 where it has not, `[seeds]`."""
        (found,), _ = fetched([self.state.failed_at], [0], self._mesh)
        return found[: self.num_seeds]

    def params(self) -> Any:
        """θ of every seed, stacked on axis 0, on the host."""
        return self.seeds_state().learner.params

    def _arguments(self, first_epoch: int, num_epochs: int) -> tuple[Any, ...]:
        return self._lanes, self.state, np.int32(first_epoch), np.int32(num_epochs)
