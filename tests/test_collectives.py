"""Every collective on Tensors, in virtual worlds of 1 to 4 ranks and over MPI, by closed forms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.errors import DistributedError
from mpirun import mpirun


def everything() -> str:
    """Runs on each rank; an assertion fails on the rank where it is wrong."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    ranks = range(size)
    mine = torch.full((2, 3), float(rank))

    t = mine.clone()
    dist.all_reduce(t)
    assert t.tolist() == [[float(sum(ranks))] * 3] * 2
    for op, expected in (("AVG", (size - 1) / 2), ("MAX", size - 1), ("MIN", 0), ("PRODUCT", 0)):
        t = mine.clone()
        dist.all_reduce(t, op=getattr(dist.ReduceOp, op))
        assert t[0, 0].item() == expected, op
    t = mine.clone()
    dist.all_reduce(t, op=dist.ReduceOp.PREMUL_SUM(0.5))
    assert t[0, 0].item() == sum(ranks) / 2
    t = torch.full((4, 3), float(rank)).t()[::2]  # not contiguous
    work = dist.all_reduce(t, async_op=True)
    work.wait()
    assert work.is_completed() and t.tolist() == [[float(sum(ranks))] * 4] * 2
    dist.all_reduce(torch.zeros(0))

    t = mine.clone()
    dist.broadcast(t, src=size - 1)
    assert t[0, 0].item() == size - 1
    t = mine.clone()
    dist.reduce(t, dst=0)
    assert t[0, 0].item() == (sum(ranks) if rank == 0 else rank)

    outs = [torch.zeros(2, 3) for _ in ranks]
    dist.all_gather(outs, mine)
    assert [o[0, 0].item() for o in outs] == list(ranks)
    joined = torch.zeros(2 * size, 3)
    dist.all_gather_into_tensor(joined, mine)
    assert joined[::2, 0].tolist() == list(ranks)
    outs = [torch.zeros(2, 3) for _ in ranks] if rank == 0 else None
    dist.gather(mine, outs, dst=0)
    assert outs is None or [o[1, 2].item() for o in outs] == list(ranks)
    t = torch.zeros(2)
    dist.scatter(t, [torch.full((2,), float(r)) for r in ranks] if rank == 0 else None, src=0)
    assert t.tolist() == [float(rank)] * 2

    t = torch.zeros(2)
    dist.reduce_scatter(t, [torch.full((2,), float(rank + r)) for r in ranks])
    assert t[0].item() == sum(ranks) + size * rank
    t = torch.zeros(2, dtype=torch.int64)
    dist.reduce_scatter_tensor(t, torch.arange(2 * size) + rank)
    assert t.tolist() == [size * (2 * rank + k) + sum(ranks) for k in range(2)]

    outs = [torch.zeros(r + 1) for r in ranks]
    dist.all_to_all(outs, [torch.full((rank + 1,), 10.0 * rank + r) for r in ranks])
    assert [o.tolist() for o in outs] == [[10.0 * r + rank] * (r + 1) for r in ranks]
    t = torch.zeros(2 * size, dtype=torch.int64)
    dist.all_to_all_single(t, torch.arange(2 * size) + 100 * rank)
    assert t.tolist() == [100 * r + 2 * rank + k for r in ranks for k in range(2)]

    values: list[Any] = [None] * size
    dist.all_gather_object(values, {"rank": rank, "array": np.arange(rank), ("a", 1): [None, 1.5, b"x"]})
    assert [v["rank"] for v in values] == list(ranks) and values[-1]["array"].tolist() == list(range(size - 1))
    values = ["x", {"y": 2}] if rank == 0 else [None, None]
    dist.broadcast_object_list(values, src=0)
    assert values == ["x", {"y": 2}]
    found: list[Any] = [None]
    dist.scatter_object_list(found, [f"for {r}" for r in ranks] if rank == 0 else None, src=0)
    assert found == [f"for {rank}"]
    values = [None] * size
    dist.gather_object(rank, values if rank == 0 else None, dst=0)
    assert rank != 0 or values == list(ranks)

    if size > 1:
        here, there = torch.full((3,), float(rank)), torch.zeros(3)
        messages = [dist.P2POp(dist.isend, here, (rank + 1) % size), dist.P2POp(dist.irecv, there, (rank - 1) % size)]
        for work in dist.batch_isend_irecv(messages):
            work.wait()
        assert there[0].item() == (rank - 1) % size
        if rank == 0:
            dist.send(torch.ones(2), 1)
        elif rank == 1:
            t = torch.zeros(2)
            assert dist.recv(t) == 0 and t.tolist() == [1.0, 1.0]
        pair = dist.new_group([0, size - 1])
        if rank in (0, size - 1):
            t = mine.clone()
            dist.all_reduce(t, group=pair)
            assert t[0, 0].item() == size - 1 and dist.get_world_size(pair) == 2
        else:
            assert pair is dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(pair) == -1
    dist.barrier()
    dist.monitored_barrier()
    dist.destroy_process_group()
    assert not dist.is_initialized()
    return "as it should be"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_virtual(size: int) -> None:
    assert run_virtual(everything, size) == ["as it should be"] * size


