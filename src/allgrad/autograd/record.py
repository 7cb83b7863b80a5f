"""Recording: run an op on Tensors, and note in the graph what was done."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd import value
from allgrad.autograd.explain import explained
from allgrad.autograd.node import Node, RemovableHandle, as_function, pick
from allgrad.autograd.saved import save, save_plain
from allgrad.autograd.value import Variable, View, wrap
from allgrad.context import ctx
from allgrad.errors import GradientError, InplaceError
from allgrad.ops.op import Op, aliases

__all__ = [
    "Selected", "Variable", "View", "add_hook", "apply", "edge", "note_trace", "put_node", "refresh", "run", "use_face", "wrap",
]  # fmt: skip

Array = np.ndarray[Any, Any]
_face: type[Variable] = Variable
_new = object.__new__


def use_face(face: type[Variable]) -> None:
    """Make ``face`` the class of every recorded result."""
    global _face
    _face = face
    value.use_face(face)


def edge(x: Variable) -> Any:
    """Where the gradient of ``x`` goes: its node, itself if it is a leaf that requires grad, or None."""
    if x._view is not None:
        refresh(x)
    node = x._node
    if node is not None:
        return node
    return x if x._rg else None


def refresh(x: Variable) -> None:
    """Record a view again if its memory was changed in place since: its base may come from elsewhere now.

    InplaceError for a view that autograd cannot make again.
    """
    view = x._view
    if view is None or view.version == x._cell[0]:
        return
    base = view.base
    while base._view is not None:  # x.t_() after x[0]: what x was is the base now
        base = view.base = base._view.base
    if x._node is None and base._node is None and not base._rg:
        return
    if view.untracked:
        raise untracked_error(x, None)
    view.version = x._cell[0]
    if edge(base) is not None:
        mode, ctx.grad_enabled = ctx.grad_enabled, True
        try:
            put_node(x, view.of(base)._node)
        finally:
            ctx.grad_enabled = mode


def untracked_error(x: Variable, name: str | None) -> InplaceError:
    """Why autograd cannot follow an in-place change of the view ``x`` (by ``name``), or of its base (None)."""
    node = x._node
    output = "This Tensor" if node is None else f"Output {node.meta.get('index', 0)} of {as_function(node)[0].name()}"
    how = (
        f"is being modified inplace ({name})"
        if name
        else "its base or another view of its base has been modified inplace"
    )
    return InplaceError(f"{output} is a view and {how}. {_UNTRACKED[x._view.untracked]}")  # type: ignore[union-attr]


_UNTRACKED = {
    "no_grad": "This view was created in no_grad mode and is being modified inplace with grad mode enabled. It is not "
    "tracked; make the view with grad mode enabled, or modify it under no_grad too.",
    "multi": "This view is the output of a function that returns multiple views. Such functions do not allow the output "
    "views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    "function": "This view was created inside a custom Function (or because an input was returned as-is) and the "
    "autograd logic to handle view+inplace would override the custom backward associated with the custom Function, "
    "leading to incorrect gradients. You can fix this by cloning the output of the custom Function.",
}


def put_node(x: Variable, node: Node | None) -> None:
    """Let ``node`` be where ``x`` comes from; a wish to retain the gradient of ``x`` moves there."""
    before = x._node
    if before is not None and before.retained is not None and before.retained() is x:
        if node is not None:
            node.retain(before.retained)
        before.retain(None)
    x._node = node


def apply(op: Op, inputs: tuple[Any, ...], meta: dict[str, Any]) -> Any:
    """Run ``op`` on inputs (Tensors, arrays, numbers) and record it if one of them wants a gradient."""
    arrays = []
    mask = 0  # bit i: input i wants a gradient
    if op.differentiable and ctx.grad_enabled:
        parents: list[Any] = []
        bit = 1
        for x in inputs:
            e = None
            if isinstance(x, Variable):
                arrays.append(x._a)
                if x._view is not None:
                    e = edge(x)
                else:
                    e = x._node
                    if e is None and x._rg:
                        e = x
                if e is not None:
                    mask |= bit
            else:
                arrays.append(x)
            parents.append(e)
            bit <<= 1
    else:
        arrays = [x._a if isinstance(x, Variable) else x for x in inputs]
    try:
        y = op.forward(*arrays, **meta)
    except (ValueError, TypeError, IndexError) as error:
        raise explained(op, arrays, error) from error
    if op.multi:
        return _wrap_outputs(op, inputs, meta, arrays, parents if mask else None, y)
    kept = None
    if op.keeps:
        y, kept = y
    out = _new(_face)
    out._a = y = y if type(y) is np.ndarray else np.asarray(y)
    out._cell = [0]
    if op.view and y.base is not None and aliases(y, arrays[0]):
        _link_view(out, inputs[0], op, meta)
    if ctx.inference:  # nothing is recorded; a view of a normal Tensor is a normal one
        out._inference = out._view is None or out._view.base._inference
    elif mask:
        dtype = y.dtype
        if dtype.kind not in "iub":
            plan = op._plans.get(mask) or op.plan(mask)
            out._node = node = Node(op, meta, plan, tuple(parents), y.shape, dtype)
            if plan.keep:
                if plan.plain is None or ctx.saved_hooks:
                    save(node, inputs, arrays, (out,), kept)
                else:
                    save_plain(node, plan.plain, inputs, arrays, out)
            if ctx.anomaly:
                note_trace(node)
    return out


def run(op: Op, arrays: Sequence[Any], meta: dict[str, Any]) -> Any:
    """The op's forward on arrays, NumPy's errors told in this library's words."""
    try:
        return op.forward(*arrays, **meta)[0] if op.keeps else op.forward(*arrays, **meta)
    except (ValueError, TypeError, IndexError) as error:
        raise explained(op, arrays, error) from error


