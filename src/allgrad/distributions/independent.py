"""Batch dimensions read as event dimensions, and the multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from allgrad.distributions import constraints
from allgrad.distributions.distribution import Distribution, drawn
from allgrad.errors import ArgumentError
from allgrad.functions.linalg import cholesky, solve_triangular
from allgrad.random import default_generator


class Independent(Distribution):
    """The last ``reinterpreted_batch_ndims`` batch dimensions of ``base_dist`` as part of the event."""

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ArgumentError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                f"actual {reinterpreted_batch_ndims} vs {len(batch)}"
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        cut = len(batch) - reinterpreted_batch_ndims
        super().__init__(batch[:cut], (*batch[cut:], *base_distribution.event_shape), validate_args=validate_args)
        self.has_rsample = base_distribution.has_rsample

    @property
    def support(self) -> Any:
        found = self.base_dist.support
        more = self.reinterpreted_batch_ndims
        return constraints.independent(found, more) if more else found

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # computed
        return self.base_dist.has_enumerate_support and not self.reinterpreted_batch_ndims

    def enumerate_support(self, expand: bool = True) -> Any:
        if self.reinterpreted_batch_ndims:
            self._absent("enumerate_support over the cartesian product of an event's elements")
        return self.base_dist.enumerate_support(expand)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        inner = tuple(self.event_shape)[: self.reinterpreted_batch_ndims]
        base = self.base_dist.expand((*batch_shape, *inner))
        return Independent(base, self.reinterpreted_batch_ndims, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def _summed(self, value: Any) -> Any:
        dims = tuple(range(-self.reinterpreted_batch_ndims, 0))
        return value.sum(dims) if dims else value

    def log_prob(self, value: Any) -> Any:
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        return self._summed(self.base_dist.entropy())

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MultivariateNormal(Distribution):
    """Mean ``loc`` (..., k) and a covariance, precision or Cholesky factor (..., k, k)."""

    arg_constraints = {"loc": constraints.real_vector, "scale_tril": constraints.lower_cholesky}
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if sum(m is not None for m in (covariance_matrix, precision_matrix, scale_tril)) != 1:
            raise ArgumentError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if loc.dim() < 1:
            raise ArgumentError("loc must be at least one-dimensional.")
        if precision_matrix is not None:
            covariance_matrix = precision_matrix.inverse()
        self.scale_tril = cholesky(covariance_matrix) if scale_tril is None else scale_tril
        batch = (self.scale_tril[..., 0] + loc).shape[:-1]
        self.loc = loc.expand(*batch, loc.shape[-1])
        super().__init__(batch, tuple(loc.shape[-1:]), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.real_vector

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        b = tuple(batch_shape)
        tril = self.scale_tril.expand(*b, -1, -1)
        return MultivariateNormal(self.loc.expand(*b, -1), scale_tril=tril, validate_args=False)

    @property
    def covariance_matrix(self) -> Any:
        """Covariance (..., k, k)."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Any:
        """Inverse of the covariance."""
        return self.covariance_matrix.inverse()

    @property
    def variance(self) -> Any:
        return self.scale_tril.pow(2).sum(-1).expand(*self._batch_shape, *self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        noise = drawn(default_generator().normal(shape, self.loc._a.dtype))
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        difference = (value - self.loc).unsqueeze(-1)
        lower = self.scale_tril.expand(*difference.shape[:-2], *self.scale_tril.shape[-2:])
        whitened = solve_triangular(lower, difference, upper=False).squeeze(-1)
        k = self.loc.shape[-1]
        return -0.5 * (k * math.log(2 * math.pi) + whitened.pow(2).sum(-1)) - self._half_log_det()

    def entropy(self) -> Any:
        k = self.loc.shape[-1]
        return 0.5 * k * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
