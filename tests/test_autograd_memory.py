"""What a graph holds, and when it lets go: without the garbage collector, without recursion, in threads, after errors."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.errors import GradientError


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _mlp_loss(parameters: list[Any], x: Any) -> Any:
    h = x
    for w in parameters:
        h = (h @ w).tanh()
    return (h * h).mean()


def _parameters() -> list[Any]:
    rng = np.random.default_rng(0)
    return [ag.tensor(rng.standard_normal((64, 64)) / 8).requires_grad_() for _ in range(4)]


def test_backward_drops_the_graph(no_collector: None) -> None:
    parameters, x = _parameters(), ag.ones(32, 64, dtype=ag.float64)
    loss = _mlp_loss(parameters, x)
    seen = set()
    stack = [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack += [p for p in node.parents if hasattr(p, "parents")]
    alive = [weakref.ref(node) for node in seen]
    saved = [weakref.ref(a) for node in seen for a in node.saved if isinstance(a, np.ndarray) and a.base is None]
    of_parameters = {id(p._a) for p in parameters} | {id(x._a)}
    seen.clear()
    del node
    loss.backward()
    held = [a() for a in saved if a() is not None and id(a()) not in of_parameters and a() is not loss._a]
    assert not held, f"{len(held)} saved arrays outlive backward"
    del loss
    assert not [n for n in alive if n() is not None], "nodes outlive the last Tensor of their graph"


def test_a_graph_that_is_never_walked_goes_with_its_last_tensor(no_collector: None) -> None:
    w = ag.ones(1000, requires_grad=True)
    y = (w * 2).exp()
    z = y[10:20]
    z.mul_(3)
    node, array = weakref.ref(y.grad_fn), weakref.ref(y._a)
    del z, y
    assert node() is None
    assert array() is None


def test_recorded_gradients_leave_no_cycle(no_collector: None) -> None:
    x = ag.ones(50, requires_grad=True)
    (g,) = ag.autograd.grad((x.tanh() * x).sum(), x, create_graph=True)
    node = weakref.ref(g.grad_fn)
    (h,) = ag.autograd.grad(g.sum(), x)
    del g
    assert node() is None
    assert h.shape == (50,)


def test_saved_arrays_go_while_the_walk_passes() -> None:
    """A chain of 40 steps that save 1 MB each: halfway back, half of it is gone, and little came on top."""
    megabyte = 1 << 20
    held = []
    w = ag.ones(megabyte // 4, requires_grad=True)
    tracemalloc.start()
    y = w
    for k in range(40):
        y = y.tanh()
        if k == 20:
            y.register_hook(lambda g: held.append(tracemalloc.get_traced_memory()[0]))
    y = y.sum()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert before > 39 * megabyte
    assert held[0] < 25 * megabyte, f"{held[0] / megabyte:.1f} MB halfway, of {before / megabyte:.1f}"
    # gradient in, gradient out and two temporaries of the rule
    assert peak - before < 5 * megabyte, f"backward needed {(peak - before) / megabyte:.1f} MB on top"


def test_memory_of_a_training_loop_does_not_grow(no_collector: None) -> None:
    parameters, x = _parameters(), ag.ones(32, 64, dtype=ag.float64)
    for _ in range(3):
        _mlp_loss(parameters, x).backward()
    tracemalloc.start()
    _mlp_loss(parameters, x).backward()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        _mlp_loss(parameters, x).backward()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000, f"{after - before} bytes after 20 more steps"


def test_a_hundred_thousand_steps() -> None:
    x = ag.tensor(1.0, dtype=ag.float64, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.backward()
    np.testing.assert_allclose(x.grad.item(), 1.00001**100_000, rtol=1e-9)
    del y
    z = x
    for _ in range(100_000):
        z = z + x
    node = weakref.ref(z.grad_fn)
    del z  # freed without backward: the chain must not unwind by recursion
    assert node() is None


def test_a_deep_graph_of_views_changed_in_place() -> None:
    w = ag.ones(4, requires_grad=True)
    y = w * 1
    for k in range(3000):
        y[k % 4].mul_(1.0001)
    y.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [1.0001**750] * 4, rtol=1e-4)


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    a, b = (ag.ones(3, requires_grad=True) for _ in range(2))
    (a + b).backward(ag.ones(3))
    a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0, 1.0]
    a.grad = b.grad = None
    (a + b).backward(ag.ones(3), create_graph=True)
    with ag.no_grad():
        a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0, 1.0]


def test_the_gradient_that_a_user_gave_is_not_written_to() -> None:
    a = ag.ones(3, requires_grad=True)
    seed = ag.ones(3)
    y = a * 1
    (y + y + a).backward(seed)
    assert seed.tolist() == [1.0, 1.0, 1.0]
    assert a.grad.tolist() == [3.0, 3.0, 3.0]
    a.grad.mul_(7)
    assert seed.tolist() == [1.0, 1.0, 1.0]


def test_a_hook_may_keep_the_gradient_it_saw() -> None:
    x = ag.ones(4, requires_grad=True)
    kept = []
    y = x * 2
    y.register_hook(kept.append)
    z = y * 3
    z.register_hook(kept.append)
    (z + y + x * 5).backward(ag.ones(4))
    assert [k.tolist() for k in kept] == [[1.0] * 4, [4.0] * 4]
    assert x.grad.tolist() == [13.0] * 4


def test_a_rule_may_return_one_array_for_two_inputs() -> None:
    class Sum(ag.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a + b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            same = g * 2
            return same, same

    a, b = (ag.ones(3, requires_grad=True) for _ in range(2))
    x, y = a * 1, b * 1
    (Sum.apply(x, y) + Sum.apply(x, x) + y).sum().backward()
    assert a.grad.tolist() == [6.0] * 3
    assert b.grad.tolist() == [3.0] * 3


def test_a_rule_may_return_what_was_saved() -> None:
    class Linear(ag.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, c: Any) -> Any:
            ctx.save_for_backward(c)
            return (x * c).sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.saved_tensors[0], None

    c = ag.tensor([1.0, 2.0])
    x = ag.ones(2, requires_grad=True)
    y = x * 1
    (Linear.apply(y, c) + Linear.apply(y, c)).backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert c.tolist() == [1.0, 2.0]


def test_threads_have_graphs_and_modes_of_their_own() -> None:
    failures: list[str] = []
    gate = threading.Barrier(4)

    def work(k: int) -> None:
        if not ag.is_grad_enabled():
            failures.append("a new thread must start with grad mode on")
        w = ag.full((20,), float(k + 1), requires_grad=True)
        gate.wait()
        for _ in range(50):
            with ag.set_grad_enabled(k % 2 == 0):
                y = w
                for _ in range(20):
                    y = y * 1.5
            if (y.requires_grad) != (k % 2 == 0):
                failures.append(f"thread {k} saw another thread's mode")
            with ag.enable_grad():
                w.grad = None
                (w**3).sum().backward()
            if w.grad.tolist() != [3.0 * (k + 1) ** 2] * 20:
                failures.append(f"thread {k}: {w.grad}")

    with ag.no_grad():
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
    assert not failures, failures[:3]


def test_threads_add_to_one_leaf_without_loss() -> None:
    w = ag.zeros(1000, requires_grad=True)

    def work() -> None:
        for _ in range(100):
            (w * 1).backward(ag.ones(1000))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert set(w.grad.tolist()) == {400.0}


class _Boom(Exception):
    pass


def _raise(_: Any) -> None:
    raise _Boom("from a hook")


def test_an_error_in_a_hook_leaves_the_engine_usable() -> None:
    w = ag.ones(3, requires_grad=True)
    y = w * 2
    handle = y.register_hook(_raise)
    z = (y * y).sum()
    for mode in (True, False):
        with ag.set_grad_enabled(mode):
            with pytest.raises(_Boom) as caught:
                z.backward(retain_graph=True)
            assert ag.is_grad_enabled() is mode
    assert [f.name for f in caught.traceback][-1] == "_raise"
    assert w.grad is None
    handle.remove()
    z.backward()
    assert w.grad.tolist() == [8.0] * 3


def test_an_error_in_a_rule_keeps_its_traceback() -> None:
    class Bad(ag.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise _Boom("from a rule")

    w = ag.ones(3, requires_grad=True)
    with pytest.raises(_Boom) as caught:
        Bad.apply(w * 1).sum().backward()
    assert [f.name for f in caught.traceback][-1] == "backward"
    (w * w).sum().backward()
    assert w.grad.tolist() == [2.0] * 3


def test_backward_inside_a_backward() -> None:
    w = ag.tensor([2.0], requires_grad=True)
    v = ag.tensor([3.0], requires_grad=True)

    def hook(g: Any) -> Any:
        with ag.enable_grad():
            (v * v * 2).sum().backward()
            (inner,) = ag.autograd.grad((v**3).sum(), v)
        return g * inner

    y = w * 5
    y.register_hook(hook)
    y.sum().backward()
    assert v.grad.tolist() == [12.0]
    assert w.grad.tolist() == [135.0]


def test_a_second_backward_is_an_error_that_says_what_to_do() -> None:
    w = ag.ones(3, requires_grad=True)
    y = (w * w).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()
    z = (w + 1).sum()  # saves nothing, so it can run again, as in PyTorch
    z.backward()
    z.backward()
    assert w.grad.tolist() == [4.0] * 3
