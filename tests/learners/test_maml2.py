"""MAML² on quadratics, where tasks are targets and categories are planted."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import HESSIAN, START, noisy, quadratic

from dmaml_jax.build import configuration
from dmaml_jax.build.train_step import make_train_step
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.categories import batches, pointed_to
from dmaml_jax.learners.kinds import copies
from dmaml_jax.learners.maml2 import maml2, second_order_learners
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.training.chunk import train_step
from dmaml_jax.training.program import Program

ALPHA, BETA = 0.3, 0.1
CENTRES = np.array([[4.0, 0.0, 0.0], [0.0, -4.0, 1.0], [-3.0, 3.0, -3.0]])
LABELS = np.array([0, 1, 0, 1, 1, 0, 2, 0])
M = 6
EMPTY = jnp.zeros((M, 3))
CONTRACTION = np.eye(3) - ALPHA * HESSIAN


def maml_gradient(theta: np.ndarray, target: np.ndarray) -> np.ndarray:
    return CONTRACTION @ HESSIAN @ CONTRACTION @ (theta - target)


def learner_of(problem=None, *, bank=CENTRES[LABELS], **options):
    values = {
        "inner_lr": ALPHA,
        "meta_optimizer": optax.sgd(BETA),
        "warm_up_epochs": 1,
        "sorting_steps": 4,
        "sort_every": 3,
        "bank": bank,
        **options,
    }
    return maml2(problem or quadratic(), **values)


def epochs_of(learner, num: int) -> tuple[list, list]:
    """The states after 0 … n epochs, and the infos."""
    step = jax.jit(learner.step)
    states, infos = [learner.init(jax.random.key(0))], []
    for epoch in range(num):
        state, info = step(jax.random.key(100 + epoch), states[-1], EMPTY)
        states.append(state)
        infos.append(info)
    return states, infos


def same_partition(one, other) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one[:, None] == one, other[:, None] == other)


# θ and the θ_c.


@pytest.mark.slow
@pytest.mark.parametrize("base", second_order_learners())
def test_one_category_is_the_base_learner(base: str) -> None:
    """On the same tasks with the same keys, epoch by epoch, and so it adapts."""
    options = {"num_inner_steps": 2}
    problem = noisy(quadratic())
    if base in ("sg-mrl", "e-maml"):
        problem = problem._replace(objective=lambda data: jnp.sum(data["target"]))
    if base == "promp":
        problem = problem._replace(
            clipped_loss=lambda params, data, clip: problem.outer_loss(params, data)
        )
    learner = maml2(
        problem,
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        base=base,
        categories=1,
        bank=jnp.asarray(CENTRES[LABELS]),
        **options,
    )
    plain = registry.find(base)(
        problem,
        inner_lr=ALPHA,
        meta_optimizer=optax.sgd(BETA),
        **options,
        **registry.entry(base).fixed,
        **registry.own_options(registry.options_class(base)()),
    )
    state, base_state = (each.init(jax.random.key(0)) for each in (learner, plain))
    ours, theirs = jax.jit(learner.step), jax.jit(plain.step)
    zeros = jnp.zeros(len(LABELS), jnp.int32)
    for epoch in range(2):
        key = jax.random.key(7 + epoch)
        state, info = ours(key, state, EMPTY)
        key_own, _ = jax.random.split(key)
        _, _, key_batch, key_all, _ = jax.random.split(key_own, 5)
        numbers = batches(key_batch, zeros, 1, M).of_all
        assert len(set(numbers.tolist())) == M
        tasks = jnp.asarray(CENTRES[LABELS])[numbers]
        base_state, expected = theirs(key_all, base_state, tasks)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12),
            (state.base, info),
            (base_state, expected),
        )
    key, task = jax.random.key(3), jnp.asarray(CENTRES[0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12),
        learner.adapt(key, state, task, 3),
        plain.adapt(key, base_state, task, 3),
    )


@pytest.fixture(scope="module")
def trained():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        learner = learner_of()
        learner = learner._replace(step=jax.jit(learner.step))
        return (learner, *epochs_of(learner, 5))


def test_planted_categories_are_found_by_what_adaptation_changes(trained) -> None:
    _, states, infos = trained
    assert len(set(states[1].sorted.labels.tolist())) == 1
    for state in states[2:]:
        assert same_partition(state.sorted.labels, LABELS)
        # Sorted anew in the fifth epoch, and the names are the same.
        np.testing.assert_array_equal(state.sorted.labels, states[2].sorted.labels)
    assert np.isnan(infos[0].extras["silhouette"])
    seen = infos[-1].extras
    assert seen["silhouette"] > 0.8 > 0.6 > seen["silhouette_shuffled"]


def test_every_category_weighs_alike_in_theta(trained) -> None:
    """Whatever its size: the mean over centres of MAML's gradient at θ."""
    _, states, infos = trained
    for before, after, info in zip(states[1:-1], states[2:], infos[1:], strict=True):
        theta = np.asarray(before.params)
        expected = np.mean([maml_gradient(theta, c) for c in CENTRES], axis=0)
        np.testing.assert_allclose(info.meta_gradient, expected, rtol=1e-10)
        np.testing.assert_allclose(after.params, theta - BETA * expected, rtol=1e-10)


