"""``Generator``: one stream of random numbers, equal to that of PyTorch's CPU generator for the same seed.

Which numbers are PyTorch's (2.13, CPU wheel, x86 with AVX2), and how closely:

- the same bits: ``uniform`` on [0, 1), and between bounds in all but float64; ``normal`` of 16 and more elements in all
  but float64; ``integers``, ``random``, ``permutation``, ``bernoulli`` (so dropout's masks too);
- computed in float64 with the C library's or NumPy's functions, so equal up to the last places of float64, and the same
  after rounding to float32 or to a count (but for a tie in some 1e8 draws): the other ``uniform`` and ``normal``,
  ``exponential``, ``geometric``, ``cauchy``, ``log_normal``, ``multinomial``, ``poisson``, ``binomial``, ``gamma``,
  ``beta``;
- less closely: ``gamma`` and ``beta`` in float32 (1e-6), ``multinomial`` without replacement on 16-bit weights (ties).

``state`` is PyTorch's too: the bytes of ``torch.get_rng_state()`` may be handed to ``set_state`` and back.
"""

from __future__ import annotations

import math
import secrets
import threading
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError, ShapeError
from allgrad.random import gaussian, rejection, swaps
from allgrad.random.words import Words

Shape = int | tuple[int, ...]
DEFAULT_SEED = 67280421310721  # what PyTorch's generators start from when nobody seeds them
_WIDE_RANGE = 1 << 28  # from this range on an integer takes two words, for less bias of the remainder


