"""What every communicator must do, as programs of one rank; the worlds are in ``test_comm_worlds.py``.

Each body checks against closed forms and explicit NumPy folds, and returns bytes that must be equal in all worlds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from allgrad.comm import Communicator
from allgrad.errors import MismatchError

FOLDS: dict[str, Any] = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}
INT_FOLDS: dict[str, Any] = {"band": np.bitwise_and, "bor": np.bitwise_or, "bxor": np.bitwise_xor}
DTYPES = ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool"]
Body = Callable[[Communicator], bytes]
BODIES: dict[str, Body] = {}


def body(fn: Body) -> Body:
    """Add to the table of bodies."""
    BODIES[fn.__name__] = fn
    return fn


def data(rank: int, count: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """What ``rank`` holds: known to every rank, different on each."""
    rng = np.random.default_rng([seed, rank, count])
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return rng.integers(0, 2, count).astype(bool)
    if kind.kind in "iu":
        return rng.integers(0, 100, count).astype(kind)
    return rng.standard_normal(count).astype(kind)


def left_fold(arrays: list[Any], ufunc: Any, scale: float | None = None) -> Any:
    """((a0 + a1) + a2) + ...; the 16-bit floats in float32."""
    half = arrays[0].dtype.itemsize == 2 and arrays[0].dtype.kind not in "iu"
    wide = np.dtype(np.float32) if half else arrays[0].dtype
    total = arrays[0].astype(wide)
    for each in arrays[1:]:
        total = ufunc(total, each.astype(wide))
    if scale is not None:
        total = total * wide.type(scale)
    return total.astype(arrays[0].dtype)


def same_bits(found: Any, wanted: Any) -> None:
    """Equal to the last bit, NaN and signed zero included."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


@body
def all_reduce_every_dtype_and_op(comm: Communicator) -> bytes:
    out = b""
    for dtype in DTYPES:
        folds = FOLDS | ({} if dtype.startswith("float") else INT_FOLDS)
        for op, ufunc in folds.items():
            for count in (0, 1, 37, 1000):
                flat = data(comm.rank, count, dtype)
                comm.all_reduce(flat, op)
                same_bits(flat, left_fold([data(r, count, dtype) for r in range(comm.size)], ufunc))
                out += flat.tobytes()
    return out


@body
def all_reduce_behind_a_notice(comm: Communicator) -> bytes:
    """In one meeting where all ask for it; where some give the notice only, or are in another call, after it."""
    out = b""
    notice, told = np.full(3, comm.rank + 1.0), np.zeros(3)
    total = np.full(3, comm.size * (comm.size + 1) / 2)
    for count, apart in ((5, -1), (100, 0), (5, comm.size - 1), (0, -1), (9000, -1), (200_000, -1), (7, -1)):
        flat = data(comm.rank, count)
        told.fill(0)
        if comm.rank == apart:
            told[...] = notice
            comm.all_reduce(told, label="notice")
            both = False
        else:
            both = comm.all_reduce_behind(notice, told, flat, "sum", 0.5, "", "notice")
        if getattr(getattr(comm, "_reducer", None), "quick", None) is not None:
            assert both == (apart < 0 and count <= 9000)
        if not both:
            same_bits(told, total)
            comm.all_reduce(flat, scale=0.5)
        same_bits(flat, left_fold([data(r, count) for r in range(comm.size)], np.add, 0.5))
        out += flat.tobytes()
    return out


@body
def all_reduce_small_after_work_under_way(comm: Communicator) -> bytes:
    """The same small calls through the queue and past it, on different ranks."""
    out = b""
    for i in range(70):
        first, second = data(comm.rank, 30, seed=i), data(comm.rank, 500, seed=i)
        if (comm.rank + i) % 2:
            work = comm.start_all_reduce(first)
            comm.all_reduce(second, "max")
            work.wait()
        else:
            comm.all_reduce(first)
            comm.all_reduce(second, "max")
        same_bits(first, left_fold([data(r, 30, seed=i) for r in range(comm.size)], np.add))
        same_bits(second, left_fold([data(r, 500, seed=i) for r in range(comm.size)], np.maximum))
        out += first.tobytes() + second.tobytes()
    return out


