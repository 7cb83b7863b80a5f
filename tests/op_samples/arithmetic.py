"""Samples of masks, ties, copies and draws."""

from __future__ import annotations

import numpy as np

from op_samples import Sample
from op_samples.math import spread

MASK = spread(-2, 2, 3, 4) > 0.2
DRAWN = np.array([1.0, 0.0, 1.0])

SAMPLES: dict[str, list[Sample]] = {
    "gate": [
        Sample((spread(-2, 2, 3, 4), MASK), {}, lambda x, mask: np.where(mask, x, 0.0)),
        Sample((spread(-2, 2, 3, 4), MASK[:1]), {}, lambda x, mask: np.where(mask, x, 0.0)),
        Sample((spread(-2, 2, 4), np.array(True)), {}, lambda x, mask: x),
        Sample(
            (np.array([np.nan, np.inf, 1.0]), np.array([False, False, True])),
            {},
            lambda x, m: np.array([0.0, 0, 1]),
            wrt=(),
        ),
    ],
    "tie": [
        Sample((spread(-2, 2, 3, 4), spread(-2, 2, 3, 4)), {}, lambda g, x: g, wrt=(0,)),
        Sample((spread(-2, 2, 4), spread(-2, 2, 4)), {}, lambda g, x: g, second=False),
    ],
    "zero_slope": [Sample((spread(-2, 2, 3, 4),), {}, lambda g: g * 0)],
    "copy": [
        Sample((spread(-2, 2, 3, 4), spread(-2, 2, 3, 4)), {}, lambda x, src: src, second=False),
        Sample((spread(-2, 2, 3, 4), spread(-2, 2, 4)), {}, lambda x, src: np.stack([src] * 3), second=False),
        Sample((spread(-2, 2, 3), np.array(7.0)), {}, lambda x, src: np.full(3, 7.0), wrt=(1,)),
    ],
    "bernoulli_draw": [Sample((np.array([0.3, 0.5, 0.9]),), {"drawn": DRAWN}, lambda p, *, drawn: drawn)],
}
