"""Which values make sense together, with one sentence for each refusal.

What a value may be by itself is declared beside it, by `option`. Values that are traced
are not looked at here: a library user may vmap over rates.
"""

from typing import TYPE_CHECKING

from dmaml_jax.config.values import ActorCritic, ContinuousPolicy, PolicyGradient
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import flag, is_traced
from dmaml_jax.tasks.written import parse_values, parse_vary

if TYPE_CHECKING:
    from dmaml_jax.config.composition import TrainConfig


def require_sense(config: "TrainConfig") -> None:
    """Refuse values that make no sense together.

    Raises:
        UsageError: the first contradiction.
    """
    registry.objective(config.run.algo, _surrogate(config))
    config.learner.check()
    sampling = config.sampling
    config.learner.check_beside(sampling.num_tasks, sampling.num_trajectories)
    checks = (_check_seeds, _check_tasks, _check_policy, _check_learner)
    for check in (*checks, _check_trust_region, _check_directed, _check_method):
        check(config)


def check_unchanged(before: "TrainConfig", after: "TrainConfig") -> None:
    """Refuse to resume a run with other values; only its epochs may grow.

    Raises:
        UsageError: another value differs, or the epochs cannot grow.
    """
    old, new = before.flat(), after.flat()
    names = dict.fromkeys([*old, *new])
    changed = [name for name in names if old.get(name) != new.get(name)]
    others = [flag(name) for name in changed if name != "epochs"]
    if others:
        raise UsageError(
            f"--resume goes on with the run as it was, but {', '.join(others)} would "
            "change it: leave out what differs, or begin a new run with --config RUN."
        )
    if not changed:
        return
    if after.run.epochs < before.run.epochs:
        raise UsageError(
            f"--epochs is {after.run.epochs}, but the run has {before.run.epochs}: "
            "give more, or leave it out."
        )
    depending = schedules_that_end(before)
    if depending:
        raise UsageError(
            f"--epochs cannot grow: the run has {' and '.join(depending)}, which ends "
            f"after {before.run.epochs} epochs. Begin a new run with --config RUN."
        )


def objective(config: "TrainConfig") -> str:
    """What the meta-gradient of a configuration estimates, as a text for people."""
    text = str(registry.objective(config.run.algo, _surrogate(config)))
    method = config.method
    if method is None:  # no inner step, and nothing that an estimator could change
        return text
    fitted = isinstance(method, PolicyGradient) and method.baseline == "linear"
    departures = [
        needed
        for needed, departs in (
            ("--method pg", not isinstance(method, PolicyGradient)),
            ("--baseline leave-one-out", fitted),
            ("--normalize-advantages False", method.normalize_advantages),
            ("--discount-weighting True", not method.discount_weighting),
            ("--step-reduction sum", method.step_reduction != "sum"),
        )
        if departs
    ]
    if registry.entry(config.run.algo).scored:
        if departures:
            text += f"; an unbiased outer step needs {' and '.join(departures)}"
    elif _surrogate(config) == "dice":
        text += "; DiCE's inner step takes raw rewards and needs a smaller --inner-lr"
    return text


def schedules_that_end(config: "TrainConfig") -> list[str]:
    """Flags of the schedules that count the run's epochs."""
    found = []
    if getattr(config.learner, "outer_schedule", "") == "cosine":
        found.append("--outer-schedule cosine")
    if config.directed is not None and config.directed.directed_schedule == "cosine":
        found.append("--directed-schedule cosine")
    return found


def _surrogate(config: "TrainConfig") -> str:
    """What the inner step differentiates; "" for a learner that has no such step."""
    own = config.learner
    return own.surrogate if isinstance(own, GradientOptions) else ""


def _check_seeds(config: "TrainConfig") -> None:
    if config.run.seed > 2**32 - config.run.seeds:
        raise UsageError(
            f"--seed is {config.run.seed}, but it must be a whole number from 0, and "
            "the last seed below 2^32."
        )


def _check_tasks(config: "TrainConfig") -> None:
    varied = parse_vary(config.tasks.vary) if config.tasks.vary else {}
    fixed = {item.partition("=")[0] for item in config.tasks.set}
    both = [name for names in varied for name in names if name in fixed]
    if both:
        raise UsageError(
            f"--set {both[0]} fixes what --vary {both[0]} varies: give one of the two."
        )


def _check_policy(config: "TrainConfig") -> None:
    policy = config.policy
    if not isinstance(policy, ContinuousPolicy):
        return
    first, least = policy.initial_std, policy.min_std
    if not is_traced(first) and not is_traced(least) and first < least:
        raise UsageError(
            f"--initial-std is {first:g}, below --min-std {least:g}, where it could "
            "never grow: make one of them another."
        )


def _check_learner(config: "TrainConfig") -> None:
    own, least = config.learner, registry.entry(config.run.algo).min_inner_steps
    if isinstance(own, GradientOptions) and own.num_inner_steps < least:
        raise UsageError(
            f"--num-inner-steps is {own.num_inner_steps}, but "
            f"{config.run.algo} needs {least} or more."
        )


def _check_trust_region(config: "TrainConfig") -> None:
    own = config.learner
    if not isinstance(own, GradientOptions) or own.outer_optimizer != "trust-region":
        return
    refused = registry.entry(config.run.algo).no_trust_region
    if refused:
        raise UsageError(
            "--outer-optimizer trust-region does not go with --algo "
            f"{config.run.algo}, which {refused}: choose adam or sgd."
        )
    if getattr(config.method, "shared_trunk", False):
        raise UsageError(
            "--outer-optimizer trust-region bounds the policy's KL, which does not see "
            "the value head that --shared-trunk True puts on the same network: leave "
            "it out, or choose adam or sgd."
        )


def _check_directed(config: "TrainConfig") -> None:
    directed = config.directed
    if directed is None:
        return
    if directed.directed_schedule == "cosine" and directed.directed_gate != "always":
        raise UsageError(
            "--directed-schedule cosine counts the pre-steps taken, and "
            f"--directed-gate {directed.directed_gate} leaves some out: choose one."
        )
    if directed.medium_task == "given" and not directed.medium_values:
        raise UsageError(
            "--medium-task given and --medium-values NAME=VALUE go together: give both "
            "or neither."
        )
    parse_values(directed.medium_values, "--medium-values")


def _check_method(config: "TrainConfig") -> None:
    if isinstance(config.method, ActorCritic) and _surrogate(config) == "dice":
        raise UsageError(
            "--surrogate dice takes raw rewards and does not go with --method ac: "
            "choose score-function, lvc or loaded-dice, or --method pg."
        )
