"""In-place twins: ``x.sin_()`` made of ``sin(x)``, the result put in the place of ``x``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace, bump, check_inplace, rebase, write
from allgrad.autograd.record import Variable, edge, wrap
from allgrad.context import ctx
from allgrad.dtypes import from_np, get_default_dtype
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.promote import to
from allgrad.ops.op import Op

Method = Callable[..., Any]


def check_fits(x: Any, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Errors unless a result of that shape and dtype may be written over ``x``."""
    if shape != x._a.shape:
        raise ShapeError(
            f"output with shape {list(x._a.shape)} doesn't match the broadcast shape {list(shape)} in {name}"
        )
    found, wanted = from_np(dtype), from_np(x._a.dtype)
    if found.category > wanted.category:
        raise DtypeError(f"result type {found!r} can't be cast to the desired output type {wanted!r} in {name}")


def replace(x: Any, name: str, function: Method, *args: Any, **settings: Any) -> Any:
    """``x`` becomes ``function(x, *args)``: same memory, shape and dtype; the graph goes on from the result."""
    check_inplace(x, name, args)
    before = edge(x) if ctx.grad_enabled else None
    old = x
    if before is not None or any(isinstance(a, Variable) and edge(a) is not None for a in args):
        # Backward may need the old values, and they are about to go.
        old = wrap(x._a.copy())
        old._node = before
    y = function(old, *args, **settings)
    check_fits(x, y._a.shape, y._a.dtype, name)
    if old is x:
        np.copyto(x._a, y._a, casting="unsafe")
        bump(x, name)
        return x
    y = to(y, from_np(x._a.dtype))
    node = edge(y)
    if node is None and before is not None:
        return write(x, name, y._a)
    np.copyto(x._a, y._a)
    bump(x, name)
    rebase(x, node)
    return x


def twin(function: Method) -> Method:
    """The method ``name_`` for a function of any arguments."""
    name = function.__name__ + "_"

    def method(self: Any, *args: Any, **settings: Any) -> Any:
        return replace(self, name, function, *args, **settings)

    return _named(method, name, function.__doc__)


def op_twin(op: Op) -> Method:
    """The method ``name_`` for an op of one floating array, without a temporary where nothing is recorded."""
    name = op.name.rstrip("_") + "_"

    def method(self: Any) -> Any:
        if self._a.dtype.kind in "iub":
            kind, own = get_default_dtype(), from_np(self._a.dtype)
            raise DtypeError(f"result type {kind!r} can't be cast to the desired output type {own!r} in {name}")
        return apply_inplace(op, self)

    return _named(method, name, op.__doc__)


def _named(method: Method, name: str, doc: str | None) -> Method:
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In place: {doc}"
    return method
