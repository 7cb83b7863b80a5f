"""Recording: run an op on Tensors, and note in the graph what was done.

``Variable`` is the recorded value, without its face: the Tensor class (floor 3) gives it operators and methods
and registers itself here with ``use_face``, the one link that points upward.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.explain import explained
from allgrad.autograd.node import Node, RemovableHandle, pick
from allgrad.context import ctx
from allgrad.errors import GradientError
from allgrad.ops.op import Op, Recorded, aliases

Array = np.ndarray[Any, Any]


class View:
    """How a view was made: from ``base`` by a chain of (op, settings); ``epoch`` tells when its node is stale."""

    __slots__ = ("base", "chain", "epoch", "untracked")

    def __init__(
        self, base: Variable, chain: tuple[tuple[Op, dict[str, Any]], ...], epoch: int, untracked: str
    ) -> None:
        self.base = base
        self.chain = chain
        self.epoch = epoch
        self.untracked = untracked  # why in-place changes under grad mode are refused; "" where they are allowed

    def of(self, array: Any) -> Any:
        """The same view of another value."""
        for op, meta in self.chain:
            array = op(array, **meta)
        return array


class Variable(Recorded):
    """A recorded value: an array, and where its gradient comes from."""

    _a: Array
    _version: list[Any]  # shared by all that alias the memory: [number, name of the last op that changed it]
    _node: Node | None = None
    _rg: bool = False  # a leaf that requires grad
    _grad: Any = None
    _view: View | None = None
    _epoch: int = 0  # counts in-place changes that rebased the node: views made before are stale
    _grad_hooks: dict[int, Any] | None = None  # on a leaf's incoming gradient
    _post_hooks: dict[int, Any] | None = None  # after a leaf's gradient was accumulated
    _grad_buffer: Array | None = None  # where the first gradient is written, a span of a bucket; None: anywhere
    _inference: bool = False

    def _record(self, op: Op, inputs: tuple[Any, ...], meta: dict[str, Any]) -> Any:
        return apply(op, inputs, meta)


_face: type[Variable] = Variable
_new = object.__new__


def use_face(face: type[Variable]) -> None:
    """Make ``face`` the class of every recorded result."""
    global _face
    _face = face


def wrap(array: Any) -> Any:
    """A Tensor around an array, which is shared, not copied; requires no grad."""
    t = _new(_face)
    t._a = array if type(array) is np.ndarray else np.asarray(array)
    t._version = [0]
    if ctx.inference:
        t._inference = True
    return t


def edge(x: Variable) -> Any:
    """Where the gradient of ``x`` goes: its node, itself if it is a leaf that requires grad, or None."""
    if x._view is not None:
        refresh(x)
    node = x._node
    if node is not None:
        return node
    return x if x._rg else None


def refresh(x: Variable) -> None:
    """Record a view again if its base was changed in place since."""
    view = x._view
    if view is not None and view.epoch != view.base._epoch:
        view.epoch = view.base._epoch
        if edge(view.base) is not None:
            mode, ctx.grad_enabled = ctx.grad_enabled, True
            try:
                x._node = view.of(view.base)._node
            finally:
                ctx.grad_enabled = mode


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
    out = _new(_face)
    out._a = y = y if type(y) is np.ndarray else np.asarray(y)
    out._version = [0]
    if ctx.inference:
        out._inference = True
    elif op.view and y.base is not None and aliases(y, arrays[0]):
        _link_view(out, inputs[0], op, meta)
    if mask:
        dtype = y.dtype
        if dtype.kind not in "iub":
            plan = op._plans.get(mask) or op.plan(mask)
            out._node = node = Node(op, meta, plan, tuple(parents), y.shape, dtype)
            if plan.keep:
                _save(node, inputs, arrays, (out,))
            if ctx.anomaly:
                node.trace = traceback.extract_stack()[:-2]
    return out


def run(op: Op, arrays: Sequence[Any], meta: dict[str, Any]) -> Any:
    """The op's forward on arrays, NumPy's errors told in this library's words."""
    try:
        return op.forward(*arrays, **meta)
    except (ValueError, TypeError, IndexError) as error:
        raise explained(op, arrays, error) from error


