"""Compiled kernels agree with their NumPy twins, keep nan and infinity, and can be switched off; without numba nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad as t
from allgrad import fast
from allgrad.errors import ArgumentError, UnsupportedError

F = t.nn.functional
compiled = pytest.mark.skipif(not fast.installed(), reason="numba is not installed: pip install 'allgrad[fast]'")
EPS = float(np.finfo(np.float32).eps)


def draws(*shape: int, scale: float = 1.0) -> np.ndarray[Any, Any]:
    return (scale * np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape)).astype(np.float32)


def both(f: Callable[..., Any], *arrays: Any) -> tuple[list[Any], list[Any]]:
    """Value and gradients of ``f`` by the twins and by the kernels."""
    found = []
    for on in (False, True):
        with fast.use(on):
            leaves = [t.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            y = f(*leaves)
            g = t.tensor(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(tuple(y.shape)))
            y.backward(g)
            found.append([y.detach().numpy(), *[x.grad.numpy() for x in leaves if x.requires_grad]])
    return found[0], found[1]


attend = F.scaled_dot_product_attention


def lstm(x: Any, packed: bool) -> Any:
    """Both directions of 64 states; the parameters' gradients are compared too, as their sum beside the outputs."""
    t.manual_seed(0)
    layer = t.nn.LSTM(8, 64, bidirectional=True)
    if packed:
        pack, unpack = t.nn.utils.rnn.pack_padded_sequence, t.nn.utils.rnn.pad_packed_sequence
        y, (h, c) = layer(pack(x, [7] * 5 + [4] * 10 + [1] * 5))
        y = unpack(y)[0]
    else:
        y, (h, c) = layer(x)
    grads = t.autograd.grad((y * y).sum() + (h * c).sum(), layer.parameters(), retain_graph=True)
    return t.cat([y.flatten(), h.flatten(), c.flatten(), *[g.detach().flatten() * 0.1 for g in grads]])


