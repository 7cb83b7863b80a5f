"""Programs that change Tensors and views in place, for either library: base x view x op x mode x use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

BASES: dict[str, Callable[[Any, Any], Any]] = {
    "leaf": lambda t, w: w,
    "non-leaf": lambda t, w: w * 1.5,
    "plain": lambda t, w: t.arange(12.0, dtype=t.float64).reshape(3, 4).clone() + 0.5,
    "detached": lambda t, w: (w * 1.5).detach(),
    "detached leaf": lambda t, w: w.detach(),
    "data": lambda t, w: (w * 1.5).data,
    "saved output": lambda t, w: (w * 0.1).exp(),
    "of several": lambda t, w: (w * 1.5).split(3)[0],
}


def _no_grad_view(t: Any, x: Any) -> Any:
    with t.no_grad():
        return x[1:]


VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "itself": lambda t, x: x,
    "row": lambda t, x: x[1],
    "rows": lambda t, x: x[1:],
    "element": lambda t, x: x[0, 1],
    "column of transposed": lambda t, x: x.t()[1],
    "steps of flat": lambda t, x: x.view(-1)[2:9:3] if x.is_contiguous() else x[:, ::2],
    "with new dims": lambda t, x: x.unsqueeze(0)[..., None],
    "permuted rows": lambda t, x: x.unsqueeze(0).permute(2, 0, 1)[1:3],
    "first of chunks": lambda t, x: x.chunk(3)[0],
    "row of unbound": lambda t, x: x.unbind(0)[1],
    "narrowed": lambda t, x: x.narrow(1, 1, 2),
    "diagonal": lambda t, x: x.diagonal(),
    "made under no_grad": _no_grad_view,
    "detached": lambda t, x: x.detach()[0],
    "data": lambda t, x: x.data[0],
    "expanded": lambda t, x: x[:1].expand(3, 4),
}

OPS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add_ number": lambda t, v, p: v.add_(1),
    "mul_ number": lambda t, v, p: v.mul_(2),
    "mul_ parameter": lambda t, v, p: v.mul_(p[0]),
    "mul_ itself": lambda t, v, p: v.mul_(v),
    "exp_": lambda t, v, p: v.mul_(0.1).exp_(),
    "tanh_": lambda t, v, p: v.tanh_(),
    "zero_": lambda t, v, p: v.zero_(),
    "fill_": lambda t, v, p: v.fill_(3.0),
    "copy_ parameter": lambda t, v, p: v.copy_(p[0] * 2),
    "assignment": lambda t, v, p: v.__setitem__(..., p[1]),
    "pow_": lambda t, v, p: v.pow_(3),
    "two ops": lambda t, v, p: v.sub_(1).div_(p[1]),
}

USES = ("base", "view", "both", "sibling", "saved before", "view saved before")


class Case(NamedTuple):
    base: str
    view: str
    op: str
    grad_mode: bool
    use: str


def cases() -> Iterator[Case]:
    for parts in itertools.product(BASES, VIEWS, OPS, (True, False), USES):
        yield Case(*parts)


class Outcome(NamedTuple):
    """What a program came to: an error (where, kind) or numbers; ``flags`` are requires_grad and is_leaf."""

    error: str
    numbers: tuple[Any, ...]
    flags: tuple[Any, ...]


def _list(x: Any) -> Any:
    return None if x is None else x.detach().tolist()


def run(t: Any, case: Case) -> Outcome:
    """One program; numbers are rounded by the comparison, not here."""
    w = (t.arange(12.0, dtype=t.float64).reshape(3, 4) * 0.25 + 0.5).requires_grad_()
    p = t.tensor([2.0, 0.5], dtype=t.float64, requires_grad=True)
    base = BASES[case.base](t, w)
    before = None
    try:
        if case.use == "saved before":
            before = base * base
        sibling = base[1] if case.use == "sibling" else None
        view = VIEWS[case.view](t, base)
        if case.use == "view saved before":
            before = view * view
    except RuntimeError as error:
        return Outcome(f"view: {kind(error)}", (), ())
    mode = t.enable_grad() if case.grad_mode else t.no_grad()
    try:
        with mode:
            OPS[case.op](t, view, p)
    except RuntimeError as error:
        return Outcome(f"op: {kind(error)}", (), ())
    try:
        parts = {
            "base": [base], "view": [view], "both": [base, view, w], "sibling": [sibling, base],
            "saved before": [before, base], "view saved before": [before, view, base],
        }[case.use]  # fmt: skip
        flags = tuple((p.requires_grad, p.is_leaf) for p in parts) if case.view != "made under no_grad" else ()
        loss = sum(((p * p).sum() for p in parts[1:]), (parts[0] * 3).sum())
        values = tuple(_list(p) for p in (base, view))
        if not loss.requires_grad:
            return Outcome("", (values, None), flags)
    except RuntimeError as error:
        return Outcome(f"use: {kind(error)}", (), ())
    try:
        loss.backward()
    except RuntimeError as error:
        return Outcome(f"backward: {kind(error)}", (values,), flags)
    return Outcome("", (values, _list(w.grad), _list(p.grad)), flags)


def kind(error: Exception) -> str:
    """Which of the known reasons an error gives, in words that both libraries use."""
    text = str(error)
    for name, mark in (
        ("leaf view", "a view of a leaf"),
        ("leaf", "a leaf Variable that requires grad"),
        ("several views", "function that returns multiple views"),
        ("no_grad view", "created in no_grad mode"),
        ("saved value changed", "modified by an inplace operation"),
        ("overlap", "refers to a single memory location"),
        ("no grad", "does not require grad"),
    ):
        if mark in text:
            return name
    return f"other: {text[:80]}"
