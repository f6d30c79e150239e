"""The values of a run: names, paper symbols, defaults and what is allowed.

Pure Python, so that `--help` and a wrong flag answer without importing JAX.
"""

import dataclasses
from difflib import get_close_matches
from typing import Any, Literal

from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Every value of a training run; the defaults are Table I's, on CartPole.

    "Table I" and "Algorithm 1" are those of Directed-MAML, arXiv 2510.00212; "ours"
    marks what that paper leaves open.
    """

    env: str = "cartpole"
    """Environment."""
    algo: str = "directed-maml"
    """Learner; dmaml-jax algos lists them (directed is short for directed-maml)."""
    method: Literal["pg", "ac"] = "pg"
    """Gradient of the return: pg, policy gradient, or ac, actor-critic."""
    seeds: int = 1
    """Number of seeds, trained side by side."""
    seed: int = 1
    """FIRST seed; the seeds are FIRST ... FIRST + seeds - 1."""
    epochs: int = 300
    """E: epochs (ours)."""
    horizon: int = 200
    """H: steps per episode at most (the paper's for CartPole); 0: the env's limit."""
    num_tasks: int = 5
    """M: tasks per epoch (Table I)."""
    num_trajectories: int = 10
    """K: trajectories per task and collection (Table I)."""
    num_inner_steps: int = 1
    """N: gradient steps of the inner loop (ours)."""
    inner_lr: float = 0.001
    """alpha: inner step size (Table I)."""
    outer_lr: float = 0.001
    """beta: outer step size (Table I)."""
    directed_lr: float = 0.005
    """delta: step size of the directed pre-step (Table I)."""
    discount: float = 0.99
    """gamma: discount (Table I)."""
    surrogate: Literal["score-function", "lvc", "dice", "loaded-dice"] = (
        "score-function"
    )
    """What the inner step differentiates; the last three with maml and meta-sgd."""
    loaded_dice_lambda: float = 1.0
    """lambda of loaded-dice, 0 to 1; 1 is the whole Hessian."""
    score_baseline: Literal["others", "none"] = "others"
    """Subtracted in the score term of sg-mrl, e-maml: other tasks' mean return."""
    vary: tuple[str, ...] = ("gravity=5:15",)
    """phi: what varies over tasks, NAME=LOW:HIGH ... (the paper's), or other forms."""
    held_out: float = 0.0
    """Share of a listed parameter's values that is kept for evaluation."""
    medium_task: Literal["exact", "empirical", "one-of-batch", "fresh", "given"] = (
        "exact"
    )
    """Pre-step's task: mean of rho (Eq. 3) or of the batch (Eq. 4), or a control."""
    medium_values: tuple[str, ...] = ()
    """NAME=VALUE ... of the task of --medium-task given; the others are at the mean."""
    directed_placement: Literal["epoch", "inner-and-outer"] = "epoch"
    """Once per epoch (Algorithm 1), or again before the outer step (section IV)."""
    directed_schedule: Literal["constant", "cosine"] = "constant"
    """delta over the epochs: constant (Algorithm 1) or falling to 0."""
    directed_gate: Literal["always", "until-plateau", "unless-opposed"] = "always"
    """Leave the pre-step out after a plateau, or against the last meta-gradient."""
    plateau_patience: int = 20
    """Epochs without a rise that make a plateau (ours)."""
    directed_reduction: Literal["same", "sum", "mean"] = "same"
    """--step-reduction of the pre-step, if it is to be another."""
    step_reduction: Literal["sum", "mean"] = "sum"
    """How a gradient adds up an episode's steps (ours; mean is H times smaller)."""
    outer_optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser of the outer step (ours)."""
    outer_schedule: Literal["constant", "cosine"] = "constant"
    """beta over the epochs: constant or falling to 0."""
    clip_norm: float = 0.0
    """Longest meta-gradient that the outer optimiser gets; 0: any."""
    directed_optimizer: Literal["adam", "sgd"] = "sgd"
    """Optimiser of the pre-step (ours: plain gradient ascent)."""
    baseline: Literal["leave-one-out", "linear", "none"] = "leave-one-out"
    """pg: subtracted from returns; the other trajectories' mean, or a fit (ours)."""
    gae_lambda: float = 0.99
    """ac: lambda of the advantages, 0 to 1 (ours)."""
    value_coefficient: float = 0.5
    """ac: weight of the critic's loss (ours)."""
    entropy_coefficient: float = 0.0
    """ac: weight of the policy's entropy (ours)."""
    shared_trunk: bool = False
    """ac: one network for policy and value, instead of two (ours)."""
    rates: Literal["parameter", "layer-and-step"] = "parameter"
    """meta-sgd: a step size per parameter, or per layer and inner step (MAML++)."""
    multi_step_epochs: int = 0
    """maml: epochs until only the last inner step's loss counts; 0: always (MAML++)."""
    second_order_epochs: int = 0
    """maml: epochs over which the second order comes in; 0: at once (MAML++)."""
    normalize_advantages: bool = True
    """Whether advantages get mean 0 and deviation 1 per task (ours)."""
    discount_weighting: bool = False
    """Whether step t of a gradient weighs gamma^t; unbiased ones must (ours: no)."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers, tanh between them (ours)."""
    obs_scale: float = 1.0
    """What the policy multiplies observations by (ours)."""
    obs_squash: bool = False
    """Whether the policy takes sign(x) log(1 + |x|) of them then (ours)."""
    bounds: Literal["squash", "clip"] = "squash"
    """Continuous actions: squashed into their bounds, or clipped by the environment."""
    initial_std: float = 1.0
    """Continuous actions: deviation of the normal at first, before squashing (ours)."""
    min_std: float = 0.1
    """Continuous actions: least deviation; gradients are in units of its inverse."""
    threshold: float | None = 190.0
    """Smoothed return after adaptation that counts as solved, or None (ours)."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to run; auto takes a GPU where JAX finds one."""
    cpu_devices: int = 0
    """CPU devices to spread seeds, then tasks, over; 0: as many as there are cores."""
    matmul_precision: Literal["highest", "high", "default"] = "highest"
    """Precision of matrix products on a GPU; its default, TF32, keeps 10 bits."""
    chunk_epochs: int = 20
    """Epochs between two looks of the host: metrics, progress, Ctrl-C."""
    checkpoint_every: int = 100
    """Epochs between two checkpoints; 0: only one at the end."""
    keep_checkpoints: int = 3
    """Checkpoints that are kept, the newest ones."""
    on_nan: Literal["freeze", "stop"] = "freeze"
    """A seed that is no longer finite: freeze it and go on, or stop the run."""


@dataclasses.dataclass(frozen=True)
class EstimatorsConfig:
    """Every value of a comparison of estimators."""

    states: int = 2
    """S: states of the MDP."""
    actions: int = 2
    """A: actions in each."""
    horizon: int = 2
    """H: steps per episode."""
    inner_steps: int = 1
    """N: gradient steps of the inner loop."""
    inner_lr: float = 0.7
    """alpha: inner step size; large, so that biases show."""
    discount: float = 0.9
    """gamma: discount."""
    num_trajectories: tuple[int, ...] = (1, 2, 4)
    """K: trajectories per data set, one or several numbers."""
    samples: int = 50_000
    """Gradients that are sampled for each K."""
    iterations: int = 1000
    """Steps of ascent by the expected gradients."""
    outer_lr: float = 1.0
    """beta: step size of that ascent."""
    seed: int = 1
    """Of the MDP, the policy and the samples."""


GYMNAX = "gymnax:"
"""Before the id of one of gymnax's environments."""

_POINT = {
    "vary": ("goal_x=-0.5:0.5", "goal_y=-0.5:0.5"),
    "horizon": 100,
    "num_tasks": 20,
    "num_trajectories": 20,
    "inner_lr": 0.1,
    "directed_lr": 0.1,
    "step_reduction": "mean",
    "bounds": "clip",
    "initial_std": 0.15,
    "min_std": 0.05,
    "threshold": None,
}
_LANDER = {
    "horizon": 400,
    "num_trajectories": 20,
    "outer_lr": 0.003,
    "threshold": None,
}
PRESETS: dict[str, dict[str, Any]] = {
    "cartpole": {},
    "lunarlander": _LANDER,
    "lunarlander-exact": _LANDER,
    # Advantages as they are: normalised per task, a collision would weigh no more
    # than the small change among tasks where nobody collides.
    "intersection": {
        "vary": ("u=5:15",),
        "epochs": 500,
        "num_trajectories": 20,
        "inner_lr": 0.005,
        "outer_lr": 0.003,
        "outer_schedule": "cosine",
        "directed_lr": 0.002,
        "directed_schedule": "cosine",
        "step_reduction": "mean",
        "baseline": "linear",
        "normalize_advantages": False,
        "initial_std": 0.6,
        "min_std": 0.2,
        "obs_scale": 0.2,
        "obs_squash": True,
        "threshold": None,
    },
    "point": _POINT,
    "point-distance": _POINT,
    "point-sparse": _POINT,
}
"""What an environment's preset changes of the defaults."""
_OF_GYMNAX = {
    "vary": (),
    "horizon": 0,
    "num_trajectories": 20,
    "inner_lr": 0.1,
    "outer_lr": 0.003,
    "directed_lr": 0.1,
    "step_reduction": "mean",
    "baseline": "linear",
    "threshold": None,
}

# The score term is in units of return, and so must the gradient beside it be: with
# normalised advantages its noise drowns what there is to learn.
_UNBIASED = {"normalize_advantages": False, "discount_weighting": True}
LEARNER_PRESETS: dict[str, dict[str, Any]] = {
    "sg-mrl": _UNBIASED,
    "reptile": {"num_inner_steps": 2},
}
"""What a learner's preset, directed or not, changes of these."""


def preset(env: str, algo: str = TrainConfig.algo) -> TrainConfig:
    """Default values of an environment and a learner.

    Raises:
        UsageError: the environment's name is unknown.
    """
    known = _OF_GYMNAX if env.startswith(GYMNAX) else PRESETS.get(env)
    if known is None:
        close = get_close_matches(env, PRESETS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"Unknown environment {env!r}: choose one of {', '.join(PRESETS)}, or "
            f"{GYMNAX}ID for one of gymnax's.{hint}"
        )
    return TrainConfig(env=env, algo=algo, **{**known, **learner_preset(algo)})


def learner_preset(algo: str) -> dict[str, Any]:
    """What a learner's preset changes of the defaults, whatever the environment."""
    return LEARNER_PRESETS.get(algo.removeprefix(registry.DIRECTED), {})
