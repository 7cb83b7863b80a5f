"""PowerSGD: each gradient matrix travels as two thin factors; what is lost is added to the next step's.

Vogels, Karimireddy, Jaggi: PowerSGD: practical low-rank gradient compression, 2019 (algorithm 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from allgrad.distributed.hooks import GradBucket
from allgrad.errors import ArgumentError
from allgrad.futures import Future

Array = np.ndarray[Any, Any]


class PowerSGDState:
    """Rank of the factors, when to begin, and per bucket the memory of this rank; PyTorch's settings and defaults."""

    def __init__(
        self, process_group: Any = None, matrix_approximation_rank: int = 1, start_powerSGD_iter: int = 1000,
        min_compression_rate: float = 2, use_error_feedback: bool = True, warm_start: bool = True,
        orthogonalization_epsilon: float = 0, random_seed: int = 0,
    ) -> None:  # fmt: skip
        if matrix_approximation_rank < 1:
            raise ArgumentError(f"matrix_approximation_rank must be at least 1, found {matrix_approximation_rank}")
        if start_powerSGD_iter <= 1 and (use_error_feedback or warm_start):
            raise ArgumentError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because PowerSGD "
                "can only be applied after the first two iterations in DDP."
            )
        self.process_group = process_group
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.orthogonalization_epsilon, self.random_seed = orthogonalization_epsilon, random_seed
        self.iter = 0
        self.errors: dict[int, Array] = {}  # by bucket: what was not sent yet, flat
        self.factors: dict[str, Array] = {}  # by bucket and place in it: the right factor of the last step

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of this rank needs; the errors differ from rank to rank."""
        return {
            "iter": self.iter,
            "errors": {str(k): wrap(v.copy()) for k, v in self.errors.items()},
            "factors": {k: wrap(v.copy()) for k, v in self.factors.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.iter = int(state["iter"])
        self.errors = {int(k): v._a.copy() for k, v in state["errors"].items()}
        self.factors = {k: v._a.copy() for k, v in state["factors"].items()}


def _orthogonal(p: Array, epsilon: float) -> Array:
    """An orthonormal basis of the columns of p (n, r)."""
    q, _ = np.linalg.qr(p + epsilon if epsilon else p)
    return np.ascontiguousarray(q)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate([part.reshape(-1) for part in parts])


def _separated(flat: Array, like: list[Array]) -> list[Array]:
    stops = np.cumsum([part.size for part in like])
    return [flat[stop - part.size : stop].reshape(part.shape) for part, stop in zip(like, stops)]


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future:
    """The mean of the gradients, matrices to rank ``matrix_approximation_rank``; vectors and small ones whole."""
    plain = state.iter < state.start_powerSGD_iter
    state.iter += bucket.is_last()
    if plain:
        return allreduce_hook(state.process_group, bucket)
    number, flat = bucket.index(), bucket.buffer()._a
    if state.use_error_feedback and number in state.errors and state.errors[number].size == flat.size:
        flat += state.errors[number]
    local = flat.copy()
    grads = [g._a for g in bucket.gradients()]
    matrices, whole, rights = [], [], []
    for k, g in enumerate(grads):
        m = g.reshape(g.shape[0], -1) if g.ndim > 1 else g.reshape(1, -1)
        rows, columns = m.shape
        r = min(rows, columns, state.matrix_approximation_rank)
        if g.ndim < 2 or (rows + columns) * r * state.min_compression_rate >= g.size:
            whole.append(g)
            continue
        key = f"{number}.{k}"
        q = state.factors.get(key) if state.warm_start else None
        if q is None or q.shape != (columns, r):
            source = np.random.default_rng([state.random_seed, state.iter, number, k])  # the same on every rank
            q = _orthogonal(source.standard_normal((columns, r)).astype(g.dtype), 0)
        matrices.append((key, m))
        rights.append(_orthogonal(q, state.orthogonalization_epsilon))
    lefts = [m @ q for (_, m), q in zip(matrices, rights)]
    if not lefts:
        return allreduce_hook(state.process_group, bucket)
    first = bucket.start_mean(_joined([*lefts, *whole]), "left factors")

    def second(done: Future) -> Any:
        means = _separated(done.value(), [*lefts, *whole])
        for g, mean in zip(whole, means[len(lefts) :]):
            g[...] = mean
        bases = [_orthogonal(p, state.orthogonalization_epsilon) for p in means[: len(lefts)]]
        right = [m.T @ p for (_, m), p in zip(matrices, bases)]
        sent = bucket.start_mean(_joined(right), "right factors").wait()
        for (key, m), p, q in zip(matrices, bases, _separated(sent, right)):
            np.matmul(p, q.T, out=m)
            state.factors[key] = q.copy()
        if state.use_error_feedback:
            error = np.zeros_like(flat)
            for _, m in matrices:
                start = (m.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // flat.itemsize
                span = slice(start, start + m.size)
                error[span] = local[span] - flat[span]
            state.errors[number] = error
        return wrap(flat)

    return first.then(second)
