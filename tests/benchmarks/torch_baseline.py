"""The same epoch in PyTorch and Gymnasium: what a user would run instead.

One epoch of MAML, FOMAML or Directed-MAML (arXiv 2510.00212, Algorithm 1) with policy
gradient on CartPole with varied gravity, as fast as we could make it on a CPU.

    python torch_baseline.py --algo directed-maml --form list --full --epochs 5
    python torch_baseline.py --worker --form sync --seeds 4   # JSON lines

The environments step in one of three forms, with one batched policy call per step:
`list`, raw environments in a Python loop; `sync`, Gymnasium's SyncVectorEnv; `vector`,
Gymnasium's own NumPy CartPole (few other environments have such a twin).
With `--full` no episode ends before the horizon; without it the parameters are reset
before each epoch, so that episodes stay as short as an untrained policy's.
Two threads gain 5-20 % on two idle cores and cost up to three times the epoch when
another process wants one of them: measure both and take the better.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ALGORITHMS = ("maml", "fomaml", "directed-maml")
MEDIUM_GRAVITY = np.array([10.0])
ROWS_PER_CHUNK = 500  # steps of each task whose activations stay in the cache together

Parameters = tuple[torch.Tensor, ...]
Step = tuple[np.ndarray, np.ndarray, np.ndarray]


class Batch(NamedTuple):
    """The alive steps of one collection by task, `[M, B, ...]`, padded at the end."""

    observations: torch.Tensor
    actions: torch.Tensor
    advantages: torch.Tensor  # zero on padding
    env_steps: int
    mean_return: float


def make_cartpole(full: bool) -> Any:
    """Gymnasium's CartPole without wrappers; `full` never terminates."""
    env: Any = gymnasium.make("CartPole-v1").unwrapped
    if full:
        env.theta_threshold_radians = env.x_threshold = math.inf
    return env


class ListEnvironments:
    """Raw environments in a Python loop, finished ones left out."""

    def __init__(self, size: int, full: bool, seed: int) -> None:
        self.envs = [make_cartpole(full) for _ in range(size)]
        for lane, env in enumerate(self.envs):
            env.reset(seed=seed + lane)

    def reset(self, gravities: np.ndarray) -> np.ndarray:
        """Start an episode in each environment."""
        for env, gravity in zip(self.envs, gravities.tolist(), strict=True):
            env.gravity = gravity
        self.observations = np.stack([env.reset()[0] for env in self.envs])
        self.rewards = np.zeros(len(self.envs), np.float32)
        self.ended = np.zeros(len(self.envs), bool)
        return self.observations

    def step(self, actions: np.ndarray) -> Step:
        """Step the living ones; the others' values mean nothing."""
        chosen = actions.tolist()
        for lane in np.flatnonzero(~self.ended).tolist():
            result = self.envs[lane].step(chosen[lane])
            self.observations[lane], self.rewards[lane], self.ended[lane] = result[:3]
        return self.observations, self.rewards, self.ended


class Absorbing(gymnasium.Wrapper):
    """Hides the end and steps no further: SyncVectorEnv insists on a reset after it."""

    def reset(self, **kwargs: Any) -> Any:
        """Start an episode."""
        self.last: Any = None
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Step until the end, reported in `info`; from then on do nothing."""
        if self.last is not None:
            return self.last
        observation, reward, terminated, _, info = self.env.step(action)
        if terminated:
            self.last = observation, 0.0, False, False, {}
            info = {"ended": True}
        return observation, reward, False, False, info


class SyncEnvironments:
    """Gymnasium's SyncVectorEnv, without autoreset."""

    def __init__(self, size: int, full: bool, seed: int) -> None:
        def make() -> Any:
            return make_cartpole(full) if full else Absorbing(make_cartpole(full))

        self.envs: Any = SyncVectorEnv(
            [make] * size, copy=False, autoreset_mode=AutoresetMode.DISABLED
        )
        self.envs.reset(seed=seed)

    def reset(self, gravities: np.ndarray) -> np.ndarray:
        """Start an episode in each environment."""
        for env, gravity in zip(self.envs.envs, gravities.tolist(), strict=True):
            env.unwrapped.gravity = gravity
        self.ended = np.zeros(len(gravities), bool)
        return self.envs.reset()[0]

    def step(self, actions: np.ndarray) -> Step:
        """Step all; Python integers are faster here than an array."""
        observations, rewards, _, _, info = self.envs.step(actions.tolist())
        if "ended" in info:
            self.ended = self.ended | info["ended"]
        return observations, rewards, self.ended


class VectorEnvironments:
    """Gymnasium's CartPole over NumPy arrays; its autoreset cannot be switched off."""

    def __init__(self, size: int, full: bool, seed: int) -> None:
        self.envs: Any = CartPoleVectorEnv(size)
        if full:
            self.envs.theta_threshold_radians = self.envs.x_threshold = math.inf
        self.envs.reset(seed=seed)

    def reset(self, gravities: np.ndarray) -> np.ndarray:
        """Start an episode in each environment."""
        self.envs.gravity = gravities
        return self.envs.reset()[0]

    def step(self, actions: np.ndarray) -> Step:
        """Step all."""
        return self.envs.step(actions)[:3]


