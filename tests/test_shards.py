"""With ``shards=V`` the trained bits are those of one rank, at any number of ranks and any bucket size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed import ShardBatchSampler
from allgrad.distributed.shards_tree import add_shard, cover, meet, run_of
from allgrad.errors import (
    ArgumentError,
    DistributedError,
    GradientError,
    RankFailedError,
    ReplicaError,
    UnsupportedError,
)
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import get_rng_state, manual_seed
from allgrad.threads import blas_threads, set_blas_threads
from mpirun import mpirun, within
from shards_bodies import BODIES, SHARDS, data, quiet, values, weighted, with_loader

Array = np.ndarray[Any, Any]


@cache
def virtual(name: str, size: int) -> list[Array]:
    return run_virtual(quiet, size, BODIES[name])


@pytest.mark.parametrize("size", [2, 3, 4, 8])
@pytest.mark.parametrize("name", BODIES)
def test_bits_are_those_of_one_rank(name: str, size: int) -> None:
    (expected,) = virtual(name, 1)
    assert all(found.tobytes() == expected.tobytes() for found in virtual(name, size))


def test_bucket_size_does_not_change_a_bit() -> None:
    found = [virtual(name, 3)[0].tobytes() for name in ("loader", "tiny buckets", "several buckets")]
    assert len(set(found)) == 1


@pytest.mark.parametrize("size", [2, 3, 4])
def test_mpi_is_virtual_bit_for_bit(size: int) -> None:
    job = mpirun(size, str(Path(__file__).parent / "mpi" / "run_shards.py"), timeout_s=within(60))
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    for name in BODIES:
        assert found[name] == [hashlib.sha256(v.tobytes()).hexdigest() for v in virtual(name, size)], name


@given(st.integers(1, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_the_sum_is_one_expression_whoever_holds_which_shard(shards: int, drawn: Any) -> None:
    """With strings for numbers: the expression itself is the same, and each rank holds few partial sums."""
    size = drawn.draw(st.integers(1, shards))

    def add(a: str, b: str) -> str:
        return f"({a} {b})"

    alone: dict[Any, str] = {}
    for k in range(shards):
        alone[(k, k + 1)] = str(k)
        add_shard((0, shards), k, alone, add)
        assert len(alone) <= shards.bit_length()
    assert list(alone) == [(0, shards)]
    together: dict[Any, str] = {}
    for rank in range(size):
        mine: dict[Any, str] = {}
        for k in drawn.draw(st.permutations(list(run_of(shards, size, rank)))):
            mine[(k, k + 1)] = str(k)
            add_shard((0, shards), k, mine, add)
        assert sorted(mine) == cover((0, shards), run_of(shards, size, rank))
        together |= mine
    assert meet((0, shards), together, add) == alone[(0, shards)]


def test_eight_shards_meet_pairwise() -> None:
    have = {(k, k + 1): str(k) for k in range(8)}
    assert meet((0, 8), have, lambda a, b: f"({a}{b})") == "(((01)(23))((45)(67)))"


@pytest.mark.parametrize("size", [1, 3])
def test_the_mean_over_shards_is_that_of_plain_data_parallel_training(size: int) -> None:
    """Plain DDP on as many ranks as there are shards, and one process with the whole batch."""
    rows, labels = data(24)
    rows = rows.double()

    def program(shards: int | None) -> Any:
        dist.init_process_group()
        manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        wrapped = DistributedDataParallel(model, shards=shards)
        for k in range(dist.get_rank(), dist.get_rank() + 1) if shards is None else wrapped.sharding.run:
            part = slice(k * 3, k * 3 + 3)
            if shards is None:
                F.cross_entropy(wrapped(rows[part]), labels[part]).backward()
            else:
                with wrapped.shard(k):
                    F.cross_entropy(wrapped(rows[part]), labels[part]).backward()
        return [p.grad.numpy() for p in model.parameters()], model

    plain = run_virtual(program, 8, None)[0][0]
    found, model = run_virtual(program, size, 8)[0]
    model.zero_grad()
    F.cross_entropy(model(rows), labels).backward()
    for mine, theirs, p in zip(found, plain, model.parameters()):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)
        np.testing.assert_allclose(mine, p.grad.numpy(), rtol=0, atol=1e-14)


def test_weights_make_the_mean_exact() -> None:
    """The 25 samples that have a weight, in one process."""
    manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    rows, labels = data(36)
    chosen = [i for k in range(SHARDS) if k != 3 for i in range(k * (k - 1) // 2, k * (k - 1) // 2 + k)]
    for _ in range(3):
        model.zero_grad()
        F.cross_entropy(model(rows.double()[chosen]), labels[chosen]).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(p.grad * 0.1)
    np.testing.assert_allclose(run_virtual(weighted, 3)[1], values(model), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 1), (1, 4)])
def test_a_run_is_resumed_at_another_number_of_ranks(before: int, after: int) -> None:
    saved: list[Any] = []
    run_virtual(lambda: quiet(lambda: with_loader(saved=saved)), before)
    saved[0] = {k: torch.tensor(v.numpy().copy()) for k, v in saved[0].items()}
    found = run_virtual(lambda: quiet(lambda: with_loader(saved=saved)), after)
    assert all(f.tobytes() == virtual("loader", 1)[0].tobytes() for f in found)


def shards_of(size: int, **given: Any) -> list[list[list[int]]]:
    """For each step, the samples of each shard."""
    rows = [list(ShardBatchSampler(range(50), 3, SHARDS, num_replicas=size, rank=r, **given)) for r in range(size)]
    counts = [len(run_of(SHARDS, size, r)) for r in range(size)]
    steps = len(rows[0]) // counts[0]
    return [[b for r in range(size) for b in rows[r][s * counts[r] : (s + 1) * counts[r]]] for s in range(steps)]


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_sampler_deals_the_same_shards_to_any_number_of_ranks(drop_last: bool) -> None:
    expected = shards_of(1, drop_last=drop_last)
    assert all(shards_of(size, drop_last=drop_last) == expected for size in (2, 3, 5, 8))
    assert all(len(step) == SHARDS and len({len(b) for b in step}) == 1 for step in expected)
    taken = [i for step in expected for batch in step for i in batch]
    assert len(taken) == (48 if drop_last else 56) and len(set(taken)) == (48 if drop_last else 50)


def test_the_place_of_the_sampler_is_saved_between_steps_only() -> None:
    sampler = ShardBatchSampler(range(50), 3, SHARDS, num_replicas=3, rank=0)
    batches = iter(sampler)
    for _ in range(3):
        next(batches)
    assert sampler.state_dict()["start"] == 24
    next(batches)
    with pytest.raises(ArgumentError, match="between two steps"):
        sampler.state_dict()


def linear(shards: int = SHARDS, **given: Any) -> tuple[nn.Module, Any]:
    dist.init_process_group()
    manual_seed(2)
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))
    return model, DistributedDataParallel(model, shards=shards, **given)


def one_step(wrapped: Any, bad: int | None = None, what: float = float("nan")) -> None:
    rows, labels = data(4)
    for k in wrapped.sharding.run:
        with wrapped.shard(k):
            loss = F.cross_entropy(wrapped(rows + k), labels) * (what if k == bad else 1.0)
            loss.backward()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_shard_that_is_not_finite_and_all_skip_the_step(size: int) -> None:
    def program() -> Any:
        model, wrapped = linear()
        one_step(wrapped)
        before = values(model)
        one_step(wrapped, bad=5)
        return before, values(model), all(p.grad is None for p in model.parameters()), wrapped.skipped_steps

    with pytest.warns(UserWarning, match="NaN or infinity in the gradient of"):
        for before, after, dropped, skipped in run_virtual(program, size):
            assert before.tobytes() == after.tobytes() and dropped and skipped == 1


def test_gradients_that_were_kept_are_added_to() -> None:
    def program() -> Any:
        model, wrapped = linear()
        one_step(wrapped)
        once = [p.grad.numpy().copy() for p in model.parameters()]
        one_step(wrapped)
        return once, [p.grad.numpy() for p in model.parameters()]

    for once, twice in run_virtual(program, 2):
        assert all(np.array_equal(b, a + a) for a, b in zip(once, twice))


def test_random_numbers_outside_of_shards_are_left_alone_and_blas_has_one_thread() -> None:
    before = blas_threads()
    try:
        set_blas_threads(2)
        _, wrapped = linear()
        state = get_rng_state()
        with wrapped.shard(0):
            torch.rand(3)
            assert blas_threads() == 1
        assert np.array_equal(state, get_rng_state())
    finally:
        dist.destroy_process_group()
        set_blas_threads(before)


def on_all(size: int, body: Callable[[Any], None]) -> list[str]:
    """Each rank's error, as "type: text"; all go on training afterwards and stay equal."""

    def program() -> Any:
        model, wrapped = linear()
        text = "no error"
        try:
            body(wrapped)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        assert wrapped.sharding.inside is None
        one_step(wrapped)
        return text, [p.grad.numpy().tobytes() for p in model.parameters()]

    found = run_virtual(program, size)
    assert len({str(grads) for _, grads in found}) == 1
    return [text for text, _ in found]


