"""Distributions on whole numbers and classes: Bernoulli, geometric, Poisson, categorical."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.distribution import Distribution, batch_of, drawn, parameters
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.errors import ArgumentError
from allgrad.functions.activation import logsigmoid
from allgrad.functions.creation_ranges import arange
from allgrad.functions.pointwise_special import lgamma
from allgrad.random import default_generator


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` without overflow."""
    return -logsigmoid(-x)


class _FromProbsOrLogits(Distribution):
    """One number per element, given by probability or by log-odds."""

    probs: Any
    logits: Any

    def _take(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        if (probs is None) == (logits is None):
            raise ArgumentError("Either `probs` or `logits` must be specified, but not both.")
        given = logits if probs is None else probs
        (value,) = parameters(given)
        setattr(self, "logits" if probs is None else "probs", value)
        super().__init__(batch_of(value, given), validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        # Only called for what __init__ did not set: the other one of the pair is computed when asked for.
        if name == "logits" and "probs" in self.__dict__:
            p = self.probs.clamp(
                min=float(np.finfo(self.probs._a.dtype).eps), max=1 - float(np.finfo(self.probs._a.dtype).eps)
            )
            self.logits = p.log() - (-p).log1p()
            return self.logits
        if name == "probs" and "logits" in self.__dict__:
            self.probs = self.logits.sigmoid()
            return self.probs
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _given(self) -> Any:
        return self.__dict__.get("probs", self.__dict__.get("logits"))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        name = "probs" if "probs" in self.__dict__ else "logits"
        return type(self)(**{name: getattr(self, name).expand(batch_shape)}, validate_args=False)


class Bernoulli(_FromProbsOrLogits, ExponentialFamily):
    """One with probability ``probs``, else zero."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._take(probs, logits, validate_args)

    @property
    def support(self) -> Any:
        return constraints.boolean

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Any:
        return (self.probs > 0.5).type_as(self.probs).masked_fill(self.probs == 0.5, float("nan"))

    def sample(self, sample_shape: Any = ()) -> Any:
        p = np.broadcast_to(self.probs._a, tuple(self._extended_shape(sample_shape)))
        return drawn(default_generator().bernoulli(np.ascontiguousarray(p), p.shape, p.dtype))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return value * self.logits - softplus(self.logits)

    def entropy(self) -> Any:
        return softplus(self.logits) - self.probs * self.logits

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(2, dtype=self._given().dtype).view(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class Geometric(_FromProbsOrLogits):
    """Failures before the first success."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._take(probs, logits, validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    @property
    def mode(self) -> Any:
        return self.probs.detach() * 0

    def sample(self, sample_shape: Any = ()) -> Any:
        kind = self.probs._a.dtype
        u = default_generator().uniform(tuple(self._extended_shape(sample_shape)), kind)
        return drawn(np.floor(np.log(np.maximum(u, np.finfo(kind).tiny)) / np.log1p(-self.probs._a)).astype(kind))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return value * (-self.probs).log1p() + self.probs.log()

    def entropy(self) -> Any:
        return (softplus(self.logits) - self.probs * self.logits) / self.probs


class Poisson(ExponentialFamily):
    """Counts at ``rate``."""

    arg_constraints = {"rate": constraints.nonnegative}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = parameters(rate)
        super().__init__(batch_of(self.rate, rate), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.rate

    variance = mean

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    def sample(self, sample_shape: Any = ()) -> Any:
        rates = np.broadcast_to(self.rate._a, tuple(self._extended_shape(sample_shape)))
        return drawn(np.asarray(default_generator().poisson(np.ascontiguousarray(rates)), rates.dtype))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return value.xlogy(self.rate) - self.rate - lgamma(value + 1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return Poisson(self.rate.expand(batch_shape), validate_args=False)


class Categorical(Distribution):
    """Class indices 0 to k - 1; ``probs`` (..., k) need not add up to one, ``logits`` need no normalization."""

    arg_constraints = {"probs": constraints.dependent, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if (probs is None) == (logits is None):
            raise ArgumentError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            if probs.dim() < 1:
                raise ArgumentError("`probs` parameter must be at least one-dimensional.")
            checked = Distribution._validate if validate_args is None else validate_args
            if checked and not bool(((probs >= 0).all(-1) & (probs.sum(-1) > 0)).all()):
                raise ArgumentError(
                    f"Expected parameter probs (Tensor of shape {tuple(probs.shape)}) of distribution Categorical to satisfy the "
                    f"constraint Simplex(), but found invalid values:\n{probs}"
                )
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            if logits.dim() < 1:
                raise ArgumentError("`logits` parameter must be at least one-dimensional.")
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._count = (logits if probs is None else probs).shape[-1]
        super().__init__(tuple((logits if probs is None else probs).shape[:-1]), validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        if name == "logits" and "probs" in self.__dict__:
            eps = float(np.finfo(self.probs._a.dtype).eps)
            self.logits = self.probs.clamp(min=eps, max=1 - eps).log()
            return self.logits
        if name == "probs" and "logits" in self.__dict__:
            self.probs = self.logits.softmax(-1)
            return self.probs
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self._count - 1)

    @property
    def param_shape(self) -> Any:
        """Shape of the parameters."""
        return self.__dict__["probs" if "probs" in self.__dict__ else "logits"].size()

    @property
    def mean(self) -> Any:
        return self.probs[..., 0] * float("nan")

    variance = mean

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        count = int(np.prod(tuple(sample_shape), dtype=np.int64))
        flat = self.probs._a.reshape(-1, self._count)
        drawn_rows = default_generator().multinomial(flat, count, True)
        return drawn(np.asarray(np.asarray(drawn_rows).T.reshape(tuple(self._extended_shape(sample_shape))), order="C"))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        index = value.long().unsqueeze(-1)
        shape = np.broadcast_shapes(tuple(index.shape[:-1]), tuple(self.logits.shape[:-1]))
        return self.logits.expand(*shape, self._count).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Any:
        low = float(np.finfo(self.logits._a.dtype).min)
        return -(self.logits.clamp(min=low) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(self._count).view(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        name = "probs" if "probs" in self.__dict__ else "logits"
        value = getattr(self, name)
        return Categorical(**{name: value.expand(*batch_shape, self._count)}, validate_args=False)

    def __repr__(self) -> str:
        name = "probs" if "probs" in self.__dict__ else "logits"
        value = getattr(self, name)
        return f"Categorical({name}: {value if value.numel() == 1 else value.size()})"
