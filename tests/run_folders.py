"""Small run folders, written by hand, for what reads them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmaml_jax.build import configuration
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.runs.folder import json_values
from dmaml_jax.runs.metrics import COLUMNS


def write_run(
    folder: Path,
    *,
    config: TrainConfig | None = None,
    speed: float = 6.0,
    done: int | None = None,
    frozen: dict[int, int] | None = None,
) -> Path:
    """A folder with config.json and metrics.csv, its curves rising to 200.

    Args:
        folder: to be made.
        config: its values.
        speed: epochs of the time constant.
        done: epochs that are finished; all by default.
        frozen: by seed, the epoch from which on it has no numbers.
    """
    config = config or configuration(seeds=4, epochs=60)
    folder.mkdir(parents=True)
    record = {
        "values": json_values(config.nested()),
        "objective": "(II), by <hand> & more",
        "program": {"platform": "cpu", "device": "cpu", "x64": False},
        "versions": {"python": "3.12.1", "jax": "0.10.2", "wandb": None},
        "commit": "0123abcd",
        "started": "2026-01-02T03:04:05+00:00",
    }
    (folder / "config.json").write_text(json.dumps(record))
    random = np.random.default_rng(len(folder.name))
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for epoch in range(1, (config.run.epochs if done is None else done) + 1):
            for seed in config.seed_numbers:
                if epoch >= (frozen or {}).get(seed, np.inf):
                    writer.writerow([epoch, seed] + [""] * (len(COLUMNS) - 2))
                    continue
                after = 200 - 180 * np.exp(-epoch / (speed + seed / 4))
                after = np.float32(after + random.normal())
                row = [epoch, seed, epoch * (900 + 10 * seed), f"{epoch * 0.125:.3f}"]
                writer.writerow([*row, after - 2, after, "", -1.5, 0.25, ""])
    return folder


def write_evaluation(
    folder: Path, *, tasks: int = 12, steps: int = 2, epoch: int | None = 60, **options
) -> None:
    """evaluation.csv and evaluation.json beside it, two kinds of tasks.

    Args:
        folder: of the run.
        tasks: how many of each kind.
        steps: of adaptation.
        epoch: at which the run was evaluated; None as older versions wrote it.
        **options: of the command, beside tasks and steps.
    """
    random = np.random.default_rng(0)
    names = [f"return_{step}" for step in range(steps + 1)]
    last = [] if epoch is None else ["epoch"]
    lines = [["policy", "set", "task", "seed", "gravity", *names, *last]]
    rows: list[dict[str, Any]] = []
    for policy, start in (("meta", 150.0), ("random", 20.0)):
        for kind, low in (("fresh", 5.0), ("out-of-range", 15.0)):
            values = random.uniform(low, low + 10, tasks)
            table = (
                start
                + 10 * np.arange(steps + 1)
                + random.normal(size=(tasks, 4, steps + 1))
            )
            for task in range(tasks):
                for seed in range(4):
                    cells = [str(x) for x in table[task, seed]]
                    end = [] if epoch is None else [epoch]
                    head = [policy, kind, task, seed + 1, values[task]]
                    lines.append([*head, *cells, *end])
            gains = table - table[..., :1]
            each = [gains[..., step] for step in range(steps + 1)]

            def interval(values: np.ndarray) -> dict[str, float]:
                mean = float(values.mean())
                return {"mean": mean, "low": mean - 1, "high": mean + 1}

            rows.append(
                {
                    "policy": policy,
                    "set": kind,
                    "num_tasks": tasks,
                    "num_seeds": 4,
                    "returns": [
                        interval(table[..., step]) for step in range(steps + 1)
                    ],
                    "gains": [interval(gain) for gain in each],
                    "negative_shares": [float((gain < 0).mean()) for gain in each],
                    "gain": interval(each[-1]),
                    "negative_share": float((each[-1] < 0).mean()),
                }
            )
    with open(folder / "evaluation.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    summary = {
        "command": f"dmaml-jax evaluate '{folder.name}' --tasks {tasks}",
        "options": {"tasks": tasks, "steps": steps, **options},
        **({} if epoch is None else {"epoch": epoch}),
        "parameters": ["gravity"],
        "rows": rows,
    }
    (folder / "evaluation.json").write_text(json.dumps(summary))


def write_episode(
    folder: Path, task: str = "gravity=12", comment: str = "epoch 60"
) -> bytes:
    """A small GIF of two frames under the name that render gives; its bytes."""
    path = folder / f"episode-{task}.gif"
    frames = [Image.new("P", (90, 40), color) for color in (1, 2)]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=40,
        comment=comment.encode(),
    )
    return path.read_bytes()
