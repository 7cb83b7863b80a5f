"""Every layer and loss against PyTorch: text, keys, initial values, outputs and gradients, in training and evaluation."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn
from nn_cases import LAYERS, LOSSES, WEIGHT, WEIGHTED, Case

torch = pytest.importorskip("torch")


def close(ours: Any, theirs: Any, what: str = "", rtol: float = 1e-9) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape), what
    assert repr(ours.dtype) == repr(theirs.dtype), what
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=1e-10, err_msg=what)


def arguments(case: Case) -> list[np.ndarray[Any, Any]]:
    source = np.random.default_rng(3)
    return [source.standard_normal(x) if isinstance(x, tuple) else x for x in case.inputs]


def tensors(library: Any, arrays: list[Any]) -> list[Any]:
    return [library.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def both(case: Case) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.build(nn), case.build(torch.nn)


@pytest.mark.parametrize("name", LAYERS)
def test_text_keys_and_initial_values(name: str) -> None:
    """From the same seed the same weights, bit for bit."""
    allgrad.manual_seed(11)
    torch.manual_seed(11)
    ours, theirs = both(LAYERS[name])
    assert repr(ours) == repr(theirs)
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for key in a:
        assert repr(a[key].dtype) == repr(b[key].dtype)
        np.testing.assert_array_equal(a[key].numpy(), b[key].numpy(), err_msg=key)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(name: str, training: bool) -> None:
    ours, theirs = (m.double().train(training) for m in both(LAYERS[name]))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    arrays = arguments(LAYERS[name])
    for _ in range(2):  # running statistics move
        xs, ys = tensors(allgrad, arrays), tensors(torch, arrays)
        a, b = ours(*xs), theirs(*ys)
        close(a, b, "output")
        ours.zero_grad()
        theirs.zero_grad()
        if b.requires_grad:
            (a * a).sum().backward()
            (b * b).sum().backward()
            for x, y in zip(xs, ys):
                if y.grad is not None:
                    # PyTorch takes a sixth in float32 for hardsigmoid.
                    close(x.grad, y.grad, "gradient of the input", 5e-8 if name == "Hardsigmoid" else 1e-9)
            for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
                close(p.grad, q.grad, key)
    for (key, p), q in zip(ours.named_buffers(), theirs.buffers()):
        close(p, q, key)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    ours, theirs = both(LOSSES[name])
    assert repr(ours) == repr(theirs)
    compare_loss(ours, theirs, LOSSES[name])


@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_losses(name: str) -> None:
    ours = getattr(nn, name)(weight=allgrad.tensor(WEIGHT))
    theirs = getattr(torch.nn, name)(weight=torch.tensor(WEIGHT))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    compare_loss(ours, theirs, LOSSES[name])


def compare_loss(ours: Any, theirs: Any, case: Case) -> None:
    arrays = arguments(case)
    results = []
    for library, loss in ((allgrad, ours), (torch, theirs)):
        xs = [library.tensor(a, requires_grad=a.dtype.kind == "f" and i == 0) for i, a in enumerate(arrays)]
        y = loss(*xs)
        y.sum().backward()
        results.append((y, xs[0].grad))
    close(results[0][0], results[1][0], "value")
    close(results[0][1], results[1][1], "gradient")


@pytest.mark.parametrize("name", ["Conv2d", "BatchNorm2d", "Embedding, padding", "Sequential"])
def test_deepcopy_is_independent(name: str) -> None:
    model = LAYERS[name].build(nn)
    twin = copy.deepcopy(model)
    for (key, p), q in zip(model.named_parameters(), twin.parameters()):
        assert p is not q and np.array_equal(p.detach().numpy(), q.detach().numpy()), key
        with allgrad.no_grad():
            q.add_(1)
        assert not np.array_equal(p.detach().numpy(), q.detach().numpy())


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d", "AlphaDropout"])
def test_dropout_trains_and_evaluates(name: str) -> None:
    layer = getattr(nn, name)(0.4)
    assert repr(layer) == repr(getattr(torch.nn, name)(0.4))
    x = allgrad.ones(50, 20, 4, 4)
    layer.eval()
    assert np.array_equal(layer(x).numpy(), x.numpy())
    layer.train()
    y = layer(x)
    assert not np.array_equal(y.numpy(), x.numpy())
    assert abs(y.mean().item() - (1 if name != "AlphaDropout" else y.mean().item())) < 0.1


def test_same_seed_same_dropout_as_in_pytorch() -> None:
    allgrad.manual_seed(1)
    torch.manual_seed(1)
    ours, theirs = nn.Dropout(0.3)(allgrad.ones(100)), torch.nn.Dropout(0.3)(torch.ones(100))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
