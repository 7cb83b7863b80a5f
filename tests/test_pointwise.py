"""Pointwise functions without PyTorch: values against NumPy and SciPy, kinks, ``out=``, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import allgrad as ag

nan, inf = float("nan"), float("inf")
X = np.array([-2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.7, inf, -inf, nan])
NUMPY = {
    **{
        n: getattr(np, n)
        for n in [
            "abs",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "square",
            "floor",
            "ceil",
            "trunc",
            "sign",
            "isnan",
            "isinf",
            "isfinite",
            "signbit",
            "logical_not",
            "deg2rad",
            "rad2deg",
            "sinc",
            "reciprocal",
            "isposinf",
            "isneginf",
            "nan_to_num",
        ]
    },
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "round": np.rint,
    "frac": lambda x: np.where(np.isinf(x), nan, x - np.trunc(x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": scipy.special.expit,
    "logit": scipy.special.logit,
    "neg": np.negative,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv,
}
NUMPY_BINARY = {
    **{
        n: getattr(np, n)
        for n in [
            "add",
            "true_divide",
            "floor_divide",
            "remainder",
            "fmod",
            "hypot",
            "logaddexp",
            "logaddexp2",
            "copysign",
            "maximum",
            "minimum",
            "fmax",
            "fmin",
            "logical_and",
            "logical_or",
            "logical_xor",
            "nextafter",
        ]
    },
    "sub": np.subtract,
    "mul": np.multiply,
    "atan2": np.arctan2,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "pow": np.power,
    "xlogy": scipy.special.xlogy,
}


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unary_against_numpy(name: str, dtype: Any) -> None:
    x = X.astype(dtype)
    with np.errstate(all="ignore"):
        wanted = np.asarray(NUMPY[name](x))
    if name == "sign":
        wanted = np.nan_to_num(wanted)  # PyTorch's sign of nan is 0
    found = getattr(ag, name)(ag.from_numpy(x)).numpy()
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=2e-6 if dtype == np.float32 else 1e-14, atol=1e-300)


@pytest.mark.parametrize("name", NUMPY_BINARY)
def test_binary_against_numpy(name: str) -> None:
    a, b = np.meshgrid(X, X)
    with np.errstate(all="ignore"):
        wanted = NUMPY_BINARY[name](a, b)
    found = getattr(ag, name)(ag.from_numpy(a), ag.from_numpy(b)).numpy()
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


KINKS = [  # function, where, the gradient that PyTorch's users rely on
    (lambda x: x.abs(), [-1.0, 0.0, 2.0], [-1.0, 0.0, 1.0]),
    (lambda x: x.relu(), [-1.0, 0.0, 2.0], [0.0, 0.0, 1.0]),
    (lambda x: x.clamp(0, 2), [-1.0, 0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
    (lambda x: ag.nn.functional.hardtanh(x), [-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]),
    (lambda x: ag.maximum(x, ag.zeros(3)), [-1.0, 0.0, 2.0], [0.0, 0.5, 1.0]),
    (lambda x: ag.minimum(x, ag.zeros(3)), [-1.0, 0.0, 2.0], [1.0, 0.5, 0.0]),
    (lambda x: ag.fmax(x, ag.zeros(3)), [-1.0, 0.0, 2.0], [0.0, 1.0, 1.0]),
    (lambda x: x.pow(0), [0.0, 2.0], [0.0, 0.0]),
    (lambda x: x.pow(2), [0.0, 2.0], [0.0, 4.0]),
    (lambda x: x.pow(ag.zeros(2)), [0.0, 2.0], [0.0, 0.0]),
    (lambda x: ag.zeros(2).pow(x), [0.0, 2.0], [0.0, 0.0]),
    (lambda x: ag.sinc(x), [0.0], [0.0]),
    (lambda x: ag.atan2(x, ag.zeros(1)), [0.0], [0.0]),
    (lambda x: x.floor() + x.round() + x.sign(), [0.3, 1.7], [0.0, 0.0]),
    (lambda x: x.frac() + x.remainder(3), [0.3, 1.7], [2.0, 2.0]),
    (lambda x: ag.copysign(x, -1.0), [0.0, 2.0], [0.0, -1.0]),
    (lambda x: x.nan_to_num(), [nan, 2.0, inf], [0.0, 1.0, 0.0]),
    (lambda x: ag.xlogy(x, x), [1.0], [1.0]),
]


@pytest.mark.parametrize(("f", "x", "wanted"), KINKS)
def test_gradient_at_kinks(f: Any, x: list[float], wanted: list[float]) -> None:
    t = ag.tensor(x, requires_grad=True)
    f(t).sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), wanted)


def test_nothing_leaks_through_a_masked_branch() -> None:
    x = ag.tensor([0.0, 4.0], requires_grad=True)
    ag.where(x > 0, x.sqrt(), ag.zeros(2)).sum().backward()
    # sqrt's own slope at 0 is inf, and 0 * inf is nan: PyTorch has it too.  The mask itself must not add any.
    assert np.isnan(x.grad.numpy()[0])
    y = ag.tensor([-1.0, 4.0], requires_grad=True)
    y.relu().backward(ag.tensor([nan, 2.0]))
    np.testing.assert_array_equal(y.grad.numpy(), [0, 2])
    z = ag.tensor([-1.0, 4.0], requires_grad=True)
    z.clamp(min=0).backward(ag.tensor([inf, 2.0]))
    np.testing.assert_array_equal(z.grad.numpy(), [0, 2])
    a, b = ag.tensor([1.0, 2.0], requires_grad=True), ag.tensor([3.0, 4.0], requires_grad=True)
    ag.where(ag.tensor([True, False]), a, b).backward(ag.tensor([nan, 5.0]))
    np.testing.assert_array_equal(a.grad.numpy(), [nan, 0])
    np.testing.assert_array_equal(b.grad.numpy(), [0, 5])


def test_second_derivative_of_a_straight_line_is_zero() -> None:
    x = ag.tensor([-1.0, 2.0], requires_grad=True)
    (g,) = ag.autograd.grad(x.relu().sum(), x, create_graph=True)
    (h,) = ag.autograd.grad(g.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [0, 0])


def test_out_takes_the_result() -> None:
    a, out = ag.tensor([1.0, 4.0]), ag.empty(2)
    assert ag.sqrt(a, out=out) is out
    np.testing.assert_array_equal(out.numpy(), [1, 2])
    ag.add(a, 1, out=out)
    np.testing.assert_array_equal(out.numpy(), [2, 5])
    wide = ag.empty(0, dtype=ag.float64)
    np.testing.assert_array_equal(ag.mul(a, 2, out=wide).numpy(), [2, 8])
    assert wide.shape == (2,) and wide.dtype is ag.float64
    with pytest.raises(RuntimeError, match=r"torch.float32 can't be cast to the desired output type torch.int64"):
        ag.mul(a, 2, out=ag.empty(2, dtype=ag.int64))
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        ag.mul(a.requires_grad_(), 2, out=out)
    with ag.no_grad():
        ag.mul(a, 3, out=out)
    np.testing.assert_array_equal(out.numpy(), [3, 12])
    with pytest.raises(TypeError, match="'out' must be Tensor, not list"):
        ag.exp(out, out=[1.0])


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ag.ones(2) - ag.tensor([True, False]), RuntimeError, "invert a mask"),
        (lambda: -ag.tensor([True]), RuntimeError, "logical_not"),
        (lambda: ag.tensor([2]) ** -1, RuntimeError, "negative integer powers"),
        (lambda: ag.tensor([1]) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: ag.tensor([1]) % ag.tensor([0]), RuntimeError, "by zero"),
        (
            lambda: ag.ones(2) + ag.ones(3),
            RuntimeError,
            r"size of tensor a \(2\) must match the size of tensor b \(3\)",
        ),
        (lambda: ag.ones(2) + "a", TypeError, "unsupported operand"),
        (lambda: ag.tensor([1]) + 2**70, RuntimeError, "Overflow"),
        (lambda: ag.add(ag.ones(2), None), TypeError, "must be Tensor or number, not NoneType"),
        (lambda: ag.sin([1.0]), TypeError, "must be Tensor|list"),
        (lambda: ag.maximum(ag.ones(2), 1), TypeError, "'other'.*int"),
        (lambda: ag.ones(2) & 1, RuntimeError, "whole numbers"),
        (lambda: ~ag.ones(2), RuntimeError, "whole numbers"),
        (lambda: ag.clamp(ag.ones(2)), RuntimeError, "At least one of 'min' or 'max'"),
        (lambda: ag.clamp(ag.ones(2), 0, ag.ones(2)), TypeError, "both be numbers or both Tensors"),
        (lambda: ag.where(ag.tensor([1, 0]), 1, 2), RuntimeError, "boolean tensor"),
        (lambda: ag.lerp(ag.ones(2), ag.ones(2).double(), 0.5), RuntimeError, "float64"),
        (lambda: ag.isclose(ag.ones(2), ag.ones(2).double()), RuntimeError, "did not match"),
        (lambda: ag.div(ag.ones(2), 2, rounding_mode="up"), RuntimeError, "'up'"),
        (lambda: ag.tensor([1, 2]).add_(1.5), RuntimeError, "can't be cast"),
        (lambda: ag.tensor([1, 2]).sin_(), RuntimeError, "can't be cast"),
        (lambda: ag.ones(2).add_(ag.ones(3, 2)), RuntimeError, "doesn't match the broadcast shape"),
        (lambda: ag.ones(2).lt_(ag.ones(3, 2)), RuntimeError, "doesn't match the broadcast shape"),
        (lambda: ag.ones(2, requires_grad=True).sin_(), RuntimeError, "leaf Variable"),
        (lambda: ag.ones(2, requires_grad=True).lerp_(ag.ones(2), 0.5), RuntimeError, "leaf Variable"),
        (lambda: ag.nn.functional.gelu(ag.ones(2), approximate="fast"), RuntimeError, "'fast'"),
        (lambda: ag.nn.functional.softshrink(ag.ones(2), -1.0), RuntimeError, "greater or equal to 0"),
        (lambda: ag.ones(2).cuda(), RuntimeError, "CPU only"),
        (lambda: ag.ones(2).to("cuda"), RuntimeError, "CPU only"),
        (lambda: ag.tensor([1.0], requires_grad=True).fill_(0), RuntimeError, "leaf Variable"),
        (lambda: ag.ones(2).fill_(ag.ones(2)), RuntimeError, "0-dimension"),
        (lambda: ag.ones(2).copy_("a"), TypeError, "must be Tensor, not str"),
        (lambda: ag.ones(2).copy_(ag.ones(3)), RuntimeError, "copy"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_foreign_operands_are_asked() -> None:
    class Other:
        def __radd__(self, other: Any) -> str:
            return "radd"

        def __lt__(self, other: Any) -> str:
            return "lt"

        def __rand__(self, other: Any) -> str:
            return "rand"

    t = ag.ones(2)
    assert t + Other() == "radd"
    assert (t > Other()) == "lt"
    assert ag.tensor([1]) & Other() == "rand"
    assert (t == None) is False  # noqa: E711
    assert (t != "a") is True
    with pytest.raises(TypeError, match="'<' not supported"):
        t < None  # noqa: B015


def test_numpy_operands_keep_their_dtype() -> None:
    t = ag.ones(2)
    assert (t + np.ones(2)).dtype is ag.float64
    assert (t * np.float64(2)).dtype is ag.float32  # a number, as in PyTorch
    assert (np.float64(2) * t).dtype is ag.float32


@settings(max_examples=60, deadline=None)
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4),
    st.sampled_from(["add", "mul", "maximum", "atan2", "lt", "xlogy"]),
)
def test_shapes_broadcast_and_gradients_fold_back(shapes: Any, name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0.5, 2, s) for s in shapes.input_shapes)
    x, y = ag.from_numpy(a).requires_grad_(), ag.from_numpy(b).requires_grad_()
    out = getattr(ag, name)(x, y)
    assert out.shape == shapes.result_shape
    np.testing.assert_allclose(out.detach().numpy(), NUMPY_BINARY[name](a, b), rtol=1e-12)
    if out.requires_grad:
        out.sum().backward()
        assert x.grad.shape == a.shape and y.grad.shape == b.shape
        if name == "mul":
            whole = np.broadcast_to(b, out.shape)
            axes = tuple(range(whole.ndim - a.ndim)) + tuple(
                i + whole.ndim - a.ndim
                for i, n in enumerate(a.shape)
                if n == 1 and whole.shape[i + whole.ndim - a.ndim] != 1
            )
            np.testing.assert_allclose(x.grad.numpy(), whole.sum(axis=axes).reshape(a.shape), rtol=1e-12)