def twice(wrapped: Any) -> None:
    for k in [wrapped.sharding.run[0], *wrapped.sharding.run] if dist.get_rank() == 1 else wrapped.sharding.run:
        with wrapped.shard(k):
            wrapped(data(4)[0]).sum().backward()


def missing(wrapped: Any) -> None:
    for k in wrapped.sharding.run[1:] if dist.get_rank() == 1 else wrapped.sharding.run:
        with wrapped.shard(k):
            wrapped(data(4)[0]).sum().backward()
    wrapped.sharding.check_complete()


def foreign(wrapped: Any) -> None:
    for k in range(SHARDS) if dist.get_rank() == 1 else wrapped.sharding.run:
        with wrapped.shard(k):
            wrapped(data(4)[0]).sum().backward()


def short_loader(wrapped: Any) -> None:
    batches = [data(4)[0]] * (len(wrapped.sharding.run) - (dist.get_rank() == 1))
    for step in wrapped.steps(batches):
        for rows in step:
            wrapped(rows).sum().backward()


def broken_loop(wrapped: Any) -> None:
    for step in wrapped.steps([data(4)[0]] * len(wrapped.sharding.run)):
        for rows in step:
            wrapped(rows).sum().backward()
            if dist.get_rank() == 1:
                break


def raising(wrapped: Any) -> None:
    for k in wrapped.sharding.run:
        with wrapped.shard(k):
            if dist.get_rank() == 1:
                raise ZeroDivisionError("in the data of rank 1")
            wrapped(data(4)[0]).sum().backward()


