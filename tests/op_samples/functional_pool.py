"""Samples of pooling: every window looked at on its own."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from op_samples import Sample

Array = Any
rng = np.random.default_rng(6)


def R(*shape: int) -> Array:
    return rng.standard_normal(shape)


def distinct(*shape: int) -> Array:
    """Numbers far enough apart that a finite difference changes no order."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 7.0


def each_window(
    x: Array, reduce: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any, out: Any, fill: float
) -> Array:
    """``reduce(values, places)`` of each window of the last axes, ``fill`` beyond the border."""
    d = len(kernel)
    lead = x.shape[:-d]
    y = np.zeros((*lead, *out))
    for at in product(*map(range, lead)):
        for o in product(*map(range, out)):
            values = []
            for tap in product(*map(range, kernel)):
                i = tuple(a * s - p + t * e for a, s, p, t, e in zip(o, stride, padding, tap, dilation))
                inside = all(0 <= a < n for a, n in zip(i, x.shape[-d:]))
                values.append(x[at][i] if inside else fill)
            y[(*at, *o)] = reduce(values)
    return y


def P(kernel: Any, stride: Any, padding: Any = (0, 0), dilation: Any = (1, 1)) -> dict[str, Any]:
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


# size, geometry, output size
POOLS = [
    ((4, 6), P((2, 2), (2, 2)), (2, 3)),
    ((5, 7), P((2, 2), (2, 2)), (2, 3)),
    ((5, 6), P((3, 2), (2, 1), (1, 1)), (3, 7)),
    ((7, 6), P((2, 3), (2, 1), (1, 0), (2, 1)), (4, 4)),
    ((5, 5), P((3, 3), (2, 2), (1, 1)), (3, 3)),
    ((6, 6), P((1, 1), (1, 1)), (6, 6)),
    ((5, 5), P((2, 2), (2, 2)), (3, 3)),  # as with ceil_mode: windows reach over the end
]


def max_reference(x: Array, *, out_size: Any, **g: Any) -> Array:
    return each_window(x, max, out=out_size, fill=-np.inf, **g)


def choice_reference(x: Array, y: Array, *, out_size: Any, **g: Any) -> Array:
    return each_window(x, lambda v: int(np.argmax(v)), out=out_size, fill=-np.inf, **g)


def pick_reference(x: Array, choice: Array, **g: Any) -> Array:
    taps = iter(choice.reshape(-1).tolist())
    return each_window(x, lambda v: v[next(taps)], out=choice.shape[-len(g["kernel"]) :], fill=0.0, **g)


