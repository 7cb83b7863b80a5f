"""``nn.functional`` against PyTorch: value, gradients, recorded gradients, gradients of gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F
from functional_cases import all_cases
from functional_table import Case, Fixed

torch = pytest.importorskip("torch")


def _call(module: Any, make: Any, case: Case) -> tuple[Any, list[Any]]:
    """The call's result and the inputs to differentiate in."""
    inputs: list[Any] = []

    def given(a: Any) -> Any:
        if isinstance(a, Fixed):
            return make(a.array)
        if not isinstance(a, np.ndarray):
            return a
        a = make(a)
        if a.is_floating_point():
            inputs.append(a.requires_grad_())
        return a

    args = [given(a) for a in case.args]
    if case.name == "ctc_loss":  # PyTorch's gradient is only right for normalized log-probabilities
        args[0] = module.log_softmax(args[0], -1)
    kwargs = {k: given(v) for k, v in case.kwargs.items()}
    # PyTorch's fused attention has no second derivative; its written-out one has.
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with warnings.catch_warnings(), plain:
        warnings.simplefilter("ignore")
        return getattr(module, case.name)(*args, **kwargs), inputs


def _close(ours: Any, theirs: Any, what: str, tolerance: float) -> None:
    if theirs is None:
        assert ours is None or not np.any(ours.detach().numpy()), f"{what}: PyTorch has none"
        return
    a, b = (np.zeros(theirs.shape) if ours is None else ours.detach().numpy()), theirs.numpy(force=True)
    assert a.shape == b.shape, what
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=what)


@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.label)
def test_parity(case: Case) -> None:
    ours, our_inputs = _call(F, allgrad.tensor, case)
    theirs, their_inputs = _call(torch.nn.functional, torch.tensor, case)
    _close(ours, theirs, "value", case.tolerance)
    assert str(ours.dtype) == str(theirs.dtype)
    if not theirs.requires_grad:
        assert not ours.requires_grad
        return
    direction = np.random.default_rng(1).standard_normal(theirs.shape)
    g, h = allgrad.tensor(direction, requires_grad=True), torch.tensor(direction, requires_grad=True)
    plain = allgrad.autograd.grad(ours, our_inputs, g, allow_unused=True, retain_graph=True)
    recorded = allgrad.autograd.grad(ours, our_inputs, g, allow_unused=True, create_graph=True)
    expected = torch.autograd.grad(theirs, their_inputs, h, allow_unused=True, create_graph=case.second)
    for k, (a, b, c) in enumerate(zip(plain, recorded, expected)):
        _close(a, c, f"gradient {k}", case.tolerance)
        _close(b, c, f"recorded gradient {k}", case.tolerance)
    if case.second:
        _second(recorded, expected, [*our_inputs, g], [*their_inputs, h], case.tolerance)


def _second(ours: Any, theirs: Any, our_inputs: list[Any], their_inputs: list[Any], tolerance: float) -> None:
    rng = np.random.default_rng(2)
    a, b = allgrad.zeros((), dtype=allgrad.float64), torch.zeros((), dtype=torch.float64)
    for mine, other in zip(ours, theirs):
        if other is not None:
            v = rng.standard_normal(other.shape)
            b = b + (other * torch.tensor(v)).sum()
            if mine is not None:
                a = a + (mine * allgrad.tensor(v)).sum()
    if not b.requires_grad:
        return
    expected = torch.autograd.grad(b, their_inputs, allow_unused=True)
    found: Any = [None] * len(our_inputs)
    if a.requires_grad:
        found = allgrad.autograd.grad(a, our_inputs, allow_unused=True)
    for k, (mine, other) in enumerate(zip(found, expected)):
        _close(mine, other, f"second derivative {k}", tolerance)
