"""Methods that overwrite a Tensor: with random numbers, one number, or another Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace, write
from allgrad.autograd.record import Variable
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions import random_tensors as r
from allgrad.functions.promote import plain
from allgrad.ops.copy import copy_into


def _kind(x: Any, name: str) -> Any:
    return r.floating_only(x._a.dtype, name)


def _drawn(x: Any, draw: Callable[[tuple[int, ...]], Any]) -> Any:
    """``draw(shape)`` for ``x``, the numbers laid down in the order of the memory, as PyTorch does."""
    a = x._a
    if a.flags.c_contiguous:
        return draw(a.shape)
    order = sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]))
    return draw(tuple(a.shape[i] for i in order)).transpose(np.argsort(order))


class RandomMethods(Variable):
    """``normal_``, ``uniform_``, ``fill_``, ``copy_`` and their kin."""

    def normal_(self, mean: float = 0, std: float = 1, *, generator: Any = None) -> Any:
        """Normal numbers."""
        g, kind, dense = r.source(generator), _kind(self, "normal_"), self._a.flags.c_contiguous
        drawn = _drawn(self, lambda shape: g.normal(shape, kind, float(mean), float(std), contiguous=dense))
        return write(self, "normal_", drawn)

    def uniform_(self, from_: float = 0, to: float = 1, *, generator: Any = None, **named: float) -> Any:
        """Uniform numbers in [from, to); ``from`` being a word of Python, name it through ``**{"from": 1}``."""
        low = float(named.pop("from", from_))
        if named:
            raise DtypeError(f"uniform_() got an unexpected keyword argument {sorted(named)[0]!r}")
        g, kind = r.source(generator), _kind(self, "uniform_")
        return write(self, "uniform_", _drawn(self, lambda shape: g.uniform(shape, kind, low, float(to))))

    def bernoulli_(self, p: Any = 0.5, *, generator: Any = None) -> Any:
        """One with the chance ``p``, a number or a Tensor of chances, else zero."""
        a = self._a
        if isinstance(p, Variable):
            chance = np.broadcast_to(p._a, a.shape)
            drawn = r.source(generator).bernoulli(chance, a.shape, a.dtype)
        else:
            g = r.source(generator)
            drawn = _drawn(self, lambda shape: g.bernoulli(float(p), shape, a.dtype))
        return write(self, "bernoulli_", drawn)

    def exponential_(self, lambd: float = 1, *, generator: Any = None) -> Any:
        """Exponential numbers of rate ``lambd``, mean ``1 / lambd``."""
        g, kind = r.source(generator), _kind(self, "exponential_")
        drawn = _drawn(self, lambda shape: g.exponential(shape, kind, float(lambd)))
        return write(self, "exponential_", drawn)

    def geometric_(self, p: float, *, generator: Any = None) -> Any:
        """Trials up to the first success of chance ``p``."""
        g, kind = r.source(generator), self._a.dtype
        return write(self, "geometric_", _drawn(self, lambda shape: g.geometric(shape, kind, float(p))))

    def cauchy_(self, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Any:
        """Cauchy numbers."""
        g, kind = r.source(generator), _kind(self, "cauchy_")
        drawn = _drawn(self, lambda shape: g.cauchy(shape, kind, float(median), float(sigma)))
        return write(self, "cauchy_", drawn)

    def log_normal_(self, mean: float = 1, std: float = 2, *, generator: Any = None) -> Any:
        """The exponential of normal numbers with ``mean`` and ``std``."""
        g, kind = r.source(generator), _kind(self, "log_normal_")
        drawn = _drawn(self, lambda shape: g.log_normal(shape, kind, float(mean), float(std)))
        return write(self, "log_normal_", drawn)

    def random_(self, *bounds: int, generator: Any = None) -> Any:
        """Whole numbers: ``random_()`` over the dtype, ``random_(to)`` in [0, to), ``random_(from, to)``."""
        g, kind = r.source(generator), self._a.dtype
        if not bounds:
            return write(self, "random_", _drawn(self, lambda shape: g.random(shape, kind)))
        low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
        return write(self, "random_", _drawn(self, lambda shape: g.integers(low, high, shape, kind)))

    bernoulli = r.bernoulli
    multinomial = r.multinomial

    def zero_(self) -> Any:
        """Zeros."""
        return write(self, "zero_", np.zeros((), self._a.dtype))

    def fill_(self, value: Any) -> Any:
        """``value`` everywhere, a number or a 0-d Tensor."""
        if isinstance(value, Variable):
            if value._a.ndim:
                raise ShapeError(
                    f"fill_ only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions."
                )
            return apply_inplace(copy_into, self, (value,))
        value = plain(value)
        if not isinstance(value, (int, float)):
            raise DtypeError(f"fill_(): argument 'value' must be a number or a Tensor, not {type(value).__name__}")
        return write(self, "fill_", np.asarray(value))

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """The values of ``src``, broadcast and converted; gradients flow to ``src``."""
        if not isinstance(src, (Variable, np.ndarray, int, float)):
            raise DtypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
        shape = np.shape(src._a if isinstance(src, Variable) else src)
        if len(shape) > self._a.ndim:
            raise ShapeError(
                f"output with shape {list(self._a.shape)} doesn't match the shape {list(shape)} of the source"
            )
        return apply_inplace(copy_into, self, (src,))
