"""What a sample of an op is put through: value, derivatives as adjoints, memory layouts, dtypes.

Everything works on arrays in float64; derivatives are compared by one random inner product, <v, J u> from central
differences against <J^T v, u> from the engine, so that an op of any shape costs two evaluations.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import allgrad
import op_samples
from allgrad.autograd import grad
from allgrad.autograd.pulling import pull
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.ops.op import TABLE, Op
from op_samples import Sample

Array = np.ndarray[Any, Any]
STEP = 1e-5  # of central differences in float64: truncation 1e-10, round-off 1e-11 relative


def load_table() -> dict[str, Op]:
    """The table with the ops of every module in it."""
    for part in pkgutil.walk_packages(allgrad.__path__, "allgrad."):
        if part.name.split(".")[1] in (
            "ops",
            "autograd",
            "functions",
            "nn",
            "tensor",
            "func",
            "linalg",
            "fft",
            "special",
        ):
            importlib.import_module(part.name)
    return {name: op for name, op in TABLE.items() if op.definition.__module__.startswith("allgrad.")}


def load_samples() -> dict[str, list[Sample]]:
    """The samples of all files in ``op_samples``, by op."""
    found: dict[str, list[Sample]] = {}
    for part in pkgutil.iter_modules(op_samples.__path__, "op_samples."):
        for name, samples in importlib.import_module(part.name).SAMPLES.items():
            found.setdefault(name, []).extend(samples)
    return found


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def guarded(x: Any) -> Any:
    """A copy that cannot be written to: an op or rule that changes its inputs fails."""
    if not isinstance(x, np.ndarray):
        return x
    x = x.copy(order="K")
    x.flags.writeable = False
    return x


def wanted(op: Op, sample: Sample) -> tuple[int, ...]:
    """Which inputs the sample is differentiated by."""
    if not op.differentiable:
        return ()
    if sample.wrt is not None:
        return sample.wrt
    floats = [i for i, x in enumerate(sample.inputs) if is_float(x)]
    return tuple(floats if op.fused is not None else [i for i in floats if i in op.pulls])


def outputs(op: Op, inputs: Sequence[Any], meta: dict[str, Any]) -> list[Array]:
    """The op's results on guarded arrays."""
    y = op.forward(*[guarded(x) for x in inputs], **meta)
    return [np.asarray(part) for part in (y if op.multi else (y[0] if op.keeps else y,))]


def differentiable_outputs(op: Op, inputs: Sequence[Any], meta: dict[str, Any]) -> list[Array]:
    return [y for y in outputs(op, inputs, meta) if y.dtype.kind == "f"]


def recorded(op: Op, inputs: Sequence[Any], meta: dict[str, Any], wrt: Sequence[int]) -> tuple[list[Any], list[Any]]:
    """Leaves for the inputs, and the floating outputs of the op recorded on them."""
    leaves = [wrap(guarded(x)) if isinstance(x, np.ndarray) else x for x in inputs]
    for i in wrt:
        leaves[i].requires_grad_()
    y = apply(op, tuple(leaves), meta)
    ys = [part for part in (y if op.multi else (y,)) if part._a.dtype.kind == "f"]
    return leaves, ys


def gradients(
    op: Op,
    inputs: Sequence[Any],
    meta: dict[str, Any],
    wrt: Sequence[int],
    vs: Sequence[Any],
    create_graph: bool = False,
) -> tuple[Any, ...]:
    """J^T v by the engine; with ``create_graph`` by the recorded rule."""
    leaves, ys = recorded(op, inputs, meta, wrt)
    seeds = [v if isinstance(v, Variable) else wrap(guarded(v)) for v in vs]
    return grad(ys, [leaves[i] for i in wrt], seeds, create_graph=create_graph, materialize_grads=True)


