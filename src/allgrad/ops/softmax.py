"""Softmax and its relations, in few passes: the largest element is taken off first, so nothing overflows."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import exp
from allgrad.ops.op import normal_axes, op
from allgrad.ops.reduce import kept, sum_
from allgrad.ops.reduce_fast import largest, total
from allgrad.ops.shape import reshape
from allgrad.ops.softmax_rows import (
    is_rows,
    log_softmax_rows,
    log_softmax_rows_grad,
    softmax_rows,
    softmax_rows_grad,
)

Array = Any


def _shifted(x: Array, dim: int) -> Array:
    """``x`` less its maximum along ``dim``, in new memory."""
    if x.dtype.itemsize == 2:
        x = x.astype(np.float32)
    return np.subtract(x, largest(x, dim))


@op
def softmax(x: Array, *, dim: int) -> Array:
    """``exp(x) / sum(exp(x))`` along ``dim``; nan where a whole row is -inf."""
    if not x.ndim or not x.size:
        return np.ones_like(x) + x * 0
    if is_rows(x, dim):
        return softmax_rows(x)
    y = _shifted(x, dim)
    np.exp(y, out=y)
    y /= total(y, (dim % x.ndim,), True)
    return y.astype(x.dtype, copy=False)


@op
def softmax_grad(grad: Array, y: Array, *, dim: int) -> Array:
    """``y * (grad - sum(grad * y))``: the pullback of softmax, in one buffer."""
    if not y.ndim or not y.size:
        return grad * 0
    if is_rows(y, dim) and grad.dtype == y.dtype:
        return softmax_rows_grad(grad, y)
    axis = (dim % y.ndim,)
    t = np.multiply(grad, y)
    s = total(t, axis, True)
    np.subtract(grad, s, out=t)
    t *= y
    return t


softmax.pull(x=lambda g, out, *, dim: softmax_grad(g, out, dim=dim))


def _softmax_grad_y(g: Array, grad: Array, y: Array, *, dim: int) -> Array:
    along = (dim % len(y.shape),) if len(y.shape) else None
    s = sum_(grad * y, dim=along, keepdim=True)
    return g * (grad - s) - grad * sum_(g * y, dim=along, keepdim=True)


# As a map of ``grad`` it is its own adjoint: diag(y) - y yT is symmetric.
softmax_grad.pull(grad=lambda g, y, *, dim: softmax_grad(g, y, dim=dim), y=_softmax_grad_y)


@op
def log_softmax(x: Array, *, dim: int) -> Array:
    """``x - log(sum(exp(x)))`` along ``dim``."""
    if not x.ndim or not x.size:
        return x * 0
    if is_rows(x, dim):
        return log_softmax_rows(x)
    y = _shifted(x, dim)
    s = total(np.exp(y), (dim % x.ndim,), True)
    y -= np.log(s, out=s)
    return y.astype(x.dtype, copy=False)


@op
def log_softmax_grad(grad: Array, y: Array, *, dim: int) -> Array:
    """``grad - exp(y) * sum(grad)``: the pullback of log_softmax."""
    if not y.ndim or not y.size:
        return grad * 0
    if is_rows(y, dim) and grad.dtype == y.dtype:
        return log_softmax_rows_grad(grad, y)
    t = np.exp(y)
    t *= total(grad, (dim % y.ndim,), True)
    return np.subtract(grad, t, out=t)


def _along(shape: Any, dim: int) -> Any:
    return (dim % len(shape),) if len(shape) else None


log_softmax.pull(x=lambda g, out, *, dim: log_softmax_grad(g, out, dim=dim))
log_softmax_grad.pull(
    grad=lambda g, y, *, dim: g - sum_(g * exp(y), dim=_along(y.shape, dim), keepdim=True),
    y=lambda g, grad, y, *, dim: -g * exp(y) * sum_(grad, dim=_along(y.shape, dim), keepdim=True),
)


@op
def logsumexp(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """``log(sum(exp(x)))`` over ``dim``; -inf where every term is -inf."""
    axes = normal_axes(dim, x.ndim)
    if not x.size:
        return np.log(np.sum(x, axis=axes, keepdims=keepdim))
    y = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    top = largest(y, axes[0]) if len(axes) == 1 else np.max(y, axis=axes, keepdims=True)
    top = np.where(np.isinf(top), y.dtype.type(0), top)
    t = np.subtract(y, top)
    s = total(np.exp(t, out=t) if t.ndim else np.exp(t), axes, True)
    s = np.log(s) + top
    s = s.astype(x.dtype, copy=False)
    return s if keepdim else np.squeeze(s, axes)


@op
def exp_less(x: Array, level: Array) -> Array:
    """``exp(x - level)``, where a level of -inf counts as 0: shares of a sum of exponentials."""
    return np.exp(x - np.where(level == -np.inf, 0, level).astype(x.dtype, copy=False))


exp_less.pull(x=lambda g, out: g * out, level=lambda g, out: -g * out)


def _logsumexp_x(g: Array, x: Array, out: Array, *, dim: Any) -> Array:
    shape = kept(x.shape, dim)
    return reshape(g, shape=shape) * exp_less(x, reshape(out, shape=shape))


logsumexp.pull(x=_logsumexp_x)
