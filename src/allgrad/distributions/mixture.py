"""Mixtures of components of one family."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.modes import no_grad
from allgrad.distributions import constraints
from allgrad.distributions.discrete import Categorical
from allgrad.distributions.distribution import Distribution
from allgrad.errors import ArgumentError


class MixtureSameFamily(Distribution):
    """A component is chosen by ``mixture_distribution``, the draw is that of ``component_distribution``'s last batch axis."""

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ArgumentError(
                " The Mixture distribution needs to be an instance of torch.distributions.Categorical, "
                f"found {type(mixture_distribution).__name__}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ArgumentError(
                "The Component distribution need to be an instance of torch.distributions.Distribution, "
                f"found {type(component_distribution).__name__}"
            )
        mixed, batch = tuple(mixture_distribution.batch_shape), tuple(component_distribution.batch_shape)[:-1]
        for a, b in zip(reversed(mixed), reversed(batch)):
            if a != b and 1 not in (a, b):
                raise ArgumentError(
                    f"`mixture_distribution.batch_shape` ({mixed}) is not compatible with "
                    f"`component_distribution.batch_shape` ({tuple(component_distribution.batch_shape)})"
                )
        count = mixture_distribution._count
        if tuple(component_distribution.batch_shape)[-1:] != (count,):
            raise ArgumentError(
                f"`mixture_distribution component` ({count}) does not equal `component_distribution.batch_shape[-1]` "
                f"({tuple(component_distribution.batch_shape)[-1:]})"
            )
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(batch, tuple(component_distribution.event_shape), validate_args=validate_args)

    @property
    def mixture_distribution(self) -> Any:
        """Which component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """All components."""
        return self._component_distribution

    @property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        batch = tuple(batch_shape)
        return MixtureSameFamily(
            self._mixture_distribution.expand(batch),
            self._component_distribution.expand((*batch, self._num_component)),
            validate_args=False,
        )

    def _weights(self) -> Any:
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *[1] * self._event_ndims)

    def _over_components(self, value: Any) -> Any:
        return (self._weights() * value).sum(-1 - self._event_ndims)

    @property
    def mean(self) -> Any:
        return self._over_components(self._component_distribution.mean)

    @property
    def variance(self) -> Any:
        """Within the components, and between their means."""
        dim = -1 - self._event_ndims
        apart = self._component_distribution.mean - self.mean.unsqueeze(dim)
        return self._over_components(self._component_distribution.variance) + self._over_components(apart.pow(2))

    def _padded(self, value: Any) -> Any:
        return value.unsqueeze(-1 - self._event_ndims)

    def cdf(self, value: Any) -> Any:
        if self._event_ndims:
            self._absent("cdf for events of several numbers")
        return (self._component_distribution.cdf(self._padded(value)) * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logs = self._component_distribution.log_prob(self._padded(value))
        return (logs + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            choice = self._mixture_distribution.sample(sample_shape)
            each = self._component_distribution.sample(sample_shape)
            dim = len(tuple(sample_shape)) + len(self._batch_shape)
            index = choice.reshape(*choice.shape, *[1] * (self._event_ndims + 1))
            shape = tuple(each.shape)
            index = index.expand(*shape[:dim], 1, *shape[dim + 1 :])
            return each.gather(dim, index).squeeze(dim)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
