"""Printing: the text is PyTorch's, by a table of literal texts and by a sweep against PyTorch itself."""

import numpy as np
import pytest

from allgrad import dtypes
from allgrad.errors import ArgumentError
from allgrad.printing import Options, format_array, format_parameter, get_printoptions, set_printoptions

NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def default_options():
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


# (array, keywords of format_array, options), all texts copied from PyTorch 2.13
TABLE = [
    (np.array([[1, 2], [3, 4]], np.float32), {}, {}, "tensor([[1., 2.],\n        [3., 4.]])"),
    (
        np.array([[1.5, -2.25], [3, 400]], np.float32),
        {},
        {},
        "tensor([[  1.5000,  -2.2500],\n        [  3.0000, 400.0000]])",
    ),
    (np.array(3, np.float32), {}, {}, "tensor(3.)"),
    (np.array(-0.1234567), {"requires_grad": True}, {}, "tensor(-0.1235, dtype=torch.float64, requires_grad=True)"),
    (np.array([1, 10000], np.float32), {}, {}, "tensor([1.0000e+00, 1.0000e+04])"),
    (np.array([1, 1e9], np.float32), {}, {}, "tensor([1.0000e+00, 1.0000e+09])"),
    (np.array([1e-5, 1], np.float32), {}, {}, "tensor([1.0000e-05, 1.0000e+00])"),
    (np.array([0.00012, 0.1], np.float32), {}, {}, "tensor([0.0001, 0.1000])"),
    (np.array([1.5, 1501], np.float32), {}, {}, "tensor([1.5000e+00, 1.5010e+03])"),
    (np.array([NAN, INF, -INF, 1.5], np.float32), {}, {}, "tensor([   nan,    inf,   -inf, 1.5000])"),
    (np.array([NAN, 0, INF, -INF], np.float32), {}, {}, "tensor([nan, 0., inf, -inf])"),
    (np.array([INF, 2, -3], np.float32), {}, {}, "tensor([inf,  2., -3.])"),
    (np.array([-0.0, 0.0], np.float32), {}, {}, "tensor([-0., 0.])"),
    (np.array([True, False]), {}, {}, "tensor([ True, False])"),
    (np.array([1, -20, 300]), {}, {}, "tensor([  1, -20, 300])"),
    (np.array([1, -20, 300], np.int32), {}, {}, "tensor([  1, -20, 300], dtype=torch.int32)"),
    (np.array([0.1, 2], np.float16), {}, {}, "tensor([0.1000, 2.0000], dtype=torch.float16)"),
    (np.array(7, np.uint8), {}, {}, "tensor(7, dtype=torch.uint8)"),
    (np.zeros((0, 3), np.float32), {}, {}, "tensor([], size=(0, 3))"),
    (np.zeros(0, np.float32), {"requires_grad": True}, {}, "tensor([], requires_grad=True)"),
    (np.zeros(0, np.int64), {}, {}, "tensor([], dtype=torch.int64)"),
    (np.zeros((2, 0), np.float64), {}, {}, "tensor([], size=(2, 0), dtype=torch.float64)"),
    (
        np.arange(30),
        {},
        {},
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])",
    ),
    (
        np.arange(2000, dtype=np.float32),
        {"requires_grad": True, "grad_fn_name": "AddBackward0"},
        {},
        "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.9970e+03, 1.9980e+03,\n"
        "        1.9990e+03], grad_fn=<AddBackward0>)",
    ),
    (
        np.arange(2000, dtype=np.float32).reshape(40, 50) / 8,
        {},
        {},
        "tensor([[0.0000e+00, 1.2500e-01, 2.5000e-01,  ..., 5.8750e+00, 6.0000e+00,\n"
        "         6.1250e+00],\n"
        "        [6.2500e+00, 6.3750e+00, 6.5000e+00,  ..., 1.2125e+01, 1.2250e+01,\n"
        "         1.2375e+01],\n"
        "        [1.2500e+01, 1.2625e+01, 1.2750e+01,  ..., 1.8375e+01, 1.8500e+01,\n"
        "         1.8625e+01],\n"
        "        ...,\n"
        "        [2.3125e+02, 2.3138e+02, 2.3150e+02,  ..., 2.3712e+02, 2.3725e+02,\n"
        "         2.3738e+02],\n"
        "        [2.3750e+02, 2.3762e+02, 2.3775e+02,  ..., 2.4338e+02, 2.4350e+02,\n"
        "         2.4362e+02],\n"
        "        [2.4375e+02, 2.4388e+02, 2.4400e+02,  ..., 2.4962e+02, 2.4975e+02,\n"
        "         2.4988e+02]])",
    ),
    (
        np.arange(8, dtype=np.float32).reshape(2, 2, 2),
        {"requires_grad": True, "grad_fn_name": "MulBackward0"},
        {},
        "tensor([[[0., 1.],\n         [2., 3.]],\n\n        [[4., 5.],\n         [6., 7.]]], grad_fn=<MulBackward0>)",
    ),
    (
        np.arange(16).reshape(1, 2, 2, 2, 2),
        {},
        {},
        "tensor([[[[[ 0,  1],\n"
        "           [ 2,  3]],\n"
        "\n"
        "          [[ 4,  5],\n"
        "           [ 6,  7]]],\n"
        "\n"
        "\n"
        "         [[[ 8,  9],\n"
        "           [10, 11]],\n"
        "\n"
        "          [[12, 13],\n"
        "           [14, 15]]]]])",
    ),
    (
        np.linspace(0, 1, 9),
        {"requires_grad": True},
        {},
        "tensor([0.0000, 0.1250, 0.2500, 0.3750, 0.5000, 0.6250, 0.7500, 0.8750, 1.0000],\n"
        "       dtype=torch.float64, requires_grad=True)",
    ),
    (
        np.linspace(0, 1, 10),
        {"requires_grad": True, "grad_fn_name": "SomeVeryLongNameOfAFunctionBackward"},
        {},
        "tensor([0.0000, 0.1111, 0.2222, 0.3333, 0.4444, 0.5556, 0.6667, 0.7778, 0.8889,\n"
        "        1.0000], dtype=torch.float64,\n"
        "       grad_fn=<SomeVeryLongNameOfAFunctionBackward>)",
    ),
    (
        np.linspace(0, 1, 4),
        {},
        {"precision": 8},
        "tensor([0.00000000, 0.33333333, 0.66666667, 1.00000000], dtype=torch.float64)",
    ),
    (
        np.linspace(0, 1, 4),
        {},
        {"sci_mode": True},
        "tensor([0.0000e+00, 3.3333e-01, 6.6667e-01, 1.0000e+00], dtype=torch.float64)",
    ),
    (np.array([1, 1e9], np.float32), {}, {"sci_mode": False}, "tensor([         1., 1000000000.])"),
    (np.arange(10), {}, {"threshold": 5, "edgeitems": 2}, "tensor([0, 1,  ..., 8, 9])"),
    (np.arange(10), {}, {"threshold": 5, "edgeitems": 0}, "tensor([...], size=(10,))"),
    (
        np.arange(30),
        {},
        {"linewidth": 40},
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,\n"
        "         8,  9, 10, 11, 12, 13, 14, 15,\n"
        "        16, 17, 18, 19, 20, 21, 22, 23,\n"
        "        24, 25, 26, 27, 28, 29])",
    ),
    (np.array([5e8], np.float32), {}, {}, "tensor([5.0000e+08])"),
    (
        np.arange(10, 23, dtype=np.int32),
        {},
        {},
        "tensor([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22], dtype=torch.int32)",
    ),
    (
        np.ones(13, np.float32),
        {"requires_grad": True},
        {},
        "tensor([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.],\n       requires_grad=True)",
    ),
]


