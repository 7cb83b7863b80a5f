"""``grad``, ``vjp``, ``jvp``: functions in, functions out; they nest to any order and see what a closure brings.

A transformed function runs on stand-ins of its arguments.  Its results stay in the graph only if they depend on
something outside it that requires grad (a parameter in a closure, the stand-in of an enclosing transformation).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.autograd import differentiate
from allgrad.autograd.modes import enable_grad
from allgrad.autograd.node import Node
from allgrad.autograd.record import Variable, edge, wrap
from allgrad.context import ctx
from allgrad.errors import DtypeError, GradientError, IndexRangeError
from allgrad.func import trees
from allgrad.ops.op import TABLE


class Run:
    """One call of a transformed function: stand-ins in, and whether its results have a history outside of it."""

    def __init__(self) -> None:
        self.recording = ctx.grad_enabled
        self.own: set[Any] = set()

    def stand_in(self, x: Any) -> Any:
        """What the function sees in place of ``x``: a view with a place of its own in the graph."""
        if not isinstance(x, Variable):
            return x
        if edge(x) is not None and self.recording:
            return TABLE["reshape"](x, shape=x._a.shape)
        t = wrap(x._a)
        t._cell = x._cell
        if t._a.dtype.kind in "iub":
            return t
        t._rg = True
        self.own.add(t)
        return t

    def reaches_out(self, results: Sequence[Any]) -> bool:
        """Whether a result depends on something that requires grad and is not ours."""
        if not self.recording:
            return False
        seen: set[Any] = set()
        stack = [e for t in results if (e := edge(t)) is not None]
        while stack:
            e = stack.pop()
            if e in seen:
                continue
            seen.add(e)
            if isinstance(e, Node):
                stack += [p for p in e.parents if p is not None]
            elif e not in self.own:
                return True
        return False

    def released(self, tree: Any, kept: bool) -> Any:
        """A result as the caller gets it."""
        return tree if kept else trees.mapped(_detached, tree)


def _detached(t: Any) -> Any:
    return t.detach() if isinstance(t, Variable) else t  # type: ignore[attr-defined]


def pulled(
    ys: Sequence[Any], xs: Sequence[Any], vs: Sequence[Any] | None, create_graph: bool, retain_graph: bool = True
) -> list[Any]:
    """Gradients of ``ys`` by ``xs``; zeros where nothing flows."""
    live = [i for i, y in enumerate(ys) if edge(y) is not None]
    found: Sequence[Any] = [None] * len(xs)
    if live and xs:
        seeds = None if vs is None else [vs[i] for i in live]
        found = differentiate.grad(
            [ys[i] for i in live], xs, seeds, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True
        )
    return [wrap(np.zeros_like(x._a)) if g is None else g for g, x in zip(found, xs)]


def chosen(args: Sequence[Any], argnums: Any, run: Run) -> tuple[list[Any], Any]:
    """The arguments with stand-ins at ``argnums``; and those stand-ins, a tuple if ``argnums`` is one."""
    one = isinstance(argnums, int)
    at = []
    for n in (argnums,) if one else argnums:
        if not -len(args) <= n < len(args):
            raise IndexRangeError(f"Got argnum={n}, but only {len(args)} positional inputs")
        at.append(n % len(args))
    new = list(args)
    for n in at:
        new[n] = trees.mapped(run.stand_in, args[n])
        if not all(isinstance(t, Variable) and t._a.dtype.kind not in "iub" for t in trees.leaves(new[n])):
            raise DtypeError(f"argument {n} is to be differentiated by: it must hold floating point Tensors only")
    return new, new[at[0]] if one else tuple(new[n] for n in at)


def with_aux(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    """A result and what came with it."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise GradientError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True, got {type(result).__name__}"
        )
    return result


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of the scalar ``func`` by argument ``argnums``, and its value.

    With ``has_aux`` ``func`` returns (value, aux), and this (gradient, (value, aux)).
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        run = Run()
        with enable_grad():
            new, asked = chosen(args, argnums, run)
            value, aux = with_aux(func(*new, **kwargs), has_aux, "grad_and_value")
            if not isinstance(value, Variable):
                raise GradientError(f"Expected the function to return a scalar tensor, got {type(value).__name__}")
            if value._a.ndim:
                raise GradientError(
                    f"Expected the function to return a scalar tensor, got a tensor with {value._a.ndim} dims. Maybe "
                    "you wanted to use the vjp or jacrev APIs instead?"
                )
            kept = run.reaches_out([value])
            found = pulled([value], trees.leaves(asked), None, kept, retain_graph=kept)
        gradient = run.released(trees.rebuilt(asked, found), kept)
        value = run.released(value, kept)
        return (gradient, (value, run.released(aux, kept))) if has_aux else (gradient, value)

    return both


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of the scalar ``func`` by argument ``argnums`` (with aux, if it has one).

    >>> import allgrad as torch
    >>> torch.func.grad(torch.func.grad(lambda x: x**3))(torch.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """``func(*primals)``, and a function from output gradients to a tuple of input gradients (and aux)."""
    run = Run()
    with enable_grad():
        xs = tuple(trees.mapped(run.stand_in, p) for p in primals)
        result, aux = with_aux(func(*xs), has_aux, "vjp")
    ys = trees.tensors(result)
    kept = run.reaches_out(ys)

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given: Any = cotangents[0] if len(cotangents) == 1 else cotangents
        vs = trees.tensors(given)
        if len(vs) != len(ys) or any(v._a.shape != y._a.shape for v, y in zip(vs, ys)):
            raise GradientError(
                f"Expected cotangents of the shapes of the outputs, {[list(y._a.shape) for y in ys]}, got "
                f"{[list(v._a.shape) for v in vs]}"
            )
        outer = Run()
        on = (
            outer.recording and (kept or any(edge(v) is not None for v in vs)) if create_graph is None else create_graph
        )
        flat = [t for t in trees.tensors(xs) if t._a.dtype.kind not in "iub"]
        found = iter(pulled(ys, flat, vs, on, retain_graph))
        return trees.mapped(lambda t: None if t._a.dtype.kind in "iub" else next(found), xs)

    out = run.released(result, kept)
    return (out, pull, run.released(aux, kept)) if has_aux else (out, pull)


def _linear(func: Callable[..., Any], primals: Any, has_aux: bool) -> tuple[Any, Any, Any, Callable[..., Any]]:
    """The result, aux, structure, and the map tangents -> J tangents, through J^T u, which is linear in u."""
    run = Run()
    with enable_grad():
        xs = tuple(trees.mapped(run.stand_in, p) for p in primals)
        result, aux = with_aux(func(*xs), has_aux, "jvp")
        ys, flat = trees.tensors(result), trees.tensors(xs)
        us = [wrap(np.zeros_like(y._a)).requires_grad_() for y in ys]
        transposed = pulled(ys, flat, us, True)
    kept = run.reaches_out(ys)

    def push(tangents: Sequence[Any]) -> Any:
        vs = trees.tensors(tangents)
        if len(vs) != len(flat) or any(v._a.shape != x._a.shape for v, x in zip(vs, flat)):
            raise GradientError(
                f"Expected tangents of the shapes of the primals, {[list(x._a.shape) for x in flat]}, got "
                f"{[list(v._a.shape) for v in vs]}"
            )
        on = ctx.grad_enabled and (kept or any(edge(v) is not None for v in vs))
        with enable_grad():
            found = pulled(transposed, us, vs, on)
        return run.released(trees.rebuilt(result, found), on)

    return run.released(result, kept), run.released(aux, kept), result, push


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, ...]:
    """``func(*primals)`` and its Jacobian times ``tangents`` (and aux); by two backward passes."""
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or len(primals) != len(tangents):
        raise GradientError("jvp: Expected primals and tangents to be tuples of the same length")
    out, aux, _, push = _linear(func, primals, has_aux)
    return (out, push(tangents), aux) if has_aux else (out, push(tangents))


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """``func(*primals)``, and its derivative there as a function of tangents; the graph is made once."""
    out, _, _, push = _linear(func, primals, False)
    return out, lambda *tangents: push(tangents)