def inner(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    return float(sum(np.sum(np.asarray(x, np.float64) * np.asarray(y, np.float64)) for x, y in zip(xs, ys)))


def moved(inputs: Sequence[Any], wrt: Sequence[int], us: Sequence[Array], step: float) -> list[Any]:
    new = list(inputs)
    for i, u in zip(wrt, us):
        new[i] = np.asarray(inputs[i] + step * u)
    return new


def directions(rng: np.random.Generator, arrays: Sequence[Array]) -> list[Array]:
    return [np.asarray(rng.standard_normal(a.shape)) for a in arrays]


def check_first(op: Op, sample: Sample, wrt: Sequence[int], rng: np.random.Generator, where: str) -> None:
    """<J^T v, u> = <v, J u>."""
    inputs, meta = sample.inputs, sample.meta
    us = directions(rng, [inputs[i] for i in wrt])
    vs = directions(rng, differentiable_outputs(op, inputs, meta))
    found = gradients(op, inputs, meta, wrt, vs)
    for i, g in zip(wrt, found):
        assert g._a.shape == inputs[i].shape, f"{where}: gradient of input {i} has shape {g._a.shape}"
    above = differentiable_outputs(op, moved(inputs, wrt, us, STEP), meta)
    below = differentiable_outputs(op, moved(inputs, wrt, us, -STEP), meta)
    expected = inner(vs, [(a - b) / (2 * STEP) for a, b in zip(above, below)])
    close(inner([g._a for g in found], us), expected, sum(np.sum(np.abs(g._a * u)) for g, u in zip(found, us)), where)


def check_second(op: Op, sample: Sample, wrt: Sequence[int], rng: np.random.Generator, where: str) -> None:
    """The derivative of the first derivative, in the inputs and in the output gradients."""
    inputs, meta = sample.inputs, sample.meta
    us = directions(rng, [inputs[i] for i in wrt])
    vs = directions(rng, differentiable_outputs(op, inputs, meta))
    leaves, ys = recorded(op, inputs, meta, wrt)
    seeds = [wrap(v).requires_grad_() for v in vs]
    asked = [leaves[i] for i in wrt]
    first = grad(ys, asked, seeds, create_graph=True, materialize_grads=True)
    plain = gradients(op, inputs, meta, wrt, vs)
    for i, a, b in zip(wrt, first, plain):
        np.testing.assert_allclose(
            a._a, b._a, rtol=1e-10, atol=1e-12, err_msg=f"{where}: rule on Tensors against rule on arrays, input {i}"
        )
    live = [(g, u) for g, u in zip(first, us) if g.requires_grad]
    assert live, f"{where}: the recorded gradient depends on nothing, not even on the output's gradient"
    second = grad(
        [g for g, _ in live], asked + seeds, [wrap(u) for _, u in live], allow_unused=True, materialize_grads=True
    )
    ws, ss = directions(rng, [inputs[i] for i in wrt]), directions(rng, vs)

    def phi(step: float) -> float:
        at = moved(inputs, wrt, ws, step)
        return inner(us, [g._a for g in gradients(op, at, meta, wrt, [v + step * s for v, s in zip(vs, ss)])])

    expected = (phi(STEP) - phi(-STEP)) / (2 * STEP)
    found = inner([g._a for g in second], ws + ss)
    close(found, expected, sum(np.sum(np.abs(g._a * w)) for g, w in zip(second, ws + ss)), where)


def close(found: float, expected: float, scale: float, where: str) -> None:
    limit = 1e-6 * (abs(expected) + float(scale)) + 1e-8
    assert abs(found - expected) <= limit, (
        f"{where}: engine {found:.12g}, differences {expected:.12g}, limit {limit:.1g}"
    )


def layouts(x: Any) -> Iterator[tuple[str, Any]]:
    """The same values in other memory orders."""
    if not isinstance(x, np.ndarray) or x.ndim == 0:
        return
    yield "column-major", np.asfortranarray(x)
    flip = (slice(None, None, -1),) * x.ndim
    yield "negative strides", x[flip].copy()[flip]
    yield "every second element", np.repeat(x, 2, axis=-1)[..., ::2]


def broadcast_variants(op: Op, sample: Sample) -> Iterator[tuple[str, Sample]]:
    """An elementwise op's sample with one floating input shrunk along one dimension, where the full shape still comes."""
    if not is_elementwise(op, sample):
        return
    whole = [y.shape for y in outputs(op, sample.inputs, sample.meta)]
    for i in wanted(op, sample):
        x = sample.inputs[i]
        options = [(f"dim {d} of length 1", x.take([0], axis=d)) for d in range(x.ndim) if x.shape[d] > 1]
        if x.ndim > 1:
            options.append(("without its first dim", x[0]))
        for what, small in options:
            changed = (*sample.inputs[:i], small, *sample.inputs[i + 1 :])
            try:
                shapes = [y.shape for y in outputs(op, changed, sample.meta)]
            except (ValueError, IndexError, TypeError, RuntimeError):
                continue
            if shapes == whole:
                yield (
                    f"input {i} with {what}",
                    Sample(changed, sample.meta, sample.reference, sample.wrt, sample.second),
                )


def is_elementwise(op: Op, sample: Sample) -> bool:
    """Whether each output element depends on the input elements at its place alone, all inputs having one shape."""
    arrays = [x for x in sample.inputs if isinstance(x, np.ndarray)]
    if op.multi or op.variadic or not arrays or len(arrays) != len(sample.inputs) or arrays[0].ndim == 0:
        return False
    if any(isinstance(v, np.ndarray) for v in sample.meta.values()) or any(a.shape != arrays[0].shape for a in arrays):
        return False
    (whole,) = outputs(op, arrays, sample.meta)
    if whole.shape != arrays[0].shape or whole.size < 2:
        return False
    try:
        flat = [a.reshape(-1)[1:] for a in arrays]
        (part,) = outputs(op, flat, sample.meta)
        (single,) = outputs(op, [a.reshape(-1)[0].reshape(()) for a in arrays], sample.meta)
    except (ValueError, IndexError, TypeError, RuntimeError):
        return False
    if part.shape != flat[0].shape or single.shape != ():
        return False
    return bool(np.allclose(part, whole.reshape(-1)[1:], equal_nan=True) and np.allclose(single, whole.flat[0]))


def array_pull(
    op: Op, inputs: Sequence[Any], meta: dict[str, Any], wrt: Sequence[int]
) -> tuple[list[Array], list[Any]]:
    """Outputs, and what the pullbacks themselves return for ones, before the walk casts or sums."""
    _, ys = recorded(op, inputs, meta, wrt)
    node = ys[0]._node
    several = node.op.name == "pick" and op.name != "pick"
    node = node.parents[0] if several else node
    seed: Any = np.ones(ys[0]._a.shape, ys[0]._a.dtype)
    if several:
        seed = [np.ones(s, d) for s, d in zip(node.shape, node.dtype)]
    return [y._a for y in ys], pull(node, seed, False, None)
