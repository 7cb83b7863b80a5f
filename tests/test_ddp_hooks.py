"""Communication hooks: what they hand out, what they send, what they owe; futures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook, topk_hook
from allgrad.errors import ArgumentError, DtypeError
from allgrad.futures import Future, collect_all, wait_all
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp, sgd

SIZES = [1, 2, 3, 4]


def train(make: Any, *, single: bool = False, steps: int = 4, uneven: bool = False) -> Any:
    """``steps`` steps with the hook that ``make()`` gives as (state, hook): parameters, traffic, gradients, state."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    manual_seed(0)
    model = mlp().float() if single else mlp()
    wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
    state, hook = make() if make else (None, None)
    if hook:
        wrapped.register_comm_hook(state, hook)
    grads = []
    for inputs, targets in batches((6,), steps):
        model.zero_grad()
        inputs = inputs.float() if single else inputs
        rows = slice(0, 1) if uneven and rank == 0 else slice(rank, None, size)
        with wrapped.sync(weight=len(targets[rows]) if uneven else None):
            F.cross_entropy(wrapped(inputs[rows]), targets[rows]).backward()
        grads.append(np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()]))
        sgd(model, 0.1)
    return flat(model), wrapped.traffic, grads, state


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_allreduce_hook_is_no_hook(size: int, uneven: bool) -> None:
    plain = run_virtual(train, size, None, uneven=uneven)
    hooked = run_virtual(train, size, lambda: (None, default_hooks.allreduce_hook), uneven=uneven)
    for a, b in zip(plain, hooked):
        np.testing.assert_allclose(a[0], b[0], rtol=0, atol=1e-15)
        assert uneven or a[0].tobytes() == b[0].tobytes()
        assert a[1] == b[1] and a[1][0] == a[1][1]


def own_hook(state: Any, bucket: Any) -> Any:
    """As PyTorch's documentation writes one."""
    state.append((bucket.index(), bucket.is_last(), [p.shape for p in bucket.parameters()]))
    assert [g.shape for g in bucket.gradients()] == [p.shape for p in bucket.parameters()]
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0].div_(dist.get_world_size()))


@pytest.mark.parametrize("size", SIZES)
def test_a_hook_of_ones_own(size: int) -> None:
    plain = run_virtual(train, size, None)
    for mine, other in zip(run_virtual(train, size, lambda: ([], own_hook)), plain):
        np.testing.assert_allclose(mine[0], other[0], rtol=0, atol=1e-15)
        buckets = [index for index, _, _ in mine[3]]
        assert buckets == sorted(set(buckets)) * 4
        assert [last for _, last, _ in mine[3]] == [b == max(buckets) for b in buckets]


@pytest.mark.parametrize(("name", "bits"), [("fp16_compress_hook", 11), ("bf16_compress_hook", 8)])
@pytest.mark.parametrize("size", SIZES)
def test_sixteen_bits_halve_the_bytes_and_add_in_32(size: int, name: str, bits: int) -> None:
    if name.startswith("bf16"):
        pytest.importorskip("ml_dtypes")
    hook = getattr(default_hooks, name)
    found = run_virtual(train, size, lambda: (None, hook), single=True, steps=1)
    exact = run_virtual(train, size, None, single=True, steps=1)
    for mine, other in zip(found, exact):
        assert mine[0].tobytes() == found[0][0].tobytes()
        assert mine[1][0] * 2 == mine[1][1]
        # One rounding on the way in for each rank, one of the sum: not one for each addition.
        np.testing.assert_allclose(mine[2][0], other[2][0], rtol=0, atol=2 * 2.0**-bits * np.abs(other[2][0]).max())


def test_float16_overflow_is_cut_off() -> None:
    def program() -> Any:
        dist.init_process_group()
        model = torch.nn.Linear(2, 1, bias=False)
        wrapped = DistributedDataParallel(model)
        wrapped.register_comm_hook(None, default_hooks.fp16_compress_hook)
        (wrapped(torch.ones(1, 2)) * 1e6).sum().backward()
        return model.weight.grad.tolist()

    assert run_virtual(program, 2) == [[[65504.0, 65504.0]]] * 2


