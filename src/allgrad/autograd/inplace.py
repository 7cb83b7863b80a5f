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
from allgrad.autograd.record import Variable, edge, note_trace, put_node, refresh, run, untracked_error
from allgrad.autograd.saved import save
from allgrad.context import ctx
from allgrad.errors import DtypeError, InplaceError, ShapeError
from allgrad.ops.op import Op, op

Array = np.ndarray[Any, Any]


@op(name="view_scatter")
def view_scatter(base: Array, src: Array, *, chain: tuple[tuple[Op, dict[str, Any]], ...]) -> Array:
    """``base`` with the view that ``chain`` makes of it replaced by ``src``: (...) -> (...)."""
    y = base.copy(order="K")
    view = _through(chain, y)
    if view.size and not np.may_share_memory(view, y):
        # The copy has another memory order than the base had, so here a reshape in the chain copies.
        places = _through(chain, np.arange(y.size).reshape(y.shape))
        y = y.reshape(-1)
        y[places] = src
        return y.reshape(base.shape)
    np.copyto(view, src)
    return y


def _through(chain: Any, x: Any) -> Any:
    for view, meta in chain:
        x = view(x, **meta)
    return x


view_scatter.pull(
    base=lambda g, src_shape, src_dtype, *, chain: view_scatter(g, np.zeros(src_shape, src_dtype), chain=chain),
    src=lambda g, *, chain: _through(chain, g),
)


def check_inplace(x: Variable, name: str, others: tuple[Any, ...] = ()) -> None:
    """Errors if ``x`` may not be changed in place now, by an op that also reads ``others``; PyTorch's reasons."""
    if x._inference and not ctx.inference:
        raise InplaceError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a "
            "normal tensor before doing inplace update."
        )
    if not x._a.flags.writeable:
        raise InplaceError(
            f"unsupported operation ({name}): more than one element of the written-to tensor refers to a single memory "
            "location, or its memory is read-only. Please clone() the tensor before performing the operation."
        )
    if not ctx.grad_enabled:
        return
    view = x._view
    # A view made under no_grad has no edge of its own, but what it views has a history to be kept right.
    wants = edge(x) is not None or (view is not None and edge(view.base) is not None)
    if view is not None and (wants or any(isinstance(o, Variable) and edge(o) is not None for o in others)):
        if view.untracked:
            raise untracked_error(x, name)
        if wants and view.base._node is None:
            raise InplaceError(
                f"a view of a leaf Variable that requires grad is being used in an in-place operation ({name}). "
                "Put it under torch.no_grad(), or change a copy"
            )
    if wants and x._node is None:
        raise InplaceError(
            f"a leaf Variable that requires grad is being used in an in-place operation ({name}). "
            "Put it under torch.no_grad(), or change a copy"
        )


def apply_inplace(op: Op, x: Any, others: tuple[Any, ...] = (), meta: dict[str, Any] | None = None) -> Any:
    """``x`` becomes ``op(x, *others)``: same memory, same shape and dtype; returns ``x``."""
    meta = meta or {}
    name = op.name.rstrip("_") + "_"
    check_inplace(x, name, others)
    inputs = (x, *others)
    parents = _parents(op, inputs) if ctx.grad_enabled and not ctx.inference else None
    arrays = [i._a if isinstance(i, Variable) else i for i in inputs]
    target = x._a
    if parents is None:
        if op.ufunc is not None and not meta:
            _fits(op, x, broadcast_shape(*arrays), _result_dtype(op, arrays))
            op.ufunc(*arrays, out=target, casting="unsafe")
        elif op.write is not None:
            _write(op, arrays, meta)
        else:
            y = run(op, arrays, meta)
            _fits(op, x, np.shape(y), np.asarray(y).dtype)
            np.copyto(target, y, casting="unsafe")
        bump(x, name)
        return x
    mask = sum(1 << i for i, p in enumerate(parents) if p is not None)
    plan = op.plan(mask)
    node = Node(op, meta, plan, tuple(parents), target.shape, target.dtype)
    if plan.keeps_input:
        inputs = _keep_old(inputs, plan.keeps_input)
        arrays = [i._a if isinstance(i, Variable) else i for i in inputs]
    if op.write is not None and not plan.keeps_out and 0 not in plan.keeps_input:
        _write(op, arrays, meta)
    else:
        y = np.asarray(run(op, arrays, meta))
        _fits(op, x, y.shape, y.dtype)
        np.copyto(target, y, casting="unsafe")
    bump(x, name)
    if plan.keep:
        save(node, inputs, arrays, (x,))
    note_trace(node)
    rebase(x, node)
    return x


def _keep_old(inputs: tuple[Any, ...], kept: frozenset[int]) -> tuple[Any, ...]:
    """The inputs, with copies in place of those that are about to change and whose old value backward needs."""
    x = inputs[0]
    return tuple(
        _Old(i._a.copy()) if k in kept and isinstance(i, Variable) and i._cell is x._cell else i
        for k, i in enumerate(inputs)
    )


def _write(op: Op, arrays: list[Any], meta: dict[str, Any]) -> None:
    try:
        op.write(*arrays, **meta)  # type: ignore[misc]
    except (ValueError, TypeError, IndexError) as error:
        raise explained(op, arrays, error) from error


class _Old(Variable):
    """The value of an input before the change, as a saved input."""

    def __init__(self, array: Array) -> None:
        self._a = array
        self._cell = [0]


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
    version = x._cell
    version[0] += 1
    if len(version) == 1:
        version.append(name)
    else:
        version[1] = name


def rebase(x: Variable, node: Node | None) -> None:
    """Let ``node`` be where ``x`` comes from; if ``x`` is a view, its base comes from a scatter of it."""
    view = x._view
    if view is None:
        put_node(x, node)
        x._rg = False
        return
    base = view.base
    parents = (edge(base), node)
    mask = (1 if parents[0] is not None else 0) | (2 if node is not None else 0)
    if mask == 0:
        return
    plan = view_scatter.plan(mask)
    scatter = Node(view_scatter, {"chain": view.chain}, plan, parents, base._a.shape, base._a.dtype)
    scatter.saved = [x._a.shape if kind == "shape" else x._a.dtype for kind, _ in plan.keep]
    note_trace(scatter)
    put_node(base, scatter)
    base._rg = False
    view.version = -1  # x too is to be recorded again, even if someone asked for its edge since the change
    refresh(x)


def write(x: Any, name: str, array: Array) -> Any:
    """Overwrite the values of ``x`` with ``array`` where nothing of the old value matters: fill, normal, zero.

    Under grad mode ``x`` keeps requiring grad if it did, with a zero gradient for what was overwritten.
    """
    check_inplace(x, name)
    before = edge(x) if ctx.grad_enabled and not ctx.inference else None
    np.copyto(x._a, array, casting="unsafe")
    bump(x, name)
    if before is not None:
        node = Node(overwrite, {}, overwrite.plan(1), (before,), x._a.shape, x._a.dtype)
        node.saved = [x._a.shape, x._a.dtype]
        note_trace(node)
        rebase(x, node)
    return x


@op(name="overwrite")
def overwrite(x: Array) -> Array:
    """A value of which nothing is left: zeros, and a gradient of zero.  Recorded for any overwriting."""
    return np.zeros_like(x)


overwrite.pull(x=lambda g, x_shape, x_dtype: np.zeros(x_shape, x_dtype))
