"""Modules that programs import by name: nn.modules, profiler, testing, types, utils.hooks."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

import allgrad
from allgrad.errors import UnsupportedError
from allgrad.profiler import ProfilerActivity, profile, record_function, schedule
from allgrad.testing import assert_close, make_tensor


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("nn.modules", "Module Linear Sequential ModuleList Conv2d BatchNorm2d LSTM CrossEntropyLoss MaxUnpool2d"),
        ("nn.utils.parametrize", "register_parametrization remove_parametrizations is_parametrized cached"),
        ("utils.hooks", "RemovableHandle"),
        ("types", "Number Device FileLike"),
        ("profiler", "profile record_function schedule ProfilerActivity tensorboard_trace_handler"),
        ("autograd.profiler", "profile record_function"),
        ("testing", "assert_close make_tensor"),
    ],
)
def test_names_are_where_pytorch_has_them(module: str, names: str) -> None:
    ours = importlib.import_module(f"allgrad.{module}")
    assert not [n for n in names.split() if not hasattr(ours, n)]
    pytest.importorskip("torch")
    theirs = importlib.import_module(f"torch.{module}")
    assert not [n for n in names.split() if not hasattr(theirs, n)]


def test_layers_are_the_same_objects_under_both_names() -> None:
    assert allgrad.nn.modules.Linear is allgrad.nn.Linear
    assert [n for n in allgrad.nn.modules.__all__ if not hasattr(allgrad.nn, n)] == []


PAIRS: list[tuple[Any, Any, dict[str, Any], bool]] = [
    ([1.0, 2.0], [1.0, 2.0 + 1e-6], {}, True),
    ([1.0, 2.0], [1.0, 2.001], {}, False),
    ([1.0, 2.0], [1.0, 2.001], {"rtol": 1e-2, "atol": 0.0}, True),
    ([float("nan")], [float("nan")], {}, False),
    ([float("nan")], [float("nan")], {"equal_nan": True}, True),
    ([float("inf")], [float("inf")], {}, True),
    ([float("inf")], [-float("inf")], {}, False),
    ([float("inf")], [1.0], {"rtol": 1.0, "atol": 1.0}, False),
    ([1, 2], [1, 3], {}, False),
    ([1, 2], [1, 3], {"rtol": 0.0, "atol": 1.0}, True),
    ([1, 2], [1.0, 2.0], {}, False),
    ([1, 2], [1.0, 2.0], {"check_dtype": False}, True),
    ([1.0, 2.0], [[1.0, 2.0]], {}, False),
    ([], [], {}, True),
    ([True], [False], {}, False),
]


@pytest.mark.parametrize("name", ["allgrad", "torch"])
@pytest.mark.parametrize(("actual", "expected", "settings", "close"), PAIRS)
def test_assert_close(name: str, actual: Any, expected: Any, settings: dict[str, Any], close: bool) -> None:
    library = pytest.importorskip(name)
    for wrap in (lambda t: t, lambda t: [t, t], lambda t: {"a": {"b": t}}):
        a, e = wrap(library.tensor(actual)), wrap(library.tensor(expected))
        if close:
            library.testing.assert_close(a, e, **settings)
        else:
            with pytest.raises(AssertionError):
                library.testing.assert_close(a, e, **settings)


def test_assert_close_says_where() -> None:
    with pytest.raises(AssertionError, match=r"\['w'\].*1 of 3 elements.*index \(1,\).*2\.0 and 5\.0"):
        assert_close({"w": allgrad.tensor([1.0, 2.0, 3.0])}, {"w": allgrad.tensor([1.0, 5.0, 3.0])})
    with pytest.raises(AssertionError, match=r"^mine$"):
        assert_close(1.0, 2.0, msg="mine")
    with pytest.raises(AssertionError, match="keys"):
        assert_close({"a": 1.0}, {"b": 1.0})
    with pytest.raises(AssertionError, match="length"):
        assert_close([1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="rtol"):
        assert_close(1.0, 1.0, rtol=0.1)
    with pytest.raises(TypeError, match="ndarray with Tensor"):
        assert_close(allgrad.ones(2).numpy(), allgrad.ones(2))


def test_make_tensor_draws_pytorchs_numbers() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for t in (allgrad, torch):
        t.manual_seed(0)
        found.append(
            importlib.import_module(f"{t.__name__}.testing").make_tensor(
                (3,), dtype=t.float32, device="cpu", low=-1, high=1
            )
        )
    assert found[0].tolist() == pytest.approx(found[1].tolist())


def test_make_tensor() -> None:
    x = make_tensor(40, 50, dtype=allgrad.int64, low=-2, high=3)
    assert x.unique().tolist() == [-2, -1, 0, 1, 2]
    y = make_tensor((3, 4), dtype=allgrad.float32, noncontiguous=True, requires_grad=True)
    assert y.shape == (3, 4) and not y.is_contiguous() and y.requires_grad and y.is_leaf
    assert make_tensor(200, dtype=allgrad.int8, low=-1, high=2, exclude_zero=True).ne(0).all()
    assert make_tensor(2, dtype=allgrad.bool).dtype is allgrad.bool
    with pytest.raises(ValueError):
        make_tensor(2, dtype=allgrad.float32, low=3, high=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"wait": 1, "warmup": 1, "active": 2},
        {"wait": 0, "warmup": 0, "active": 1, "repeat": 3},
        {"wait": 2, "warmup": 0, "active": 2, "repeat": 2, "skip_first": 3},
        {"wait": 2, "warmup": 1, "active": 1, "skip_first_wait": 1},
    ],
)
def test_schedules(settings: dict[str, int]) -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of schedules without warm-up
        theirs = importlib.import_module("torch.profiler").schedule(**settings)
    ours = schedule(**settings)
    assert [ours(i).name for i in range(20)] == [theirs(i).name for i in range(20)]


def test_named_stretches_are_counted_in_recorded_steps_only() -> None:
    rounds: list[dict[str, int]] = []
    with profile(
        activities=[ProfilerActivity.CPU],
        schedule=schedule(wait=1, warmup=1, active=2),
        on_trace_ready=lambda p: rounds.append({e.key: e.count for e in p.key_averages()}),
    ) as p:
        for step in range(8):
            with record_function("forward"), record_function(f"step {step}"):
                allgrad.ones(3).sum()
            p.step()
    assert rounds == [{"forward": 2, "step 2": 1, "step 3": 1}, {"forward": 2, "step 6": 1, "step 7": 1}]


def test_profile_measures_wall_time_and_decorates() -> None:
    import time

    @record_function("nap")
    def nap() -> int:
        time.sleep(0.01)
        return 3

    nap()  # no profile is open
    with profile() as p:
        assert nap() + nap() == 6
    (event,) = p.key_averages()
    assert (event.key, event.count) == ("nap", 2) and event.cpu_time >= 1e4
    assert "nap" in p.key_averages().table(sort_by="cpu_time_total", row_limit=5)
    with pytest.raises(UnsupportedError, match="on_trace_ready"):
        allgrad.profiler.tensorboard_trace_handler("log")
