"""Samples of the ops that the engine itself records: outputs of several, scatters of views, overwritten values."""

from __future__ import annotations

import numpy as np

from allgrad.ops.op import TABLE
from op_samples import Sample

rng = np.random.default_rng(7)
x = rng.standard_normal((3, 4))


def _scatter(base, src, *, chain):
    y = np.array(base, order="C")
    places = np.arange(y.size).reshape(y.shape)
    for view, settings in chain:
        places = view.forward(places, **settings)
    y.reshape(-1)[places] = src
    return y


_row = ((TABLE["slice"], {"index": (1,)}),)
_columns = ((TABLE["transpose"], {"dim0": 0, "dim1": 1}), (TABLE["slice"], {"index": (slice(1, 3),)}))

SAMPLES = {
    "alias": [Sample((x,), reference=lambda x: x)],
    "overwrite": [Sample((x,), reference=lambda x: 0 * x, second=False)],  # its derivative is zero
    "pick": [Sample((np.stack([x, 2 * x]),), {"index": 1}, lambda x, index: x[index], wrt=())],  # the walk's own
    "view_scatter": [
        Sample((x, rng.standard_normal(4)), {"chain": _row}, _scatter),
        Sample((x, rng.standard_normal((2, 3))), {"chain": _columns}, _scatter),
        Sample(
            (np.asfortranarray(x), rng.standard_normal(12)),
            {"chain": ((TABLE["reshape"], {"shape": (12,)}),)},
            _scatter,
        ),
    ],
}
