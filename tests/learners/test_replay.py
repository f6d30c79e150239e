"""The rings of transitions, against a list in Python."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.learners.replay import (
    Replay,
    added,
    cleared,
    context_of,
    empty,
    sampled,
)

CAPACITY = 5
LIKE = {"value": jax.ShapeDtypeStruct((), jnp.float64)}


def batch(*rows: list[float | None]) -> tuple[Any, jax.Array]:
    """Transitions of some tasks; None is a step that is not there."""
    mask = jnp.array([[value is not None for value in row] for row in rows])
    values = jnp.array(
        [[-99.0 if value is None else value for value in r] for r in rows]
    )
    return {"value": values}, mask


def put(
    replay: Replay, tasks: list[int], *rows: list[float | None], context: bool = True
) -> Replay:
    return jax.jit(added, static_argnames="context")(
        replay, jnp.array(tasks), *batch(*rows), context=context
    )


def seen(replay: Replay, task: int) -> set[float]:
    """All that sampling finds."""
    draw = jax.jit(sampled, static_argnums=3)
    found = draw(jax.random.key(task), replay, jnp.int32(task), 400)
    return set(np.asarray(found["value"]).tolist())


def context(replay: Replay, task: int, num: int = 400) -> tuple[set[float], int]:
    """All that a sample of the context finds, and how many of it count."""
    draw = jax.jit(context_of, static_argnums=3)
    found, mask = draw(jax.random.key(task), replay, jnp.int32(task), num)
    return set(np.asarray(found["value"]).tolist()), int(mask.sum())


def test_a_ring_keeps_the_newest_and_leaves_other_tasks_alone():
    replay = empty(LIKE, 3, CAPACITY)
    kept: list[float] = []
    for start in range(0, 14, 2):
        new = [float(start), float(start + 1)]
        replay = put(replay, [1], new)
        kept = (kept + new)[-CAPACITY:]
        assert seen(replay, 1) == set(kept)
    np.testing.assert_array_equal(replay.total, [0, 14, 0])
    np.testing.assert_array_equal(replay.items["value"][0], 0)
    np.testing.assert_array_equal(replay.items["value"][2], 0)


def test_steps_that_are_not_there_take_no_slot():
    replay = empty(LIKE, 2, CAPACITY)
    replay = put(replay, [1, 0], [1.0, None, 2.0, None], [None, 7.0, None, None])
    np.testing.assert_array_equal(replay.total, [1, 2])
    np.testing.assert_array_equal(replay.items["value"][1], [1, 2, 0, 0, 0])
    np.testing.assert_array_equal(replay.items["value"][0], [7, 0, 0, 0, 0])
    assert seen(replay, 0) == {7.0}


def test_a_batch_wraps_around_the_end():
    replay = put(empty(LIKE, 1, CAPACITY), [0], [1.0, 2.0, 3.0, 4.0])
    replay = put(replay, [0], [5.0, None, 6.0, 7.0])
    np.testing.assert_array_equal(replay.items["value"][0], [6, 7, 3, 4, 5])


def test_the_context_is_what_came_after_the_last_clear():
    replay = put(empty(LIKE, 2, CAPACITY), [0, 1], [1.0, 2.0], [8.0, 9.0])
    assert context(replay, 0) == ({1.0, 2.0}, 2)
    replay = cleared(replay, jnp.array([0]))
    assert context(replay, 0)[1] == 0
    assert context(replay, 1) == ({8.0, 9.0}, 2)
    replay = put(replay, [0], [3.0])
    assert context(replay, 0) == ({3.0}, 1)
    assert seen(replay, 0) == {1.0, 2.0, 3.0}


def test_what_is_kept_apart_is_no_context():
    replay = put(empty(LIKE, 1, CAPACITY), [0], [1.0, 2.0])
    replay = put(replay, [0], [3.0, 4.0], context=False)
    assert context(replay, 0) == ({1.0, 2.0}, 2)
    assert seen(replay, 0) == {1.0, 2.0, 3.0, 4.0}
    replay = put(cleared(replay, jnp.array([0])), [0], [5.0])
    assert context(replay, 0) == ({5.0}, 1)


def test_a_context_loses_what_is_overwritten():
    replay = put(empty(LIKE, 1, CAPACITY), [0], [1.0, 2.0, 3.0])
    replay = put(replay, [0], [4.0, 5.0, 6.0, 7.0], context=False)
    # Of 1, 2, 3 the ring has kept 3 alone.
    assert context(replay, 0) == ({3.0}, 1)
    replay = put(replay, [0], [8.0], context=False)
    assert context(replay, 0)[1] == 0


def test_no_more_of_a_context_counts_than_there_is():
    replay = put(empty(LIKE, 1, CAPACITY), [0], [1.0, 2.0, 3.0])
    assert [context(replay, 0, num)[1] for num in (1, 2, 3, 8)] == [1, 2, 3, 3]


def test_samples_are_uniform():
    replay = put(empty(LIKE, 1, CAPACITY), [0], [0.0, 1.0, 2.0, 3.0])
    replay = put(replay, [0], [4.0, 5.0, 6.0])
    found = sampled(jax.random.key(3), replay, jnp.int32(0), 10_000)
    counts = np.bincount(np.asarray(found["value"], int), minlength=7)
    np.testing.assert_array_equal(counts[:2], 0)
    # A share of a fifth, give or take four standard errors.
    np.testing.assert_allclose(counts[2:] / 10_000, 0.2, atol=4 * 0.4 / 100)