INDEX = np.random.default_rng(1).integers(0, 40, 300)
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gelu": (F.gelu, (draws(70, 90, scale=3),)),
    "silu": (F.silu, (draws(70, 90, scale=3),)),
    "relu": (F.relu, (draws(70, 90),)),
    "softmax": (lambda x: F.softmax(x, -1), (draws(70, 90),)),
    "softmax of large scores": (lambda x: F.softmax(x, -1), (draws(70, 90, scale=200),)),
    "log_softmax": (lambda x: F.log_softmax(x, -1), (draws(70, 90),)),
    "log_softmax of large scores": (lambda x: F.log_softmax(x, -1), (draws(70, 90, scale=200),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (90,), w, b), (draws(600, 90), draws(90), draws(90))),
    "layer_norm alone": (lambda x: F.layer_norm(x, (90,)), (draws(70, 90) + 7,)),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        (draws(6, 5, 9, 11) + 3, draws(5), draws(5)),
    ),
    "batch_norm alone": (lambda x: F.batch_norm(x, None, None, training=True), (draws(6, 5, 90),)),
    "max_pool": (lambda x: F.max_pool2d(x, 2), (np.maximum(draws(6, 5, 12, 14), 0),)),
    "max_pool of odd sides": (lambda x: F.max_pool2d(x, 2), (np.maximum(draws(6, 5, 13, 15), 0),)),
    "lstm": (lambda x: lstm(x, False), (draws(7, 20, 8),)),
    "lstm of unequal lengths": (lambda x: lstm(x, True), (draws(7, 20, 8),)),
    "attention": (attend, (draws(2, 3, 40, 16), draws(2, 3, 50, 16), draws(2, 3, 50, 24))),
    "causal attention": (lambda *x: attend(*x, is_causal=True), (draws(2, 3, 200, 16),) * 3),
    "masked attention": (
        lambda *x: attend(*x, attn_mask=t.tensor(np.arange(50) > np.arange(40)[:, None] // 2 - 3)),
        (draws(2, 3, 40, 16), draws(2, 3, 50, 16), draws(2, 3, 50, 24)),
    ),
    "embedding": (lambda w: F.embedding(t.tensor(INDEX), w), (draws(40, 50),)),
    "index_add": (lambda x, s: x.index_add(0, t.tensor(INDEX), s), (draws(40, 50), draws(300, 50))),
    "scatter_add": (
        lambda x, s: x.scatter_add(0, t.tensor(np.broadcast_to(INDEX[:, None] % 7, (300, 50)).copy()), s),
        (draws(40, 50), draws(300, 50)),
    ),
}


@compiled
@pytest.mark.parametrize("name", CASES)
def test_kernels_agree_with_their_twins(name: str) -> None:
    f, arrays = CASES[name]
    for twin, kernel in zip(*both(f, *arrays)):
        assert kernel.shape == twin.shape and kernel.dtype == twin.dtype
        np.testing.assert_allclose(kernel, twin, rtol=30 * EPS, atol=30 * EPS * max(1.0, float(np.abs(twin).max())))


@compiled
def test_kernels_are_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above compares two things: with a kernel planted wrong it sees a difference."""
    monkeypatch.setattr(fast.kernels("pointwise"), "gelu", lambda x, out: out.fill(3.0))
    twin, kernel = both(F.gelu, *CASES["gelu"][1])
    assert (kernel[0] == 3).all() and not (twin[0] == 3).any()


@compiled
@pytest.mark.parametrize("name", ["gelu", "silu", "softmax", "log_softmax", "layer_norm alone"])
def test_nan_and_infinity_come_out_as_from_the_twins(name: str) -> None:
    f, (x, *_) = CASES[name]
    x = x.copy()
    x[0, 0], x[1, 1], x[2, 2], x[3] = np.nan, np.inf, -np.inf, -np.inf
    with np.errstate(all="ignore"):
        twin, kernel = both(f, x)
    finite = np.isfinite(twin[0])
    assert (np.isnan(kernel[0]) == np.isnan(twin[0])).all()
    np.testing.assert_allclose(kernel[0][finite], twin[0][finite], rtol=1e-5, atol=1e-5)
    assert (np.isnan(kernel[1]) == np.isnan(twin[1])).all()


@compiled
def test_masked_scores_get_exactly_nothing() -> None:
    x = draws(64, 64)
    x[np.triu_indices(64, 1)] = -np.inf
    with fast.use(True):
        y = F.softmax(t.tensor(x), -1).numpy()
    assert (y[np.triu_indices(64, 1)] == 0).all()
    np.testing.assert_allclose(y.sum(1), 1, rtol=4 * EPS)


STEPS = {
    "Adam": lambda p: t.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: t.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "AdamW maximize": lambda p: t.optim.AdamW(p, lr=0.01, maximize=True),
    "SGD": lambda p: t.optim.SGD(p, lr=0.01, weight_decay=0.1),
    "nesterov": lambda p: t.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "amsgrad": lambda p: t.optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW amsgrad": lambda p: t.optim.AdamW(p, lr=0.01, amsgrad=True),
    "momentum": lambda p: t.optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.3),
}


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STEPS)
def test_optimizers_give_the_same_bits(name: str, dtype: Any) -> None:
    """Steps of two large parameters and of many small ones together."""
    ends = []
    for on in (False, True):
        with fast.use(on):
            shapes = [(300, 1000), (7,), (50, 60), (41, 3)]
            params = [t.nn.Parameter(t.tensor(draws(*s).astype(dtype))) for s in shapes]
            optimizer = STEPS[name](params)
            for k in range(4):
                for i, p in enumerate(params):
                    p.grad = t.tensor(draws(*p.shape, scale=1.0 + k + i).astype(dtype))
                optimizer.step()
            ends.append([p.detach().numpy().copy() for p in params])
    for twin, kernel in zip(*ends):
        assert (twin == kernel).all()


@compiled
def test_a_place_outside_is_an_error_and_writes_nothing() -> None:
    y, rows = np.zeros((10, 300), np.float32), draws(30, 300)
    kernels = fast.kernels("scatter")
    for wrong in (10, -1):
        at = np.arange(30) % 10
        at[29] = wrong
        assert kernels.add_rows(y, at, rows) is False
        assert kernels.add_flat(y.reshape(-1)[:10], np.repeat(at, 100), rows.reshape(-1)[:3000]) is False
        assert not y.any()
    with fast.use(True), pytest.raises(IndexError):
        t.zeros(10, 300).index_add(0, t.full((30,), 10), t.tensor(rows))


@compiled
def test_second_derivatives_do_not_meet_kernels() -> None:
    with fast.use(True):
        x = t.tensor(draws(60, 60), requires_grad=True)
        (g,) = t.autograd.grad(F.gelu(x).sum(), x, create_graph=True)
        (h,) = t.autograd.grad(g.sum(), x)
    z = x.detach().numpy().astype(float)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(h.numpy(), density * (2 - z * z), rtol=1e-4, atol=1e-5)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    where = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(allgrad.__file__))} | environment
    where = {k: v for k, v in where.items() if v or k != "ALLGRAD_FAST"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=where)


@compiled
def test_a_kept_kernel_is_compiled_again_when_a_function_in_it_changes(tmp_path: Any) -> None:
    """``numbers.logistic`` is part of a kernel of another file; the changed one has the same length and date."""
    shutil.copytree(Path(allgrad.__file__).parent, tmp_path / "allgrad", ignore=shutil.ignore_patterns("__pycache__"))
    program = "import allgrad as t; print(float(t.nn.functional.silu(t.full((5000,), 80.0))[7]))"
    where = {"PYTHONPATH": str(tmp_path), "ALLGRAD_FAST": "1"}
    first = run(program, **where)
    assert first.stdout == "80.0\n", first.stderr
    file = tmp_path / "allgrad" / "fast" / "numbers.py"
    date, text = file.stat().st_mtime, file.read_text()
    assert "return ONE / (ONE + exp(-x))" in text
    file.write_text(text.replace("return ONE / (ONE + exp(-x))", "return TWO / (ONE + exp(-x))"))
    os.utime(file, (date, date))
    assert run(program, **where).stdout == "160.0\n"


SMALL = "import sys, allgrad as t; x = t.ones(4, 4, requires_grad=True); t.nn.functional.gelu(x).sum().backward()"


def test_small_programs_never_import_numba() -> None:
    done = run(SMALL + "; print('numba' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_the_switch_in_the_environment() -> None:
    off = run("import allgrad; print(allgrad.fast.enabled())", ALLGRAD_FAST="0")
    assert off.stdout == "False\n", off.stderr
    large = "import sys, allgrad as t; t.nn.functional.gelu(t.ones(99, 99)); print('numba' in sys.modules)"
    assert run(large, ALLGRAD_FAST="0").stdout == "False\n"
    assert run(large, ALLGRAD_FAST="").stdout == f"{fast.installed()}\n"
    wrong = run("import allgrad; allgrad.fast.enabled()", ALLGRAD_FAST="yes")
    assert wrong.returncode and "ALLGRAD_FAST='yes': expected 0" in wrong.stderr


def test_without_numba_the_twins_run_and_asking_for_kernels_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "installed", lambda: False)
    monkeypatch.setattr(fast, "_on", None)
    monkeypatch.delenv("ALLGRAD_FAST", raising=False)
    assert not fast.enabled() and not fast.worth(10**6)
    with pytest.raises(UnsupportedError, match=r"pip install 'allgrad\[fast\]'"):
        fast.set_enabled(True)
    monkeypatch.setattr(fast, "_on", None)
    monkeypatch.setenv("ALLGRAD_FAST", "1")
    with pytest.raises(UnsupportedError, match="ALLGRAD_FAST=1 asks for compiled kernels, but numba is not installed"):
        fast.enabled()
    monkeypatch.setenv("ALLGRAD_FAST", "2")
    with pytest.raises(ArgumentError, match="expected 0"):
        fast.enabled()
