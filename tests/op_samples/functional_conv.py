"""Samples of convolutions, columns, padding and resampling; values by SciPy's correlate and by loops over elements."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.signal import correlate

from allgrad.ops import resample as tables
from op_samples import Sample

Array = Any
rng = np.random.default_rng(5)


def R(*shape: int) -> Array:
    return rng.standard_normal(shape)


def conv_reference(
    x: Array, w: Array, bias: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """SciPy's correlate for each pair of channels, the kernel spread by the dilation, every stride-th element taken."""
    d = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    wide = np.zeros((*w.shape[:2], *(e * (k - 1) + 1 for e, k in zip(dilation, w.shape[2:]))))
    wide[(..., *(slice(None, None, e) for e in dilation))] = w
    per_group, outputs = w.shape[1], w.shape[0] // groups
    images = []
    for image in x:
        planes = []
        for o in range(w.shape[0]):
            first = o // outputs * per_group
            total = sum(correlate(image[first + c], wide[o, c], "valid", "direct") for c in range(per_group))
            planes.append(total[tuple(slice(None, None, s) for s in stride)] + (0 if bias is None else bias[o]))
        images.append(planes)
    return np.array(images).reshape(len(x), w.shape[0], *np.shape(images[0][0])[-d:])


def adjoint(forward: Any, inputs: int) -> Any:
    """The transpose of a linear map, column by column: slow, and owes nothing to the code it checks."""

    def apply(y: Array, shape: tuple[int, ...]) -> Array:
        x = np.zeros(shape)
        flat = x.reshape(-1)
        found = np.zeros_like(flat)
        for i in range(flat.size):
            flat[i] = 1
            found[i] = np.sum(forward(x) * y)
            flat[i] = 0
        return found.reshape(shape)

    assert inputs == 1
    return apply


def input_grad_reference(y: Array, w: Array, bias: Any = None, *, size: Any, **geometry: Any) -> Array:
    shape = (len(y), w.shape[1] * geometry["groups"], *size)
    x = adjoint(lambda x: conv_reference(x, w, **geometry), 1)(y, shape)
    return x if bias is None else x + bias.reshape(-1, *(1,) * len(size))


