"""Transforms of vectors and matrices: simplex, Cholesky factors, correlation; and different ones side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.discrete import softplus
from allgrad.distributions.transforming import Transform
from allgrad.distributions.transforms_elementwise import clipped_sigmoid
from allgrad.errors import ArgumentError
from allgrad.functions.activation import logsigmoid
from allgrad.functions.creation import ones_like
from allgrad.functions.joining import cat, stack
from allgrad.functions.linalg import cholesky


class _Vectors(Transform):
    domain = constraints.real_vector

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    __hash__ = object.__hash__


class SoftmaxTransform(_Vectors):
    """The softmax; its inverse is the logarithm, one of many."""

    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ArgumentError("Too few dimensions on input")
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(_Vectors):
    """k numbers to a point of the simplex of k + 1: each takes its share of what is left of a stick."""

    codomain = constraints.simplex
    bijective = True

    def _call(self, x: Any) -> Any:
        z = clipped_sigmoid(x - _left(x, 1).log())
        edge = ones_like(z[..., :1])
        return cat([z, edge], -1) * cat([edge, (1 - z).cumprod(-1)], -1)

    def _inverse(self, y: Any) -> Any:
        cut = y[..., :-1]
        rest = (1 - cut.cumsum(-1)).clamp(min=float(np.finfo(y._a.dtype).tiny))
        return cut.log() - rest.log() + _left(cut, 1).log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        x = x - _left(x, 1).log()
        return (-x + logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ArgumentError("Too few dimensions on input")
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ArgumentError("Too few dimensions on input")
        return (*shape[:-1], shape[-1] - 1)


def _left(x: Any, more: int) -> Any:
    """How many pieces are still to be made at each place: k, k - 1, ..., 1."""
    return x.shape[-1] + more - ones_like(x).detach().cumsum(-1)


class LowerCholeskyTransform(Transform):
    """Any square matrix to a lower triangular one with positive diagonal."""

    bijective = True
    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Any square matrix to a positive definite one, by its Cholesky factor."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(_Vectors):
    """D (D - 1) / 2 numbers to the Cholesky factor of a D x D correlation matrix (Lewandowski et al. 2009)."""

    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Any) -> Any:
        eps = float(np.finfo(x._a.dtype).eps)
        partial = _to_lower(x.tanh().clamp(min=-1 + eps, max=1 - eps))
        left = (1 - partial.pow(2)).sqrt().cumprod(-1)
        unit = ones_like(left[..., 0]).detach().diag_embed()
        return (partial + unit) * cat([ones_like(left[..., :1]), left[..., :-1]], -1)

    def _inverse(self, y: Any) -> Any:
        rest = 1 - y.pow(2).cumsum(-1)
        shifted = cat([ones_like(rest[..., :1]), rest[..., :-1]], -1)
        t = _from_lower(y, -1) / _from_lower(shifted, -1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        rest = 1 - y.pow(2).cumsum(-1)
        sticks = 0.5 * _from_lower(rest, -2).log().sum(-1)
        return sticks - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        if len(shape) < 1:
            raise ArgumentError("Too few dimensions on input")
        return (*shape[:-1], _side(shape[-1]), _side(shape[-1]))

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 2 or shape[-2] != shape[-1]:
            raise ArgumentError(f"Input is not square: {tuple(shape)}")
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


def _side(count: int) -> int:
    side = round((0.25 + 2 * count) ** 0.5 + 0.5)
    if side * (side - 1) // 2 != count:
        raise ArgumentError(f"Input is not a flattened lower-diagonal number: {count}")
    return side


def _to_lower(vector: Any) -> Any:
    """(..., D (D - 1) / 2) -> (..., D, D) strictly lower triangular, row by row."""
    side = _side(vector.shape[-1])
    rows, columns = np.tril_indices(side, -1)
    place = np.full((side, side), vector.shape[-1])
    place[rows, columns] = np.arange(vector.shape[-1])
    padded = cat([vector, vector.new_zeros((*vector.shape[:-1], 1))], -1)
    return padded[..., vector.new_tensor(place.reshape(-1)).long()].reshape(*vector.shape[:-1], side, side)


def _from_lower(matrix: Any, diagonal: int) -> Any:
    """(..., D, D) -> the entries on and below ``diagonal``, row by row."""
    side = matrix.shape[-1]
    rows, columns = np.tril_indices(side, diagonal)
    flat = matrix.reshape(*matrix.shape[:-2], side * side)
    return flat[..., matrix.new_tensor(rows * side + columns).long()]


class _SideBySide(Transform):
    """Different transforms for different places along ``dim``."""

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms, self.dim = [t.with_cache(cache_size) for t in tseq], dim
        self.bijective = all(t.bijective for t in self.transforms)

    def _split(self, value: Any) -> list[Any]:
        raise TypeError(f"{type(self).__name__} must define _split")

    _join: Any

    def _call(self, x: Any) -> Any:
        return self._join([t(part) for t, part in zip(self.transforms, self._split(x))], self.dim)

    def _inverse(self, y: Any) -> Any:
        return self._join([t.inv(part) for t, part in zip(self.transforms, self._split(y))], self.dim)


class CatTransform(_SideBySide):
    """One transform for each span of ``lengths`` along ``dim``."""

    _join = staticmethod(cat)

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise ArgumentError(f"{len(self.transforms)} transforms for {len(self.lengths)} lengths")
        self.domain = constraints.cat([t.domain for t in self.transforms], dim, self.lengths)
        self.codomain = constraints.cat([t.codomain for t in self.transforms], dim, self.lengths)

    @property
    def length(self) -> int:
        """All lengths together."""
        return sum(self.lengths)

    def _split(self, value: Any) -> list[Any]:
        if not -value.dim() <= self.dim < value.dim() or value.shape[self.dim] != self.length:
            raise ArgumentError(f"expected size {self.length} in dim {self.dim}, found shape {tuple(value.shape)}")
        starts = np.cumsum([0, *self.lengths])
        return [value.narrow(self.dim, int(s), length) for s, length in zip(starts, self.lengths)]

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        widest = max(t.domain.event_dim for t in self.transforms)
        found = []
        for t, before, after in zip(self.transforms, self._split(x), self._split(y)):
            part = t.log_abs_det_jacobian(before, after)
            extra = widest - t.domain.event_dim
            found.append(part.sum(tuple(range(-extra, 0))) if extra else part)
        dim = self.dim if self.dim < 0 else self.dim - x.dim()
        if dim + widest < 0:
            return cat(found, dim + widest)
        total: Any = 0
        for part in found:
            total = total + part
        return total


class StackTransform(_SideBySide):
    """One transform for each index along ``dim``."""

    _join = staticmethod(stack)

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)
        self.domain = constraints.stack([t.domain for t in self.transforms], dim)
        self.codomain = constraints.stack([t.codomain for t in self.transforms], dim)

    def _split(self, value: Any) -> list[Any]:
        if not -value.dim() <= self.dim < value.dim() or value.shape[self.dim] != len(self.transforms):
            raise ArgumentError(
                f"expected size {len(self.transforms)} in dim {self.dim}, found shape {tuple(value.shape)}"
            )
        return [value.select(self.dim, i) for i in range(len(self.transforms))]

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        parts = zip(self.transforms, self._split(x), self._split(y))
        return stack([t.log_abs_det_jacobian(a, b) for t, a, b in parts], self.dim)
