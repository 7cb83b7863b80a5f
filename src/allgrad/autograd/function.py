"""``autograd.Function``: an operation whose derivative the user writes.

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    y = Double.apply(x)

Its node stands in the graph like that of any op; each output hangs on it by a ``pick``.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.function_ctx import FunctionCtx
from allgrad.autograd.inplace import bump, rebase, untracked_error
from allgrad.autograd.node import Node, pick
from allgrad.autograd.pulling import alias
from allgrad.autograd.record import edge, note_trace
from allgrad.autograd.value import Variable, View, wrap
from allgrad.context import ctx as context
from allgrad.errors import DtypeError, GradientError, InplaceError, UnsupportedError
from allgrad.ops.op import Op, Plan, Pull

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class Function:
    """Base of operations with a derivative of their own: give it ``forward`` and ``backward``, call ``apply``."""

    _op: Op
    _plans: dict[tuple[int, bool], Plan]

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls._op = made = Op(_never, name=f"{cls.__name__}Backward", view=False, ufunc=None, multi=True)
        made.fused = Pull(functools.partial(_backward, cls), made)
        made.differentiable = True
        made.fills = False
        cls._plans = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise GradientError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            f"function with static forward method, and call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value: ``forward(ctx, *args)``, or ``forward(*args)`` where ``setup_context`` is given too."""
        raise UnsupportedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """What backward needs, noted on ``ctx`` after a forward that has no ``ctx``."""
        raise UnsupportedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of each argument of forward, None where there is none."""
        raise UnsupportedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record it.  Keyword arguments take their places in forward's order."""
        with_setup = cls.setup_context is not Function.setup_context
        if kwargs or with_setup:
            args = _positional(cls.forward, args, kwargs, with_setup)
        edges = [edge(a) if isinstance(a, Variable) else None for a in args]
        recording = context.grad_enabled and not context.inference and any(e is not None for e in edges)
        call = FunctionCtx(tuple(e is not None for e in edges))
        call.were_tensors = tuple(isinstance(a, Variable) for a in args)
        mode, context.grad_enabled = context.grad_enabled, False
        try:
            if with_setup:
                result = cls.forward(*args)
                cls.setup_context(call, args, result)
            else:
                result = cls.forward(call, *args)
        finally:
            context.grad_enabled = mode
        outs = list(result) if isinstance(result, (tuple, list)) else [result]
        _check_dirty(call, args, outs, recording)
        node = cls._record(call, edges, outs) if recording else None
        outs = [_output(call, args, out, node, k) for k, out in enumerate(outs)]
        if node is not None:
            call.keep(node, outs)
        return tuple(outs) if isinstance(result, (tuple, list)) else outs[0]

    @classmethod
    def _record(cls, call: FunctionCtx, edges: list[Any], outs: list[Any]) -> Node:
        mask = sum(1 << i for i, e in enumerate(edges) if e is not None)
        key = (mask, bool(call.to_save))
        plan = cls._plans.get(key)
        if plan is None:
            plan = cls._plans[key] = Plan(cls._op, mask)
            plan.keeps_arrays = bool(call.to_save)  # so that free() drops what was saved
        shapes = [o._a.shape if isinstance(o, Variable) else None for o in outs]
        dtypes = [o._a.dtype if isinstance(o, Variable) else None for o in outs]
        node = Node(cls._op, {"call": call}, plan, tuple(edges), shapes, dtypes)
        call.node = weakref.ref(node)
        note_trace(node)
        return node


def _never(*xs: Any, call: FunctionCtx) -> Any:
    raise GradientError("a custom Function runs through apply()")


def _positional(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], with_setup: bool
) -> tuple[Any, ...]:
    signature = inspect.signature(forward)
    bound = signature.bind(*args, **kwargs) if with_setup else signature.bind(None, *args, **kwargs)
    if with_setup:
        bound.apply_defaults()
    if bound.kwargs:
        raise DtypeError(f"apply() takes no keyword-only arguments, got {', '.join(bound.kwargs)}")
    return bound.args if with_setup else bound.args[1:]