def adjoint(forward: Any, y: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of a linear map, one element at a time."""
    x = np.zeros(shape)
    found = np.zeros(x.size)
    for i in range(x.size):
        x.reshape(-1)[i] = 1
        found[i] = np.sum(forward(x) * y)
        x.reshape(-1)[i] = 0
    return found.reshape(shape)


def index_of_values(x: Array, y: Array) -> Array:
    """Where in the flat plane of ``x`` each value of ``y`` lies; all values are distinct."""
    planes, values = x.reshape(*x.shape[:2], -1), y.reshape(*y.shape[:2], -1)
    return (planes[:, :, None] == values[..., None]).argmax(-1).reshape(y.shape)


def given(result: Array, *inputs: Any, **settings: Any) -> Array:
    """A reference that was found with the sample."""
    return result


def spread_reference(v: Array, *, size: Any, **p: Any) -> Array:
    out = v.shape[2:]
    return adjoint(lambda x: each_window(x, sum, out=out, fill=0.0, dilation=(1, 1), **p), v, (2, 2, *size))


SAMPLES: dict[str, list[Sample]] = {
    name: []
    for name in (
        "max_pool", "max_pool_choice", "max_pool_indices", "max_pool_grad", "max_pool_pick", "window_sum", "window_spread"
    )
}  # fmt: skip
for size, g, out in POOLS:
    x = distinct(2, 2, *size)
    y = max_reference(x, out_size=out, **g)
    choice = choice_reference(x, y, out_size=out, **g).astype(np.uint8)
    SAMPLES["max_pool"].append(Sample((x,), {**g, "out_size": out}, max_reference))
    SAMPLES["max_pool_choice"].append(Sample((x, y), {**g, "out_size": out}, choice_reference))
    places = index_of_values(x, y)
    SAMPLES["max_pool_indices"].append(Sample((choice,), {**g, "size": size}, partial(given, places)))
    SAMPLES["max_pool_grad"].append(
        Sample(
            (R(*y.shape), choice),
            {**g, "size": size},
            lambda v, choice, *, size, **g: adjoint(
                lambda image: pick_reference(image, choice, **g), v, (*v.shape[:2], *size)
            ),
            wrt=(0,),
        )
    )
    if g["kernel"] != (1, 1):  # there it is the identity, which the harness would take for an elementwise op
        SAMPLES["max_pool_pick"].append(Sample((R(*x.shape), choice), g, pick_reference, wrt=(0,)))
    if g["dilation"] == (1, 1):
        plain = {k: v for k, v in g.items() if k != "dilation"}
        SAMPLES["window_sum"].append(
            Sample(
                (R(2, 2, *size),),
                {**plain, "out_size": out},
                lambda x, *, out_size, **p: each_window(x, sum, out=out_size, fill=0.0, dilation=(1, 1), **p),
            )
        )
        SAMPLES["window_spread"].append(
            Sample(
                (R(2, 2, *out),),
                {**plain, "size": size},
                spread_reference,
            )
        )


def adaptive_reference(x: Array, reduce: Any, out: Any) -> Array:
    """PyTorch's windows: from floor(i n / out) to ceil((i + 1) n / out)."""
    d = len(out)
    y = np.zeros((*x.shape[:-d], *out))
    for o in product(*map(range, out)):
        spans = tuple(slice(i * n // k, -(-(i + 1) * n // k)) for i, n, k in zip(o, x.shape[-d:], out))
        part = x[(..., *spans)]
        y[(..., *o)] = reduce(part.reshape(*x.shape[:-d], -1), -1)
    return y


OUTS = [(2, 3), (4, 6), (3, 4), (1, 1), (7, 2)]
SAMPLES["adaptive_avg"] = [
    Sample((R(2, 4, 6),), {"out_size": o}, lambda x, *, out_size: adaptive_reference(x, np.mean, out_size))
    for o in OUTS
]
SAMPLES["adaptive_avg_grad"] = [
    Sample(
        (R(2, *o),),
        {"size": (4, 6)},
        lambda v, *, size: adjoint(lambda x: adaptive_reference(x, np.mean, v.shape[1:]), v, (2, *size)),
    )
    for o in OUTS
]
SAMPLES["adaptive_max_indices"] = [
    Sample(
        (distinct(2, 4, 6),),
        {"out_size": o},
        lambda x, *, out_size: np.array(
            [[np.flatnonzero(p.reshape(-1) == v)[0] for v in m.reshape(-1)]
             for p, m in zip(x, adaptive_reference(x, np.max, out_size))]
        ).reshape(len(x), *out_size),
    )
    for o in OUTS
]  # fmt: skip
PLACES = np.array([[[0, 5], [7, 3]], [[2, 2], [1, 6]]])
SAMPLES["pool_pick"] = [
    Sample(
        (R(2, 2, 4), PLACES),
        {"spatial": 2},
        lambda x, i, *, spatial: np.stack([a.reshape(-1)[k] for a, k in zip(x, i)]),
        wrt=(0,),
    )
]
SAMPLES["pool_put"] = [
    Sample(
        (R(2, 2, 2), PLACES),
        {"size": (2, 4)},
        lambda y, i, *, size: adjoint(lambda x: np.stack([a.reshape(-1)[k] for a, k in zip(x, i)]), y, (2, *size)),
        wrt=(0,),
    )
]
SINGLE = np.array([[[0, 5], [7, 3]], [[2, 4], [1, 6]]])
SAMPLES["max_unpool"] = [
    Sample(
        (R(2, 2, 2), SINGLE),
        {"size": (2, 4)},
        lambda y, i, *, size: adjoint(lambda x: np.stack([a.reshape(-1)[k] for a, k in zip(x, i)]), y, (2, *size)),
        wrt=(0,),
    )
]
