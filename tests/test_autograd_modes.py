"""Grad mode and inference mode: what they do, where they end, and that they belong to one thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import allgrad as ag
from twins import both


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=True)


def program_modes(t: Any) -> Any:
    x = leaf(t, 1.0)
    seen = []

    def look() -> None:
        seen.append([t.is_grad_enabled(), t.is_inference_mode_enabled(), (x * 2).requires_grad])

    look()
    with t.no_grad():
        look()
        with t.enable_grad():
            look()
            with t.set_grad_enabled(False):
                look()
            look()
        look()
    with t.inference_mode():
        look()
        with t.inference_mode(False):
            look()
        with t.enable_grad():
            look()
    with t.inference_mode(False):
        look()
    look()
    t.set_grad_enabled(False)
    look()
    t.set_grad_enabled(True)
    look()
    return seen


def program_decorators(t: Any) -> Any:
    x = leaf(t, 1.0)

    @t.no_grad()
    def a() -> Any:
        return x * 2

    @t.no_grad
    def b() -> Any:
        return x * 2

    @t.inference_mode()
    def c() -> Any:
        return x * 2

    @t.inference_mode
    def d() -> Any:
        return x * 2

    @t.set_grad_enabled(False)
    def e() -> Any:
        return x * 2

    @t.enable_grad()
    def f() -> Any:
        return x * 2

    with t.no_grad():
        inside = f()
    return (
        [g().requires_grad for g in (a, b, c, d, e, f)],
        inside.requires_grad,
        t.is_grad_enabled(),
        c().is_inference(),
    )


def program_decorated_generator(t: Any) -> Any:
    log = []

    @t.no_grad()
    def steps(n: int) -> Any:
        for k in range(n):
            try:
                got = yield [k, t.is_grad_enabled()]
                log.append([got, t.is_grad_enabled()])
            except KeyError:
                log.append(["caught", t.is_grad_enabled()])
        return "end"

    def outer() -> Any:
        log.append((yield from steps(2)))

    g = steps(3)
    log += [next(g), t.is_grad_enabled(), g.send("hello"), g.throw(KeyError("x")), t.is_grad_enabled()]
    g.close()
    log += list(outer())
    return log


def program_set_grad_enabled_with_a_number(t: Any) -> Any:
    t.set_grad_enabled("yes")


def program_mode_after_an_error(t: Any) -> Any:
    try:
        with t.no_grad():
            raise KeyError
    except KeyError:
        return t.is_grad_enabled()


def program_inference_tensors(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    with t.inference_mode():
        y = x * 2
        v = x[:1]
        plain = t.ones(2)
    # PyTorch says that v requires grad, for what it views does; nothing is recorded through it in either library.
    return [[r.is_inference(), r is v or r.requires_grad] for r in (y, v, plain, y * 1)], x.is_inference()


def program_inference_tensor_saved(t: Any) -> Any:
    with t.inference_mode():
        y = t.ones(2, dtype=t.float64)
    return leaf(t, 1.0, 2.0) * y


def program_inference_tensor_added(t: Any) -> Any:
    with t.inference_mode():
        y = t.ones(2, dtype=t.float64)
    x = leaf(t, 1.0, 2.0)
    (x + y).sum().backward()
    return x.grad


def program_inference_tensor_changed(t: Any) -> Any:
    with t.inference_mode():
        y = t.ones(2)
        y.add_(1)
    y.add_(1)


def program_inference_tensor_requires_grad(t: Any) -> Any:
    with t.inference_mode():
        y = t.ones(2)
    y.requires_grad_()


def program_normal_tensor_changed_in_inference(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = x * 1
    z = y * y
    with t.inference_mode():
        y.add_(1)
    z.sum().backward()


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    both(PROGRAMS[name])


def test_modes_nest() -> None:
    assert [[g, r] for g, _, r in program_modes(ag)][:6] == [
        [True, True], [False, False], [True, True], [False, False], [True, True], [False, False],
    ]  # fmt: skip


def test_one_mode_object_may_be_entered_inside_itself() -> None:
    """PyTorch leaves grad mode off for good after this."""
    mode = ag.no_grad()
    with mode:
        with mode:
            assert not ag.is_grad_enabled()
        assert not ag.is_grad_enabled()
    assert ag.is_grad_enabled()


def test_modes_are_of_one_thread() -> None:
    seen = []
    with ag.no_grad(), ag.autograd.detect_anomaly():
        thread = threading.Thread(target=lambda: seen.extend([ag.is_grad_enabled(), ag.is_anomaly_enabled()]))
        thread.start()
        thread.join()
    assert seen == [True, False]
