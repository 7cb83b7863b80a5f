"""Samples of special functions; references are SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from op_samples import Sample
from op_samples.math import spread


def one(f: Callable[..., Any], low: float, high: float) -> list[Sample]:
    return [
        Sample((spread(low, high, 3, 4),), {}, f),
        Sample((np.array((low + 3 * high) / 4),), {}, f),
        Sample((np.zeros((0, 3)),), {}, f),
    ]


SAMPLES: dict[str, list[Sample]] = {
    "erf": [*one(scipy.special.erf, -2.5, 2.4), *one(scipy.special.erf, -0.3, 0.4)],
    "erfc": [*one(scipy.special.erfc, -2.5, 5.0), *one(scipy.special.erfc, -0.3, 0.4)],
    "erfcx": one(scipy.special.erfcx, -1.5, 6.0),
    "erfinv": one(scipy.special.erfinv, -0.95, 0.9),
    "ndtri": one(scipy.special.ndtri, 0.02, 0.95),
    "lgamma": [*one(scipy.special.gammaln, 0.3, 16.0), *one(scipy.special.gammaln, -2.8, -2.2)],
    "digamma": [*one(scipy.special.digamma, 0.3, 12.0), *one(scipy.special.digamma, -2.8, -2.2)],
    "polygamma": [
        Sample((spread(0.4, 7.0, 5),), {"n": n}, lambda x, *, n: scipy.special.polygamma(n, x)) for n in (1, 2, 3)
    ],
    "zeta": [Sample((spread(1.5, 6.0, 5), spread(0.4, 3.0, 5)), {}, scipy.special.zeta)],
    "entr": one(scipy.special.entr, 0.1, 3.0),
}