def weight_grad_reference(x: Array, y: Array, *, kernel: Any, **geometry: Any) -> Array:
    shape = (y.shape[1], x.shape[1] // geometry["groups"], *kernel)
    return adjoint(lambda w: conv_reference(x, w, **geometry), 1)(y, shape)


def G(*, stride: Any = (1, 1), padding: Any = (0, 0), dilation: Any = (1, 1), groups: int = 1) -> dict[str, Any]:
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def out_size(size: Any, kernel: Any, g: dict[str, Any]) -> tuple[int, ...]:
    return tuple(
        (n + 2 * p - e * (k - 1) - 1) // s + 1
        for n, k, s, p, e in zip(size, kernel, g["stride"], g["padding"], g["dilation"])
    )


# (images, channels, size), (outputs, kernel), geometry, bias?: each way the computation can go
GEOMETRIES = [
    ((2, 3, (5, 4)), (4, (3, 2)), G(), True),
    ((2, 4, (6, 5)), (4, (3, 3)), G(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), False),
    ((2, 3, (3, 4)), (2, (1, 1)), G(), True),
    ((2, 3, (5, 4)), (2, (1, 1)), G(stride=(2, 2)), False),
    ((2, 4, (5, 4)), (4, (3, 3)), G(padding=(1, 1), groups=4), True),
    ((2, 4, (6, 6)), (8, (3, 3)), G(padding=(1, 1), stride=(2, 2), groups=4), False),
    ((3, 2, (7,)), (3, (4,)), G(stride=(2,), padding=(1,), dilation=(1,)), True),
    ((2, 2, (3, 4, 3)), (2, (2, 2, 3)), G(stride=(1, 2, 1), padding=(0, 1, 1), dilation=(1, 1, 1)), False),
    ((2, 5, (6, 5)), (4, (3, 3)), G(padding=(1, 1)), True),
    ((1, 1, (7, 7)), (2, (5, 5)), G(padding=(2, 2)), False),
]

SAMPLES: dict[str, list[Sample]] = {"conv": [], "conv_input_grad": [], "conv_weight_grad": []}
for (n, c, size), (o, kernel), g, has_bias in GEOMETRIES:
    weight = R(o, c // g["groups"], *kernel)
    y = R(n, o, *out_size(size, kernel, g))
    SAMPLES["conv"].append(Sample((R(n, c, *size), weight, *([R(o)] if has_bias else [])), g, conv_reference))
    SAMPLES["conv_input_grad"].append(
        Sample((y, weight, *([R(c)] if has_bias else [])), {"size": size, **g}, input_grad_reference)
    )
    SAMPLES["conv_weight_grad"].append(Sample((R(n, c, *size), y), {"kernel": kernel, **g}, weight_grad_reference))

SAMPLES["channel_sum"] = [
    Sample((R(3, 4, 2, 2),), {}, lambda x: x.sum((0, 2, 3))),
    Sample((R(3, 4),), {}, lambda x: x.sum(0)),
]


def unfold_reference(x: Array, *, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Array:
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    g = {"stride": stride, "padding": (0, 0), "dilation": dilation}
    columns = [
        [
            x[:, :, r * stride[0] + i * dilation[0], c * stride[1] + j * dilation[1]]
            for r, c in product(*map(range, out_size(x.shape[2:], kernel, g)))
        ]
        for i, j in product(*map(range, kernel))
    ]
    return np.array(columns).transpose(2, 3, 0, 1).reshape(len(x), -1, len(columns[0]))


WINDOWS = {"kernel": (2, 3), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
SAMPLES["unfold_columns"] = [Sample((R(2, 3, 5, 6),), WINDOWS, unfold_reference)]
SAMPLES["fold_columns"] = [
    Sample(
        (R(2, 3 * 6, 6),),
        {"size": (5, 6), **WINDOWS},
        lambda x, *, size, **w: adjoint(lambda a: unfold_reference(a, **w), 1)(x, (2, 3, *size)),
    )
]


def pad_reference(x: Array, *, pads: Any, mode: str = "constant", value: float = 0.0) -> Array:
    lead = x.ndim - len(pads)
    for axis, (before, after) in enumerate(pads, lead):
        keep = [slice(None)] * x.ndim
        keep[axis] = slice(max(0, -before), x.shape[axis] - max(0, -after))
        if mode != "circular":  # a mirror sees what a negative width cuts off
            widths = [(0, 0)] * x.ndim
            widths[axis] = (max(0, before), max(0, after))
        names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
        if mode == "circular":
            x = x[tuple(keep)]
            widths = [(0, 0)] * x.ndim
            widths[axis] = (max(0, before), max(0, after))
            x = np.pad(x, widths, mode="wrap")
        elif mode == "constant":
            x = np.pad(x[tuple(keep)], widths, constant_values=value)
        else:
            x = np.pad(x, widths, mode=names[mode])
            cut = [slice(None)] * x.ndim
            cut[axis] = slice(max(0, -before), x.shape[axis] - max(0, -after))
            x = x[tuple(cut)]
    return x


PADS = [((1, 2), (2, 0)), ((-1, 2), (0, 0)), ((0, 0), (1, 1))]
SAMPLES["pad_constant"] = [
    *(Sample((R(2, 4, 3),), {"pads": p}, pad_reference) for p in PADS),
    Sample((R(2, 4, 3),), {"pads": PADS[0], "value": 1.5}, pad_reference),
]
SAMPLES["pad_repeat"] = [
    Sample((R(2, 4, 3),), {"pads": p, "mode": m}, pad_reference)
    for p in PADS
    for m in ("reflect", "replicate", "circular")
]
SAMPLES["pad_repeat_grad"] = [
    Sample(
        (R(2, 4 + sum(p[0]), 3 + sum(p[1])),),
        {"pads": p, "mode": m},
        lambda y, *, pads, mode: adjoint(lambda x: pad_reference(x, pads=pads, mode=mode), 1)(y, (2, 4, 3)),
    )
    for p in PADS
    for m in ("reflect", "replicate", "circular")
]


def resample_reference(x: Array, *, tables: Any, size: Any) -> Array:
    """Element by element."""
    for axis, table in enumerate(tables, x.ndim - len(tables)):
        if table is not None:
            index, weight = table
            rows = [
                sum(weight[t, i] * x.take(index[t, i], axis) for t in range(len(index))) for i in range(index.shape[1])
            ]
            x = np.stack(rows, axis)
    return x


TABLES = [
    (tables.linear(5, 8, 5 / 8, False, np.float64), tables.linear(4, 3, 1.5, True, np.float64)),
    (tables.nearest(5, 7, 5 / 7, centre=False, dtype=np.float64), None),
    (tables.cubic(5, 3, 5 / 3, False, np.float64), tables.smoothed(4, 2, 2.0, cubic=False)),
]
SAMPLES["resample"] = [Sample((R(2, 5, 4),), {"tables": t, "size": (5, 4)}, resample_reference) for t in TABLES]
SAMPLES["resample_grad"] = [
    Sample(
        (R(2, *(n if e is None else e[0].shape[1] for e, n in zip(t, (5, 4)))),),
        {"tables": t, "size": (5, 4)},
        lambda y, *, tables, size: adjoint(lambda x: resample_reference(x, tables=tables, size=size), 1)(y, (2, *size)),
    )
    for t in TABLES
]

INDEX = np.array([[0, 5, 3, 3], [2, 1, 5, 0]])
INSIDE = np.array([[True, True, False, True], [True, True, True, False]])
SAMPLES["grid_gather"] = [
    Sample(
        (R(2, 3, 6), INDEX, INSIDE),
        {},
        lambda x, i, w: np.stack([np.where(b, a[:, k], 0) for a, k, b in zip(x, i, w)]),
        wrt=(0,),
    )
]
SAMPLES["grid_scatter"] = [
    Sample(
        (R(2, 3, 4), INDEX, INSIDE),
        {"places": 6},
        lambda y, i, w, *, places: adjoint(
            lambda x: np.stack([np.where(b, a[:, k], 0) for a, k, b in zip(x, i, w)]), 1
        )(y, (2, 3, places)),
        wrt=(0,),
    )
]
