"""Connectionist temporal classification (Graves et al., 2006): all alignments of a label with a sequence.

A label of s classes becomes a path of 2 s + 1 states, blanks between and around.  ``alpha[t, j]`` is the logarithm
of the summed probability of all ways to be in state j after step t, ``beta`` of all ways to go on from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any


def paths(labels: Array, lengths: Array, blank: int) -> tuple[Array, Array]:
    """Class of each state (n, 2 s + 1), and whether a state may be entered from two before it."""
    n, s = labels.shape
    states = np.full((n, 2 * s + 1), blank, np.int64)
    states[:, 1::2] = labels
    skip = np.zeros(states.shape, bool)
    skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return states, skip


def _shifted(a: Array, by: int) -> Array:
    y = np.full_like(a, -np.inf)
    if by > 0:
        y[:, by:] = a[:, :-by]
    else:
        y[:, :by] = a[:, -by:]
    return y


def _step(a: Array, skip: Array, by: int) -> Array:
    """The logarithm of the summed ways into each state: from itself, its neighbour, the one after that."""
    two = _shifted(a, 2 * by)
    allowed = skip if by > 0 else _shifted(np.where(skip, 0.0, -np.inf), -2) == 0
    return np.logaddexp(np.logaddexp(a, _shifted(a, by)), np.where(allowed, two, -np.inf))


def alphas(scores: Array, skip: Array, lengths: Array) -> Array:
    """(t, n, states) log-probabilities of the states -> alpha of the same shape; past a sequence's end it stays."""
    steps = len(scores)
    a = np.full(scores.shape, -np.inf, scores.dtype)
    if steps:
        a[0, :, :2] = scores[0, :, :2]
    for t in range(1, steps):
        going = (t < lengths)[:, None]
        a[t] = np.where(going, _step(a[t - 1], skip, 1) + scores[t], a[t - 1])
    return a


def _last(a: Array, target_lengths: Array) -> Array:
    """The logarithm of the probability of having finished: the last label's state or the blank after it."""
    rows = np.arange(len(a))
    end = a[rows, 2 * target_lengths]
    before = np.where(target_lengths > 0, a[rows, np.maximum(2 * target_lengths - 1, 0)], -np.inf)
    return np.logaddexp(end, before)


@op
def ctc(x: Array, labels: Array, lengths: Array, target_lengths: Array, *, blank: int) -> Array:
    """Minus the logarithm of the probability of each label: (t, n, c) log-probabilities, (n, s), (n,), (n,) -> (n,)."""
    states, skip = paths(labels, target_lengths, blank)
    scores = np.take_along_axis(x, np.broadcast_to(states, (len(x), *states.shape)), axis=2)
    a = alphas(scores, skip, lengths)
    last = a[-1] if len(a) else np.where(np.arange(states.shape[1]) == 0, 0.0, -np.inf) + np.zeros(states.shape)
    empty = lengths == 0
    if empty.any():  # no step at all: only the empty label is possible
        last = np.where(empty[:, None], np.where(np.arange(states.shape[1]) == 0, 0.0, -np.inf), last)
    return -_last(last, target_lengths).astype(x.dtype)


@op
def ctc_grad(
    g: Array, x: Array, labels: Array, lengths: Array, target_lengths: Array, loss: Array, *, blank: int
) -> Array:
    """The gradient of ``ctc`` in the log-probabilities: minus the probability of each class at each step, given the
    label; nan where the label is impossible."""
    steps, n, classes = x.shape
    states, skip = paths(labels, target_lengths, blank)
    scores = np.take_along_axis(x, np.broadcast_to(states, (steps, *states.shape)), axis=2)
    a = alphas(scores, skip, lengths)
    rows = np.arange(n)
    final = np.full(states.shape, -np.inf, x.dtype)
    final[rows, 2 * target_lengths] = 0
    has_label = target_lengths > 0
    final[rows[has_label], 2 * target_lengths[has_label] - 1] = 0
    total = np.zeros((n, steps, classes), x.dtype)
    b = np.full(states.shape, -np.inf, x.dtype)
    ahead = np.full(states.shape, -np.inf, x.dtype)  # scores[t + 1] + beta[t + 1]
    offset = (rows[:, None] * classes + states).reshape(-1)
    for t in range(steps - 1, -1, -1):
        going = np.where((t == lengths - 1)[:, None], final, _step(ahead, skip, -1))
        b = np.where((t < lengths)[:, None], going, -np.inf)
        posterior = np.exp(a[t] + b + loss[:, None])
        posterior = np.where((t < lengths)[:, None], posterior, 0)
        total[:, t] = np.bincount(offset, posterior.reshape(-1), n * classes).reshape(n, classes)
        ahead = b + scores[t]
    total[g == 0] = 0  # a loss that does not count, impossible label or not
    return np.ascontiguousarray((total * -g[:, None, None]).swapaxes(0, 1)).astype(x.dtype, copy=False)


ctc.pull(
    x=lambda g, x, labels, lengths, target_lengths, out, *, blank: ctc_grad(
        g, x, labels, lengths, target_lengths, out, blank=blank
    )
)
