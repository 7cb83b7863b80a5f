"""Differentiable collectives: over all ranks they are the computation of one process, to the second derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
import allgrad.distributed.nn.functional as DF
from allgrad.comm import run_virtual
from allgrad.distributed import ReduceOp
from allgrad.errors import MismatchError, ShapeError, UnsupportedError
from distributed_nn_bodies import BODIES, reference


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", BODIES)
def test_it_is_the_computation_of_one_process(name: str, size: int) -> None:
    for found, expected in zip(run_virtual(BODIES[name], size), reference(name, size)):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-12)


def in_group(program: Any, size: int) -> list[Any]:
    def whole() -> Any:
        dist.init_process_group()
        return program(dist.get_rank())

    return run_virtual(whole, size)


def test_only_one_rank_wants_a_gradient() -> None:
    """The others come to its backward all the same."""

    def program(rank: int) -> Any:
        x = torch.full((2,), float(rank + 1), requires_grad=rank == 1)
        y = DF.all_reduce(x)
        assert y.requires_grad
        (y * (rank + 1)).sum().backward()
        return None if x.grad is None else x.grad.tolist()

    assert in_group(program, 3) == [None, [6.0, 6.0], None]


def test_no_graph_where_nobody_wants_one() -> None:
    def program(rank: int) -> bool:
        plain = DF.all_gather(torch.ones(2))[0].requires_grad
        with torch.no_grad():
            return plain or DF.all_reduce(torch.ones(2, requires_grad=True)).requires_grad

    assert in_group(program, 2) == [False, False]


def test_inputs_stay_and_outputs_are_filled() -> None:
    def program(rank: int) -> Any:
        x = torch.ones(2, requires_grad=True)
        DF.all_reduce(x)
        DF.broadcast(x, 0)
        out = torch.zeros(2)
        DF.reduce_scatter(out, [x, x])
        lists = [torch.zeros(2), torch.zeros(2)]
        DF.all_to_all(lists, [x * rank, x * rank])
        return x.tolist(), out.tolist(), [t.tolist() for t in lists]

    assert in_group(program, 2) == [([1.0, 1.0], [2.0, 2.0], [[0.0, 0.0], [1.0, 1.0]])] * 2


def test_ties_share_the_gradient_and_zeros_in_a_product_are_right() -> None:
    def program(rank: int) -> Any:
        x = torch.tensor([1.0, 2.0, float(rank)], dtype=torch.float64, requires_grad=True)
        DF.all_reduce(x, ReduceOp.MAX).sum().backward()
        most, x.grad = x.grad.tolist(), None
        DF.all_reduce(x, ReduceOp.PRODUCT).sum().backward()
        return most, x.grad.tolist()

    assert in_group(program, 2) == [([1.0, 1.0, 0.0], [2.0, 4.0, 2.0]), ([1.0, 1.0, 2.0], [2.0, 4.0, 0.0])]


def test_integers_and_small_floats() -> None:
    def program(rank: int) -> Any:
        whole = torch.tensor([rank + 1, 5])
        half = torch.tensor([0.5], dtype=torch.float16, requires_grad=True)
        mean = DF.all_reduce(half, ReduceOp.AVG)
        mean.sum().backward()
        bits = DF.all_reduce(whole, ReduceOp.BOR)
        return DF.all_reduce(whole).tolist(), bits.tolist(), str(mean.dtype)[-7:], half.grad.item(), whole.tolist()

    for rank, found in enumerate(in_group(program, 2)):
        assert found == ([3, 10], [3, 5], "float16", 1.0, [rank + 1, 5])


def test_empty_and_scattered_memory() -> None:
    def program(rank: int) -> Any:
        empty = torch.ones(0, 3, requires_grad=True)
        DF.all_reduce(empty).sum().backward()
        x = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
        y = DF.all_gather(x)[1]
        y.sum().backward()
        return tuple(empty.grad.shape), y.tolist() == x.tolist(), x.grad.tolist()

    found = in_group(program, 2)
    assert found[0] == ((0, 3), True, [[0.0, 0.0]] * 3) and found[1] == ((0, 3), True, [[2.0, 2.0]] * 3)


def told(program: Any, size: int, kind: type[Exception]) -> list[str]:
    def whole(rank: int) -> str:
        try:
            program(rank)
        except kind as error:
            return str(error)
        return "no error"

    return in_group(whole, size)


def test_other_shapes_modes_and_ops_are_errors_on_every_rank() -> None:
    def shape(rank: int) -> None:
        DF.all_reduce(torch.ones(2, 3) if rank < 2 else torch.ones(3, 2))

    def mode(rank: int) -> None:
        with torch.set_grad_enabled(rank != 1):
            DF.all_reduce(torch.ones(2, requires_grad=True))

    def op(rank: int) -> None:
        DF.all_reduce(torch.ones(2), "median")

    def output(rank: int) -> None:
        DF._all_gather_base(torch.zeros(3), torch.ones(2))

    for text in told(shape, 3, MismatchError):
        assert "rank 2 gives 1, [3, 2], float32, expected 1, [2, 3], float32" in text
    for text in told(mode, 3, MismatchError):
        assert "rank 0 records a graph and rank 1 runs without one" in text
    assert all("median" in text for text in told(op, 2, UnsupportedError))
    assert all("4" in text for text in told(output, 2, ShapeError))


def test_a_model_split_over_two_ranks() -> None:
    """Tensor parallelism by hand: each rank holds half of the hidden units; the gradients are those of the whole model."""
    source = np.random.default_rng(0)
    first, second, x = source.standard_normal((4, 6)), source.standard_normal((6, 2)), source.standard_normal((5, 4))

    def whole() -> Any:
        a, b = (torch.tensor(w, requires_grad=True) for w in (first, second))
        (torch.tensor(x) @ a).tanh().matmul(b).pow(2).sum().backward()
        return a.grad.numpy(), b.grad.numpy()

    def program(rank: int) -> Any:
        mine = slice(3 * rank, 3 * rank + 3)
        a, b = torch.tensor(first[:, mine], requires_grad=True), torch.tensor(second[mine], requires_grad=True)
        y = DF.all_reduce((torch.tensor(x) @ a).tanh().matmul(b))
        (y.pow(2).sum() / 2).backward()  # both ranks have the whole loss
        return a.grad.numpy(), b.grad.numpy()

    (a, b), found = whole(), in_group(program, 2)
    np.testing.assert_allclose(np.concatenate([f[0] for f in found], 1), a, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([f[1] for f in found], 0), b, rtol=1e-12)
