"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.dims import scalar_name, tensor_of
from allgrad.functions.promote import as_tensor_like, into
from allgrad.ops import matmul as ops
from allgrad.ops.shape import reshape


def second(x: Any, name: str, argument: str = "mat2") -> Any:
    """The second operand as a Tensor."""
    if isinstance(x, Variable):
        return x
    return as_tensor_like(x, f"{name}(): argument '{argument}' (position 2)")


def same_dtype(a: Any, b: Any) -> None:
    """Errors unless both have one dtype: products do not promote."""
    if a._a.dtype != b._a.dtype:
        raise DtypeError(
            f"expected m1 and m2 to have the same dtype, but got: {_c_name(a)} != {_c_name(b)}: "
            "convert one, x.to(y.dtype)"
        )


_C_NAMES = {"Float": "float", "Double": "double", "Long": "long", "Int": "int", "Short": "short", "Bool": "bool"}


def _c_name(x: Any) -> str:
    name = scalar_name(x)
    return _C_NAMES.get(name, "c10::" + name)


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product, batched over leading dimensions; a 1-D operand is a row on the left, a column on the right.

    (..., n, k), (..., k, m) -> (..., n, m); (k), (k) -> ().
    """
    a, b = tensor_of(input, "matmul"), second(other, "matmul", "other")
    return into(product(a, b), out)


def product(a: Any, b: Any) -> Any:
    """``a @ b`` of two Tensors, dimensions checked."""
    x, y = a._a.shape, b._a.shape
    if not x or not y:
        raise ShapeError(f"both arguments to matmul need to be at least 1D, but they are {len(x)}D and {len(y)}D")
    same_dtype(a, b)
    if len(x) == 1 and len(y) == 1:
        if x != y:
            raise ShapeError(
                f"inconsistent tensor size, expected tensor {list(x)} and src {list(y)} to have the same number of "
                f"elements, but got {x[0]} and {y[0]} elements respectively"
            )
        return apply(reshape, (_rows(a, b),), {"shape": ()})
    inner = y[-2] if len(y) > 1 else y[0]
    if x[-1] != inner:
        if len(x) <= 2 and len(y) == 1:
            raise ShapeError(f"size mismatch, got input ({x[0]}), mat ({x[0]}x{x[-1]}), vec ({y[0]})")
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({_as_matrix(x)} and {_as_matrix(y)})")
    if len(x) == 1:
        row = apply(ops.matmul, (apply(reshape, (a,), {"shape": (1, *x)}), b), {})
        return apply(reshape, (row,), {"shape": y[:-2] + y[-1:]})
    if len(y) == 1:
        column = apply(ops.matmul, (a, apply(reshape, (b,), {"shape": (*y, 1)})), {})
        return apply(reshape, (column,), {"shape": x[:-1]})
    return apply(ops.matmul, (a, b), {})


def _rows(a: Any, b: Any) -> Any:
    n = a._a.size
    return apply(ops.matmul, (apply(reshape, (a,), {"shape": (1, n)}), apply(reshape, (b,), {"shape": (n, 1)})), {})


def _as_matrix(shape: tuple[int, ...]) -> str:
    rows = 1
    for n in shape[:-1]:
        rows *= n
    return f"{rows}x{shape[-1]}"


def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices: (n, k), (k, m) -> (n, m)."""
    a, b = tensor_of(input, "mm"), second(mat2, "mm")
    if a._a.ndim != 2 or b._a.ndim != 2:
        which = "self" if a._a.ndim != 2 else "mat2"
        raise ShapeError(f"{which} must be a matrix; shapes are {list(a._a.shape)} and {list(b._a.shape)}")
    return into(product(a, b), out)


def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """Products of matrices one by one: (b, n, k), (b, k, m) -> (b, n, m)."""
    a, b = tensor_of(input, "bmm"), second(mat2, "bmm")
    for x, which in ((a, "batch1"), (b, "batch2")):
        if x._a.ndim != 3:
            raise ShapeError(f"{which} must be a 3D tensor; its shape is {list(x._a.shape)}")
    x, y = a._a.shape, b._a.shape
    if x[0] != y[0] or x[2] != y[1]:
        raise ShapeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x[0]}, {x[2]}] "
            f"but got: [{y[0]}, {y[1]}]."
        )
    return into(product(a, b), out)


def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """A matrix times a vector: (n, k), (k) -> (n)."""
    a, b = tensor_of(input, "mv"), second(vec, "mv", "vec")
    if a._a.ndim != 2 or b._a.ndim != 1:
        raise ShapeError(f"vector + matrix @ vector expected, got {a._a.ndim}D matrix and {b._a.ndim}D vector")
    return into(product(a, b), out)


def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """The inner product of two vectors: (n), (n) -> ()."""
    a, b = tensor_of(input, "dot"), second(tensor, "dot", "tensor")
    if a._a.ndim != 1 or b._a.ndim != 1:
        raise ShapeError(f"1D tensors expected, but got {a._a.ndim}D and {b._a.ndim}D tensors")
    if a._a.dtype != b._a.dtype:
        raise DtypeError(
            f"dot : expected both vectors to have same dtype, but found {scalar_name(a)} and {scalar_name(b)}"
        )
    return into(product(a, b), out)


vdot = dot