Environments = ListEnvironments | SyncEnvironments | VectorEnvironments
FORMS: dict[str, type[Environments]] = {
    "list": ListEnvironments,
    "sync": SyncEnvironments,
    "vector": VectorEnvironments,
}


def logits(params: Parameters, observations: torch.Tensor) -> torch.Tensor:
    """MLP 4-64-64-2 with tanh; weights `[M, in, out]` on rows `[M, B, 4]`."""
    w1, b1, w2, b2, w3, b3 = params
    hidden = torch.baddbmm(b1, observations, w1).tanh()
    hidden = torch.baddbmm(b2, hidden, w2).tanh()
    return torch.baddbmm(b3, hidden, w3)


def normalised_advantages(
    rewards: torch.Tensor, alive: torch.Tensor, discounts: torch.Tensor
) -> torch.Tensor:
    """Reward to go minus the leave-one-out mean, normalised per task: `[M, T, K]`."""
    returns = discounts @ rewards
    others = (alive.sum(2, keepdim=True) - 1).clamp(min=1)
    baseline = (returns.sum(2, keepdim=True) - returns) / others
    values = (returns - baseline) * alive
    count = alive.sum((1, 2), keepdim=True)
    centred = (values - values.sum((1, 2), keepdim=True) / count) * alive
    std = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    return centred / (std + 1e-8)


@dataclass(eq=False)
class Baseline:
    """The learner, its environments (made once) and its parameters."""

    FORMS: ClassVar[dict[str, Any]] = FORMS
    LAYERS: ClassVar[Sequence[tuple[int, int]]] = ((4, 64), (64, 64), (64, 2))

    algo: str = "directed-maml"
    form: str = "list"
    full: bool = False
    seed: int = 1
    num_tasks: int = 5
    num_trajectories: int = 10
    horizon: int = 200
    threads: int = 1
    inner_lr: float = 0.001
    outer_lr: float = 0.001
    directed_lr: float = 0.005
    discount: float = 0.99

    def __post_init__(self) -> None:
        """Make the environments and the first parameters."""
        if self.algo not in ALGORITHMS:
            raise ValueError(f"algo must be one of {ALGORITHMS}, not {self.algo!r}")
        torch.set_num_threads(self.threads)
        self.rng = np.random.default_rng(self.seed)
        self.generator = torch.Generator().manual_seed(self.seed)
        make, lanes = self.FORMS[self.form], self.num_tasks * self.num_trajectories
        self.task_envs = make(lanes, self.full, 1000 * self.seed)
        self.medium_envs = make(
            self.num_trajectories, self.full, 1000 * self.seed + 999
        )
        lag = torch.arange(self.horizon) - torch.arange(self.horizon).unsqueeze(1)
        self.discounts = (self.discount ** lag.clamp(min=0)).triu()
        self.reset()

    def reset(self) -> None:
        """Fresh parameters (as `torch.nn.Linear` draws them) and a fresh optimiser."""
        tensors = []
        for fan_in, fan_out in self.LAYERS:
            for rows in (fan_in, 1):
                uniform = torch.rand(1, rows, fan_out, generator=self.generator)
                tensors.append(((2 * uniform - 1) / fan_in**0.5).requires_grad_())
        self.params: Parameters = tuple(tensors)
        self.optimiser = torch.optim.Adam(self.params, lr=self.outer_lr, fused=True)

    def epoch(self) -> dict[str, float]:
        """Pre-step, inner episodes, adaptation, outer episodes, Adam."""
        start = time.perf_counter()
        directed = self.algo == "directed-maml"
        env_steps = self.directed_step() if directed else 0
        gravities = self.rng.uniform(5.0, 15.0, self.num_tasks)
        before = self.collect(self.task_envs, self.params, gravities)
        adapted = self.adapt(before)
        after = self.collect(self.task_envs, adapted, gravities)
        loss = self.loss(adapted, after) / self.num_tasks
        gradient = torch.autograd.grad(loss, self.params)
        for param, grad in zip(self.params, gradient, strict=True):
            param.grad = grad
        self.optimiser.step()
        seconds = time.perf_counter() - start
        episodes = (directed + 2 * self.num_tasks) * self.num_trajectories
        return {
            "seconds": seconds,
            "env_steps": env_steps + before.env_steps + after.env_steps,
            "slots": episodes * self.horizon,
            "loss": loss.item(),
            "return_after": after.mean_return,
            "meta_grad_norm": sum(g.square().sum().item() for g in gradient) ** 0.5,
        }

    def directed_step(self) -> int:
        """θ ← θ - δ ∇L on the medium task, first order; returns the steps taken."""
        batch = self.collect(self.medium_envs, self.params, MEDIUM_GRAVITY)
        gradient = torch.autograd.grad(self.loss(self.params, batch), self.params)
        with torch.no_grad():
            for param, grad in zip(self.params, gradient, strict=True):
                param -= self.directed_lr * grad
        return batch.env_steps

    def adapt(self, batch: Batch) -> Parameters:
        """θ'_i = θ - inner_lr ∇L_i(θ), one set of parameters `[M, ...]` per task."""
        shared = tuple(p.expand(self.num_tasks, -1, -1) for p in self.params)
        loss, second_order = self.loss(shared, batch), self.algo != "fomaml"
        gradient = torch.autograd.grad(loss, shared, create_graph=second_order)
        pairs = zip(shared, gradient, strict=True)
        return tuple(param - self.inner_lr * grad for param, grad in pairs)

    def loss(self, params: Parameters, batch: Batch) -> torch.Tensor:
        """Sum over tasks and alive steps of -log π · A, mean over trajectories."""
        chunks = zip(*(t.split(ROWS_PER_CHUNK, 1) for t in batch[:3]), strict=True)
        total = torch.zeros(())
        for observations, actions, advantages in chunks:
            log_probs = logits(params, observations).log_softmax(-1)
            chosen = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
            total = total - (chosen * advantages).sum()
        return total / self.num_trajectories

    @torch.inference_mode()
    def act(
        self, params: Parameters, observations: np.ndarray, noise: torch.Tensor
    ) -> np.ndarray:
        """Sample one action per environment, all tasks in one batched call."""
        rows = torch.from_numpy(observations).view(len(params[0]), -1, 4)
        left, right = logits(params, rows).view(-1, 2).unbind(1)
        return (right - left > noise).long().numpy()

    def collect(
        self, envs: Environments, params: Parameters, gravities: np.ndarray
    ) -> Batch:
        """K episodes for each gravity, all at once, until the last one ends."""
        lanes = len(gravities) * self.num_trajectories
        # action 1 if its logit leads by more than logistic noise: the categorical
        noise = torch.rand(self.horizon, lanes, generator=self.generator).logit()
        current = envs.reset(gravities.repeat(self.num_trajectories))
        living, steps = np.ones(lanes, bool), []
        while len(steps) < self.horizon and living.any():
            observations = current.copy()
            actions = self.act(params, observations, noise[len(steps)])
            current, rewards, ended = envs.step(actions)
            steps.append((observations, actions, rewards * living, living))
            living = living & ~ended
        return self.by_task(len(gravities), *map(np.stack, zip(*steps, strict=True)))

    def by_task(self, num_tasks: int, *recorded: np.ndarray) -> Batch:
        """Lay `[T, M * K]` out by task, alive steps first, and cut the rest off."""
        shape = (num_tasks, self.num_trajectories)
        observations, actions, rewards, alive = (
            torch.from_numpy(a).unflatten(1, shape).transpose(0, 1) for a in recorded
        )
        discounts = self.discounts[: alive.shape[1], : alive.shape[1]]
        advantages = normalised_advantages(rewards.float(), alive, discounts)
        living = alive.flatten(1)
        order = living.byte().argsort(dim=1, descending=True, stable=True)
        order = order[:, : int(living.sum(1).max())]
        task = torch.arange(num_tasks).unsqueeze(1)
        return Batch(
            observations.flatten(1, 2)[task, order],
            actions.flatten(1)[task, order],
            advantages.flatten(1)[task, order],
            env_steps=int(alive.sum()),
            mean_return=rewards.sum(1).mean().item(),
        )


