"""Products with a sum: addmm and its kin, and their in-place twins."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import apply
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.dims import scalar_name, tensor_of
from allgrad.functions.matmul import same_dtype
from allgrad.functions.promote import as_tensor_like, into, plain
from allgrad.ops.matmul import add_matmul
from allgrad.ops.shape import permute, reshape


def _parts(input: Any, left: Any, right: Any, name: str, ndims: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Three Tensors of one dtype; the two factors with the number of dimensions that ``name`` asks for."""
    x, a, b = tensor_of(input, name), as_tensor_like(left, name), as_tensor_like(right, name)
    for t, ndim, which in ((a, ndims[0], "first"), (b, ndims[1], "second")):
        if t._a.ndim != ndim:
            kind = {1: "a vector", 2: "a matrix", 3: "a 3D tensor"}[ndim]
            raise ShapeError(f"{name}: the {which} factor must be {kind}, but its shape is {list(t._a.shape)}")
    same_dtype(a, b)
    if x._a.dtype != a._a.dtype:
        raise DtypeError(
            f"{name}: self and mat2 must have the same dtype, but got {scalar_name(x)} and {scalar_name(a)}"
        )
    return x, a, b


def _fitting(x: Any, a: Any, b: Any, name: str) -> None:
    m, n = a._a.shape, b._a.shape
    if m[-1] != n[-2] or m[:-2] != n[:-2]:
        raise ShapeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, m))} and {'x'.join(map(str, n))})"
        )
    shape = (*m[:-1], n[-1])
    have = x._a.shape
    if len(have) > len(shape) or any(i not in (1, j) for i, j in zip(reversed(have), reversed(shape))):
        raise ShapeError(
            f"{name}: the expanded size of the tensor {list(shape)} must match the existing size {list(have)}"
        )


def _shaped(x: Any, *shape: int) -> Any:
    return apply(reshape, (x,), {"shape": shape})


# Each function as one product: what to multiply, seen as matrices.  In-place twins use the same views.


def _addmm(x: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    x, a, b = _parts(x, a, b, "addmm", (2, 2))
    _fitting(x, a, b, "addmm")
    return x, a, b


def _baddbmm(x: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    x, a, b = _parts(x, a, b, "baddbmm", (3, 3))
    _fitting(x, a, b, "baddbmm")
    return x, a, b


def _addbmm(x: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    x, a, b = _parts(x, a, b, "addbmm", (3, 3))
    (n, r, k), (n2, k2, c) = a._a.shape, b._a.shape
    if n != n2 or k != k2:
        raise ShapeError(f"addbmm: batches {list(a._a.shape)} and {list(b._a.shape)} cannot be multiplied")
    # The sum over the batch is part of one product: (r, n * k) @ (n * k, c).
    a = _shaped(apply(permute, (a,), {"dims": (1, 0, 2)}), r, n * k)
    b = _shaped(b, n * k, c)
    _fitting(x, a, b, "addbmm")
    return x, a, b


def _addmv(x: Any, a: Any, v: Any) -> tuple[Any, Any, Any]:
    x, a, v = _parts(x, a, v, "addmv", (2, 1))
    v = _shaped(v, -1, 1)
    if x._a.ndim:
        x = _shaped(x, -1, 1)
    if a._a.shape[1] != v._a.shape[0]:
        raise ShapeError(f"size mismatch, got input ({a._a.shape[0]}), mat {a._a.shape}, vec ({v._a.shape[0]})")
    _fitting(x, a, v, "addmv")
    return x, a, v


def _addr(x: Any, v: Any, w: Any) -> tuple[Any, Any, Any]:
    x, v, w = _parts(x, v, w, "addr", (1, 1))
    v, w = _shaped(v, -1, 1), _shaped(w, 1, -1)
    _fitting(x, v, w, "addr")
    return x, v, w


def _run(parts: tuple[Any, Any, Any], beta: Any, alpha: Any) -> Any:
    return apply(add_matmul, parts, {"beta": plain(beta), "alpha": plain(alpha)})


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * mat1 @ mat2``: (n, m), (n, k), (k, m) -> (n, m)."""
    return into(_run(_addmm(input, mat1, mat2), beta, alpha), out)


def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * mat @ vec``: (n), (n, k), (k) -> (n)."""
    return into(_shaped(_run(_addmv(input, mat, vec), beta, alpha), -1), out)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``: (n, m), (n), (m) -> (n, m)."""
    return into(_run(_addr(input, vec1, vec2), beta, alpha), out)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * batch1 @ batch2``: (b, n, m), (b, n, k), (b, k, m) -> (b, n, m)."""
    return into(_run(_baddbmm(input, batch1, batch2), beta, alpha), out)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * sum of batch1 @ batch2``: (n, m), (b, n, k), (b, k, m) -> (n, m)."""
    return into(_run(_addbmm(input, batch1, batch2), beta, alpha), out)


def _run_inplace(x: Any, parts: tuple[Any, Any, Any], beta: Any, alpha: Any) -> Any:
    target, a, b = parts
    apply_inplace(add_matmul, target, (a, b), {"beta": plain(beta), "alpha": plain(alpha)})
    return x


def addmm_(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``input = beta * input + alpha * mat1 @ mat2``, in place."""
    return _run_inplace(input, _addmm(input, mat1, mat2), beta, alpha)


def addmv_(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``input = beta * input + alpha * mat @ vec``, in place."""
    return _run_inplace(input, _addmv(input, mat, vec), beta, alpha)


def addr_(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``input = beta * input + alpha * outer(vec1, vec2)``, in place."""
    return _run_inplace(input, _addr(input, vec1, vec2), beta, alpha)


def baddbmm_(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``input = beta * input + alpha * batch1 @ batch2``, in place."""
    return _run_inplace(input, _baddbmm(input, batch1, batch2), beta, alpha)


def addbmm_(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``input = beta * input + alpha * sum of batch1 @ batch2``, in place."""
    return _run_inplace(input, _addbmm(input, batch1, batch2), beta, alpha)
