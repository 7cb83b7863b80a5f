"""Every op of the table, by its samples: the table is complete or this file is red.

A sample (tests/op_samples) brings inputs and an outside reference; what is checked with it is said once, in op_harness.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from op_harness import (
    array_pull,
    broadcast_variants,
    check_first,
    check_second,
    gradients,
    guarded,
    is_elementwise,
    is_float,
    layouts,
    load_samples,
    load_table,
    outputs,
    recorded,
    wanted,
)
from op_samples import Sample

TABLE = load_table()
SAMPLES = load_samples()
CASES = [(name, k) for name in sorted(SAMPLES) for k in range(len(SAMPLES[name])) if name in TABLE]
DIFFERENTIABLE = [(name, k) for name, k in CASES if wanted(TABLE[name], SAMPLES[name][k])]
# An output of an op with several: the walk puts its gradient into that op's slot and never calls the pullback.
NOT_ALONE = {"pick"}


def rng_of(name: str, k: int) -> np.random.Generator:
    return np.random.default_rng([k, *name.encode()])


def where(name: str, k: int) -> str:
    s = SAMPLES[name][k]
    shown = ", ".join(f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else repr(x) for x in s.inputs)
    return f"{name}({shown}, {s.meta}) [sample {k}]"


def test_every_op_has_a_sample() -> None:
    missing = sorted(set(TABLE) - set(SAMPLES))
    assert not missing, f"no sample in tests/op_samples for: {', '.join(missing)}"


def test_every_sample_has_an_op() -> None:
    unknown = sorted(set(SAMPLES) - set(TABLE))
    assert not unknown, f"tests/op_samples names ops that the table has not: {', '.join(unknown)}"


def test_every_differentiable_op_is_differentiated() -> None:
    tried = {n for n, _ in DIFFERENTIABLE}
    idle = [n for n in sorted(TABLE) if TABLE[n].differentiable and n in SAMPLES and n not in tried | NOT_ALONE]
    assert not idle, f"ops with a pullback whose samples want no gradient: {', '.join(idle)}"


def test_every_pullback_is_used() -> None:
    unused = []
    for name, op in sorted(TABLE.items()):
        tried = {i for s in SAMPLES.get(name, ()) for i in wanted(op, s)}
        unused += [
            f"{name}.{op.inputs[i]}" for i in op.pulls if i not in tried and name in SAMPLES and name not in NOT_ALONE
        ]
    assert not unused, f"pullbacks that no sample runs: {', '.join(unused)}"


@pytest.mark.parametrize(("name", "k"), CASES)
def test_value(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    found = outputs(op, s.inputs, s.meta)
    if s.reference is None:
        return
    expected = s.reference(*[guarded(x) for x in s.inputs], **s.meta)
    several = expected if op.multi else (expected,)
    assert len(found) == len(several), f"{where(name, k)}: {len(found)} outputs, reference has {len(several)}"
    for y, e in zip(found, several):
        e = np.asarray(e)
        assert y.shape == e.shape, f"{where(name, k)}: shape {y.shape}, reference {e.shape}"
        np.testing.assert_allclose(y, e, rtol=1e-10, atol=1e-12, err_msg=where(name, k))


@pytest.mark.parametrize(("name", "k"), DIFFERENTIABLE)
def test_first_derivative(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    wrt = wanted(op, s)
    for each in ([i] for i in wrt) if len(wrt) > 1 else ():
        check_first(op, s, each, rng_of(name, k), f"{where(name, k)}, by input {each[0]}")
    check_first(op, s, wrt, rng_of(name, k), where(name, k))


@pytest.mark.parametrize(("name", "k"), DIFFERENTIABLE)
def test_second_derivative(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    if not s.second:
        return
    wrt = wanted(op, s)
    for each in ([i] for i in wrt) if len(wrt) > 1 else ():
        check_second(op, s, each, rng_of(name, k), f"{where(name, k)}, by input {each[0]}")
    check_second(op, s, wrt, rng_of(name, k), where(name, k))


@pytest.mark.parametrize(("name", "k"), DIFFERENTIABLE)
def test_broadcasting(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    for what, variant in broadcast_variants(op, s):
        check_first(op, variant, wanted(op, variant), rng_of(name, k), f"{where(name, k)}, {what}")


@pytest.mark.parametrize(("name", "k"), CASES)
def test_memory_layouts(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    wrt = wanted(op, s)
    plain = outputs(op, s.inputs, s.meta)
    vs = [np.cos(np.arange(y.size)).reshape(y.shape) for y in plain if y.dtype.kind == "f"]
    expected = gradients(op, s.inputs, s.meta, wrt, vs) if wrt else ()
    for i, x in enumerate(s.inputs):
        for what, other in layouts(x):
            changed = (*s.inputs[:i], other, *s.inputs[i + 1 :])
            note = f"{where(name, k)}, input {i} {what}"
            for y, e in zip(outputs(op, changed, s.meta), plain):
                np.testing.assert_allclose(y, e, rtol=1e-12, atol=1e-12, err_msg=note)
            for g, e in zip(gradients(op, changed, s.meta, wrt, vs) if wrt else (), expected):
                np.testing.assert_allclose(g._a, e._a, rtol=1e-10, atol=1e-12, err_msg=f"{note}: gradient")


@pytest.mark.parametrize(("name", "k"), CASES)
def test_zero_dimensions_and_no_elements(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    if not is_elementwise(op, s):
        return
    for shape in ((), (0,), (2, 0, 3)):
        inputs = [np.resize(x, shape).astype(x.dtype) for x in s.inputs]
        (y,) = outputs(op, inputs, s.meta)
        assert y.shape == shape, f"{where(name, k)} on shape {shape} gives {y.shape}"
        wrt = wanted(op, s)
        if wrt and y.dtype.kind == "f":
            for g in gradients(op, inputs, s.meta, wrt, [np.ones(shape)]):
                assert g._a.shape == shape, f"{where(name, k)} on shape {shape}: gradient {g._a.shape}"


@pytest.mark.parametrize(("name", "k"), CASES)
def test_float32_stays_float32(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    if "dtype" in s.meta or not any(is_float(x) for x in s.inputs):
        return
    narrow: list[Any] = [x.astype(np.float32) if is_float(x) else x for x in s.inputs]
    for y, wide in zip(outputs(op, narrow, s.meta), outputs(op, s.inputs, s.meta)):
        assert y.dtype == (np.float32 if wide.dtype.kind == "f" else wide.dtype), f"{where(name, k)}: {y.dtype}"
    wrt = wanted(op, s)
    if wrt:
        for i, g in enumerate(array_pull(op, narrow, s.meta, wrt)[1]):
            assert g is None or g.dtype == np.float32, f"{where(name, k)}: pullback {i} makes {g.dtype} of float32"


@pytest.mark.parametrize(("name", "k"), DIFFERENTIABLE)
def test_requires_grad_of_results(name: str, k: int) -> None:
    op, s = TABLE[name], SAMPLES[name][k]
    _, ys = recorded(op, s.inputs, s.meta, wanted(op, s))
    assert ys and all(y.requires_grad for y in ys), where(name, k)


def test_a_sample_is_data_only() -> None:
    for name, samples in SAMPLES.items():
        assert samples and all(isinstance(s, Sample) for s in samples), name