def all_reduce_bfloat16(comm: Communicator) -> bytes:
    import ml_dtypes

    flat = data(comm.rank, 5001, ml_dtypes.bfloat16)
    comm.all_reduce(flat, scale=0.5)
    same_bits(flat, left_fold([data(r, 5001, ml_dtypes.bfloat16) for r in range(comm.size)], np.add, 0.5))
    return flat.tobytes()


if importlib.util.find_spec("ml_dtypes"):  # bfloat16 is there only with this package
    body(all_reduce_bfloat16)


@body
def all_reduce_large(comm: Communicator) -> bytes:
    out = b""
    for count in (16_385, 300_001, 700_003):  # through several stage blocks
        flat = data(comm.rank, count)
        comm.all_reduce(flat, scale=1 / 3)
        same_bits(flat, left_fold([data(r, count) for r in range(comm.size)], np.add, 1 / 3))
        out += flat.tobytes()
    return out


@body
def all_algorithms_give_the_same_bits(comm: Communicator) -> bytes:
    out = b""
    counts = (0, 1, 60, 1000, 16_384, 16_385, 70_001)
    buffer = comm.allocate(4 * max(counts))
    for algorithm in ("auto", "ordered", "window", "hierarchical", "doubling"):
        comm.algorithm = algorithm
        for count in counts:
            expected = left_fold([data(r, count) for r in range(comm.size)], np.add, 1 / 3)
            plain, in_buffer = data(comm.rank, count), buffer.array(np.float32, 0, count)
            in_buffer[...] = plain
            works = [comm.start_all_reduce(flat, scale=1 / 3) for flat in (plain, in_buffer)]
            for work in reversed(works):
                same_bits(work.wait(), expected)
            out += plain.tobytes() + in_buffer.tobytes()
    comm.algorithm = "auto"
    buffer.free()
    return out


@body
def async_on_some_ranks_only(comm: Communicator) -> bytes:
    out = b""
    for count in (3, 5000, 50_000, 140_000):
        flats = [data(comm.rank, count + i) for i in range(3)]
        works = []
        for i, flat in enumerate(flats):
            if (comm.rank + i) % 2:
                works.append(comm.start_all_reduce(flat))
            else:
                comm.all_reduce(flat)
        for work in works:
            work.wait()
        for i, flat in enumerate(flats):
            same_bits(flat, left_fold([data(r, count + i) for r in range(comm.size)], np.add))
            out += flat.tobytes()
    return out


@body
def library_all_reduce(comm: Communicator) -> bytes:
    comm.algorithm = "library"
    try:
        flat = data(comm.rank, 1000, np.float64)
        comm.all_reduce(flat)
    finally:
        comm.algorithm = "auto"
    np.testing.assert_allclose(
        flat, left_fold([data(r, 1000, np.float64) for r in range(comm.size)], np.add), rtol=1e-12
    )
    return b""


@body
def buffers_and_work(comm: Communicator) -> bytes:
    counts = [5, 1000, 40_000, 140_000, 0, 12_345]
    buffer = comm.allocate(4 * sum(counts) + 64)
    assert not buffer.array(np.uint8).any()
    flats, works, start = [], [], 0
    for i, count in enumerate(counts):
        flat = buffer.array(np.float32, 4 * start, count)
        flat[...] = data(comm.rank, count, seed=i)
        flats.append(flat)
        works.append(comm.start_all_reduce(flat, scale=0.3, label=f"bucket {i}"))
        start += count
        comm.progress()
    plain = data(comm.rank, 500)
    works.append(comm.start_all_reduce(plain, "max"))  # ordinary memory in between
    last = buffer.array(np.float64, 0, 2)
    for i in reversed(range(len(counts))):
        assert works[i].wait() is flats[i] and works[i].test()
        same_bits(flats[i], left_fold([data(r, counts[i], seed=i) for r in range(comm.size)], np.add, 0.3))
    same_bits(works[-1].wait(), left_fold([data(r, 500) for r in range(comm.size)], np.maximum))
    comm.barrier()
    last[:] = comm.rank
    work = comm.start_all_reduce(last, shared_result=True)
    while not work.test():
        comm.progress()
    total = work.result
    assert not total.flags.writeable
    assert total.tolist() == [sum(range(comm.size))] * 2
    out = b"".join(flat.tobytes() for flat in flats[1:]) + total.tobytes()
    del flat, flats, works, last, work, total
    buffer.free()
    buffer.free()
    return out


