"""The base of all distributions: shapes, sampling, checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.modes import no_grad
from allgrad.autograd.record import Variable, wrap
from allgrad.distributions import constraints
from allgrad.distributions.constraints import Constraint, all_hold
from allgrad.dtypes import get_default_dtype
from allgrad.errors import ArgumentError, DtypeError, UnsupportedError
from allgrad.functions.creation import tensor
from allgrad.functions.shape_broadcast import broadcast_tensors
from allgrad.tensor import Size

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Distribution:
    """Samples have the shape sample_shape + batch_shape + event_shape."""

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict[str, Constraint] = {}
    _validate = True

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked unless a distribution says otherwise."""
        if value not in (True, False):
            raise ArgumentError(f"validate_args must be True or False, found {value!r}")
        Distribution._validate = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        self._checked = Distribution._validate if validate_args is None else validate_args
        if not self._checked:
            return
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is None or isinstance(constraint, constraints._Dependent):
                continue
            if not all_hold(constraint.check(value)):
                raise ArgumentError(
                    f"Expected parameter {name} (Tensor of shape {tuple(value.shape)}) of distribution {self!r} to satisfy the "
                    f"constraint {constraint!r}, but found invalid values:\n{value}"
                )

    @property
    def batch_shape(self) -> Size:
        """Shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """Shape of one draw."""
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """Which values are possible."""
        return constraints.real

    @property
    def mean(self) -> Any:
        """Expectation."""
        return self._absent("mean")

    @property
    def mode(self) -> Any:
        """Most likely value."""
        return self._absent("mode")

    @property
    def variance(self) -> Any:
        """Variance."""
        return self._absent("variance")

    @property
    def stddev(self) -> Any:
        """Square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Any:
        """The old form of ``sample((n,))``."""
        return self.sample((n,))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws through which gradients flow to the parameters."""
        return self._absent("rsample")

    def log_prob(self, value: Any) -> Any:
        """Logarithm of density or probability, in nats: -> sample_shape + batch_shape."""
        return self._absent("log_prob")

    def cdf(self, value: Any) -> Any:
        """Probability of a value at most this."""
        return self._absent("cdf")

    def icdf(self, value: Any) -> Any:
        """The value below which the given probability lies."""
        return self._absent("icdf")

    def entropy(self) -> Any:
        """Entropy in nats: -> batch_shape."""
        return self._absent("entropy")

    def enumerate_support(self, expand: bool = True) -> Any:
        """All possible values along a new first axis."""
        return self._absent("enumerate_support")

    def perplexity(self) -> Any:
        """exp of the entropy."""
        return self.entropy().exp()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with parameters broadcast to ``batch_shape``."""
        return self._absent("expand")

    def _absent(self, what: str) -> Any:
        raise UnsupportedError(f"{type(self).__name__} has no {what}")

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size(tuple(sample_shape) + tuple(self._batch_shape) + tuple(self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        if not self._checked:
            return
        if not isinstance(value, Variable):
            raise ArgumentError("The value argument to log_prob must be a Tensor")
        shape, own = tuple(value.shape), tuple(self._batch_shape) + tuple(self._event_shape)  # type: ignore[attr-defined]
        for a, b in zip(reversed(shape), reversed(own)):
            if a != b and 1 not in (a, b):
                raise ArgumentError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {own}.")
        if not all_hold(self.support.check(value)):
            raise ArgumentError(
                f"Expected value argument (Tensor of shape {shape}) to be within the support ({self.support!r}) of the "
                f"distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        names = [n for n in self.arg_constraints if n in self.__dict__ and self.__dict__[n] is not None]
        shown = []
        for n in names:
            value = self.__dict__[n]
            shown.append(f"{n}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"


def parameters(*values: Any) -> tuple[Any, ...]:
    """Parameters as Tensors of one shape; numbers take the dtype of the Tensors among them."""
    for v in values:
        if not isinstance(v, (Variable, int, float)):
            raise DtypeError(
                "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
            )
    kinds = [v.dtype for v in values if isinstance(v, Variable) and v.is_floating_point()]  # type: ignore[attr-defined]
    kind = kinds[0] if kinds else get_default_dtype()
    whole = [v if isinstance(v, Variable) else tensor(v, dtype=kind) for v in values]
    return tuple(broadcast_tensors(*whole))


def batch_of(value: Any, *given: Any) -> tuple[int, ...]:
    """The batch shape of parameters: () if all were given as numbers."""
    return () if all(isinstance(g, (int, float)) for g in given) else tuple(value.shape)


def drawn(array: np.ndarray[Any, Any]) -> Any:
    """A Tensor around drawn numbers."""
    return wrap(array)