def test_a_category_starts_at_theta_and_follows_its_own_tasks(trained) -> None:
    _, states, infos = trained
    names = [int(states[2].sorted.labels[np.argmax(LABELS == c)]) for c in range(3)]
    kinds = [np.asarray(states[1].params)] * 3
    for after, info in zip(states[2:], infos[1:], strict=True):
        kinds = [
            kind - BETA * maml_gradient(kind, centre)
            for kind, centre in zip(kinds, CENTRES, strict=True)
        ]
        found = np.asarray(after.kinds.params)[names]
        np.testing.assert_allclose(found, kinds, rtol=1e-10)
        assert np.isfinite(info.extras["return_categories"])


def test_steps_of_all_parts_are_counted(trained) -> None:
    """A collection of the quadratic is a step; 2 of them for each task of an epoch."""
    _, _, infos = trained
    alone, both, sorting = 2 * M, 4 * M, 4 * len(LABELS)
    expected = [alone, both + sorting, both, both, both + sorting]
    assert [int(info.num_steps) for info in infos] == expected


@pytest.mark.slow
def test_a_category_without_tasks_waits(trained) -> None:
    """All tasks alike: one category has them all, and θ takes only those."""
    learner, states, _ = trained
    alike = states[1]._replace(bank=[jnp.asarray(CENTRES[[0] * 8])])
    first, _ = learner.step(jax.random.key(1), alike, EMPTY)
    second, info = learner.step(jax.random.key(2), first, EMPTY)
    (full,) = set(second.sorted.labels.tolist())
    for name in range(3):
        kind = np.asarray(second.kinds.params)[name]
        assert np.array_equal(kind, np.asarray(alike.params)) == (name != full)
    theta = np.asarray(first.params)
    np.testing.assert_allclose(
        info.meta_gradient, maml_gradient(theta, CENTRES[0]), rtol=1e-10
    )
    assert int(info.num_steps) == 2 * M + 2 * M // 3


def test_random_categories_cost_nothing_and_stay() -> None:
    states, infos = epochs_of(learner_of(sorting="random"), 6)
    labels = states[2].sorted.labels
    assert not same_partition(labels, LABELS)
    np.testing.assert_array_equal(states[6].sorted.labels, labels)
    filled = len(set(labels.tolist()))
    assert int(infos[1].num_steps) == 2 * M + 2 * 2 * filled
    assert set(infos[1].extras) == {"return_categories"}


# Re-adaptation.


