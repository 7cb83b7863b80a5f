"""Outer, inner and vector products, products over chosen dimensions, chains of products."""

from __future__ import annotations

import itertools
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.dims import one_dim, scalar_name, tensor_of
from allgrad.functions.matmul import product, second
from allgrad.functions.promote import as_tensor_like, binary, into, promoted
from allgrad.functions.reduce import sum as sum_
from allgrad.ops import arithmetic
from allgrad.ops.layout import diagonal
from allgrad.ops.shape import permute, reshape, slice_, stack


def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products of two vectors' elements: (n), (m) -> (n, m)."""
    a, b = tensor_of(input, "outer"), second(vec2, "outer", "vec2")
    for x, which in ((a, "self"), (b, "vec2")):
        if x._a.ndim != 1:
            raise ShapeError(f"outer: Expected 1-D argument {which}, but got {x._a.ndim}-D")
    return into(binary(arithmetic.mul, apply(reshape, (a,), {"shape": (-1, 1)}), b), out)


ger = outer


def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """Products summed over the last dimension of both: (..., k), (..., k) -> (..., ...)."""
    a, b = tensor_of(input, "inner"), second(other, "inner", "other")
    if not a._a.ndim or not b._a.ndim:
        return into(binary(arithmetic.mul, a, b), out)
    x, y = a._a.shape, b._a.shape
    if x[-1] != y[-1]:
        raise ShapeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(x)} and {list(y)}"
        )
    return into(tensordot(a, b, dims=([-1], [-1])), out)


def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Products summed over the last ``dims`` of ``a`` and the first of ``b``, or over two lists of dimensions."""
    a, b = tensor_of(a, "tensordot"), second(b, "tensordot", "b")
    if isinstance(dims, Variable):
        dims = dims._a.tolist()
    n, m = a._a.ndim, b._a.ndim
    if isinstance(dims, int):
        if dims < 0:
            raise ArgumentError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(n, m):
            raise ShapeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        left, right = list(range(n - dims, n)), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
        left, right = [one_dim(d, n) for d in left], [one_dim(d, m) for d in right]
    if len(left) != len(right):
        raise ShapeError(f"both dimension lists should have same length; they have {len(left)} and {len(right)}")
    for i, j in zip(left, right):
        if a._a.shape[i] != b._a.shape[j]:
            raise ShapeError(
                "contracted dimensions need to match, but first has size "
                f"{a._a.shape[i]} in dim {i} and second has size {b._a.shape[j]} in dim {j}"
            )
    keep_a, keep_b = [i for i in range(n) if i not in left], [j for j in range(m) if j not in right]
    x = apply(permute, (a,), {"dims": (*keep_a, *left)})
    y = apply(permute, (b,), {"dims": (*right, *keep_b)})
    k = _size(x._a.shape[len(keep_a) :])
    x = apply(reshape, (x,), {"shape": (_size(x._a.shape[: len(keep_a)]), k)})
    rest = y._a.shape[len(right) :]
    y = apply(reshape, (y,), {"shape": (k, _size(rest))})
    shape = tuple(a._a.shape[i] for i in keep_a) + rest
    return into(apply(reshape, (product(x, y),), {"shape": shape}), out)


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for i in shape:
        n *= i
    return n


def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """Kronecker product: each element of ``input`` times all of ``other``, as blocks."""
    a, b = promoted(tensor_of(input, "kron"), second(other, "kron", "other"))
    ndim = max(a._a.ndim, b._a.ndim)
    x, y = ((1,) * (ndim - len(s)) + s for s in (a._a.shape, b._a.shape))
    wide_a = tuple(itertools.chain.from_iterable((i, 1) for i in x))
    wide_b = tuple(itertools.chain.from_iterable((1, j) for j in y))
    found = binary(arithmetic.mul, apply(reshape, (a,), {"shape": wide_a}), apply(reshape, (b,), {"shape": wide_b}))
    return into(apply(reshape, (found,), {"shape": tuple(i * j for i, j in zip(x, y))}), out)


def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """The vector product along a dimension of length 3: the first such one unless told."""
    a, b = promoted(tensor_of(input, "cross"), second(other, "cross", "other"))
    if a._a.ndim != b._a.ndim:
        raise ShapeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        dim = next((i for i, n in enumerate(a._a.shape) if n == 3), None)
        if dim is None:
            raise ShapeError(f"no dimension of size 3 in input; its shape is {list(a._a.shape)}")
    d = one_dim(dim, a._a.ndim, "cross")
    if a._a.shape[d] != 3 or b._a.shape[d] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {a._a.shape[d]} and {b._a.shape[d]}"
        )
    lead = (slice(None),) * d
    x = [apply(slice_, (a,), {"index": (*lead, i)}) for i in range(3)]
    y = [apply(slice_, (b,), {"index": (*lead, i)}) for i in range(3)]
    parts = tuple(x[(i + 1) % 3] * y[(i + 2) % 3] - x[(i + 2) % 3] * y[(i + 1) % 3] for i in range(3))
    return into(apply(stack, parts, {"dim": d}), out)


def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    input = tensor_of(input, "trace")
    if input._a.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input._a.ndim}")
    return sum_(apply(diagonal, (input,), {"offset": 0, "dim1": 0, "dim2": 1}))


def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Products of two tensors summed over ``dim``."""
    x, y = tensor_of(x, "linalg.vecdot"), as_tensor_like(y, "linalg.vecdot(): argument 'y' (position 2)")
    if x._a.dtype != y._a.dtype:
        raise DtypeError(f"linalg.vecdot: Expected vectors of same dtype, found {scalar_name(x)} and {scalar_name(y)}")
    return into(sum_(binary(arithmetic.mul, x, y), dim), out)


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of two or more matrices, in the cheapest order."""
    if not matrices:
        raise ArgumentError("chain_matmul(): Expected one or more matrices")
    for m in matrices:
        if m._a.ndim != 2:
            raise ShapeError(f"Tensor dimension is {m._a.ndim}, expected 2 instead.")
    return into(matrices[0] if len(matrices) == 1 else chain(list(matrices)), out)


def chain(matrices: list[Any]) -> Any:
    """The product of matrices in the order that needs the fewest multiplications."""
    n = len(matrices)
    sizes = [m._a.shape[0] for m in matrices] + [matrices[-1]._a.shape[1]]
    for a, b in itertools.pairwise(matrices):
        if a._a.shape[1] != b._a.shape[0]:
            raise ShapeError(
                f"mat1 and mat2 shapes cannot be multiplied ({a._a.shape[0]}x{a._a.shape[1]} and "
                f"{b._a.shape[0]}x{b._a.shape[1]})"
            )
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for length in range(2, n + 1):
        for i in range(n - length + 1):
            j = i + length - 1
            options = [(cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i][j], cut[i][j] = min(options)

    def multiply(i: int, j: int) -> Any:
        return matrices[i] if i == j else product(multiply(i, cut[i][j]), multiply(cut[i][j] + 1, j))

    return multiply(0, n - 1)