@body
def repeated_shared_results(comm: Communicator) -> bytes:
    buffer = comm.allocate(8 * 3000)
    flat, out = buffer.array(np.float64), b""
    for step in range(100):
        flat[...] = data(comm.rank, 3000, np.float64, step)
        total = comm.start_all_reduce(flat, shared_result=True).wait()
        same_bits(total, left_fold([data(r, 3000, np.float64, step) for r in range(comm.size)], np.add))
        out = total.tobytes()
    del flat, total
    buffer.free()
    return out


@body
def many_works_under_way(comm: Communicator) -> bytes:
    flats = [np.full(3, float(comm.rank + i)) for i in range(150)]
    works = [comm.start_all_reduce(flat) for flat in flats]
    for i, work in enumerate(works):
        assert work.wait()[0] == sum(r + i for r in range(comm.size))
    return b""


@body
def control_plane(comm: Communicator) -> bytes:
    for length in (0, 1, 200, 300, 5000):
        payloads = [bytes([r]) * (length * (r + 1) % 5001) for r in range(comm.size)]
        assert comm.all_gather_bytes(payloads[comm.rank]) == payloads
        for root in range(comm.size):
            sent = b"x" * length + bytes([root])
            assert comm.broadcast_bytes(sent if comm.rank == root else None, root) == sent
    comm.barrier()
    return b""


@body
def broadcast_and_gathers(comm: Communicator) -> bytes:
    everybody = range(comm.size)
    for count in (0, 3, 20_000):
        rows = np.stack([data(r, count) for r in everybody])
        for root in everybody:
            flat = data(comm.rank, count)
            comm.broadcast(flat, root)
            same_bits(flat, rows[root])
            gathered = comm.gather(data(comm.rank, count), root)
            assert (gathered is None) == (comm.rank != root)
            if gathered is not None:
                same_bits(gathered, rows)
            mine = np.empty(count, np.float32)
            comm.scatter(rows.reshape(-1) if comm.rank == root else None, mine, root)
            same_bits(mine, rows[comm.rank])
            flat = data(comm.rank, count)
            comm.reduce(flat, root, "sum", scale=0.1)
            same_bits(flat, left_fold(list(rows), np.add, 0.1) if comm.rank == root else rows[comm.rank])
        same_bits(comm.all_gather(data(comm.rank, count)), rows)
    return b""


@body
def reduce_scatter_and_all_to_all(comm: Communicator) -> bytes:
    count, everybody = 1001, range(comm.size)
    whole = [data(r, count * comm.size) for r in everybody]
    mine = comm.reduce_scatter(whole[comm.rank].copy())
    same_bits(mine, left_fold(whole, np.add).reshape(comm.size, -1)[comm.rank])
    exchanged = comm.all_to_all(whole[comm.rank])
    same_bits(exchanged, np.concatenate([w.reshape(comm.size, -1)[comm.rank] for w in whole]))
    # rank r sends r + t elements of value 10 r + t to rank t
    sends = np.concatenate([np.full(comm.rank + t, 10 * comm.rank + t) for t in everybody])
    got = comm.all_to_all(sends, [comm.rank + t for t in everybody], [r + comm.rank for r in everybody])
    same_bits(got, np.concatenate([np.full(r + comm.rank, 10 * r + comm.rank) for r in everybody]))
    return mine.tobytes() + exchanged.tobytes()


@body
def messages(comm: Communicator) -> bytes:
    if comm.size == 1:
        return b""
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    for count in (0, 1, 5000, 100_000):  # larger than any library sends without the receiver
        got = np.empty(count, np.float32)
        receiving = comm.irecv(got, left, tag=7)
        comm.isend(data(comm.rank, count), right, tag=7).wait()
        receiving.wait()
        same_bits(got, data(left, count))
    if comm.rank == 0:
        sources = set()
        for _ in range(comm.size - 1):
            word = np.zeros(1, np.int64)
            source = comm.recv(word, None, tag=1)
            assert word[0] == source
            sources.add(source)
        assert sources == set(range(1, comm.size))
    else:
        comm.send(np.array([comm.rank]), 0, tag=1)
    return b""


