"""Exponential families: entropy from the derivative of the log-normalizer."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.differentiate import grad
from allgrad.autograd.modes import enable_grad
from allgrad.distributions.distribution import Distribution
from allgrad.distributions.transforming import sum_rightmost


class ExponentialFamily(Distribution):
    """Densities exp(<t(x), theta> - F(theta) + k(x)); a subclass gives theta and F."""

    _mean_carrier_measure: Any = 0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return self._absent("natural parameters")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        return self._absent("log-normalizer")

    def entropy(self) -> Any:
        """``F(theta) - <theta, F'(theta)> - E[k(x)]`` (Nielsen and Nock 2010): -> batch_shape."""
        with enable_grad():
            thetas = [theta.detach().requires_grad_() for theta in self._natural_params]
            normalizer = self._log_normalizer(*thetas)
            slopes = grad(normalizer.sum(), thetas, create_graph=True)
        found = normalizer - self._mean_carrier_measure
        for theta, slope in zip(thetas, slopes):
            found = found - sum_rightmost(theta * slope, len(self.event_shape))
        return found