def _link_view(out: Variable, x: Any, op: Op, meta: dict[str, Any]) -> None:
    if not isinstance(x, Variable):
        return
    out._version = x._version
    view = x._view
    untracked = "" if ctx.grad_enabled else "no_grad"
    if view is None:
        out._view = View(x, ((op, meta),), x._epoch, untracked)
    else:
        out._view = View(view.base, view.chain + ((op, meta),), view.base._epoch, view.untracked or untracked)


def _save(node: Node, inputs: tuple[Any, ...], arrays: list[Any], outs: tuple[Variable, ...]) -> None:
    saved: list[Any] = []
    versions: list[Any] = []
    for kind, i in node.plan.keep:
        if kind == "input":
            x = inputs[i]
            saved.append(arrays[i])
            if isinstance(x, Variable):
                if x._inference:
                    raise GradientError(
                        "Inference tensors cannot be saved for backward. To work around you can make a clone to get "
                        "a normal tensor and use it in autograd."
                    )
                version = x._version
                versions.append((version, version[0], i))
        elif kind == "out":
            saved.append(tuple([o._a for o in outs]) if node.op.multi else outs[0]._a)
            for o in outs:
                versions.append((o._version, o._version[0], -1))  # noqa: PERF401 - one output as a rule
        elif kind == "shape":
            saved.append(np.shape(arrays[i]))
        elif kind == "shapes":
            saved.append(tuple(np.shape(a) for a in arrays))
        else:
            saved.append(arrays[i].dtype)
    node.saved = saved
    node.versions = versions
    if ctx.saved_hooks and node.plan.keeps_arrays:
        pack, unpack = ctx.saved_hooks[-1]
        for k, (kind, i) in enumerate(node.plan.keep):
            if kind == "input" and isinstance(inputs[i], Variable):
                saved[k] = Packed(pack, unpack, saved[k], inputs[i])
            elif kind == "out" and not node.op.multi:
                saved[k] = Packed(pack, unpack, saved[k], outs[0])


class Packed:
    """A saved array behind a user's pack and unpack hooks."""

    __slots__ = ("held", "unpack_hook")

    def __init__(self, pack: Any, unpack: Any, array: Array, original: Variable) -> None:
        # The hook sees a detached Tensor: were it the recorded one, node and Tensor would keep each other alive.
        shown = wrap(array)
        shown._version = original._version
        mode, ctx.grad_enabled = ctx.grad_enabled, False
        hooks, ctx.saved_hooks = ctx.saved_hooks, []
        try:
            self.held = pack(shown)
        finally:
            ctx.grad_enabled = mode
            ctx.saved_hooks = hooks
        self.unpack_hook = unpack

    def unpack(self) -> Array:
        found = self.unpack_hook(self.held)
        if not isinstance(found, Variable):
            raise GradientError(f"Expected a Tensor from the unpack hook, found {type(found).__name__}")
        return found._a


def _wrap_outputs(
    op: Op, inputs: tuple[Any, ...], meta: dict[str, Any], arrays: list[Any], parents: list[Any] | None, ys: Any
) -> tuple[Any, ...]:
    outs = tuple(wrap(y) for y in ys)
    if op.view and not ctx.inference:
        for k, out in enumerate(outs):
            if out._a.base is not None and aliases(out._a, arrays[0]):
                _link_view(out, inputs[0], Selected(op, k), meta)  # type: ignore[arg-type]
    if parents is None or not any(o._a.dtype.kind not in "iub" for o in outs):
        return outs
    mask = sum(1 << i for i, p in enumerate(parents) if p is not None)
    plan = op.plan(mask)
    node = Node(op, meta, plan, tuple(parents), [o._a.shape for o in outs], [o._a.dtype for o in outs])
    for k, out in enumerate(outs):
        if out._a.dtype.kind not in "iub":
            out._node = Node(pick, {"index": k}, pick.plan(1), (node,), out._a.shape, out._a.dtype)
    if plan.keep:
        _save(node, inputs, arrays, outs)
    if ctx.anomaly:
        node.trace = traceback.extract_stack()[:-3]
    return outs


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
        if target.hooks is None:
            target.hooks = {}
        return RemovableHandle(target.hooks, hook)
    if x._grad_hooks is None:
        x._grad_hooks = {}
    return RemovableHandle(x._grad_hooks, hook)
