"""Normal numbers by Box and Muller, bit for bit those of PyTorch on x86 in float32.

PyTorch's vector code takes Cephes' single-precision log, sin and cos (S. Moshier, Cephes Math Library) with fused
multiply-adds.  Those are reproduced here: a product of two float32 is exact in float64, so multiplying and adding
there and rounding once is a fused multiply-add.  Only ``+ * sqrt`` and bit operations are used, so that every machine
draws the same bits, which NumPy's own ``log`` and ``cos`` do not promise.
"""

from __future__ import annotations

import math

import numpy as np

from allgrad.random.words import Words

_F = np.float32
_GROUPS = 2048  # groups of 16 normals a pass: the float64 scratch of 128 KiB stays in the second-level cache

# log(1 + x) on [sqrt(1/2) - 1, sqrt(2) - 1], highest power first; log(2) = _LN2_HIGH + _LN2_LOW.
_LOG = [float(_F(c)) for c in (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)]  # fmt: skip
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_SQRT_HALF_BITS = 0x3F3504F3
# sin (row 0) and cos (row 1) on [-pi/4, pi/4], highest power first; pi/4 in three parts that multiply exactly.
_SINCOS = [
    np.array([[_F(s)], [_F(c)]], np.float64)
    for s, c in (
        (-1.9515295891e-4, 2.443315711809948e-5),
        (8.3321608736e-3, -1.388731625493765e-3),
        (-1.6666654611e-1, 4.166664568298827e-2),
    )
]
_QUARTER_PI = (_F(-0.78515625), _F(-2.4187564849853515625e-4), float(_F(-3.77489497744594108e-8)))


def _round_into(single: np.ndarray, double: np.ndarray) -> None:
    np.copyto(single, double, casting="same_kind")


def _radius(words: np.ndarray) -> np.ndarray:
    """``sqrt(-2 log(1 - w / 2**24))``: (m,) uint32 below 2**24 -> (m,) float32."""
    bits = (np.int32(1 << 24) - words.view(np.int32)).astype(_F).view(np.int32)
    exponent = (bits - np.int32(_SQRT_HALF_BITS)) >> 23  # so that the mantissa lies in [sqrt(1/2), sqrt(2))
    bits -= exponent << 23
    x = bits.view(_F)
    x -= _F(1)
    wide_x = x.astype(np.float64)
    wide = wide_x * _LOG[0]
    wide += _LOG[1]
    y = wide.astype(_F)
    for c in _LOG[2:]:
        np.copyto(wide, y)
        wide *= wide_x
        wide += c
        _round_into(y, wide)
    power = (exponent - np.int32(24)).astype(_F)
    square = x * x
    y *= x
    np.copyto(wide, y)
    wide *= square
    wide += power * _LN2_LOW
    _round_into(y, wide)
    square *= _F(0.5)
    y -= square
    y += x
    power *= _LN2_HIGH
    y += power
    y *= _F(-2)
    return np.sqrt(y, out=y)


def _sin_cos(words: np.ndarray) -> np.ndarray:
    """Sine and cosine of ``2 pi w / 2**24``: (m,) uint32 below 2**24 -> (2, m) float32."""
    x = words.view(np.int32).astype(_F)
    x *= _F(2 * np.pi) * _F(2.0**-24)
    octant = (x * _F(4 / np.pi)).astype(np.int32)
    octant += np.int32(1)
    octant &= np.int32(~1)
    steps = octant.astype(_F)
    x += steps * _QUARTER_PI[0]
    x += steps * _QUARTER_PI[1]
    fold = steps.astype(np.float64)
    fold *= _QUARTER_PI[2]
    fold += x
    _round_into(x, fold)

    square = x * x
    wide_square = square.astype(np.float64)
    wide = wide_square * _SINCOS[0]
    wide += _SINCOS[1]
    both = wide.astype(_F)
    np.copyto(wide, both)
    wide *= wide_square
    wide += _SINCOS[2]
    _round_into(both, wide)
    both *= square
    np.copyto(wide, both)
    sine, cosine = wide
    sine *= x
    sine += x
    cosine *= wide_square
    wide_square *= 0.5
    cosine -= wide_square
    _round_into(both, wide)
    both[1] += _F(1)

    # In every second quadrant sine and cosine change places: the xor of both where the octant's bit 1 is set.
    bits = both.view(np.int32)
    swap = bits[0] ^ bits[1]
    swap &= -((octant >> 1) & np.int32(1))
    bits ^= swap
    bits[0] ^= (octant & np.int32(4)) << 29
    octant += np.int32(2)
    bits[1] ^= (octant & np.int32(4)) << 29
    return both


