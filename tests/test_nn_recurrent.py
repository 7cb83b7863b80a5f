"""Recurrent layers and transformers against PyTorch, from the same weights and from the same seed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn
from allgrad.nn.utils import rnn as packing

torch = pytest.importorskip("torch")

WAYS: list[tuple[str, dict[str, Any]]] = [
    *[(name, settings) for name in ("LSTM", "GRU", "RNN") for settings in (
        {}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False},
    )],
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    ("RNN", {"nonlinearity": "relu"}),
]  # fmt: skip


def twins(name: str, *args: Any, **settings: Any) -> tuple[Any, Any]:
    """PyTorch's layer and ours with its weights, float64; keys and text are compared on the way."""
    theirs = getattr(torch.nn, name)(*args, **settings).double()
    ours = getattr(nn, name)(*args, **settings).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return theirs, ours


def close(ours: Any, theirs: Any, what: str = "", atol: float = 1e-10) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=0, atol=atol, err_msg=what)


def same_gradients(ours: Any, theirs: Any) -> None:
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        if q.grad is not None:
            close(p.grad, q.grad, name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "settings"), WAYS, ids=str)
def test_recurrent_layers(name: str, settings: dict[str, Any], packed: bool) -> None:
    theirs, ours = twins(name, 5, 7, **settings)
    first = settings.get("batch_first", False)
    values = np.random.default_rng(0).standard_normal((6, 4, 5))
    lengths = [4, 1, 4, 2, 3, 4] if first else [6, 2, 5, 3]
    x, y = torch.tensor(values, requires_grad=True), allgrad.tensor(values, requires_grad=True)
    a, b = x, y
    if packed:
        a = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        b = packing.pack_padded_sequence(y, lengths, batch_first=first, enforce_sorted=False)
    (a, a_last), (b, b_last) = theirs(a), ours(b)
    if packed:
        a, _ = torch.nn.utils.rnn.pad_packed_sequence(a, batch_first=first)
        b, found = packing.pad_packed_sequence(b, batch_first=first)
        assert found.tolist() == lengths
    a_states, b_states = (s if isinstance(s, tuple) else (s,) for s in (a_last, b_last))
    close(b, a)
    for mine, other in zip(b_states, a_states):
        close(mine, other)
    ((a**2).sum() + sum((s**3).sum() for s in a_states)).backward()
    ((b**2).sum() + sum((s**3).sum() for s in b_states)).backward()
    close(y.grad, x.grad)
    same_gradients(ours, theirs)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_second_derivatives(name: str) -> None:
    theirs, ours = twins(name, 3, 4)
    values = np.random.default_rng(1).standard_normal((5, 2, 3))
    grads = []
    for library, layer in ((torch, theirs), (allgrad, ours)):
        x = library.tensor(values, requires_grad=True)
        (g,) = library.autograd.grad((layer(x)[0] ** 2).sum(), x, create_graph=True)
        (g**2).sum().backward()
        grads.append(x.grad)
    close(grads[1], grads[0], atol=1e-9)
    same_gradients(ours, theirs)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(name: str) -> None:
    theirs, ours = twins(name, 3, 4)
    values = np.random.default_rng(2).standard_normal((2, 3))
    a, b = theirs(torch.tensor(values)), ours(allgrad.tensor(values))
    for mine, other in zip(*((s if isinstance(s, tuple) else (s,)) for s in (b, a))):
        close(mine, other)


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_first": True}, {"add_bias_kv": True, "add_zero_attn": True}, {"kdim": 6, "vdim": 4, "bias": False}],
    ids=str,
)
def test_multihead_attention(settings: dict[str, Any]) -> None:
    theirs, ours = twins("MultiheadAttention", 8, 2, **settings)
    source = np.random.default_rng(3)
    q, k, v = (source.standard_normal((5, 5, n)) for n in (8, settings.get("kdim", 8), settings.get("vdim", 8)))
    mask = np.triu(np.ones((5, 5), bool), 1)
    padding = np.zeros((5, 5), bool)
    padding[1, 3:] = True
    for masks in ({}, {"attn_mask": mask}, {"key_padding_mask": padding, "attn_mask": mask}):
        (a, aw), (b, bw) = (
            layer(*map(library.tensor, (q, k, v)), **{n: library.tensor(m) for n, m in masks.items()})
            for library, layer in ((torch, theirs), (allgrad, ours))
        )
        close(b, a)
        close(bw, aw)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer(norm_first: bool) -> None:
    settings = {"norm_first": norm_first, "batch_first": True, "activation": "gelu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own nested tensors
        theirs, ours = twins("Transformer", 8, 2, 2, 2, 16, 0.0, **settings)
    source = np.random.default_rng(4)
    x, y = source.standard_normal((3, 5, 8)), source.standard_normal((3, 4, 8))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4).double()
    np.testing.assert_array_equal(nn.Transformer.generate_square_subsequent_mask(4).numpy(), mask.numpy())
    a = theirs(torch.tensor(x), torch.tensor(y), tgt_mask=mask)
    b = ours(allgrad.tensor(x), allgrad.tensor(y), tgt_mask=allgrad.tensor(mask.numpy()))
    close(b, a)
    (a**2).sum().backward()
    (b**2).sum().backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize(
    "build",
    [
        lambda nn: nn.LSTM(3, 4, 2, bidirectional=True),
        lambda nn: nn.GRUCell(3, 4),
        lambda nn: nn.MultiheadAttention(8, 2),
        lambda nn: nn.TransformerDecoderLayer(8, 2, 16),
        lambda nn: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    ],
)
def test_same_seed_same_weights(build: Any) -> None:
    torch.manual_seed(5)
    allgrad.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = build(torch.nn), build(nn)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=name)
