"""In-place operations: the memory changes, the version goes up, the graph is rebased.

``x.mul_(y)`` is recorded as the op ``mul`` whose result takes the place of ``x``.  If ``x`` is a view, its base
is rebased too: the base's new node is ``view_scatter(old base, new x)``, and every other view of that base is
recorded again when it is next used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.explain import broadcast_shape, explained
from allgrad.autograd.node import Node
from allgrad.autograd.record import Selected, Variable, _save, edge, refresh, run
from allgrad.context import ctx
from allgrad.errors import DtypeError, InplaceError, ShapeError
from allgrad.ops.op import Op, op

Array = np.ndarray[Any, Any]


@op(name="view_scatter")
def view_scatter(base: Array, src: Array, *, chain: tuple[tuple[Op, dict[str, Any]], ...]) -> Array:
    """``base`` with the view that ``chain`` makes of it replaced by ``src``: (...) -> (...)."""
    y = base.copy()
    np.copyto(_through(chain, y), src)
    return y


def _through(chain: Any, x: Any) -> Any:
    for view, meta in chain:
        x = view(x, **meta)
    return x


view_scatter.pull(
    base=lambda g, src_shape, *, chain: view_scatter(g, np.zeros(src_shape, _np_dtype(g)), chain=chain),
    src=lambda g, *, chain: _through(chain, g),
)


def _np_dtype(g: Any) -> Any:
    return g._a.dtype if isinstance(g, Variable) else g.dtype


def check_inplace(x: Variable, name: str) -> None:
    """Errors if autograd forbids changing ``x`` in place now; PyTorch's reasons."""
    if not ctx.grad_enabled:
        if x._inference and not ctx.inference:
            _refuse_inference()
        return
    if x._inference and not ctx.inference:
        _refuse_inference()
    view = x._view
    if x._rg and x._node is None and view is None:
        raise InplaceError(
            f"a leaf Variable that requires grad is being used in an in-place operation ({name}). "
            "Put it under torch.no_grad(), or change a copy"
        )
    if view is not None and view.base._rg and view.base._node is None:
        raise InplaceError(
            f"a view of a leaf Variable that requires grad is being used in an in-place operation ({name}). "
            "Put it under torch.no_grad(), or change a copy"
        )
    if view is not None and edge(view.base) is not None:
        if view.untracked == "no_grad":
            raise InplaceError(
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled. This view "
                "is not tracked; create it with grad mode enabled, or modify it under no_grad too"
            )
        if any(isinstance(link[0], Selected) for link in view.chain):
            raise InplaceError(
                f"Output of {view.chain[-1][0].op.name} is a view and is being modified inplace ({name}). This view is "
                "the output of a function that returns multiple views. Such functions do not allow the output views "
                "to be modified inplace. You should replace the inplace operation by an out-of-place one."
            )


def _refuse_inference() -> None:
    raise InplaceError(
        "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a "
        "normal tensor before doing inplace update."
    )


def apply_inplace(op: Op, x: Any, others: tuple[Any, ...] = (), meta: dict[str, Any] | None = None) -> Any:
    """``x`` becomes ``op(x, *others)``: same memory, same shape and dtype; returns ``x``."""
    meta = meta or {}
    check_inplace(x, op.name + "_")
    inputs = (x, *others)
    parents = _parents(op, inputs) if ctx.grad_enabled else None
    arrays = [i._a if isinstance(i, Variable) else i for i in inputs]
    target = x._a
    if parents is None:
        if op.ufunc is not None and not meta:
            _fits(op, x, broadcast_shape(*arrays), _result_dtype(op, arrays))
            op.ufunc(*arrays, out=target, casting="unsafe")
        elif op.write is not None:
            _write(op, x, arrays, meta)
        else:
            y = run(op, arrays, meta)
            _fits(op, x, np.shape(y), np.asarray(y).dtype)
            np.copyto(target, y, casting="unsafe")
        bump(x, op.name + "_")
        return x
    mask = sum(1 << i for i, p in enumerate(parents) if p is not None)
    plan = op.plan(mask)
    if op.write is not None and not plan.keeps_out and 0 not in plan.keeps_input:
        _write(op, x, arrays, meta)
        node = Node(op, meta, plan, tuple(parents), target.shape, target.dtype)
        bump(x, op.name + "_")
        if plan.keep:
            _save(node, inputs, arrays, (x,))
        rebase(x, node)
        return x
    if 0 in plan.keeps_input:
        arrays[0] = target.copy()
    y = np.asarray(run(op, arrays, meta))
    _fits(op, x, y.shape, y.dtype)
    node = Node(op, meta, plan, tuple(parents), target.shape, target.dtype)
    np.copyto(target, y, casting="unsafe")
    bump(x, op.name + "_")
    if plan.keep:
        # Its own copy of x stands for the old value; the output is x itself.
        _save(node, (_Old(arrays[0]), *others), arrays, (x,))
    rebase(x, node)
    return x


