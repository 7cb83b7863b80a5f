"""Normal numbers with a covariance of low rank; random correlation (LKJ) and covariance (Wishart) matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.distribution import Distribution, drawn, parameters
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.distributions.gammas import Beta, Chi2
from allgrad.errors import ArgumentError
from allgrad.functions.creation_ranges import arange
from allgrad.functions.joining import cat
from allgrad.functions.linalg import cholesky, solve_triangular
from allgrad.functions.pointwise_special import digamma, lgamma, mvlgamma
from allgrad.functions.shape_broadcast import broadcast_tensors
from allgrad.random import default_generator


class LowRankMultivariateNormal(Distribution):
    """Covariance ``cov_factor cov_factor^T + diag(cov_diag)``: (..., k, rank) and (..., k)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    has_rsample = True

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None) -> None:
        if loc.dim() < 1:
            raise ArgumentError("loc must be at least one-dimensional.")
        k = loc.shape[-1]
        if cov_factor.dim() < 2 or cov_factor.shape[-2] != k:
            raise ArgumentError(f"cov_factor must be a batch of matrices with shape {k} x m, found {cov_factor.shape}")
        if cov_diag.shape[-1] != k:
            raise ArgumentError(f"cov_diag must be a batch of vectors with shape {k}, found {cov_diag.shape}")
        batch = np.broadcast_shapes(tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1]))
        self.loc, self.cov_diag = loc.expand(*batch, k), cov_diag.expand(*batch, k)
        self.cov_factor = cov_factor.expand(*batch, *cov_factor.shape[-2:])
        super().__init__(batch, (k,), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.real_vector

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        b = tuple(batch_shape)
        return LowRankMultivariateNormal(
            self.loc.expand(*b, -1), self.cov_factor.expand(*b, -1, -1), self.cov_diag.expand(*b, -1), False
        )

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Any:
        """(..., k, k)."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance."""
        return cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance, by Woodbury's identity."""
        inner = solve_triangular(self._capacitance(), self.cov_factor.mT / self.cov_diag.unsqueeze(-2), upper=False)
        return self.cov_diag.reciprocal().diag_embed() - inner.mT @ inner

    def _capacitance(self) -> Any:
        """The Cholesky factor of ``I + W^T D^-1 W``: (..., rank, rank)."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        eye = self.cov_factor.new_tensor(np.eye(self.cov_factor.shape[-1]))
        return cholesky(scaled @ self.cov_factor + eye)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        kind, draw = self.loc._a.dtype, default_generator().normal
        along = drawn(draw((*shape[:-1], self.cov_factor.shape[-1]), kind))
        own = drawn(draw(shape, kind))
        return self.loc + (self.cov_factor @ along.unsqueeze(-1)).squeeze(-1) + self.cov_diag.sqrt() * own

    def _half_log_det(self) -> Any:
        lower = self._capacitance()
        return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * self.cov_diag.log().sum(-1)

    def _mahalanobis(self, apart: Any) -> Any:
        """Squared distance by Woodbury's identity: (..., k) -> (...)."""
        scaled = self.cov_factor.mT @ (apart / self.cov_diag).unsqueeze(-1)
        lower = self._capacitance()
        lower = lower.expand(*scaled.shape[:-2], *lower.shape[-2:])
        return (apart.pow(2) / self.cov_diag).sum(-1) - solve_triangular(lower, scaled, upper=False).pow(2).sum(
            (-2, -1)
        )

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.event_shape[0]
        return -0.5 * (k * math.log(2 * math.pi) + self._mahalanobis(value - self.loc)) - self._half_log_det()

    def entropy(self) -> Any:
        return 0.5 * self.event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, by the onion method (Lewandowski, Kurowicka, Joe 2009)."""

    arg_constraints = {"concentration": constraints.positive}

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ArgumentError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = parameters(concentration)
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = arange(dim - 1, dtype=self.concentration.dtype)
        offset = cat([offset.new_zeros((1,)), offset])
        # A row of j entries has squared length Beta(j / 2, ...): PyTorch takes Beta(j - 1/2, ...), another law from
        # three dimensions on.
        high, low = 0.5 * offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset
        self._beta = Beta(high, low, validate_args=False)
        super().__init__(tuple(self.concentration.shape), (dim, dim), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.corr_cholesky

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return LKJCholesky(self.dim, self.concentration.expand(tuple(batch_shape)), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        y = self._beta.sample(sample_shape)._a[..., None]
        kind = y.dtype
        normal = np.tril(default_generator().normal(tuple(self._extended_shape(sample_shape)), kind), -1)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        on_sphere = normal / np.where(length == 0, 1, length)  # the first row has nothing
        w = np.sqrt(y) * on_sphere
        rest = np.sqrt(np.maximum(1 - (w * w).sum(-1), np.finfo(kind).tiny))
        w[..., range(self.dim), range(self.dim)] += rest
        return drawn(w.astype(kind, copy=False))

    def log_prob(self, value: Any) -> Any:
        """Density of the factor's free entries."""
        self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = arange(2, self.dim + 1, dtype=self.concentration.dtype)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        found = (order * diagonal.log()).sum(-1)
        k = self.dim - 1
        alpha = self.concentration + 0.5 * k
        normalizer = 0.5 * k * math.log(math.pi) + mvlgamma(alpha - 0.5, p=k) - lgamma(alpha) * k
        return found - normalizer


class Wishart(ExponentialFamily):
    """The sum of ``df`` outer products of normal vectors: (..., k, k) positive definite."""

    arg_constraints = {"scale_tril": constraints.lower_cholesky}
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ArgumentError(
                "Expected exactly one of covariance_matrix or precision_matrix or scale_tril to be specified."
            )
        if given[0].dim() < 2:
            raise ArgumentError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        lower = scale_tril
        if lower is None:
            lower = cholesky(covariance_matrix if precision_matrix is None else precision_matrix.inverse())
        k = given[0].shape[-1]
        (degrees,) = parameters(df)
        batch = np.broadcast_shapes(tuple(lower.shape[:-2]), tuple(degrees.shape))
        self.df, self.scale_tril = degrees.type_as(lower).expand(batch), lower.expand(*batch, k, k)
        if not constraints.all_hold(self.df > k - 1):
            raise ArgumentError(f"Value of df={df} expected to be greater than ndim - 1 = {k - 1}.")
        super().__init__(batch, (k, k), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.positive_definite

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        b = tuple(batch_shape)
        return Wishart(self.df.expand(b), scale_tril=self.scale_tril.expand(*b, -1, -1), validate_args=False)

    @property
    def covariance_matrix(self) -> Any:
        """The scale matrix."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the scale matrix."""
        return self.covariance_matrix.inverse()

    @property
    def mean(self) -> Any:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self.event_shape[0] - 1
        return factor.masked_fill(factor <= 0, math.nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Bartlett's decomposition: chi-square roots on the diagonal, normal numbers below it."""
        k = self.event_shape[0]
        shape = tuple(self._extended_shape(sample_shape))
        degrees = self.df.unsqueeze(-1) - arange(k, dtype=self.df.dtype)
        roots = Chi2(degrees, validate_args=False).rsample(sample_shape).sqrt()
        below = np.zeros(shape, self.scale_tril._a.dtype)
        rows, columns = np.tril_indices(k, -1)
        below[..., rows, columns] = default_generator().normal((*shape[:-2], k * (k - 1) // 2), below.dtype)
        factor = self.scale_tril @ (drawn(below) + roots.diag_embed())
        return factor @ factor.mT

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k, n = self.event_shape[0], self.df
        lower, value = broadcast_tensors(self.scale_tril, value)
        trace = solve_triangular(lower, solve_triangular(lower, value, upper=False).mT, upper=False)
        own = cholesky(value).diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = n * (0.5 * k * math.log(2.0) + self._half_log_det()) + mvlgamma(n / 2, p=k)
        return (n - k - 1) * own - 0.5 * trace.diagonal(dim1=-2, dim2=-1).sum(-1) - constant

    def entropy(self) -> Any:
        k, n = self.event_shape[0], self.df
        halves = 0.5 * (n.unsqueeze(-1) - arange(k, dtype=n.dtype))
        return (
            (k + 1) * (self._half_log_det() + 0.5 * k * math.log(2.0))
            + mvlgamma(n / 2, p=k)
            - 0.5 * (n - k - 1) * digamma(halves).sum(-1)
            + 0.5 * n * k
        )