def _link_view(out: Variable, x: Any, op: Any, meta: dict[str, Any], untracked: str = "") -> None:
    if not isinstance(x, Variable):
        return
    out._cell = x._cell
    untracked = untracked if ctx.grad_enabled else "no_grad"
    view = x._view
    if view is None:
        out._view = View(x, ((op, meta),), x._cell[0], untracked)
    else:
        out._view = View(view.base, view.chain + ((op, meta),), x._cell[0], untracked or view.untracked)


def _wrap_outputs(
    op: Op, inputs: tuple[Any, ...], meta: dict[str, Any], arrays: list[Any], parents: list[Any] | None, ys: Any
) -> tuple[Any, ...]:
    outs = tuple(wrap(y) for y in ys)
    if op.view:
        for k, out in enumerate(outs):
            if out._a.base is not None and aliases(out._a, arrays[0]):
                _link_view(out, inputs[0], Selected(op, k), meta, "multi")
                out._inference = ctx.inference and out._view.base._inference
    if ctx.inference or parents is None or not any(o._a.dtype.kind not in "iub" for o in outs):
        return outs
    mask = sum(1 << i for i, p in enumerate(parents) if p is not None)
    plan = op.plan(mask)
    node = Node(op, meta, plan, tuple(parents), [o._a.shape for o in outs], [o._a.dtype for o in outs])
    for k, out in enumerate(outs):
        if out._a.dtype.kind not in "iub":
            out._node = Node(pick, {"index": k}, pick.plan(1), (node,), out._a.shape, out._a.dtype)
    if plan.keep:
        save(node, inputs, arrays, outs)
    note_trace(node)
    return outs


def note_trace(node: Node) -> None:
    """Under anomaly mode: where the op of ``node`` was called."""
    if ctx.anomaly:
        node.trace = traceback.extract_stack()[:-2]


class Selected:
    """One output of a view op with several, as a link of a view chain."""

    __slots__ = ("index", "op")

    def __init__(self, op: Op, index: int) -> None:
        self.op = op
        self.index = index

    def __call__(self, x: Any, **meta: Any) -> Any:
        return self.op(x, **meta)[self.index]


def add_hook(x: Variable, hook: Any) -> RemovableHandle:
    """Call ``hook(grad)`` when the gradient of ``x`` is known; it may return another gradient."""
    target = edge(x)
    if target is None:
        raise GradientError("cannot register a hook on a tensor that doesn't require gradient")
    if isinstance(target, Node):
        return target.register_tensor_hook(hook)
    if x._grad_hooks is None:
        x._grad_hooks = {}
    return RemovableHandle(x._grad_hooks, hook)
