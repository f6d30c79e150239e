"""What categories are worth: two large ones and an isolated one, MAML² against MAML.

Two families of 40 tasks, fixed here before any result was seen: goals of a point in the
plane, and reward tables of an MDP. Both learn on the same 40; MAML gets as many
environment steps. Finished parts are kept in results/, so that a run that was stopped
goes on. Writes docs/maml2.md after each family.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.training import devices
from experiments.engine import numbers
from experiments.engine.measured import circumstances_now, when
from experiments.maml2.families import FAMILIES, LABELS, SIZES, TESTS, Family

SEEDS, EPOCHS, WARM_UP, SORT_EVERY = 10, 200, 50, 75
NUM_TASKS, STEPS, SORTING_STEPS = 12, 5, 10
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # from scratch
ROOT = Path(__file__).parents[2]
KEPT, TARGET = Path(__file__).parent / "results", ROOT / "docs" / "maml2.md"
NAMES = ("first of the large ones", "second of the large ones", "isolated")
PARTS = ("maml2", "random", "maml", "scratch")
POLICIES = {
    "maml2": "MAML²",
    "no-readaptation": "MAML², without re-adaptation",
    "random": "MAML², random categories",
    "maml": "MAML",
    "scratch": "from scratch",
}


def learner_of(family: Family, **options: Any) -> Any:
    """MAML² on the family's bank; with one category it is MAML."""
    import optax

    from dmaml_jax import maml2

    values = {"warm_up_epochs": WARM_UP, "sort_every": SORT_EVERY}
    return maml2(
        family.problem,
        inner_lr=family.inner_lr,
        meta_optimizer=optax.adam(family.outer_lr),
        sorting_steps=SORTING_STEPS,
        bank=family.bank,
        **{**values, **options},
    )


def trained(family: Family, learner: Any, epochs: int) -> tuple[Any, dict[str, Any]]:
    """The states of all seeds, and the metrics."""
    import jax

    from dmaml_jax import Program, train_step

    def tasks(key: Any, num: int) -> Any:
        del key  # the learner has a bank, and asks for their number only
        return jax.tree.map(lambda leaf: leaf[:num], family.bank)

    problem = family.problem._replace(sample_tasks=tasks)
    program = Program(
        *train_step(problem, learner, NUM_TASKS),
        seeds=range(1, SEEDS + 1),
        chunk_epochs=25,
        devices=jax.devices(),
    )
    program.compile()
    metrics = program.run_all(epochs)
    assert not metrics["failed_at"].any()
    return program.seeds_state().learner, metrics


def returns_of(family: Family, learner: Any, states: Any) -> np.ndarray:
    """Returns after 0 … n steps on the tests, `[seeds, tests, steps + 1]`."""
    import jax

    from dmaml_jax import adaptation
    from dmaml_jax.training.keys import seed_keys

    run = adaptation(learner, family.problem, num_steps=STEPS)
    seeds = np.arange(1, SEEDS + 1, dtype=np.uint32)
    keys = jax.vmap(seed_keys)(seeds).evaluation
    each = jax.jit(run)  # tasks are an argument: XLA would fold them for minutes

    def of_seed(lane: int) -> np.ndarray:
        state = jax.tree.map(lambda leaf: leaf[lane], states)
        return np.asarray(each(keys[lane], state, family.tests))

    return np.stack([of_seed(lane) for lane in range(SEEDS)])


def part_of(family: Family, part: str) -> dict[str, np.ndarray]:
    """Train one learner with all seeds, and measure it."""
    import jax

    from dmaml_jax.learners.scratch import ScratchState, learn_alone
    from dmaml_jax.training.keys import seed_keys

    if part == "scratch":
        seeds = np.arange(1, SEEDS + 1, dtype=np.uint32)
        start = jax.vmap(lambda s: family.problem.init(seed_keys(s).init))(seeds)
        learner = learner_of(family, categories=1)._replace(
            adapt=lambda *given: learn_alone(family.problem, *given)
        )
        found = [
            returns_of(
                family,
                learner,
                ScratchState(start, np.full(SEEDS, rate, np.float32)),
            )
            for rate in RATES
        ]
        best = int(np.argmax([np.mean(returns[..., -1]) for returns in found]))
        return {"returns": found[best], "rate": np.array(RATES[best])}
    if part == "maml":
        learner = learner_of(family, categories=1)
        states, metrics = trained(family, learner, _epochs_of_maml())
        return {
            "returns": returns_of(family, learner, states),
            "env_steps": metrics["env_steps"].sum(axis=0),
        }
    options = {"sorting": "random"} if part == "random" else {}
    learner = learner_of(family, **options)
    states, metrics = trained(family, learner, EPOCHS)
    without = learner_of(family, readapt=False)
    return {
        "returns": returns_of(family, learner, states),
        "plain": returns_of(family, without, states),
        "labels": np.asarray(states.sorted.labels),
        "silhouettes": np.stack(
            [states.sorted.silhouette, states.sorted.shuffled], axis=1
        ),
        "env_steps": metrics["env_steps"].sum(axis=0),
    }


