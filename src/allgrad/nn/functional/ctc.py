"""``ctc_loss``: labels without alignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.nn.functional.arguments import floating, reduction_of, shaped, tensor
from allgrad.ops import loss_ctc as ops
from allgrad.ops.arithmetic import where


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Minus log-probability of each label over all alignments: (t, n, c) log-probabilities, labels (n, s) or joined
    (sum of lengths,), lengths (n,) -> () or (n,).  ``mean`` divides each loss by its label's length first."""
    reduction = reduction_of(None, None, reduction)
    x, target = floating(log_probs, "ctc_loss", "log_probs"), tensor(targets, "ctc_loss", "targets")
    if x._a.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: expected log_probs (t, n, c) or (t, c), found size {list(x._a.shape)}")
    single = x._a.ndim == 2
    if single:
        x = shaped(x, (x._a.shape[0], 1, x._a.shape[1]))
    steps, n, classes = x._a.shape
    lengths, label_lengths = _lengths(input_lengths, "input_lengths", n), _lengths(target_lengths, "target_lengths", n)
    if not 0 <= blank < classes:
        raise ArgumentError(f"blank must be in label range: found {blank} for {classes} classes")
    if (lengths > steps).any() or (lengths < 0).any():
        worst = int(np.argmax(lengths))
        raise ShapeError(
            f"Expected input_lengths to have value at most {steps}, but got value {int(lengths[worst])} "
            "(while checking arguments for ctc_loss)"
        )
    labels = _labels(target._a, label_lengths, n, blank)
    loss = apply(ops.ctc, (x, labels, lengths, label_lengths), {"blank": blank})
    if zero_infinity:
        loss = apply(where, (np.isinf(loss._a), x._a.dtype.type(0), loss), {})
    if reduction == "none":
        return shaped(loss, ()) if single else loss
    if reduction == "sum":
        return loss.sum()
    return (loss * (1 / np.maximum(label_lengths, 1)).astype(x._a.dtype)).mean()


def _lengths(given: Any, name: str, n: int) -> Any:
    found = given._a if isinstance(given, Variable) else np.asarray(given)
    if found.dtype.kind not in "iu":
        raise DtypeError(f"ctc_loss: {name} must be integral, found {found.dtype}")
    found = found.reshape(-1).astype(np.int64)
    if len(found) != n:
        raise ShapeError(f"{name} must be of size batch_size: expected {n}, found {len(found)}")
    return found


def _labels(target: Any, lengths: Any, n: int, blank: int) -> Any:
    """(n, longest), padded with a class that is never reached."""
    if target.dtype.kind not in "iu":
        raise DtypeError(f"ctc_loss: targets must be class indices of an integer dtype, found {target.dtype}")
    longest = int(lengths.max(initial=0))
    padded = np.full((n, longest), blank, np.int64)
    if target.ndim == 1:
        if lengths.sum() != len(target):
            raise ShapeError(
                f"Expected tensor to have size {int(lengths.sum())} at dimension 0, but got size {len(target)} for "
                "argument 'targets' (while checking arguments for ctc_loss)"
            )
        starts = np.cumsum(lengths) - lengths
        for i in range(n):
            padded[i, : lengths[i]] = target[starts[i] : starts[i] + lengths[i]]
        return padded
    if target.ndim != 2 or target.shape[0] != n or target.shape[1] < longest:
        raise ShapeError(
            f"ctc_loss: expected targets ({n}, at least {longest}) or joined in one dimension, found size "
            f"{list(target.shape)}"
        )
    for i in range(n):
        padded[i, : lengths[i]] = target[i, : lengths[i]]
    return padded