def graph(wrapped: Any) -> None:
    for k in wrapped.sharding.run:
        with wrapped.shard(k):
            (wrapped(data(4)[0]) ** 2).sum().backward(create_graph=dist.get_rank() == 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (twice, "was computed already"),
        (missing, "ended without shards"),
        (foreign, "is another rank's"),
        (short_loader, "the loader ended before shard"),
        (broken_loop, "was left at shard"),
        (raising, "ZeroDivisionError: in the data of rank 1"),
        (graph, "create_graph=True"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_misuse_on_one_rank_is_an_error_on_all(body: Callable[[Any], None], words: str) -> None:
    own, others = [], []
    for rank, text in enumerate(on_all(3, body)):
        (own if rank == 1 else others).append(text)
    assert words in own[0]
    assert all(text.startswith(RankFailedError.__name__) and words in text for text in others)


def test_what_has_no_meaning_with_shards_is_refused() -> None:
    try:
        _, wrapped = linear()
        with pytest.raises(ArgumentError, match="outside of a shard"):
            wrapped(data(4)[0])
        with torch.no_grad():
            wrapped(data(4)[0])
        with pytest.raises(ArgumentError, match="inside shard 0"), wrapped.shard(0), wrapped.shard(1):
            pass
        for call in (wrapped.skip, wrapped.join, lambda: wrapped.register_comm_hook(None, print)):
            with pytest.raises(UnsupportedError, match="shards"):
                call()
        for context in (wrapped.no_sync, wrapped.sync):
            with pytest.raises(UnsupportedError, match="shards"), context():
                pass
        with pytest.raises(ArgumentError, match="belongs to shards=4"):
            wrapped.sharding.load_state_dict({"shards": 4, "seed": 0, "step": 0})
        with pytest.raises(ArgumentError, match="no shards"):
            DistributedDataParallel(nn.Linear(2, 2)).shard(0)
        with pytest.raises(ArgumentError, match="broadcast_buffers"):
            DistributedDataParallel(nn.Linear(2, 2), shards=2, broadcast_buffers=False)
        with pytest.raises(UnsupportedError, match="SyncBatchNorm"):
            DistributedDataParallel(nn.SyncBatchNorm(2), shards=2)
        assert issubclass(GradientError, RuntimeError) and issubclass(RankFailedError, DistributedError)
    finally:
        dist.destroy_process_group()


def test_fewer_shards_than_ranks_is_an_error_on_every_rank() -> None:
    def program() -> str:
        try:
            linear(2)
        except ArgumentError as error:
            return str(error)
        return "no error"

    assert all("shards=2 for 3 ranks" in text for text in run_virtual(program, 3))


def test_ranks_that_have_been_loaded_differently_find_out() -> None:
    def body(wrapped: Any) -> None:
        wrapped.sharding.step = dist.get_rank() // 2
        one_step(wrapped)

    def program() -> str:
        _, wrapped = linear()
        try:
            body(wrapped)
        except DistributedError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 3):
        assert "disagree about step: 0 on ranks 0, 1, 1 on rank 2" in text


@given(st.integers(1, 9), st.data())
@settings(max_examples=10, deadline=None, derandomize=True)
def test_drawn_shards_ranks_and_buckets(shards: int, drawn: Any) -> None:
    width, depth = drawn.draw(st.integers(1, 40)), drawn.draw(st.integers(1, 3))
    rows, labels = data(4 * shards)

    def program(cap: float) -> Array:
        dist.init_process_group()
        manual_seed(3)
        layers = [nn.Sequential(nn.Linear(6, width), nn.Dropout(0.2), nn.Linear(width, 6)) for _ in range(depth)]
        model = nn.Sequential(*layers, nn.Linear(6, 3))
        wrapped = DistributedDataParallel(model, bucket_cap_mb=cap, shards=shards)
        for _ in range(2):
            model.zero_grad()
            for k in wrapped.sharding.run:
                with wrapped.shard(k):
                    F.cross_entropy(wrapped(rows[4 * k : 4 * k + 4]), labels[4 * k : 4 * k + 4]).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p.sub_(p.grad * 0.1)
        return values(model)

    (expected,) = run_virtual(program, 1, 25.0)
    size, cap = drawn.draw(st.integers(1, min(shards, 4))), drawn.draw(st.floats(1e-5, 1e-2))
    assert all(found.tobytes() == expected.tobytes() for found in run_virtual(program, size, cap))


def test_replicas_are_compared_and_a_damaged_one_is_found() -> None:
    def program() -> str:
        model, wrapped = linear(replica_check=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            one_step(wrapped)
            optimizer.step()
        if dist.get_rank() == 1:
            with torch.no_grad():
                model[1].weight[0, 0] += 1e-6
        try:
            one_step(wrapped)
        except ReplicaError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 3):
        assert "'1.weight' differs on rank 1" in text
