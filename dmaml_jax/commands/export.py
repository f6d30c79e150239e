"""The export command: one policy as plain arrays, and a NumPy program that runs it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from dmaml_jax.commands import numpy_policy
from dmaml_jax.commands.options import RunFolder, compute_as, require_whole
from dmaml_jax.commands.words import parsed
from dmaml_jax.config.values import ContinuousPolicy
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_arrays, write_bytes
from dmaml_jax.rl.policies import mlp_layers
from dmaml_jax.runs.folder import output_folder, shown
from dmaml_jax.runs.loading import Loaded, lane_of, load, require_finite, say_if_frozen
from dmaml_jax.tasks.of_environment import task_of
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.types import Agent


@dataclasses.dataclass(frozen=True)
class Export:
    """Write one policy of a run as plain arrays, with a NumPy program that runs it.

    Writes policy.npz and policy.py. Example: dmaml-jax export runs/mine --seed 1
    --task gravity=12 --steps 1
    """

    run: RunFolder
    """The run folder."""
    seed: int | None = None
    """Which of the run's seeds; None takes the first."""
    task: tuple[str, ...] = ()
    """NAME=VALUE ... of the task to adapt to; the rest is as in the medium task."""
    steps: int = 0
    """Steps of adaptation; 0 exports the meta-learned policy itself."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Solver of the lander to adapt with; by default the one it trained with."""
    out: str = ""
    """Folder to write into; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        require_whole("steps", self.steps, 0)
        if self.seed is not None:
            require_whole("seed", self.seed, 0)
        if self.task and not self.steps:
            raise UsageError(
                "--task is what --steps adapt to, and --steps is 0: give --steps 1 or "
                "more, or leave --task out."
            )


def main(words: Sequence[str]) -> int:
    """Export as the words after `export` say; returns the exit code."""
    options = parsed(Export, "export", words)
    options.check()
    compute_as(options.run, "cpu", 1)  # one policy keeps no accelerator busy
    return export(options)


def export(options: Export) -> int:
    """Write policy.npz and policy.py.

    Args:
        options: the command's flags; `check` has been called.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: no such run, seed or parameter.
    """
    solver = None if options.solver == "default" else options.solver
    run = load(options.run, solver=solver)
    if run.problem.off_policy is not None:
        raise UsageError(
            f"{options.run} is a run of {run.config.run.algo}, whose policy acts on a "
            "belief of the task as well, which policy.py has no place for: use "
            "dmaml-jax render or evaluate, or load the run in Python."
        )
    lane = lane_of(run, options.seed)
    say_if_frozen(run, lane)
    out = output_folder(options.out, run.folder)
    params = adapted(run, lane, options.task, options.steps)
    arrays = {**plain_arrays(run, params), "epoch": run.epoch}
    write_arrays(out / "policy.npz", arrays)
    write_bytes(out / "policy.py", Path(numpy_policy.__file__).read_bytes())
    steps = f"{options.steps} adaptation step{'' if options.steps == 1 else 's'}"
    print(
        f"the policy of seed {run.seeds[lane]} after {run.epoch} epochs and {steps}\n"
        f"in {shown(out)}: policy.npz, policy.py"
    )
    return 0


def adapted(run: Loaded, lane: int, task: tuple[str, ...], steps: int) -> Any:
    """The agent of one seed after some steps of adaptation to a task.

    Args:
        run: the run that the policy is taken from.
        lane: the place of the seed's state in `run.states`.
        task: `NAME=VALUE` items of what differs from the medium task.
        steps: the number of adaptation steps; 0 leaves the agent as it is.

    Returns:
        Parameters of the policy, or an `Agent` where it has a memory.

    Raises:
        UsageError: the environment has no such parameter, or adaptation diverges.
    """
    state = jax.tree.map(lambda leaf: leaf[lane], run.states)
    if not steps:
        born = run.problem.newborn
        return state.params if born is None else born(state.params)
    to = task_of(run.env, run.tasks.mean(), task, "--task")
    path, _ = jax.jit(run.learner.adapt, static_argnums=3)(
        seed_keys(run.seeds[lane]).evaluation, state, to, steps
    )
    params = jax.tree.map(lambda leaf: np.asarray(leaf[-1]), path)
    require_finite(params, steps)
    return params


def plain_arrays(run: Loaded, params: Any) -> dict[str, Any]:
    """What `numpy_policy.act` needs: layers in order, scales, and the action's bounds.

    Args:
        run: a run whose policy is the default MLP, or RL²'s recurrent network.
        params: the parameters θ to write, adapted or not, or an agent, of which the
            first life is written.

    Raises:
        UsageError: the policy is another network.
    """
    space = run.env.action_space(run.tasks.mean())
    discrete = hasattr(space, "n")
    num_outputs = space.n if discrete else space.shape[0]
    if isinstance(params, Agent):
        arrays = _of_agent(run, params)
        log_std = params.params.get("head")
    else:
        arrays = _of_layers(mlp_layers(params, num_outputs))
        log_std = params.get("actor", params).get("log_std")
    values = run.config.policy
    arrays |= {"obs_scale": values.obs_scale, "obs_squash": values.obs_squash}
    if discrete:
        return {"kind": "categorical", **arrays}
    assert isinstance(values, ContinuousPolicy)
    low, high = (np.broadcast_to(x, space.shape) for x in (space.low, space.high))
    return {
        "kind": "normal",
        "log_std": np.maximum(log_std, np.log(values.min_std)),
        "bounds": values.bounds,
        "low": low,
        "high": high,
        **arrays,
    }


def _of_agent(run: Loaded, agent: Agent) -> dict[str, Any]:
    """The recurrent network, and what its first life has kept."""
    network = agent.params["actor"]
    if "recurrent" not in network:
        raise UsageError(
            "export writes an MLP or RL2's recurrent network, and "
            f"{run.config.run.algo} has another one: evaluate and render take it."
        )
    lived = jax.tree.map(lambda leaf: np.asarray(leaf[0]), agent.memory)
    return {
        **_of_layers([(own["kernel"], own["bias"]) for own in network["layers"]]),
        **{
            f"{part}_{name}": np.asarray(network[part][name])
            for part in ("gates", "recurrent", "head")
            for name in ("kernel", "bias")
        },
        "memory": lived.memory,
        "last_action": lived.action,
        "last_reward": lived.reward,
    }


def _of_layers(layers: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {"num_layers": len(layers)}
    for index, (kernel, bias) in enumerate(layers):
        arrays[f"kernel_{index}"] = np.asarray(kernel)
        arrays[f"bias_{index}"] = np.asarray(bias)
    return arrays