class Generator:
    """A source of random numbers: ``Generator().manual_seed(0)``.

    >>> import numpy as np
    >>> Generator().manual_seed(0).uniform(2, np.dtype(np.float32)).tolist()
    [0.49625658988952637, 0.7682217955589294]

    Safe to share between threads; each drawing holds the generator's lock.
    """

    def __init__(self, device: Any = "cpu") -> None:
        if str(device).partition(":")[0] != "cpu":
            raise ArgumentError(f"Generator lives on the CPU only, found device={device!r}; try device='cpu'")
        self.device = device
        self._words = Words()
        self._lock = threading.RLock()
        self._words.reseed(DEFAULT_SEED)

    # ---- seed and state

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed``, any integer in [-2**63, 2**64); negative ones wrap.  Returns self."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ArgumentError(f"seed must lie in [-2**63, 2**64), found {seed}")
        with self._lock:
            self._words.reseed(seed % 2**64)
        return self

    def seed(self) -> int:
        """Start from a seed that the operating system draws, and return it."""
        seed = secrets.randbits(64)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream started from, in [0, 2**64)."""
        return self._words.seed

    def get_state(self) -> np.ndarray:
        """The whole state, cached normal included: -> (5056,) uint8, PyTorch's own bytes."""
        with self._lock:
            return self._words.pack()

    def set_state(self, new_state: Any) -> Generator:
        """Go on from a state that ``get_state`` gave; ArgumentError (a RuntimeError) for other bytes."""
        with self._lock:
            self._words.unpack(new_state)
        return self

    def clone_state(self) -> Generator:
        """Another generator that will draw the same numbers."""
        return _with_state(self.device, self.get_state())

    def __reduce__(self) -> Any:
        return _with_state, (self.device, self.get_state())

    def __repr__(self) -> str:
        return f"Generator(device={str(self.device)!r}, initial_seed={self.initial_seed()})"

    # ---- continuous numbers; np_dtype is floating, float16 and bfloat16 are drawn in float32 and rounded

    def uniform(self, shape: Shape, np_dtype: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Uniform in [low, high): -> shape."""
        kind = np.dtype(np_dtype)
        if not low <= high:
            raise ArgumentError(
                f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}; swap them"
            )
        unit = (low, high) == (0.0, 1.0)
        double = kind == np.float64
        with self._lock:
            out = self._words.doubles(_count(shape)) if double else self._words.floats(_count(shape))
        if not unit and not double:
            # A fused multiply-add: the product of two float32 is exact in float64, one rounding follows.
            low32, high32 = np.float32(low), np.float32(high)
            out = (out.astype(np.float64) * float(high32 - low32) + float(low32)).astype(np.float32)
        elif not unit:
            out *= high - low
            out += low
        out = out.astype(kind, copy=False)
        if not unit or kind.itemsize == 2:
            out[out == kind.type(high)] = low  # rounded up to the open end
        return out.reshape(shape)

    def normal(
        self, shape: Shape, np_dtype: Any, mean: float = 0.0, std: float = 1.0, *, contiguous: bool = True
    ) -> np.ndarray:
        """Normal numbers: -> shape.  ``contiguous=False`` draws as PyTorch does into strided memory."""
        kind = np.dtype(np_dtype)
        if not std >= 0:
            raise ArgumentError(f"normal expects std >= 0.0, but found std {std}")
        n = _count(shape)
        with self._lock:
            if n >= 16 and contiguous:
                return gaussian.fill(self._words, n, mean, std, kind).astype(kind, copy=False).reshape(shape)
            out = gaussian.serial(self._words, n)
        return _rounded((out * std + mean).reshape(shape), kind)

    def exponential(self, shape: Shape, np_dtype: Any, lambd: float = 1.0) -> np.ndarray:
        """Exponential numbers of rate ``lambd``, mean ``1 / lambd``: -> shape."""
        if not lambd > 0:
            raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
        return _rounded(np.log1p(-self._doubles(shape)) * (-1.0 / lambd), np_dtype)

    def cauchy(self, shape: Shape, np_dtype: Any, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
        """Cauchy numbers: -> shape."""
        if not sigma > 0:
            raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
        return _rounded(median + sigma * np.tan(math.pi * (self._doubles(shape) - 0.5)), np_dtype)

    def log_normal(self, shape: Shape, np_dtype: Any, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
        """The exponential of normal numbers with ``mean`` and ``std``: -> shape."""
        if not std > 0:
            raise ArgumentError(f"log_normal_ expects std > 0.0, but found std={std}")
        with self._lock:
            normals = gaussian.serial(self._words, _count(shape))
        with np.errstate(over="ignore"):
            return _rounded(np.exp(normals * std + mean).reshape(shape), np_dtype)

    def gamma(self, alpha: Any, np_dtype: Any = None) -> np.ndarray:
        """Gamma numbers of scale 1 for shape parameters ``alpha``: alpha's shape, alpha's dtype unless given."""
        shapes = np.asarray(alpha)
        kind = np.dtype(shapes.dtype if np_dtype is None else np_dtype)
        wide = shapes.astype(np.float64)
        if not (wide >= 0).all():
            raise ArgumentError("gamma expects shape parameters alpha >= 0, found a negative or NaN one")
        with self._lock:
            out = rejection.gamma(self._words, wide.reshape(-1)).reshape(shapes.shape)
        # Zero is no gamma number but the underflow of a small one; its logarithm must stay finite.
        floor = np.finfo(np.float32 if kind.itemsize < 8 else np.float64).tiny
        return _rounded(np.maximum(out, floor), kind)

    def beta(self, a: Any, b: Any) -> np.ndarray:
        """Beta numbers ``x / (x + y)`` of gamma numbers x, y: broadcast shape of ``a`` and ``b``."""
        first, second = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        both = np.stack((first, second), axis=-1)
        pair = self.gamma(both, np.float64)
        return _rounded(pair[..., 0] / pair.sum(axis=-1), both.dtype)

    # ---- whole numbers

    def integers(self, low: int, high: int, shape: Shape, np_dtype: Any = np.int64) -> np.ndarray:
        """Whole numbers in [low, high): -> shape.  A remainder: small numbers come up by at most 1/16 more often."""
        low, high = int(low), int(high)
        if low >= high:
            raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
        span = high - low
        if span > 2**64:
            raise ArgumentError(f"a range of {span} numbers is too wide: at most 2**64")
        n = _count(shape)
        with self._lock:
            words = self._words.take(n) if span < _WIDE_RANGE else self._words.take64(n)
        kind = np.dtype(np_dtype)
        if span == 2**64:
            return words.astype(kind, copy=False).reshape(shape)
        words %= words.dtype.type(span)
        if low >= -(2**63) and high <= 2**63:
            shifted = words.astype(np.int64)
            shifted += low  # wraps as two's complement where the remainder passed 2**63, and lands right
            return shifted.astype(kind, copy=False).reshape(shape)
        return (words.astype(np.uint64) + np.uint64(low % 2**64)).astype(kind, copy=False).reshape(shape)

    def random(self, shape: Shape, np_dtype: Any) -> np.ndarray:
        """PyTorch's ``random_()``: 0 to the dtype's maximum, or for floats to the last exact integer: -> shape."""
        kind = np.dtype(np_dtype)
        if kind.kind in "iub":
            span = 2 if kind.kind == "b" else int(np.iinfo(kind).max) + 1
        else:
            span = 2 ** {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}[kind.name] + 1
        with self._lock:
            words = self._words.take64(_count(shape)) if kind.itemsize == 8 else self._words.take(_count(shape))
        if span <= np.iinfo(words.dtype).max:
            words %= words.dtype.type(span)
        if kind.kind not in "iub":
            words = words.astype(np.float64)
        return words.astype(kind).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0 to n - 1 in random order: -> (n,) int64, by swapping each with one not before it."""
        if n < 0:
            raise ArgumentError(f"n must be non-negative, got {n}")
        with self._lock:
            words = self._words.take(max(n - 1, 0))
        if n < 2:
            return np.arange(n)
        return swaps.order(np.arange(n - 1) + words % np.arange(n, 1, -1, dtype=np.uint32))

    def bernoulli(self, p: Any, shape: Shape | None = None, np_dtype: Any = np.float32) -> np.ndarray:
        """One with probability ``p``, else zero: a float p with ``shape``, or an array p of that shape: -> shape.

        A float or float64 p spends two words an element, an array p of a narrower dtype one.
        """
        chance = np.asarray(p)
        if not ((chance >= 0) & (chance <= 1)).all():
            raise ArgumentError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        if shape is None:
            shape = chance.shape
        if chance.ndim and chance.shape != (shape if isinstance(shape, tuple) else (shape,)):
            raise ShapeError(f"bernoulli: p has shape {chance.shape}, the result {shape}; they must be equal")
        if chance.dtype.itemsize < 8 and chance.ndim:
            with self._lock:
                uniform = self._words.floats(_count(shape)).reshape(shape)
            return (uniform < chance.astype(np.float32)).astype(np_dtype)
        if chance.ndim:
            return (self._doubles(shape) < chance).astype(np_dtype)
        with self._lock:
            pairs = self._words.take(2 * _count(shape)).reshape(-1, 2)
        # u < p on 53 bits without making u: the upper 21 bits decide, but for a tie in some two million.
        limit = math.ceil(float(chance) * 2**53)
        upper = pairs[:, 0] & np.uint32(0x1FFFFF)
        out = upper < np.uint32(limit >> 32)
        ties = np.flatnonzero(upper == np.uint32(limit >> 32))
        out[ties] = pairs[ties, 1] < np.uint32(limit & 0xFFFFFFFF)
        return out.astype(np_dtype).reshape(shape)

    def geometric(self, shape: Shape, np_dtype: Any, p: float) -> np.ndarray:
        """Trials up to the first success of probability ``p``, at least 1: -> shape."""
        if not 0 < p < 1:
            raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p}")
        uniform = self._doubles(shape)
        np.maximum(uniform, 2.0**-54, out=uniform)  # log(0) would be an infinite number of trials
        return _rounded(np.ceil(np.log(uniform) / math.log1p(-p)), np_dtype)

    def poisson(self, rates: Any) -> np.ndarray:
        """Poisson numbers for ``rates`` >= 0: rates' shape and dtype."""
        lam = np.asarray(rates)
        wide = lam.astype(np.float64)
        if not (wide >= 0).all():
            raise ArgumentError("invalid Poisson rate, expected rate to be non-negative; found a negative or NaN one")
        with self._lock:
            return _rounded(rejection.poisson(self._words, wide.reshape(-1)).reshape(lam.shape), lam.dtype)

    def binomial(self, counts: Any, probs: Any) -> np.ndarray:
        """Successes in ``counts`` trials of chance ``probs``, arrays of one shape: that shape, probs' dtype."""
        n, p = np.asarray(counts), np.asarray(probs)
        with self._lock:
            flat = rejection.binomial(self._words, n.astype(np.float64).ravel(), p.astype(np.float64).ravel())
        return _rounded(flat.reshape(p.shape), p.dtype)

    def multinomial(self, weights: Any, n: int, replacement: bool = False) -> np.ndarray:
        """``n`` indices drawn by weight: (classes,) -> (n,), or (rows, classes) -> (rows, n), int64."""
        with self._lock:
            return rejection.multinomial(self._words, np.asarray(weights), n, replacement)

    def _doubles(self, shape: Shape) -> np.ndarray:
        with self._lock:
            return self._words.doubles(_count(shape)).reshape(shape)


def _count(shape: Shape) -> int:
    n = shape if isinstance(shape, int) else math.prod(shape)
    if n < 0 or (not isinstance(shape, int) and min(shape, default=0) < 0):
        raise ShapeError(f"a shape has no negative sizes, found {shape}")
    return n


def _rounded(values: np.ndarray, np_dtype: Any) -> np.ndarray:
    """float64 to the dtype, by way of float32 for the 16-bit ones as in PyTorch; too large becomes infinite."""
    kind = np.dtype(np_dtype)
    with np.errstate(over="ignore"):
        if kind.itemsize == 2 and kind.kind not in "iu":
            values = values.astype(np.float32)
        return values.astype(kind, copy=False)


def _with_state(device: Any, state: np.ndarray) -> Generator:
    generator = Generator(device)
    generator.set_state(state)
    return generator