def _groups(words: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
    """Eight pairs of words become sixteen normals: (k, 2, 8) uint32 -> (k, 2, 8) float32."""
    words &= np.uint32(0xFFFFFF)
    k = len(words)
    radius = _radius(words[:, 0].reshape(-1)).reshape(k, 8)
    sine, cosine = _sin_cos(words[:, 1].reshape(-1)).reshape(2, k, 8)
    np.multiply(radius, cosine, out=out[:, 0])
    np.multiply(radius, sine, out=out[:, 1])
    if (mean, std) != (0.0, 1.0):
        wide = out.astype(np.float64)
        wide *= float(_F(std))
        wide += float(_F(mean))
        _round_into(out, wide)


def _groups_double(uniform: np.ndarray, mean: float, std: float, out: np.ndarray) -> None:
    """Eight pairs of uniforms become sixteen normals: (k, 2, 8) float64 -> (k, 2, 8) float64."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[:, 0])) * std
    angle = (2.0 * np.pi) * uniform[:, 1]
    np.multiply(radius, np.cos(angle), out=out[:, 0])
    np.multiply(radius, np.sin(angle), out=out[:, 1])
    if mean != 0.0:
        out += mean


def fill(words: Words, n: int, mean: float, std: float, kind: np.dtype) -> np.ndarray:
    """``n >= 16`` normals in groups of 16; a ragged end is drawn anew over the last 16: -> (n,).

    The result is float64 for a float64 ``kind`` and else float32, to be rounded by the caller.
    """
    double = kind == np.float64
    whole = n - n % 16
    out = np.empty(n, np.float64 if double else np.float32)
    for start in range(0, whole, 16 * _GROUPS):
        _fill_groups(words, mean, std, out[start : min(start + 16 * _GROUPS, whole)])
    if whole < n:
        if kind.itemsize > 2:  # PyTorch draws uniforms for the ragged end first and throws them away
            words.skip((n - whole) * (2 if double else 1))
        _fill_groups(words, mean, std, out[n - 16 :])
    return out


def _fill_groups(words: Words, mean: float, std: float, part: np.ndarray) -> None:
    out = part.reshape(-1, 2, 8)
    if part.dtype == np.float64:
        _groups_double(words.doubles(part.size).reshape(-1, 2, 8), mean, std, out)
    else:
        _groups(words.take(part.size).reshape(-1, 2, 8), mean, std, out)


def serial(words: Words, n: int) -> np.ndarray:
    """``n`` standard normals in pairs, the odd one kept for the next call: -> (n,) float64."""
    out = np.empty(n)
    begin = 0
    if n and words.cached is not None:
        out[0] = words.cached
        words.cached = None
        begin = 1
    pairs = (n - begin + 1) // 2
    if pairs <= 8:  # the C library's functions, as in PyTorch, so that the kept normal has the same bits too
        both = [z for first, second in words.doubles(2 * pairs).reshape(pairs, 2).tolist() for z in pair(first, second)]
    else:
        uniform = words.doubles(2 * pairs).reshape(pairs, 2)
        radius = np.sqrt(-2.0 * np.log1p(-uniform[:, 1]))
        angle = (2.0 * np.pi) * uniform[:, 0]
        both = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1).reshape(-1).tolist()
    out[begin:] = both[: n - begin]
    if (n - begin) % 2:
        words.cached = both[-1]
    return out


def pair(first: float, second: float) -> tuple[float, float]:
    """Two standard normals out of two uniforms in [0, 1)."""
    radius = math.sqrt(-2.0 * math.log1p(-second))
    angle = 2.0 * math.pi * first
    return radius * math.cos(angle), radius * math.sin(angle)
