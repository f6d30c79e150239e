"""The render command: one episode before and after adaptation, as a moving picture."""

import dataclasses
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from dmaml_jax.commands.options import RunFolder, compute_as, require_whole
from dmaml_jax.commands.words import parsed
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.inner_loop import first, last
from dmaml_jax.pictures.film import Film, Panel, frames, write_gif, write_mp4
from dmaml_jax.pictures.scenes.stage import stage_of
from dmaml_jax.rl.episodes import recorder
from dmaml_jax.runs.folder import output_file, output_folder, shown
from dmaml_jax.runs.loading import Loaded, lane_of, load, require_finite, say_if_frozen
from dmaml_jax.tasks.of_environment import task_of
from dmaml_jax.training.keys import seed_keys
from dmaml_jax.types import Agent, Params, Task

SUFFIXES = (".gif", ".mp4")


@dataclasses.dataclass(frozen=True)
class Render:
    """Write a GIF of one episode before and after adaptation, side by side.

    Both sides have the same random numbers; an MP4 is written too where ffmpeg is
    found. Example: dmaml-jax render runs/mine --task gravity=12
    """

    run: RunFolder
    """The run folder."""
    task: tuple[str, ...] = ()
    """NAME=VALUE ... of the task; the rest is as in the medium task."""
    seed: int | None = None
    """Which of the run's seeds; None takes the first."""
    steps: int = 1
    """Steps of adaptation, on episodes that are not shown."""
    episode: int = 1
    """Number of the episode, from 1; another number gives another start."""
    solver: Literal["default", "exact", "fast"] = "default"
    """Solver of the lander; by default the one it trained with."""
    fps: float = 25.0
    """Most frames a second, 1 to 50."""
    out: str = ""
    """A .gif or .mp4 file, or another folder; the run folder if empty."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: the first such value.
        """
        require_whole("steps", self.steps, 1)
        require_whole("episode", self.episode, 1)
        if self.seed is not None:
            require_whole("seed", self.seed, 0)
        if not 1 <= self.fps <= 50:
            raise UsageError(
                f"--fps is {self.fps:g}, but it must be from 1 to 50, as GIFs count "
                "hundredths of a second."
            )


def main(words: Sequence[str]) -> int:
    """Render as the words after `render` say; returns the exit code."""
    options = parsed(Render, "render", words)
    options.check()
    compute_as(options.run, "cpu", 1)  # one policy keeps no accelerator busy
    return render(options)


def render(command: Render) -> int:
    """Write a GIF, and an MP4 where ffmpeg is found.

    Both sides start alike and have the same random numbers throughout.

    Args:
        command: the command's flags; `check` has been called.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: there is no such run, seed, parameter or value.
        OSError: the disk is full.
    """
    solver = None if command.solver == "default" else command.solver
    loaded = load(command.run, solver=solver)
    lane = lane_of(loaded, command.seed)
    say_if_frozen(loaded, lane)
    files = _files(command, loaded.folder, loaded.seeds[lane] if lane else None)
    task = task_of(loaded.env, loaded.tasks.mean(), command.task, "--task")
    film = _film(command, loaded, lane, task)
    written = []
    for path in files:
        start = time.perf_counter()
        pictures, seconds = frames(film, command.fps)
        if path.suffix == ".gif":
            write_gif(path, pictures, seconds, comment=f"epoch {loaded.epoch}")
        elif not write_mp4(path, pictures, seconds):
            if len(files) == 1:
                raise UsageError(f"{path}: an MP4 needs ffmpeg, and none works here.")
            continue
        written.append(f"{shown(path)} ({time.perf_counter() - start:.1f} s)")
    film.close()
    print(f"wrote {', '.join(written)}")
    return 0


def _film(command: Render, loaded: Loaded, lane: int, task: Task) -> Film:
    """Adapt, play both episodes, and lay the picture out."""
    steps = command.steps
    config, seed = loaded.config, loaded.seeds[lane]
    state = jax.tree.map(lambda leaf: leaf[lane], loaded.states)
    key_adapt, key_episodes = jax.random.split(seed_keys(seed).evaluation)

    # Without the curve, whose last collection would be compiled for nothing.
    @jax.jit
    def adapt(state: Any, task: Task) -> tuple[Params | Agent, Params | Agent]:
        path, _ = loaded.learner.adapt(key_adapt, state, task, steps)
        return first(path), last(path)

    before, adapted = adapt(state, task)
    require_finite(adapted, steps)
    horizon = config.sampling.horizon or int(
        loaded.env.default_params.max_steps_in_episode
    )
    record = recorder(loaded.env, loaded.policy, horizon)
    key = jax.random.fold_in(key_episodes, command.episode)
    # Consumed by a belief, where one acts: the episode has a key of its own.
    key_draw = jax.random.fold_in(key_episodes, 0)
    what = "step" if registry.takes_gradients(config.run.algo) else "episode"
    after = f"after {steps} {what}" + ("s" if steps > 1 else "")
    panels = [
        Panel(title, record(key, _acting(loaded, key_draw, agent), task))
        for title, agent in (
            ("before adaptation", before),
            (after, adapted),
        )
    ]
    what = (
        ", ".join(item.replace("=", " = ") for item in command.task)
        or "the medium task"
    )
    where = f"{config.run.algo} on {config.run.env}, seed {seed}, epoch {loaded.epoch}"
    return Film(f"{what}  ·  {where}", panels, stage_of(loaded.env, task))


def _acting(loaded: Loaded, key: jax.Array, agent: Params | Agent) -> Params | Agent:
    """What the policy acts with: the agent, or θ and a z of its first life's belief."""
    off = loaded.problem.off_policy
    if off is None:
        return agent
    assert isinstance(agent, Agent)
    return off.embodied(key, agent, jnp.int32(0))


def _files(command: Render, folder: Path, seed: int | None) -> list[Path]:
    """The files to write: both kinds in a folder, or the one file that is named."""
    name = f"{_name(command, seed)}{SUFFIXES[0]}"
    if not command.out:
        path = output_folder("", folder) / name
    else:
        path = output_file(command.out, name, SUFFIXES)
        if path.name != name:
            return [path]
    return [path.with_name(path.name[: -len(SUFFIXES[0])] + end) for end in SUFFIXES]


def _name(command: Render, seed: int | None) -> str:
    """The file's name: the task, and every choice that is not the default."""
    parts = [*command.task] or ["medium"]
    parts += [f"seed{seed}"] if seed is not None else []
    parts += [f"steps{command.steps}"] if command.steps > 1 else []
    parts += [f"number{command.episode}"] if command.episode > 1 else []
    parts += [command.solver] if command.solver != "default" else []
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", "-".join(["episode", *parts]))
