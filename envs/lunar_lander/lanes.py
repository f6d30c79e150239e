"""Many landers at once, with their lanes as the last axis of every array.

The physics is written for arrays `[..., L]` of L lanes: legs, corners and edges are
leading axes, and the processor's vectors run along the lanes. An environment is a
function of one lane, though, which its users put under `vmap`, where the lanes come
first; `of_one_lane` stands between the two.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

SMALLEST_GROUP = 32
MOST_GROUPS = 16

Tree = TypeVar("Tree")


def of_one_lane(
    function: Callable[..., Any], like: Callable[..., Any]
) -> Callable[..., Any]:
    """The function of one lane whose work is done by a function of many.

    Surrounding `vmap`s, nested ones too, become one axis of lanes. No derivative goes
    through it.

    Args:
        function: a function of arrays, and of trees of them, whose last axis is the
            lanes; it must not close over traced values.
        like: gives, of one lane's arguments, a tree with the shapes and types of the
            result, such as the arguments that the result replaces.
    """
    compiled = jax.jit(function)

    def lane(*args: Any) -> Any:
        args = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, args))
        leaves, structure = jax.tree.flatten(args)
        results, result = jax.tree.flatten(like(*args))
        kinds = tuple((x.shape, x.dtype) for x in results)
        out = _lanes.bind(
            *leaves, function=compiled, structure=structure, kinds=kinds, depth=0
        )
        return jax.tree.unflatten(result, out)

    return lane


# JAX traces a function anew under every `vmap` around it, and a step of the lander is
# long. As a primitive, whose result is known by `like`, it is traced for the number of
# lanes that a program really has, and for no other. Under `vmap` JAX would also carry
# the lanes as the first axis, whose short rows of three bodies or two legs fill no
# vector of the processor.
_lanes = Primitive("lanes")
_lanes.multiple_results = True


def _computed(
    *leaves: jax.Array, function: Any, structure: Any, kinds: Any, depth: int
) -> list[jax.Array]:
    """The results of lanes whose arguments have `depth` axes of them in front."""
    sizes = leaves[0].shape[:depth]

    def lanes_last(x: jax.Array) -> jax.Array:
        flat = x.reshape(math.prod(sizes), *x.shape[depth:])
        return jnp.moveaxis(flat, 0, -1)

    out = function(*jax.tree.unflatten(structure, map(lanes_last, leaves)))
    results = jax.tree.leaves(out)
    if [(x.shape[:-1], x.dtype) for x in results] != list(kinds):
        raise TypeError("The result is not what `like` told.")
    return [jnp.moveaxis(x, -1, 0).reshape(*sizes, *x.shape[:-1]) for x in results]


def _shapes(*leaves: Any, kinds: Any, depth: int, **_: Any) -> list[Any]:
    sizes = leaves[0].shape[:depth]
    return [ShapedArray((*sizes, *shape), dtype) for shape, dtype in kinds]


def _with_one_more_axis(leaves: Any, axes: Any, *, depth: int, **rest: Any) -> Any:
    size = next(
        x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None
    )

    def in_front(x: jax.Array, axis: Any) -> jax.Array:
        if axis is None:
            return jnp.broadcast_to(x, (size, *x.shape))
        return jnp.moveaxis(x, axis, 0)

    out = _lanes.bind(*map(in_front, leaves, axes), depth=depth + 1, **rest)
    return out, [0] * len(out)


_lanes.def_impl(_computed)
_lanes.def_abstract_eval(_shapes)
batching.primitive_batchers[_lanes] = _with_one_more_axis
mlir.register_lowering(_lanes, mlir.lower_fun(_computed, multiple_results=True))


def repeated(
    going: Callable[[Any], jax.Array], step: Callable[[Any], Any], begin: Tree
) -> Tree:
    """A loop until every lane is done; a lane that is keeps what it has.

    Args:
        going: whether each lane goes on.
        step: makes the next values of all lanes.
        begin: the first values, every leaf with all lanes.
    """

    def onward(carry: Any) -> Any:
        go = going(carry)
        return jax.tree.map(lambda x, y: jnp.where(go, x, y), step(carry), carry)

    return jax.lax.while_loop(lambda carry: jnp.any(going(carry)), onward, begin)


def where_needed(
    needed: jax.Array, cheap: Tree, costly: Callable[..., Tree], *args: Any
) -> Tree:
    """What is `costly` in the lanes that need it, and else cheap.

    Most landers fly, and few of those that stand are hit at the same moment. On a CPU
    the lanes that need the costly function are gathered into groups, and only these
    compute it. A device with many cores computes it in all lanes at once, since the
    groups would only follow each other.

    Args:
        needed: the lanes that need the costly function, `[L]`.
        cheap: the result of the other lanes, leaves `[..., L]`.
        costly: gives a result of the same structure from the lanes of `args`.
        args: the arguments, leaves `[..., L]`.
    """
    total = needed.shape[0]
    if total <= SMALLEST_GROUP or jax.default_backend() != "cpu":

        def some(*args: Any) -> Tree:
            found = costly(*args)
            return jax.tree.map(lambda x, y: jnp.where(needed, x, y), found, cheap)
    else:
        some = functools.partial(_in_groups, needed, cheap, costly)
    return jax.lax.cond(jnp.any(needed), some, lambda *_: cheap, *args)


def _in_groups(needed: jax.Array, cheap: Any, costly: Any, *args: Any) -> Any:
    """The costly results of one group of lanes after the other, in their places."""
    total = needed.shape[0]
    size = max(SMALLEST_GROUP, -(-total // MOST_GROUPS))
    room = -(-total // size) * size
    rank = jnp.cumsum(needed.astype(jnp.int32))  # 1 for the first lane that needs it
    count = rank[-1]
    given, as_arguments = _packed(args)
    others, as_result = _packed(cheap)

    def group(carry: Any) -> Any:
        done, out = carry
        # Of the lane that has a rank, the number of lanes with a smaller one. A group
        # that is not full repeats a lane that needs the work anyway.
        ranks = jnp.minimum(done + 1 + jnp.arange(size, dtype=jnp.int32), count)
        source = jnp.sum(rank < ranks[:, None], axis=1, dtype=jnp.int32)
        chosen = [jnp.take(x, source, axis=-1, mode="clip") for x in given]
        found, _ = _packed(costly(*as_arguments(chosen)))
        out = [
            jax.lax.dynamic_update_slice_in_dim(x, y, done, axis=-1)
            for x, y in zip(out, found, strict=True)
        ]
        return done + size, out

    blank = [jnp.zeros((x.shape[0], room), x.dtype) for x in others]
    begin = (jnp.int32(0), blank)
    _, out = jax.lax.while_loop(lambda carry: carry[0] < count, group, begin)
    place = jnp.maximum(rank - 1, 0)
    found = as_result([jnp.take(x, place, axis=-1, mode="clip") for x in out])
    return jax.tree.map(lambda x, y: jnp.where(needed, x, y), found, cheap)


def _packed(tree: Any) -> tuple[list[jax.Array], Callable[[list[jax.Array]], Any]]:
    """A tree's leaves as rows of one array for each type, and the way back.

    One array is gathered much faster than its many rows.
    """
    leaves, structure = jax.tree.flatten(tree)
    kinds = sorted({leaf.dtype.name for leaf in leaves})
    of_kind = [[i for i, x in enumerate(leaves) if x.dtype.name == k] for k in kinds]
    rows = [
        jnp.concatenate([leaves[i].reshape(-1, leaves[i].shape[-1]) for i in numbers])
        for numbers in of_kind
    ]

    def unpacked(arrays: list[jax.Array]) -> Any:
        out: list[Any] = [None] * len(leaves)
        for numbers, array in zip(of_kind, arrays, strict=True):
            begin = 0
            for i in numbers:
                shape = leaves[i].shape[:-1]
                end = begin + math.prod(shape)
                out[i] = array[begin:end].reshape(*shape, array.shape[-1])
                begin = end
        return jax.tree.unflatten(structure, out)

    return rows, unpacked