def owing(state: Any) -> dict[int, Any]:
    return state.memory if hasattr(state, "memory") else state.errors


def pull(make: Any) -> Any:
    """A linear loss: each step has the same known gradient.  Gradients handed out, what is owed, traffic."""
    dist.init_process_group()
    rank = dist.get_rank()
    wish = torch.tensor(np.random.default_rng(rank).standard_normal((12, 10)))
    model = torch.nn.Linear(10, 12, bias=False).double()
    wrapped = DistributedDataParallel(model)
    state, hook = make()
    wrapped.register_comm_hook(state, hook)
    out = []
    for _ in range(6):
        model.zero_grad()
        (wrapped(torch.eye(10, dtype=torch.float64)).t() * wish).sum().backward()
        out.append(model.weight.grad.numpy().copy())
    saved = state.state_dict()
    fresh, _ = make()
    fresh.load_state_dict(saved)
    for k, v in owing(state).items():
        assert owing(fresh)[k].tobytes() == v.tobytes()
    return out, owing(state)[0][:120].reshape(12, 10), wish.numpy(), wrapped.traffic


@pytest.mark.parametrize(
    "make",
    [
        lambda: (topk_hook.TopKState(0.1), topk_hook.topk_hook),
        lambda: (powerSGD_hook.PowerSGDState(None, 2, start_powerSGD_iter=2), powerSGD_hook.powerSGD_hook),
    ],
    ids=["top-k", "PowerSGD"],
)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_lost(size: int, make: Any) -> None:
    """What was handed out and what is still owed add up to the true gradients, to rounding."""
    found = run_virtual(pull, size, make)
    handed, owed = sum(found[0][0]), sum(f[1] for f in found) / size
    np.testing.assert_allclose(handed + owed, 6 * sum(f[2] for f in found) / size, rtol=0, atol=1e-12)
    for out, _, _, (sent, plain) in found:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(out, found[0][0]))
        assert sent < 0.7 * plain
    assert np.abs(owed).max() > 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_powersgd_of_full_rank_is_exact(size: int) -> None:
    def make() -> Any:
        state = powerSGD_hook.PowerSGDState(None, 100, start_powerSGD_iter=2, min_compression_rate=0)
        return state, powerSGD_hook.powerSGD_hook

    found, plain = run_virtual(train, size, make), run_virtual(train, size, None)
    for mine, other in zip(found, plain):
        assert mine[0].tobytes() == found[0][0].tobytes()
        np.testing.assert_allclose(mine[0], other[0], rtol=0, atol=1e-12)


def test_wrong_hooks() -> None:
    dist.init_process_group()
    try:
        model = DistributedDataParallel(mlp())
        with pytest.raises(DtypeError, match="callable"):
            model.register_comm_hook(None, 3)  # type: ignore[arg-type]
        model.register_comm_hook(None, lambda state, bucket: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(ArgumentError, match="only be called once"):
            model.register_comm_hook(None, default_hooks.allreduce_hook)
        with pytest.raises(Exception, match=r"futures\.Future"):
            model(torch.ones(1, 6, dtype=torch.float64)).sum().backward()
    finally:
        dist.destroy_process_group()


def test_futures() -> None:
    seen = []
    later = Future()
    twice = later.then(lambda f: f.wait() * 2)
    later.add_done_callback(lambda f: seen.append(f.value()))
    assert not later.done() and not twice.done()
    later.set_result(4)
    assert twice.done() and twice.value() == 8 and seen == [4]
    with pytest.raises(ArgumentError, match="already"):
        later.set_result(5)
    broken = Future()
    broken.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        broken.wait()
    with pytest.raises(KeyError):
        broken.then(lambda f: f.value()).wait()
    lazy = Future(fetch=lambda: 3)
    assert wait_all([lazy, lazy.then(lambda f: f.value() + 1)]) == [3, 4]
    assert [f.value() for f in collect_all([lazy, twice]).wait()] == [3, 8]
    with pytest.raises(ArgumentError, match="set_result"):
        Future().wait()
