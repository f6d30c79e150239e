"""RL² by PPO on bandits in PyTorch: what a user would run instead.

An epoch is the preset's: 400 trials of 100 pulls of five Bernoulli arms, each trial
with a bandit of its own, then 8 × 8 steps of Adam on minibatches of 50 whole trials.
Actor and critic are a `torch.nn.GRU` of 64 units each, with back-propagation through
all of a trial.

    python torch_rl2.py --epochs 5
    python torch_rl2.py --worker --threads 2   # JSON lines

It is as fast as we could make it on a CPU: the bandits are arrays of PyTorch's own, so
that no pull leaves it; the rollout asks the actor alone, under `inference_mode`, with
all noise drawn beforehand; a loss goes through a minibatch by one call of each GRU,
whose products with the inputs are one product for the whole trial; Adam is fused.
"""

import argparse
import json
import time
from typing import Any, NamedTuple

import torch
from torch import nn
from torch_baseline import work

ARMS, PULLS = 5, 100
TRIALS, UPDATES, MINIBATCHES = 400, 8, 8
INPUTS = 1 + ARMS + 1 + 1  # observation, last action, last reward, flag


class Trials(NamedTuple):
    """What was seen and done, time first, `[T, B, ...]`."""

    inputs: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    rewards: torch.Tensor


class Network(nn.Module):
    """A GRU and a linear layer."""

    def __init__(self, outputs: int, units: int = 64) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(INPUTS, units), nn.Linear(units, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """What it says at each step of whole trials."""
        return self.head(self.gru(inputs)[0])


class RecurrentBaseline:
    """The learner of one seed."""

    def __init__(self, seed: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """The first parameters, and a fresh optimiser."""
        torch.manual_seed(self.seed)
        self.actor, self.critic = Network(ARMS), Network(1)
        parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def epoch(self) -> dict[str, float]:
        """Collect trials, then PPO's steps on them."""
        start = time.perf_counter()
        trials = self.collect()
        with torch.inference_mode():
            values = self.critic(trials.inputs)[..., 0]
            advantages = gae(trials.rewards, values)
            targets = advantages + values
        total = 0.0
        for _ in range(UPDATES):
            for chosen in torch.randperm(TRIALS).chunk(MINIBATCHES):
                batch = Trials(*(each[:, chosen] for each in trials))
                loss = self.loss(batch, advantages[:, chosen], targets[:, chosen])
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                total += float(loss.detach())
        return {
            "seconds": time.perf_counter() - start,
            "env_steps": TRIALS * PULLS,
            "loss": total / UPDATES / MINIBATCHES,
            "return": float(trials.rewards.sum(0).mean()),
        }

    @torch.inference_mode()
    def collect(self) -> Trials:
        """A trial of each of so many fresh bandits, side by side."""
        probabilities = torch.rand(TRIALS, ARMS)
        pays = (torch.rand(PULLS, TRIALS, ARMS) < probabilities).float()
        # The greatest logit plus Gumbel noise is a sample of the categorical.
        gumbel = -torch.empty(PULLS, TRIALS, ARMS).exponential_().log()
        gru, head = self.actor.gru, self.actor.head
        inputs = torch.zeros(PULLS, TRIALS, INPUTS)
        inputs[..., 0] = inputs[..., -1] = 1
        actions = torch.empty(PULLS, TRIALS, dtype=torch.long)
        logits = torch.empty(PULLS, TRIALS, ARMS)
        rewards = torch.empty(PULLS, TRIALS)
        memory = torch.zeros(TRIALS, gru.hidden_size)
        weights = gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0
        lanes = torch.arange(TRIALS)
        for t in range(PULLS):
            memory = torch.gru_cell(inputs[t], memory, *weights)
            logits[t] = head(memory)
            actions[t] = torch.add(logits[t], gumbel[t]).argmax(-1)
            rewards[t] = pays[t, lanes, actions[t]]
            if t + 1 < PULLS:
                inputs[t + 1, lanes, 1 + actions[t]] = 1
                inputs[t + 1, :, -2] = rewards[t]
        return Trials(inputs, actions, of_chosen(logits, actions), rewards)

    def loss(
        self, batch: Trials, advantages: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """PPO's, with a Huber loss of the values and a bonus for entropy."""
        logits = self.actor(batch.inputs)
        ratios = (of_chosen(logits, batch.actions) - batch.log_probs).exp()
        clipped = ratios.clamp(0.9, 1.1)
        paid = torch.minimum(ratios * advantages, clipped * advantages).mean()
        values = self.critic(batch.inputs)[..., 0]
        critic = nn.functional.huber_loss(values, targets)
        logs = logits.log_softmax(-1)
        entropy = -(logs.exp() * logs).sum(-1).mean()
        return 0.5 * critic - paid - 0.01 * entropy


def of_chosen(logits: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the actions."""
    return logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]


def gae(
    rewards: torch.Tensor,
    values: torch.Tensor,
    discount: float = 0.99,
    gae_lambda: float = 0.3,
) -> torch.Tensor:
    """Generalised advantages over whole trials, time first."""
    after = torch.cat([values[1:], torch.zeros_like(values[:1])])
    deltas = rewards + discount * after - values
    advantages = torch.empty_like(deltas)
    last = torch.zeros_like(deltas[0])
    for t in reversed(range(len(deltas))):
        last = deltas[t] + discount * gae_lambda * last
        advantages[t] = last
    return advantages


def main() -> None:
    """Time epochs, or serve them to another process."""
    parser = argparse.ArgumentParser(description="RL² by PPO in PyTorch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of a worker")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--form", default="gru", choices=["gru"])
    parser.add_argument("--worker", action="store_true", help="serve JSON lines")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.seeds)
    baselines: list[Any] = [RecurrentBaseline(seed, given.threads) for seed in seeds]
    if given.worker:
        work(baselines)
        return
    for _ in range(given.epochs):
        print(json.dumps(baselines[0].epoch()))


if __name__ == "__main__":
    main()