@pytest.mark.parametrize("size", [2, 3, 4])
def test_mpi(size: int) -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_collectives as t; print(t.everything())"
    job = mpirun(size, "-c", program, timeout_s=60)
    assert job.code == 0 and job.out.count("as it should be") == size, job.out + job.err


DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


def laid_out(shape: tuple[int, int], value: int, dtype: Any, layout: str) -> Any:
    """A Tensor of one small number: contiguous, transposed, every second row, or without elements."""
    rows, columns = shape
    if layout == "transposed":
        t = torch.zeros(columns, rows, dtype=dtype).t()
    elif layout == "every second row":
        t = torch.zeros(2 * rows, columns, dtype=dtype)[::2]
    else:
        t = torch.zeros(rows, columns if layout == "plain" else 0, dtype=dtype)
    return t.fill_(value)


def every_dtype() -> str:
    """Each collective on each dtype, in each layout of input and output; the numbers are exact in all of them."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    ranks = list(range(size))
    for name in DTYPES if importlib.util.find_spec("ml_dtypes") else [n for n in DTYPES if n != "bfloat16"]:
        dtype = getattr(torch, name)
        whole = name == "bool"
        for layout in ("plain", "transposed", "every second row", "empty"):
            for asynchronous in (False, True):

                def make(value: int, rows: int = 2, dtype: Any = dtype, layout: str = layout) -> Any:
                    return laid_out((rows, 3), value, dtype, layout)

                def done(work: Any, asynchronous: bool = asynchronous) -> None:
                    assert (work is not None) == asynchronous
                    if work is not None:
                        work.wait()

                def equal(t: Any, value: int, make: Any = make, dtype: Any = dtype) -> None:
                    expected = make(value, t.shape[0])
                    assert t.dtype == dtype and t.shape == expected.shape and t.tolist() == expected.tolist()

                how: dict[str, Any] = {"async_op": asynchronous}
                total = min(sum(ranks), 1) if whole else sum(ranks)
                t = make(rank)
                done(dist.all_reduce(t, **how))
                equal(t, total)
                t = make(rank)
                done(dist.all_reduce(t, op=dist.ReduceOp.MAX, **how))
                equal(t, size - 1)
                t = make(rank)
                done(dist.broadcast(t, src=size - 1, **how))
                equal(t, size - 1)
                t = make(rank)
                done(dist.reduce(t, dst=size - 1, **how))
                equal(t, total if rank == size - 1 else rank)
                outs = [make(9) for _ in ranks]
                done(dist.all_gather(outs, make(rank), **how))
                for r in ranks:
                    equal(outs[r], r)
                t = make(9, 2 * size)
                done(dist.all_gather_into_tensor(t, make(rank), **how))
                for r in ranks:
                    equal(t[2 * r : 2 * r + 2], r)
                outs = [make(9) for _ in ranks] if rank == 0 else None
                done(dist.gather(make(rank), outs, dst=0, **how))
                for r in ranks if rank == 0 else []:
                    equal(outs[r], r)
                t = make(9)
                done(dist.scatter(t, [make(r) for r in ranks] if rank == 0 else None, src=0, **how))
                equal(t, rank)
                t = make(9)
                done(dist.reduce_scatter(t, [make(r) for r in ranks], **how))
                equal(t, rank if whole else size * rank)
                t, parts = make(9), make(0, 2 * size)
                for r in ranks:
                    parts[2 * r : 2 * r + 2] = r
                done(dist.reduce_scatter_tensor(t, parts, **how))
                equal(t, rank if whole else size * rank)
                outs = [make(9) for _ in ranks]
                done(dist.all_to_all(outs, [make(rank + r) for r in ranks], **how))
                for r in ranks:
                    equal(outs[r], r + rank)
                t = make(9, 2 * size)
                done(dist.all_to_all_single(t, parts, **how))
                for r in ranks:
                    equal(t[2 * r : 2 * r + 2], rank)
                if size > 1:
                    t = make(9)
                    sent = dist.isend(make(rank), (rank + 1) % size)
                    dist.irecv(t, (rank - 1) % size).wait()
                    sent.wait()
                    equal(t, (rank - 1) % size)
    dist.destroy_process_group()
    return "each dtype"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_dtype_and_layout(size: int) -> None:
    assert run_virtual(every_dtype, size) == ["each dtype"] * size


def test_every_dtype_and_layout_over_mpi() -> None:
    here = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {here!r}); import test_collectives as t; print(t.every_dtype())"
    job = mpirun(3, "-c", program, timeout_s=90)
    assert job.code == 0 and job.out.count("each dtype") == 3, job.out + job.err


def wrong(call: Any) -> list[str]:
    def program() -> str:
        dist.init_process_group()
        try:
            call(dist.get_rank())
        except (RuntimeError, ValueError, TypeError) as error:
            return f"{type(error).__name__}: {error}"
        return "no error"

    return run_virtual(program, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rank: dist.all_reduce(torch.zeros(2 + rank)), "rank 1"),
        (lambda rank: dist.all_reduce(torch.zeros(2).to(torch.float64 if rank else torch.float32)), "float64"),
        (lambda rank: dist.all_reduce(torch.zeros(2), op="max" if rank else "sum"), "max"),
        (lambda rank: dist.broadcast(torch.zeros(2), src=rank), "broadcast"),
        (lambda rank: dist.barrier() if rank else dist.all_reduce(torch.zeros(1)), "barrier"),
        (lambda rank: dist.all_gather([torch.zeros(2)], torch.zeros(2)), "one per rank"),
        (lambda rank: dist.all_reduce([1.0]), "must be a Tensor, found list"),
        (lambda rank: dist.all_gather_object([None, None], object()), "cannot be sent between ranks"),
        (lambda rank: dist.broadcast(torch.zeros(2), src=5), "not part of group"),
    ],
)
def test_wrong_calls_are_errors_on_every_rank(call: Any, words: str) -> None:
    for text in wrong(call):
        assert words in text and "no error" not in text


def test_without_a_group() -> None:
    with pytest.raises(DistributedError, match="init_process_group"):
        dist.all_reduce(torch.zeros(1))


def test_the_timeout_given_is_the_timeout_kept() -> None:
    program = (
        "import time, datetime, allgrad.distributed as dist; "
        "dist.init_process_group(timeout=datetime.timedelta(seconds=1)); "
        "time.sleep(60) if dist.get_rank() else dist.barrier()"
    )
    job = mpirun(2, "-c", program, timeout_s=40)
    assert job.code == 75 and "1 s" in job.err, job
