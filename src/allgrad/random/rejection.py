"""Poisson, gamma and weighted choices, drawn in the order in which PyTorch draws them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.random import gaussian
from allgrad.random.words import Tape, Words

_THIRD = float(np.float32(1.0 / 3.0))  # PyTorch rounds the third; the law changes by less than 1e-8


def poisson(words: Words, rates: np.ndarray) -> np.ndarray:
    """One Poisson number for each rate >= 0: (n,) float64 -> (n,) float64.  About 1 µs an element."""
    with Tape(words, 4 * rates.size) as draw:
        return np.array([_one_poisson(rate, draw) for rate in rates.tolist()], np.float64)


def _one_poisson(rate: float, draw: Callable[[], float]) -> float:
    if rate >= 10:
        return _large_poisson(rate, draw)
    if rate == 0:
        return 0.0
    # D. Knuth: count uniforms until their product falls to exp(-rate).
    limit = math.exp(-rate)
    count = 0
    product = draw()
    while product > limit:
        count += 1
        product *= draw()
    return float(count)


def _large_poisson(rate: float, draw: Callable[[], float]) -> float:
    """W. Hörmann, "The transformed rejection method for generating Poisson random variables" (1993), PTRS."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    accept = 0.9277 - 3.6224 / (b - 2)
    log_rate = math.log(rate)
    while True:
        u = draw() - 0.5
        v = draw()
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= accept:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        if v == 0.0 or math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= (
            k * log_rate - rate - math.lgamma(k + 1)
        ):
            return float(k)


def binomial(words: Words, counts: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Successes in ``counts`` trials of chance ``probs``: (n,), (n,) float64 -> (n,) float64."""
    with Tape(words, 4 * counts.size) as draw:
        return np.array([_one_binomial(n, p, draw) for n, p in zip(counts.tolist(), probs.tolist())], np.float64)


def _one_binomial(count: float, prob: float, draw: Callable[[], float]) -> float:
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return count
    if prob > 0.5:
        return count - _one_binomial(count, 1 - prob, draw)
    if count * prob >= 10:
        return _large_binomial(count, prob, draw)
    # The gaps between successes are geometric: count those that fit into the trials.
    successes, used, log_failure = 0.0, 0.0, math.log1p(-prob)
    while True:
        u = draw()
        used += math.ceil(math.log(u) / log_failure) if u > 0 else math.inf
        if used > count:
            return successes
        successes += 1


def _large_binomial(count: float, prob: float, draw: Callable[[], float]) -> float:
    """W. Hörmann, "The generation of binomial random variates" (1993), BTRS."""
    spread = math.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    accept = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    log_odds = math.log(prob / (1 - prob))
    mode = math.floor((count + 1) * prob)
    at_mode = math.lgamma(mode + 1) + math.lgamma(count - mode + 1)
    while True:
        u = draw() - 0.5
        v = draw()
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2 * a / us + b) * u + count * prob + 0.5)
        if k < 0 or k > count:
            continue
        if us >= 0.07 and v <= accept:
            return float(k)
        likelihood = at_mode - math.lgamma(k + 1) - math.lgamma(count - k + 1) + (k - mode) * log_odds
        if v == 0.0 or math.log(v * alpha / (a / (us * us) + b)) <= likelihood:
            return float(k)


def gamma(words: Words, shapes: np.ndarray) -> np.ndarray:
    """One gamma number of scale 1 for each shape parameter >= 0: (n,) float64 -> (n,) float64."""
    with Tape(words, 4 * shapes.size) as draw:

        def normal() -> float:
            if words.cached is not None:
                value, words.cached = words.cached, None
                return value
            value, words.cached = gaussian.pair(draw(), draw())
            return value

        return np.array([_one_gamma(alpha, draw, normal) for alpha in shapes.tolist()], np.float64)


def _one_gamma(alpha: float, draw: Callable[[], float], normal: Callable[[], float]) -> float:
    """G. Marsaglia, W. Tsang, "A simple method for generating gamma variables" (2000)."""
    if alpha == 0:
        return 0.0
    scale = 1.0
    if alpha < 1:  # their section 6: Gamma(a) = Gamma(a + 1) U**(1/a)
        scale = (1.0 - draw()) ** (1.0 / alpha)
        alpha += 1.0
    d = alpha - _THIRD
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal()
        y = 1.0 + c * x
        while y <= 0:
            x = normal()
            y = 1.0 + c * x
        v = y * y * y
        u = 1.0 - draw()
        square = x * x
        if u < 1.0 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def multinomial(words: Words, weights: np.ndarray, n: int, replacement: bool) -> np.ndarray:
    """``n`` indices by weight: (classes,) -> (n,) or (rows, classes) -> (rows, n), int64."""
    rows = np.atleast_2d(weights)
    _check_weights(weights, rows, n, replacement)
    if not replacement or n == 1:
        # The first of independent exponential clocks of rates w rings at index i with chance w[i] / sum(w).
        clocks = -np.log1p(-words.doubles(rows.size)).reshape(rows.shape).astype(rows.dtype)
        with np.errstate(divide="ignore", over="ignore"):
            race = (rows / clocks).astype(np.float64)
        picked = np.argsort(-race, axis=1, kind="stable")[:, :n] if n > 1 else race.argmax(axis=1)[:, None]
    else:
        uniform = words.doubles(len(rows) * n).reshape(len(rows), n)
        reach = np.cumsum(rows, axis=1, dtype=np.float64)
        reach /= reach[:, -1:]
        picked = np.stack([np.searchsorted(r, u, side="left") for r, u in zip(reach, uniform)])
    picked = picked.astype(np.int64)
    return picked if weights.ndim == 2 else picked[0]


def _check_weights(weights: np.ndarray, rows: np.ndarray, n: int, replacement: bool) -> None:
    if weights.ndim not in (1, 2):
        raise ShapeError(f"prob_dist must be 1 or 2 dim, found {weights.ndim} dimensions")
    if weights.dtype.kind in "biu":
        raise DtypeError(f"multinomial only supports floating-point weights, got {weights.dtype}; try weights.float()")
    if n <= 0:
        raise ArgumentError(f"cannot sample n_sample <= 0 samples, found {n}")
    if not replacement and n > rows.shape[1]:
        raise ArgumentError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {n} of {rows.shape[1]}"
        )
    if not (np.isfinite(rows.astype(np.float64)) & (rows >= 0)).all():
        raise ArgumentError("probability tensor contains either `inf`, `nan` or element < 0")
    if not (rows.sum(axis=1) > 0).all():
        raise ArgumentError("invalid multinomial distribution (sum of probabilities <= 0)")
