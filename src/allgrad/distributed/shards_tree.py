"""The fixed tree in which the gradients of V shards meet: a pure function of V, whoever holds which shard.

A node is a range ``(start, stop)`` of shards; it is the sum of its two children, the left one the largest power of two
that is shorter than it.  A rank adds what lies below the nodes that it holds whole; the ranks add the rest.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import numpy as np

from allgrad.comm import Communicator
from allgrad.comm.reduction import accumulator

Array = np.ndarray[Any, Any]
Node = tuple[int, int]


def run_of(shards: int, size: int, rank: int) -> range:
    """The consecutive shards of ``rank``; the first ranks hold one more where they do not divide evenly.

    >>> [list(run_of(8, 3, r)) for r in range(3)]
    [[0, 1, 2], [3, 4, 5], [6, 7]]
    """
    share, more = divmod(shards, size)
    start = rank * share + min(rank, more)
    return range(start, start + share + (rank < more))


def children(node: Node) -> tuple[Node, Node]:
    """The two nodes that ``node``, of at least two shards, is the sum of."""
    start, stop = node
    middle = start + (1 << (stop - start - 1).bit_length() - 1)
    return (start, middle), (middle, stop)


def cover(node: Node, held: range) -> list[Node]:
    """The largest nodes at or below ``node`` whose shards all lie in ``held``, from left to right.

    >>> cover((0, 8), range(3, 6))
    [(3, 4), (4, 6)]
    """
    start, stop = node
    if held.start <= start and stop <= held.stop:
        return [node]
    if stop <= held.start or held.stop <= start:
        return []
    left, right = children(node)
    return cover(left, held) + cover(right, held)


def add_shard(root: Node, k: int, have: MutableMapping[Node, Any], add: Callable[[Any, Any], Any]) -> None:
    """Shard ``k`` has come into ``have``: sum up the nodes that are whole now; at most one for each level stays."""
    path = [root]
    while path[-1] != (k, k + 1):
        left, right = children(path[-1])
        path.append(left if k < left[1] else right)
    for node in reversed(path[:-1]):
        left, right = children(node)
        if left not in have or right not in have:
            return
        have[node] = add(have.pop(left), have.pop(right))


def meet(root: Node, have: MutableMapping[Node, Any], add: Callable[[Any, Any], Any]) -> Any:
    """The sum at ``root`` of nodes that cover it."""
    if root in have:
        return have[root]
    left, right = children(root)
    return add(meet(left, have, add), meet(right, have, add))


def add_into(left: Array, right: Array) -> Array:
    """``left += right``."""
    return np.add(left, right, out=left)


def sum_over_ranks(
    comm: Communicator, shards: int, mine: Sequence[tuple[Node, Array]], out: Array, factor: float, label: str
) -> None:
    """``factor`` times the sum of all shards into ``out`` (n,): each element is added up on exactly one rank.

    ``mine``: this rank's nodes from left to right, each (n,) of the accumulator dtype of ``out``; they are used up.
    """
    root = (0, shards)
    wide = accumulator(out.dtype)
    size, rank = comm.size, comm.rank
    if size == 1:
        total = meet(root, dict(mine), add_into)
        out[...] = np.multiply(total, wide.type(factor), out=total)
        return
    step = -(-out.size // size)  # elements that one rank adds up
    cuts = [(min(r * step, out.size), min((r + 1) * step, out.size)) for r in range(size)]
    covers = [cover(root, run_of(shards, size, r)) for r in range(size)]
    start, stop = cuts[rank]
    sent = np.concatenate([array[lo:hi] for lo, hi in cuts for _, array in mine])
    counts = [len(mine) * (hi - lo) for lo, hi in cuts]
    awaited = [len(nodes) * (stop - start) for nodes in covers]
    rows = comm.all_to_all(sent, counts, awaited, label=label).reshape(-1, stop - start)
    nodes = [node for each in covers for node in each]
    total = meet(root, dict(zip(nodes, rows)), add_into)
    padded = np.zeros(step, out.dtype)
    padded[: stop - start] = np.multiply(total, wide.type(factor), out=total)
    out[...] = comm.all_gather(padded, label=label).reshape(-1)[: out.size]
