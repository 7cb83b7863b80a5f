"""How a gamma number moves with its shape parameter: the slope of SciPy's quantile."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from op_samples import Array, Sample

ALPHA = np.array([0.4, 1.0, 3.0, 12.0])
DRAW = np.array([0.2, 0.9, 2.5, 14.0])


def _slope(alpha: Array, draw: Array) -> Any:
    q, h = stats.gamma(alpha).cdf(draw), 1e-3 * alpha
    moved = {k: stats.gamma(alpha + k * h).ppf(q) for k in (-2, -1, 1, 2)}
    return (8 * (moved[1] - moved[-1]) - (moved[2] - moved[-2])) / (12 * h)


SAMPLES: dict[str, list[Sample]] = {
    "gamma_slope": [Sample((ALPHA, DRAW), reference=_slope)],
}
