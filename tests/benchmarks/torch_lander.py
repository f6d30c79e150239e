"""The baseline of `torch_baseline.py` on Gymnasium's LunarLander with varied gravity.

Its environments step in a list, with one batched policy call for all of them: the
strongest form that we could write for any environment.

    python torch_lander.py --full --epochs 5
    python torch_lander.py --worker --threads 1   # JSON lines

With `--full` a lander flies on after its end, so that every episode has all its steps.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from torch_baseline import (
    Baseline,
    ListEnvironments,
    Parameters,
    Step,
    logits,
    main,
)


def make_lander() -> Any:
    """Gymnasium's LunarLander without wrappers."""
    return gymnasium.make("LunarLander-v3").unwrapped


class ListLanders(ListEnvironments):
    """Raw landers in a Python loop, finished ones left out."""

    def __init__(self, size: int, full: bool, seed: int) -> None:
        self.envs, self.full = [make_lander() for _ in range(size)], full
        for lane, env in enumerate(self.envs):
            env.reset(seed=seed + lane)

    def reset(self, gravities: np.ndarray) -> np.ndarray:
        """Start an episode in each environment; its gravity points down."""
        return super().reset(-gravities)

    def step(self, actions: np.ndarray) -> Step:
        """Step the living ones; with `full` none ever ends."""
        result = super().step(actions)
        if self.full:
            self.ended[:] = False
        return result


class LanderBaseline(Baseline):
    """The learner on LunarLander: eight numbers are seen, one of four actions taken."""

    FORMS: ClassVar[dict[str, Any]] = {"list": ListLanders}
    LAYERS: ClassVar[Sequence[tuple[int, int]]] = ((8, 64), (64, 64), (64, 4))

    @torch.inference_mode()
    def act(
        self, params: Parameters, observations: np.ndarray, noise: torch.Tensor
    ) -> np.ndarray:
        """Sample one action per environment by one uniform number each."""
        rows = torch.from_numpy(observations).view(len(params[0]), -1, 8)
        cumulated = logits(params, rows).view(-1, 4).softmax(-1).cumsum(-1)
        return (cumulated[:, :3] <= noise.sigmoid().unsqueeze(1)).sum(1).numpy()


if __name__ == "__main__":
    main(kind=LanderBaseline)