def _epochs_of_maml() -> int:
    """As many episodes as θ, the categories and their sorting take together."""
    sortings = len(range(WARM_UP, EPOCHS, SORT_EVERY))
    sorted_tasks = sortings * sum(SIZES) * SORTING_STEPS  # K episodes for each
    of_an_epoch = 2 * NUM_TASKS  # before adaptation and after it
    return 2 * EPOCHS - WARM_UP + -(-sorted_tasks // of_an_epoch)


def kept(name: str, family: Family, part: str) -> dict[str, np.ndarray]:
    """A part as it was kept, or made and kept now."""
    names = ("SEEDS", "EPOCHS", "WARM_UP", "SORT_EVERY", "NUM_TASKS", "STEPS")
    names += ("SORTING_STEPS", "SIZES", "TESTS", "RATES")
    settings = json.dumps({key: globals()[key] for key in names})
    path = KEPT / f"{name}-{part}.npz"
    if path.exists():
        with np.load(path) as found:
            if str(found["settings"]) == settings:
                return {key: found[key] for key in found if key != "settings"}
    made = part_of(family, part)
    made["about"] = np.array(json.dumps(circumstances_now()))
    KEPT.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    np.savez(aside, settings=settings, **made)
    aside.rename(path)
    return made


def interval(values: np.ndarray) -> str:
    """The interquartile mean over the seeds and its 95 % interval.

    Seeds that run away would make a mean of all say nothing of the others.
    """
    from dmaml_jax.statistics import stratified_bootstrap

    return numbers.interval(stratified_bootstrap(values), 2)


def purity(labels: np.ndarray) -> np.ndarray:
    """The share of the bank's tasks in a category where their own kind prevails."""
    hits = [
        sum(np.bincount(LABELS[row == c]).max() for c in np.unique(row))
        for row in labels
    ]
    return np.array(hits) / len(LABELS)


def section(name: str, parts: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """The lines of one family."""
    about = json.loads(str(parts[PARTS[-1]]["about"]))
    parts = {**parts, "no-readaptation": {"returns": parts["maml2"]["plain"]}}
    steps = range(STEPS + 1)
    alone = parts["scratch"]["returns"][..., 0].reshape(SEEDS, 3, TESTS)
    least = alone.mean(axis=2).min(axis=0)  # of untrained policies, by category
    lines = [
        f"## {name}",
        "",
        f"Last run {when([about])}.",
        "",
        "| tasks | policy | "
        + " | ".join(f"{s}" for s in steps)
        + " | worse | run away |",
        "|---|---|" + "---|" * (STEPS + 3),
    ]
    for c, kind in enumerate(NAMES):
        for part, words in POLICIES.items():
            table = parts[part]["returns"][:, c * TESTS : (c + 1) * TESTS]
            cells = [interval(table[..., step].mean(axis=1)) for step in steps]
            worse = np.mean(table[..., -1] < table[..., 0])
            gone = np.sum(table[..., -1].mean(axis=1) < least[c])
            lines.append(
                f"| {kind} | {words} | {' | '.join(cells)} | {worse:.0%} | {gone} |"
            )
    lines += ["", "Differences after the last step, paired over the seeds:", ""]
    for c, kind in enumerate((*NAMES, "all three alike")):
        rows = slice(None) if c == 3 else slice(c * TESTS, (c + 1) * TESTS)
        ends = {
            part: parts[part]["returns"][:, rows, -1].mean(axis=1) for part in parts
        }
        against = ", ".join(
            f"{POLICIES[part]} {interval(ends['maml2'] - ends[part])}"
            for part in POLICIES
            if part != "maml2"
        )
        lines.append(f"- {kind}: MAML² minus {against}.")
    ours, random = parts["maml2"], parts["random"]
    cost, other = (parts[part]["env_steps"].mean() / 1e6 for part in ("maml2", "maml"))
    lines += [
        "",
        f"Purity {interval(purity(ours['labels']))} (at random "
        f"{interval(purity(random['labels']))}); silhouette "
        f"{interval(ours['silhouettes'][:, 0])} (of shuffled data "
        f"{interval(ours['silhouettes'][:, 1])}). Environment steps, in millions: "
        f"MAML² {cost:.2f}, MAML {other:.2f}. From scratch: Adam at "
        f"{float(parts['scratch']['rate']):g}.",
        "",
    ]
    return lines


def page(sections: dict[str, list[str]]) -> str:
    """The page, with the families that have ended."""
    missing = [name for name in FAMILIES if name not in sections]
    state = f" Not run yet: {', '.join(missing)}." if missing else ""
    lines = [
        "# Categories of tasks: MAML² against MAML",
        "",
        f"Seeds 1 to {SEEDS}, {EPOCHS} epochs of {NUM_TASKS} tasks; made by "
        f"`make maml2`.{state}",
        f"A bank of {sum(SIZES)} tasks: two categories of {SIZES[0]}, and an isolated",
        f"one of {SIZES[2]}.",
        f"Returns after 0 … {STEPS} steps of adaptation on {TESTS} fresh tasks of each",
        "category: mean over the tasks, then interquartile mean and 95 % interval over",
        "the seeds. Worse: tasks and seeds that adaptation leaves below where it",
        "began. Run away: seeds whose mean over a category ends below the worst that",
        "an untrained policy earns there. MAML trains on the same bank, for as many",
        "environment steps. From scratch is Adam on each task alone, with as many",
        "steps, at the step size that did best on these very tasks.",
        "",
    ]
    lines += [line for own in sections.values() for line in own]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Make every part that is not kept, and write the page after each family."""
    devices.configure("cpu", 1)
    sections = {}
    for name, make in FAMILIES.items():
        family = make()
        parts = {}
        for part in PARTS:
            parts[part] = kept(name, family, part)
            print(f"{name}, {part}: done", flush=True)
        sections[name] = section(name, parts)
        TARGET.write_text(page(sections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