def work(baselines: Sequence[Baseline]) -> None:
    """Run one epoch of every seed for each line "epoch" on standard input."""
    print(json.dumps({"ready": True}), flush=True)
    for line in map(str.strip, sys.stdin):
        if line == "quit":
            return
        if line == "epoch":
            for baseline in baselines:
                baseline.reset()
            results = [baseline.epoch() for baseline in baselines]
            total = {k: sum(r[k] for r in results) for k in ("seconds", "env_steps")}
            total["loss"] = statistics.fmean(r["loss"] for r in results)
            print(json.dumps(total), flush=True)


def main(
    arguments: Sequence[str] | None = None, kind: type[Baseline] = Baseline
) -> None:
    """Time epochs, or serve them to another process."""
    parser = argparse.ArgumentParser(description="PyTorch + Gymnasium baseline")
    parser.add_argument("--algo", choices=ALGORITHMS, default="directed-maml")
    parser.add_argument("--form", choices=tuple(kind.FORMS), default="list")
    parser.add_argument("--full", action="store_true", help="no episode ends early")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of a worker")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--worker", action="store_true", help="serve JSON lines")
    args = parser.parse_args(arguments)
    baselines = [
        kind(args.algo, args.form, args.full, seed, threads=args.threads)
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    if args.worker:
        return work(baselines)
    seconds = []
    for _ in range(args.epochs):
        baselines[0].reset()
        result = baselines[0].epoch()
        seconds.append(result["seconds"])
        print(json.dumps(result))
    print(f"median {statistics.median(seconds):.4f} s")


if __name__ == "__main__":
    main()