@pytest.mark.parametrize("category", range(3))
def test_a_new_task_starts_anew_from_the_planted_category(trained, category) -> None:
    learner, states, _ = trained
    state = states[-1]
    name = int(state.sorted.labels[np.argmax(LABELS == category)])
    task = jnp.asarray(CENTRES[category] + 0.2)
    path, curve = learner.adapt(jax.random.key(2), state, task, 3)
    expected = [np.asarray(state.params), np.asarray(state.kinds.params)[name]]
    for _ in range(2):
        away = expected[-1] - np.asarray(task)
        expected.append(expected[-1] - ALPHA * HESSIAN @ away)
    np.testing.assert_allclose(path, expected, rtol=1e-12)
    assert curve.shape == (4,)
    shorter, _ = learner.adapt(jax.random.key(2), state, task, 1)
    np.testing.assert_array_equal(shorter, path[:2])


def test_where_no_category_can_be_chosen_theta_stays(trained) -> None:
    learner, states, _ = trained
    state, task = states[-1], jnp.asarray(CENTRES[1])
    plain = [np.asarray(state.params)]
    for _ in range(2):
        plain.append(plain[-1] - ALPHA * HESSIAN @ (plain[-1] - np.asarray(task)))
    all_theta = state._replace(kinds=copies(state.base, 3))
    too_early = states[1]._replace(base=state.base._replace(epoch=jnp.int32(1)))
    for one in (all_theta, too_early):
        path, _ = learner.adapt(jax.random.key(2), one, task, 2)
        np.testing.assert_allclose(path, plain, rtol=1e-12)
    without = learner_of(readapt=False)
    path, _ = without.adapt(jax.random.key(2), state, task, 2)
    np.testing.assert_allclose(path, plain, rtol=1e-12)


def test_a_category_at_theta_or_without_tasks_is_never_chosen() -> None:
    start = jnp.asarray(START)
    kinds = jnp.stack([start, start - 1.0, start + jnp.array([1.0, 0.9, 1.0])])
    every = jnp.array([True] * 3)
    # θ_0 = θ has a cosine of 0, which would beat one that points away.
    chosen, is_one = pointed_to(start, start + 0.1, kinds[:2], every[:2])
    assert int(chosen) == 1 and bool(is_one)
    chosen, is_one = pointed_to(start, start + 0.1, kinds, every)
    assert int(chosen) == 2 and bool(is_one)
    chosen, is_one = pointed_to(start, start + 0.1, kinds, every.at[2].set(False))
    assert int(chosen) == 1 and bool(is_one)
    # No update, or one that is no number, points nowhere.
    assert not pointed_to(start, start, kinds, every)[1]
    assert not pointed_to(start, start * jnp.nan, kinds, every)[1]
    assert not pointed_to(start, start + 0.1, kinds[:1], every[:1])[1]


# Tasks of an epoch.


@pytest.mark.slow
def test_batches_take_members_in_turn() -> None:
    labels = jnp.asarray(LABELS, jnp.int32)
    drawn = jax.vmap(lambda key: batches(key, labels, 4, 3))(
        jax.random.split(jax.random.key(0), 60)
    )
    assert drawn.filled[0].tolist() == [True, True, True, False]
    of_each, of_all = np.asarray(drawn.of_each), np.asarray(drawn.of_all)
    for category in range(3):
        members = of_each[:, category]
        assert (LABELS[members] == category).all()
        assert set(np.unique(members)) == set(np.flatnonzero(LABELS == category))
        size = min(3, np.sum(LABELS == category))
        assert all(len(set(row)) == size for row in members)
    counts = np.stack([np.sum(LABELS[of_all] == c, axis=1) for c in range(3)])
    # The place of the empty one goes to another, whose members it goes on with.
    assert (np.sort(counts, axis=0) == [[3], [3], [6]]).all()
    assert (counts.max(axis=1) == 6).all()
    twice = of_all[(counts[0] == 6)]
    assert all(len(set(row[LABELS[row] == 0])) == 4 for row in twice)


