"""Programs with a graph through a collective, for any world, and the same computation written for one process.

Each case maps the inputs of all ranks to the outputs of all ranks.  Rank r's loss is ``sum(weight * sin(y))`` over its
outputs, the second-order loss ``sum(x_grad ** 2)``; each body returns outputs, gradients and second-order gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed.nn.functional as DF
from allgrad.distributed import ReduceOp
from ddp_bodies import group

Tensors = list[Any]
Case = tuple[Callable[[int, int, Tensors], Any], Callable[[list[Tensors]], list[Any]], int]


def new(*shape: int) -> Any:
    return torch.zeros(*shape, dtype=torch.float64)


def summed(xs: list[Tensors]) -> Any:
    found = xs[0][0]
    for x in xs[1:]:
        found = found + x[0]
    return found


def zero(x: Any) -> Any:
    return x * 0


def swapped(xs: list[Tensors]) -> list[Tensors]:
    return [[x[r] for x in xs] for r in range(len(xs))]


def uneven(rank: int, size: int) -> tuple[list[int], list[int]]:
    """Rows that ``rank`` sends to and gets from each rank: r to s is (r + s) % 3, and one more to itself."""
    rows = lambda r, s: (r + s) % 3 + (r == s)
    return [rows(rank, s) for s in range(size)], [rows(s, rank) for s in range(size)]


def single(rank: int, size: int, x: Any) -> Any:
    send, receive = uneven(rank, size)
    return DF.all_to_all_single(new(sum(receive), 3), x[0][: sum(send)], receive, send)


def single_reference(xs: list[Tensors]) -> list[Any]:
    size, parts = len(xs), []
    for r, x in enumerate(xs):
        send, _ = uneven(r, size)
        parts.append(list(x[0][: sum(send)].split(send)))
    return [torch.cat([parts[s][r] for s in range(size)]) for r in range(size)]


def rooted(root: int, y: Callable[[list[Tensors]], Any]) -> Callable[[list[Tensors]], list[Any]]:
    return lambda xs: [y(xs) if r == root % len(xs) else zero(y(xs)) for r in range(len(xs))]


def everywhere(y: Callable[[list[Tensors]], Any]) -> Callable[[list[Tensors]], list[Any]]:
    return lambda xs: [y(xs)] * len(xs)


def stacked(xs: list[Tensors]) -> Any:
    return torch.stack([x[0] for x in xs])


ONE, EACH = 0, 1  # how many Tensors a rank gives: one, or one for each rank
CASES: dict[str, Case] = {
    "all_reduce": (lambda r, n, x: DF.all_reduce(x[0]), everywhere(summed), ONE),
    "all_reduce avg": (lambda r, n, x: DF.all_reduce(x[0], ReduceOp.AVG), everywhere(lambda xs: summed(xs) / len(xs)), ONE),
    "all_reduce premul": (
        lambda r, n, x: DF.all_reduce(x[0], ReduceOp.PREMUL_SUM(0.3)), everywhere(lambda xs: summed(xs) * 0.3), ONE,
    ),
    "all_reduce max": (
        lambda r, n, x: DF.all_reduce(x[0], ReduceOp.MAX), everywhere(lambda xs: stacked(xs).max(0).values), ONE,
    ),
    "all_reduce product": (
        lambda r, n, x: DF.all_reduce(x[0], ReduceOp.PRODUCT), everywhere(lambda xs: stacked(xs).prod(0)), ONE,
    ),
    "broadcast": (lambda r, n, x: DF.broadcast(x[0], 1 % n), lambda xs: [xs[1 % len(xs)][0]] * len(xs), ONE),
    "reduce": (lambda r, n, x: DF.reduce(x[0], 1 % n), rooted(1, summed), ONE),
    "reduce avg": (lambda r, n, x: DF.reduce(x[0], 0, ReduceOp.AVG), rooted(0, lambda xs: summed(xs) / len(xs)), ONE),
    "reduce min": (
        lambda r, n, x: DF.reduce(x[0], 1 % n, ReduceOp.MIN), rooted(1, lambda xs: stacked(xs).min(0).values), ONE,
    ),
    "gather": (lambda r, n, x: torch.stack(DF.gather(x[0], n - 1)), rooted(-1, stacked), ONE),
    "scatter": (lambda r, n, x: DF.scatter(x, 1 % n), lambda xs: list(xs[1 % len(xs)]), EACH),
    "scatter, others give nothing": (
        lambda r, n, x: DF.scatter(x if r == 0 else None, 0), lambda xs: list(xs[0]), EACH,
    ),
    "all_gather": (lambda r, n, x: torch.stack(DF.all_gather(x[0])), everywhere(stacked), ONE),
    "_all_gather_base": (
        lambda r, n, x: DF._all_gather_base(new(4 * n, 3), x[0][:4]), everywhere(lambda xs: torch.cat([x[0][:4] for x in xs])), ONE,
    ),
    "reduce_scatter": (
        lambda r, n, x: DF.reduce_scatter(new(8, 3), x), lambda xs: [summed([[t] for t in row]) for row in swapped(xs)], EACH,
    ),
    "reduce_scatter max": (
        lambda r, n, x: DF.reduce_scatter(new(8, 3), x, ReduceOp.MAX),
        lambda xs: [torch.stack(row).max(0).values for row in swapped(xs)], EACH,
    ),
    "all_to_all": (
        lambda r, n, x: torch.stack(DF.all_to_all([new(8, 3) for _ in range(n)], x)),
        lambda xs: [torch.stack(row) for row in swapped(xs)], EACH,
    ),
    "all_to_all_single, uneven": (single, single_reference, ONE),
    "two in a row": (
        lambda r, n, x: DF.all_reduce(torch.stack(DF.all_gather(x[0])).sin() * (r + 1)),
        everywhere(lambda xs: sum(stacked(xs).sin() * (r + 1) for r in range(len(xs)))), ONE,
    ),
}  # fmt: skip


# A rank whose input is none has no gradient whose graph it could come back through.
FIRST_ORDER = ("scatter, others give nothing",)


def inputs(rank: int, size: int, each: int) -> Tensors:
    source = np.random.default_rng(10 + rank)
    return [torch.tensor(source.standard_normal((8, 3)), requires_grad=True) for _ in range(size if each else 1)]


def loss(rank: int, y: Any) -> Any:
    weight = torch.tensor(np.random.default_rng(100 + rank).standard_normal(y.shape))
    return (weight * y.sin()).sum()


def arrays(tensors: Tensors, like: Tensors) -> list[Any]:
    return [np.zeros(x.shape) if t is None else t.detach().numpy() for t, x in zip(tensors, like)]


def body(name: str) -> np.ndarray[Any, Any]:
    """This rank's outputs, gradients and second-order gradients, flat."""
    apply, _, each = CASES[name]
    with group() as (rank, size):
        xs = inputs(rank, size, each)
        y = apply(rank, size, xs)
        loss(rank, y).backward(create_graph=True)
        first = [x.grad for x in xs]
        for x in xs:
            x.grad = None
        # Every rank comes to the backward of the backward, whether its gradients have a graph or not.
        if name not in FIRST_ORDER:
            (sum((g * g).sum() for g in first if g is not None) + 0 * y.sum()).backward()
        found = [y.detach().numpy(), *arrays(first, xs), *arrays([x.grad for x in xs], xs)]
        return np.concatenate([a.reshape(-1) for a in found])


def reference(name: str, size: int) -> list[np.ndarray[Any, Any]]:
    """What ``body`` returns on each rank, computed in one process."""
    _, together, each = CASES[name]
    xs = [inputs(rank, size, each) for rank in range(size)]
    flat = [x for own in xs for x in own]
    ys = together(xs)
    total = sum(loss(rank, y) for rank, y in enumerate(ys))
    first = torch.autograd.grad(total, flat, create_graph=True, allow_unused=True)
    penalty = sum((g * g).sum() for g in first if g is not None)
    second = [None] * len(flat)
    if name not in FIRST_ORDER:
        second = torch.autograd.grad(penalty, flat, allow_unused=True)
    found = []
    for rank, own in enumerate(xs):
        place = slice(rank * len(own), (rank + 1) * len(own))
        parts = [ys[rank].detach().numpy(), *arrays(first[place], own), *arrays(second[place], own)]
        found.append(np.concatenate([a.reshape(-1) for a in parts]))
    return found


BODIES: dict[str, Callable[[], np.ndarray[Any, Any]]] = {name: (lambda name=name: body(name)) for name in CASES}
