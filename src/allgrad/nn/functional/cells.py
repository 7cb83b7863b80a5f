"""One step of a recurrent layer, and other functions that PyTorch has at the top: ``torch.lstm_cell``."""

from __future__ import annotations

from typing import Any

from allgrad.nn.functional.dropout import alpha_dropout as alpha_dropout_of
from allgrad.nn.functional.dropout import dropout2d
from allgrad.nn.functional.dropout import feature_alpha_dropout as feature_alpha_dropout_of
from allgrad.nn.functional.linear import linear
from allgrad.nn.functional.losses import binary_cross_entropy_with_logits as with_logits
from allgrad.nn.functional.padding import pad as pad_of

_REDUCTIONS = ("none", "mean", "sum")


def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Any, Any]:
    """(batch, in), (h, c) -> the next (h, c), gates in the order i, f, g, o."""
    h, c = hx
    i, f, g, o = (linear(input, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, -1)
    cell = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """(batch, in), (batch, hidden) -> (batch, hidden), gates in the order r, z, n."""
    xr, xz, xn = linear(input, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = linear(hx, w_hh, b_hh).chunk(3, -1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    new = (xn + r * hn).tanh()
    return (1 - z) * new + z * hx


def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """(batch, in), (batch, hidden) -> (batch, hidden)."""
    return (linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh)).tanh()


def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """(batch, in), (batch, hidden) -> (batch, hidden)."""
    return (linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh)).relu()


def constant_pad_nd(input: Any, pad: Any, value: Any = 0) -> Any:
    """``functional.pad`` with a constant."""
    return pad_of(input, pad, "constant", value)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Any:
    """``functional``'s, with the reduction by number: 0 none, 1 mean, 2 sum."""
    return with_logits(input, target, weight, reduction=_REDUCTIONS[reduction], pos_weight=pos_weight)


def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """``functional``'s, with ``train`` given."""
    return alpha_dropout_of(input, p, train)


def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """``functional``'s, with ``train`` given."""
    return feature_alpha_dropout_of(input, p, train)


def feature_dropout(input: Any, p: float, train: bool) -> Any:
    """Whole channels dropped."""
    return dropout2d(input, p, train)