def text(a, kw, options):
    set_printoptions(profile="default")
    set_printoptions(**options)
    return format_array(a, dtype=dtypes.from_np(a.dtype), **kw)


@pytest.mark.parametrize("case", TABLE, ids=range(len(TABLE)))
def test_literal_texts_of_pytorch(case):
    a, kw, options, expected = case
    assert text(a, kw, options) == expected


VALUES = {
    "normal": lambda x: x,
    "whole": lambda x: np.round(x * 10),
    "whole, wide range": lambda x: np.round(x * 10000),
    "large": lambda x: x * 1e9,
    "whole, large": lambda x: np.round(x * 1e10),
    "small": lambda x: x * 1e-5,
    "wide range": lambda x: np.exp(x * 6),
    "zeros": lambda x: x * 0,
    "nan": lambda x: np.where(x > 0.5, NAN, x),
    "inf and zero": lambda x: np.where(x > 0.5, INF, np.where(x < -0.5, -INF, 0)),
    "inf and whole": lambda x: np.where(x > 0.5, INF, np.round(x * 5)),
    "negative zero": lambda x: np.where(x > 0, -0.0, x),
}
SHAPES = [
    (), (0,), (1,), (7,), (0, 3), (2, 0, 4), (2, 3), (30,), (1000,), (1001,), (40, 40), (7, 130), (130, 9), (3, 2, 2),
    (2, 2, 2, 2), (1, 1, 1, 1, 3), (2, 7, 8, 9), (1002, 1),
]  # fmt: skip
OPTIONS = [
    {},
    {"profile": "short"},
    {"precision": 7},
    {"sci_mode": True},
    {"sci_mode": False},
    {"linewidth": 40, "edgeitems": 1, "threshold": 20},
    {"profile": "full", "linewidth": 120},
    {"threshold": 20, "edgeitems": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_sweep_against_pytorch(options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    try:
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        for shape in SHAPES:
            for make in VALUES.values():
                a = np.asarray(make(rng.normal(size=shape)))
                with np.errstate(over="ignore"):
                    a = a.astype(rng.choice(["float32", "float32", "float64", "float16"]))
                check(torch, a, options, rng.integers(3))
            for kind in ("int64", "int32", "uint8", "bool"):
                check(torch, rng.integers(0, 100, shape).astype(kind), options, 0)
            check(torch, rng.integers(-(10**12), 10**12, shape), options, 0)
    finally:
        torch.set_printoptions(profile="default")


def check(torch, a, options, graph):
    a = np.asarray(a)
    t = torch.from_numpy(a.copy())
    if graph == 0:
        assert text(a, {}, options) == repr(t)
    elif graph == 1:
        assert text(a, {"requires_grad": True}, options) == repr(t.requires_grad_())
    else:
        kw = {"requires_grad": True, "grad_fn_name": "MulBackward0"}
        assert text(t.numpy() * 1, kw, options) == repr(t.requires_grad_() * 1)


def test_bfloat16_like_pytorch():
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    for values in ([0.1, -2.5, 1e5], [1.0, 2.0], [[NAN, INF]], 3.25):
        a = np.asarray(values).astype(dtypes.bfloat16.np)
        assert format_array(a, dtype=dtypes.bfloat16) == repr(torch.tensor(values, dtype=torch.bfloat16))


def test_a_parameter_has_a_heading():
    expected = "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert format_parameter(np.array([1, 2], np.float32), dtype=dtypes.float32) == expected


def test_the_default_dtype_is_not_printed():
    a = np.array([1.5])
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert format_array(a, dtype=dtypes.float64) == "tensor([1.5000])"
        wide = format_array(a.astype(np.float32), dtype=dtypes.float32)
        assert wide == "tensor([1.5000], dtype=torch.float32)"
    finally:
        dtypes.set_default_dtype(dtypes.float32)


def test_views_print_like_their_copies():
    a = np.arange(24.0).reshape(4, 6)[::-1, ::2].T
    assert not a.flags.c_contiguous
    assert format_array(a, dtype=dtypes.float64) == format_array(a.copy(), dtype=dtypes.float64)


def test_options_profiles_and_their_error():
    set_printoptions(precision=2, linewidth=100)
    assert get_printoptions() == Options(precision=2, linewidth=100)
    set_printoptions(profile="short", edgeitems=5, sci_mode=True)
    assert get_printoptions() == Options(precision=2, edgeitems=5, sci_mode=True)
    set_printoptions()
    assert get_printoptions().sci_mode is None
    with pytest.raises(ArgumentError, match="'long'"):
        set_printoptions(profile="long")