# Lanes, checkpoints, runs.


def program(problem) -> Program:
    learner = learner_of(noisy(problem), bank=None, bank_tasks=8)
    step = train_step(problem, learner, M)
    made = Program(*step, seeds=[1, 2], chunk_epochs=3)
    made.compile()
    return made


@pytest.mark.slow
def test_a_resumed_run_is_equal_to_the_bit(tmp_path: Path) -> None:
    """Through a checkpoint between two sortings; θ, the bank, categories and all."""
    made = program(quadratic())
    whole = [made.run(0, 3), made.run(3, 3)]
    end = made.seeds_state()
    made.start()
    made.run(0, 3)
    Checkpoints(tmp_path).save(3, made.seeds_state())
    made.start()
    epoch, state = Checkpoints(tmp_path).latest(made.shapes()) or (0, None)
    assert epoch == 3
    made.restore(state)
    again = made.run(3, 3)
    jax.tree.map(np.testing.assert_array_equal, again, whole[1])
    jax.tree.map(np.testing.assert_array_equal, made.seeds_state(), end)
    assert not end.failed_at.any()
    # Each seed has drawn its own tasks, in the first epoch and never again.
    bank, later = np.asarray(state.learner.bank[0]), np.asarray(end.learner.bank[0])
    assert bank.shape == (2, 8, 3) and len(np.unique(bank)) == bank.size
    np.testing.assert_array_equal(later, bank)


def test_sorting_one_lane_leaves_the_others_as_they_were(trained) -> None:
    """A vmap over lanes of different epochs: each as it was alone."""
    learner, states, infos = trained
    lanes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states[:3])
    keys = jnp.stack([jax.random.key(100 + epoch) for epoch in range(3)])
    together = jax.jit(jax.vmap(learner.step, in_axes=(0, 0, None)))(keys, lanes, EMPTY)
    for lane in range(3):
        mine = jax.tree.map(lambda leaf, i=lane: leaf[i], together)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
            mine,
            (states[lane + 1], infos[lane]),
        )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base": "fomaml"}, "--base is fomaml, but it must be a second-order learner"),
        ({"base": "maml2"}, "--base is maml2, but"),
        ({"base": "sg-mrl", "surrogate": "lvc"}, "does not go with --base sg-mrl"),
        (
            {"base": "imaml", "surrogate": "score-function"},
            "--base imaml: choose one of lvc, dice, loaded-dice",
        ),
        (
            {"base": "maml++", "num_inner_steps": 1},
            "is 1, but --base maml.. needs 2 or more",
        ),
        ({"categories": 41}, "--categories is 41, but the bank has 40 tasks"),
        ({"categories": 1, "readapt": False}, "--readapt has no effect with --categor"),
        ({"sorting": "random", "sorting_steps": 3}, "belongs to --sorting adapted"),
        ({"categories": 0}, "--categories is 0, but it must be a whole number, 1"),
    ],
)
def test_what_makes_no_sense_is_refused(values, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configuration("point", "maml2", **values)


@pytest.mark.float32
@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"method": "ac"}])
def test_it_runs_on_point_navigation(options) -> None:
    small = {"horizon": 5, "num_tasks": 3, "num_trajectories": 2, "hidden_sizes": (4,)}
    small["set"] = ("goal_radius=1e-6",)  # no episode ends before its horizon
    own = {"warm_up_epochs": 0, "bank_tasks": 4, "categories": 2, "sorting_steps": 2}
    init, step = make_train_step("point", "directed-maml2", **small, **own, **options)
    state = init(jax.random.key(0))
    after, info = jax.jit(step)(jax.random.key(1), state)
    episodes = 2 * (2 * 4 + 2 * len(set(after.base.sorted.labels.tolist())) * 2)
    episodes += 2 * 2 * 4 + 2
    assert int(info.num_steps) == 5 * episodes
    assert np.isfinite(info.loss) and np.isfinite(info.extras["silhouette"])
