"""The learners that there are: where each is defined, and what sets it apart.

It knows names only, so that `--help` need not import JAX; `registry` answers questions
about it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Estimate(NamedTuple):
    """What a meta-gradient estimates.

    Attributes:
        target: the objective whose gradient it is meant to be: (I), the return after
            adaptation by the exact gradient, (II), by the sampled one; empty where it
            is of neither.
        words: how, and what it leaves out, for people.
    """

    target: Literal["I", "II", ""]
    words: str

    def __str__(self) -> str:
        """The target in brackets, if there is one, and the words."""
        return f"({self.target}), {self.words}" if self.target else self.words


class Entry(NamedTuple):
    """Where a learner is defined, and what sets it apart.

    Attributes:
        path: `module:function`; called with `problem`, `meta_optimizer`, the options
            of its own that the module declares in a class `Options`, and if it adapts
            by gradient steps with `inner_lr` and `num_inner_steps`.
        summary: one line that tells people what the learner does.
        paper: who described it, and when.
        order: the order of the meta-gradient, 1 or 2.
        objectives: by the surrogates that the learner may take, what its meta-gradient
            then estimates; under "" for a learner that takes none.
        fixed: further keyword arguments, which no flag changes.
        preset: values by owner and name in which the learner, directed or not, differs
            from the defaults.
        scored: whether it has the score term, so that its outer step may be unbiased.
        min_inner_steps: the least N that makes sense.
        collections: from N, or the number of adaptations between a trial's first and
            last episode, to how often a task is sampled in an epoch for learning; a
            learner that has no use for the adapted policy's episodes measures the
            return after adaptation on others, which do not count.
        no_trust_region: why the outer step cannot be a trust region, as in "which has
            no objective"; empty where it can.
        adapts_by: what changes when it adapts to a task: θ, by gradient steps, or a
            memory, by episodes lived through.
        off_policy: whether it learns from kept transitions, and has networks of its own
            for that in place of a policy's.
        episodes: how many episodes an epoch has, for people, where that is no number of
            collections of K each.
    """

    path: str
    summary: str
    paper: str
    order: int
    objectives: dict[str, Estimate]
    fixed: Mapping[str, Any] = _NOTHING
    preset: Mapping[str, Mapping[str, Any]] = _NOTHING
    scored: bool = False
    min_inner_steps: int = 1
    collections: Callable[[int], int] = lambda num_inner_steps: num_inner_steps + 1
    no_trust_region: str = ""
    adapts_by: Literal["gradient", "memory"] = "gradient"
    off_policy: bool = False
    episodes: str = ""


_EXACT_INNER = Estimate(
    "I", "adaptation by the exact gradient; biased by few trajectories"
)
_THROUGH_INNER = {
    "score-function": Estimate(
        "II", "adaptation by the sampled gradient, without the score term: biased"
    ),
    "lvc": _EXACT_INNER,
    "dice": _EXACT_INNER,
    "loaded-dice": _EXACT_INNER,
}
_NO_SECOND_ORDER = {
    "score-function": Estimate("", "neither: the second-order term is left out")
}
_UPHILL = Estimate(
    "", "neither: MAML's gradient, taken a step of length rho uphill of where it is due"
)
_SOLVED = Estimate(
    "", "neither: the return at the solved inner problem, by its implicit gradient"
)
_OF_CATEGORIES = Estimate(
    "", "neither: what --base estimates, on a bank of tasks and on each category of it"
)
_OF_TRIALS = Estimate(
    "", "the return of a whole trial, all of the memory's adaptation in it"
)
# Many tasks, each for few trials: what a memory has to tell apart is tasks.
_TRIALS: Mapping[str, Mapping[str, Any]] = {
    "sampling": {"num_tasks": 100, "num_trajectories": 4},
    "policy": {"hidden_sizes": ()},
}
_SCORED = "adaptation by the sampled gradient, with the score term"

LEARNERS: dict[str, Entry] = {
    "maml": Entry(
        "dmaml_jax.learners.maml:maml",
        "through the inner gradient",
        "Finn et al. 2017",
        2,
        _THROUGH_INNER,
    ),
    "fomaml": Entry(
        "dmaml_jax.learners.maml:maml",
        "MAML with the inner gradient a constant",
        "Finn et al. 2017",
        1,
        _NO_SECOND_ORDER,
        {"first_order": True},
    ),
    "maml++": Entry(
        "dmaml_jax.learners.maml_plus_plus:maml_plus_plus",
        "MAML with step losses, annealed order, learned step sizes",
        "Antoniou et al. 2019",
        2,
        _THROUGH_INNER,
        preset={"learner": {"num_inner_steps": 2, "outer_schedule": "cosine"}},
        min_inner_steps=2,
    ),
    "reptile": Entry(
        "dmaml_jax.learners.reptile:reptile",
        "towards where plain gradient steps lead",
        "Nichol et al. 2018",
        1,
        _NO_SECOND_ORDER,
        preset={"learner": {"num_inner_steps": 2}},
        min_inner_steps=2,
        collections=lambda num_inner_steps: num_inner_steps,
        no_trust_region="has no objective that stored data could be asked for",
    ),
    "meta-sgd": Entry(
        "dmaml_jax.learners.meta_sgd:meta_sgd",
        "MAML with learned inner step sizes",
        "Li et al. 2017",
        2,
        _THROUGH_INNER,
    ),
    "fo-meta-sgd": Entry(
        "dmaml_jax.learners.meta_sgd:meta_sgd",
        "Meta-SGD with the inner gradient a constant",
        "Li et al. 2017",
        1,
        _NO_SECOND_ORDER,
        {"first_order": True},
    ),
    "sg-mrl": Entry(
        "dmaml_jax.learners.sg_mrl:sg_mrl",
        "MAML with the score term, unbiased",
        "Fallah et al. 2021",
        2,
        {"score-function": Estimate("II", _SCORED)},
        # The score term is in units of return, and so must the gradient beside it be:
        # with normalised advantages its noise drowns what there is to learn.
        preset={"method": {"normalize_advantages": False, "discount_weighting": True}},
        scored=True,
    ),
    "e-maml": Entry(
        "dmaml_jax.learners.sg_mrl:sg_mrl",
        "the score term as a mean over steps",
        "Stadie et al. 2018",
        2,
        {
            "score-function": Estimate(
                "II", f"{_SCORED} a mean over steps instead of a sum: biased"
            )
        },
        {"score_reduction": "mean"},
        scored=True,
    ),
    "promp": Entry(
        "dmaml_jax.learners.promp:promp",
        "MAML with LVC, several clipped outer steps on the same data",
        "Rothfuss et al. 2019",
        2,
        {"lvc": _EXACT_INNER},
        # Its KL is a mean over steps, and so must the losses beside it be.
        preset={
            "learner": {"surrogate": "lvc", "inner_lr": 0.1},
            "method": {"step_reduction": "mean"},
        },
        no_trust_region="takes several clipped steps of its own",
    ),
    "sharp-maml": Entry(
        "dmaml_jax.learners.sharp_maml:sharp_maml",
        "MAML with gradients taken a step uphill, for flat minima",
        "Abbas et al. 2022",
        2,
        dict.fromkeys(_THROUGH_INNER, _UPHILL),
        no_trust_region="follows a gradient that is not its objective's at theta",
    ),
    "imaml": Entry(
        "dmaml_jax.learners.imaml:imaml",
        "a solved inner problem, differentiated implicitly",
        "Rajeswaran et al. 2019",
        2,
        {"lvc": _SOLVED, "dice": _SOLVED, "loaded-dice": _SOLVED},
        # Its lambda is a curvature's unit, and stated for losses that are means.
        preset={
            "method": {"step_reduction": "mean"},
            "learner": {"surrogate": "lvc", "inner_lr": 0.03, "num_inner_steps": 5},
        },
        collections=lambda num_inner_steps: num_inner_steps + 2,
        no_trust_region="keeps no data of its inner steps that it could be asked on",
    ),
    "maml2": Entry(
        "dmaml_jax.learners.maml2:maml2",
        "a start for each category of tasks, and one for all",
        "Fu et al. 2023",
        2,
        dict.fromkeys(_THROUGH_INNER, _OF_CATEGORIES),
        # For theta, and for every category; sorting takes more.
        collections=lambda num_inner_steps: 2 * (num_inner_steps + 1),
        no_trust_region="steps from several parameters at once",
        episodes="2 M K (N + 1), and sorting",
    ),
    "pearl": Entry(
        "dmaml_jax.learners.pearl:pearl",
        "soft actor-critic on a latent variable that the context tells",
        "Rakelly et al. 2019",
        1,
        {"": Estimate("", "neither: the soft value of what is believed of a task")},
        # Values reach their scale in about 1/(1 - γ) times 1/τ gradient steps.
        preset={"sampling": {"num_trajectories": 2, "num_tasks": 8, "discount": 0.95}},
        collections=lambda num_adaptations: 1,
        adapts_by="memory",
        off_policy=True,
        episodes="M (K + 2)",
    ),
    "joint": Entry(
        "dmaml_jax.learners.joint:joint",
        "no meta-objective: all tasks at once, then adapted",
        "a control",
        1,
        {
            "score-function": Estimate(
                "", "J(θ) of the policy as it is, without adaptation"
            )
        },
        collections=lambda num_inner_steps: 1,
    ),
    "rl2": Entry(
        "dmaml_jax.learners.rl2:rl2",
        "a recurrent policy whose state lives through n episodes",
        "Duan et al. 2016",
        1,
        {"": _OF_TRIALS},
        preset=_TRIALS,
        adapts_by="memory",
        episodes="M K n",
    ),
    "snail": Entry(
        "dmaml_jax.learners.snail:snail",
        "attention over all that n episodes showed",
        "Mishra et al. 2018",
        1,
        {"": _OF_TRIALS},
        preset=_TRIALS,
        adapts_by="memory",
        episodes="M K n",
    ),
}