def _check_dirty(call: FunctionCtx, args: tuple[Any, ...], outs: list[Any], recording: bool) -> None:
    for x in call.dirty:
        if not any(x is a for a in args):
            raise GradientError("mark_dirty: every Tensor marked as dirty must be an input of the Function")
        if not any(x is o for o in outs):
            raise GradientError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                "are modified inplace must all be outputs of the Function."
            )
        bump(x, "mark_dirty")
        if recording and x._rg and x._node is None:
            raise InplaceError("a leaf Variable that requires grad has been used in an in-place operation.")
        if recording and x._view is not None:
            if x._view.untracked:
                raise untracked_error(x, "mark_dirty")
            if len(outs) > 1:
                raise InplaceError(
                    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                    "return more than one Tensor. This is not supported by the current autograd engine. You should "
                    "either make sure the input is not a view (using .clone() for example) or make your Function only "
                    "return one Tensor (potentially splitting it into two Functions: one doing the inplace that "
                    "returns a single Tensor and a second one that does the other operations)."
                )


def _output(call: FunctionCtx, args: tuple[Any, ...], out: Any, node: Node | None, k: int) -> Any:
    """One result as the caller gets it: joined to the node where it has a gradient."""
    if not isinstance(out, Variable):
        return out
    is_input = any(out is a for a in args)
    dirty = any(out is d for d in call.dirty)
    unwanted = call.without_gradient(out)
    if is_input and not dirty:
        # Returned as it came: the caller gets a view of it, so that the input keeps its own history.
        given, out = out, wrap(out._a)
        out._cell = given._cell
        base = given if given._view is None else given._view.base
        chain = () if given._view is None else given._view.chain
        out._view = View(base, chain + ((alias, {}),), out._cell[0], "function")
    elif out._rg or (out._node is not None and not dirty):
        given, out = out, wrap(out._a)  # something recorded elsewhere; its history is not what this Function says
        out._cell = given._cell
    elif out._view is not None and not dirty:
        out._view.untracked = "function"
    if node is None or out._a.dtype.kind in "iub" or unwanted:
        if is_input and unwanted:
            out._view = None
        return out
    made = Node(pick, {"index": k}, pick.plan(1), (node,), out._a.shape, out._a.dtype)
    if dirty:
        rebase(out, made)
    else:
        out._node = made
    return out


def _backward(cls: type[Function], gs: Sequence[Any], *, call: FunctionCtx, wanted: Any) -> list[Any]:
    """Run a Function's backward: with Tensors always, for a user wrote it; arrays go in and out elsewhere."""
    recorded = context.grad_enabled
    shown = [None if g is None else g if isinstance(g, Variable) else wrap(g) for g in gs]
    node = call.node()
    if call.materialize and node is not None:
        shown = [
            wrap(np.zeros(shape, dtype)) if g is None and shape is not None else g
            for g, shape, dtype in zip(shown, node.shape, node.dtype)
        ]
    rule = cls.backward if cls.backward is not Function.backward else cls.vjp
    result = rule(call, *shown)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    while len(results) > len(wanted) and results[-1] is None:
        results.pop()
    if len(results) != len(wanted):
        raise GradientError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients (expected {len(wanted)}, "
            f"got {len(results)})"
        )
    for i, g in enumerate(results):
        if g is None:
            continue
        if not call.were_tensors[i]:
            raise GradientError(
                f"function {cls.__name__}Backward returned a gradient different than None at position {i + 1}, but "
                "the corresponding forward input was not a Variable"
            )
        if not isinstance(g, Variable):
            raise GradientError(f"expected Variable or None (got {type(g).__name__}) from {cls.__name__}Backward")
    return [None if g is None or not w else g if recorded else g._a for g, w in zip(results, wanted)]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward that cannot itself be differentiated: doing so is an error, not a wrong number."""

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        mode, context.grad_enabled = context.grad_enabled, False
        try:
            result = backward(ctx, *grads)
        finally:
            context.grad_enabled = mode
        edges = [edge(g) for g in grads if isinstance(g, Variable)]
        if not mode or not any(e is not None for e in edges):
            return result
        several = isinstance(result, tuple)
        barred = [_barred(g, edges) if isinstance(g, Variable) else g for g in (result if several else (result,))]
        return tuple(barred) if several else barred[0]

    return once


def _barred(g: Variable, edges: list[Any]) -> Any:
    if g._a.dtype.kind in "iub":
        return g
    t = wrap(g._a)
    t._node = Node(_barrier, {}, _barrier.plan(1), tuple(edges), g._a.shape, g._a.dtype)
    return t


def _refuse(g: Any, *, wanted: Any) -> Any:
    raise GradientError("trying to differentiate twice a function that was marked with @once_differentiable")


_barrier = Op(lambda x: x, name="error", view=False, ufunc=None, multi=False)
_barrier.pull_all(_refuse)