def _write(op: Op, x: Any, arrays: list[Any], meta: dict[str, Any]) -> None:
    if not x._a.flags.writeable:
        raise InplaceError(
            f"unsupported operation ({op.name}_): more than one element of the written-to tensor refers to a single "
            "memory location, or its memory is read-only. Please clone() the tensor before performing the operation."
        )
    try:
        op.write(*arrays, **meta)  # type: ignore[misc]
    except (ValueError, TypeError, IndexError) as error:
        raise explained(op, arrays, error) from error


class _Old(Variable):
    """The value of x before the change, as a saved input."""

    def __init__(self, array: Array) -> None:
        self._a = array
        self._version = [0]


def _parents(op: Op, inputs: tuple[Any, ...]) -> list[Any] | None:
    found = [edge(i) if isinstance(i, Variable) else None for i in inputs]
    return found if op.differentiable and any(e is not None for e in found) else None


def _fits(op: Op, x: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if shape != x._a.shape:
        raise ShapeError(
            f"output with shape {list(x._a.shape)} doesn't match the broadcast shape {list(shape)} in {op.name}_"
        )
    if _category(dtype) > _category(x._a.dtype):
        from_, to = _torch_name(dtype), _torch_name(x._a.dtype)
        raise DtypeError(f"result type {from_} can't be cast to the desired output type {to} in {op.name}_")


def _result_dtype(op: Op, arrays: list[Any]) -> Any:
    found = np.result_type(*arrays)
    return np.dtype(np.float32) if op.name == "div" and found.kind in "iub" else found


def _category(dtype: Any) -> int:
    return {"b": 0, "i": 1, "u": 1}.get(dtype.kind, 2)


def _torch_name(dtype: Any) -> str:
    names = {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "bool": "Bool"}
    return names.get(dtype.name, dtype.name)


def bump(x: Variable, name: str) -> None:
    """Note that the memory of ``x`` changed, and by what."""
    version = x._version
    version[0] += 1
    if len(version) == 1:
        version.append(name)
    else:
        version[1] = name


def rebase(x: Variable, node: Node | None) -> None:
    """Let ``node`` be where ``x`` comes from; if ``x`` is a view, its base comes from a scatter of it."""
    view = x._view
    if view is None:
        x._node = node
        x._rg = False
        x._epoch += 1
        return
    base = view.base
    parents = (edge(base), node)
    mask = (1 if parents[0] is not None else 0) | (2 if node is not None else 0)
    if mask == 0:
        return
    chain = view.chain
    scatter = Node(view_scatter, {"chain": chain}, view_scatter.plan(mask), parents, base._a.shape, base._a.dtype)
    scatter.saved = [x._a.shape if kind == "shape" else None for kind, _ in scatter.plan.keep]
    base._node = scatter
    base._rg = False
    base._epoch += 1
    refresh(x)


def write(x: Any, name: str, array: Array) -> Any:
    """Overwrite the values of ``x`` with ``array`` where nothing of the old value matters: fill, normal, zero.

    Under grad mode ``x`` keeps requiring grad if it did, with a zero gradient for what was overwritten.
    """
    check_inplace(x, name)
    np.copyto(x._a, array, casting="unsafe")
    bump(x, name)
    if ctx.grad_enabled and edge(x) is not None:
        parents = (edge(x),)
        rebase(x, Node(overwrite, {}, overwrite.plan(1), parents, x._a.shape, x._a.dtype))
    return x


@op(name="overwrite")
def overwrite(x: Array) -> Array:
    """A value of which nothing is left: its gradient is zero."""
    return x


overwrite.pull(x=lambda g: g * 0)