@body
def groups(comm: Communicator) -> bytes:
    parity = comm.split(comm.rank % 2, key=-comm.rank)
    assert parity is not None
    members = sorted(range(comm.rank % 2, comm.size, 2), reverse=True)
    assert (parity.rank, parity.size) == (members.index(comm.rank), len(members))
    flat = data(comm.rank, 3000)
    parity.all_reduce(flat)
    same_bits(flat, left_fold([data(r, 3000) for r in members], np.add))
    parity.close()
    assert comm.split(None) is None
    last_two = list(range(comm.size))[-2:]
    pair = comm.subgroup(last_two)
    assert (pair is None) == (comm.rank not in last_two)
    if pair is not None:
        inner = pair.subgroup([pair.size - 1])
        if inner is not None:
            assert (inner.rank, inner.size, comm.rank) == (0, 1, comm.size - 1)
            inner.barrier()
        assert pair.all_gather_bytes(bytes([comm.rank])) == [bytes([r]) for r in last_two]
    comm.barrier()
    return b""


@body
def interleaved_groups(comm: Communicator) -> bytes:
    """Work under way in one group while another one is used; each rank waits in an order of its own."""
    other = comm.split(0)
    assert other is not None
    a, b = np.full(2000, 1.0), np.full(3000, 2.0)
    work = comm.start_all_reduce(a)
    if comm.rank % 2:
        work.wait()
        other.barrier()
    else:
        other.barrier()
        work.wait()
    second = other.start_all_reduce(b)
    comm.barrier()
    second.wait()
    assert (a == comm.size).all() and (b == 2 * comm.size).all()
    return b""


@body
def mismatches_are_found_by_all(comm: Communicator) -> bytes:
    """One odd rank: every rank raises, names it, and the group is usable afterwards."""
    if comm.size < 3:
        return b""
    odd = comm.size - 1
    x = np.ones(400)
    buffer = comm.allocate(8 * 400)
    y = buffer.array(np.float64)
    y[:] = 1
    comm.barrier()
    plans: list[tuple[Callable[[], Any], Callable[[], Any], str]] = [
        (lambda: comm.all_reduce(x), lambda: comm.all_reduce(x[:3]), "400"),
        (lambda: comm.all_reduce(x), lambda: comm.all_reduce(x.astype(np.float32)), "float64"),
        (lambda: comm.all_reduce(x), lambda: comm.all_reduce(x, "max"), "sum"),
        (lambda: comm.all_reduce(x[:4]), lambda: comm.all_reduce(x[:4], "max"), "sum"),
        (lambda: comm.broadcast(x), lambda: comm.broadcast(x, 1), "broadcast"),
        (lambda: comm.broadcast(x), lambda: comm.barrier(), "broadcast"),
        (lambda: comm.all_gather(x), lambda: comm.all_gather(x[:5]), "400"),
        (lambda: comm.barrier(), lambda: comm.all_gather_bytes(b"abc"), "barrier"),
        (lambda: comm.start_all_reduce(x).wait(), lambda: comm.start_all_reduce(x[:8]).wait(), "400"),
        (lambda: comm.start_all_reduce(y).wait(), lambda: comm.start_all_reduce(y[:8]).wait(), "400"),
        (lambda: comm.start_all_reduce(y).wait(), lambda: comm.start_all_reduce(y, "max").wait(), "sum"),
        (lambda: comm.all_reduce(x, label="w1"), lambda: comm.all_reduce(x, label="w2"), "w1"),
    ]
    for usual, strange, word in plans:
        with pytest.raises(MismatchError) as caught:
            (strange if comm.rank == odd else usual)()
        assert f"rank {odd} is in" in str(caught.value), caught.value
        assert word in str(caught.value)
        assert (x == 1).all() and (y == 1).all(), "no data may be combined"
        assert comm.all_gather_bytes(b"") == [b""] * comm.size
    buffer.free()
    return b""
