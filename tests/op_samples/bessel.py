"""Samples of Bessel functions, polynomials and incomplete gamma functions; references are SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from op_samples import Sample
from op_samples.math import spread
from op_samples.special import one

POLYNOMIALS = {
    "chebyshev_t": scipy.special.eval_chebyt,
    "chebyshev_u": scipy.special.eval_chebyu,
    "hermite_h": scipy.special.eval_hermite,
    "hermite_he": scipy.special.eval_hermitenorm,
    "laguerre_l": scipy.special.eval_laguerre,
    "legendre_p": scipy.special.eval_legendre,
}
WIDE = np.concatenate([np.linspace(-40, 40, 33), [-1e-9, 1e-9, 300.0]])


def _polynomial(x: Any, n: Any, *, family: str) -> Any:
    return POLYNOMIALS[family](n.astype(int), x)


SAMPLES: dict[str, list[Sample]] = {
    "i0": one(scipy.special.i0, -2.5, 6.4),
    "i1": one(scipy.special.i1, -2.5, 6.4),
    "i0e": [*one(scipy.special.i0e, -2.5, 6.4), Sample((WIDE,), {}, scipy.special.i0e, wrt=())],
    "i1e": [*one(scipy.special.i1e, -2.5, 6.4), Sample((WIDE,), {}, scipy.special.i1e, wrt=())],
    "bessel_j": [
        Sample((WIDE,), {"order": 0}, lambda x, *, order: scipy.special.j0(x)),
        Sample((WIDE,), {"order": 1}, lambda x, *, order: scipy.special.j1(x)),
    ],
    "bessel_y": [
        Sample((np.abs(WIDE),), {"order": 0}, lambda x, *, order: scipy.special.y0(x)),
        Sample((np.abs(WIDE),), {"order": 1}, lambda x, *, order: scipy.special.y1(x)),
    ],
    "bessel_k": [
        Sample((np.abs(WIDE),), {"order": n, "scaled": scaled}, reference)
        for n, scaled, reference in [
            (0, False, lambda x, *, order, scaled: scipy.special.k0(x)),
            (1, False, lambda x, *, order, scaled: scipy.special.k1(x)),
            (0, True, lambda x, *, order, scaled: scipy.special.k0e(x)),
            (1, True, lambda x, *, order, scaled: scipy.special.k1e(x)),
        ]
    ],
    "polynomial": [
        Sample((spread(-0.9, 0.8, 7), np.arange(7.0)), {"family": family}, _polynomial, wrt=())
        for family in POLYNOMIALS
    ],
    "igamma": [Sample((spread(0.3, 6.0, 5), spread(0.2, 9.0, 5)), {}, scipy.special.gammainc, wrt=(1,), second=False)],
    "igammac": [
        Sample((spread(0.3, 6.0, 5), spread(0.2, 9.0, 5)), {}, scipy.special.gammaincc, wrt=(1,), second=False)
    ],
}
