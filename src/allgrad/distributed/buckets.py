"""Which gradient lies where: a pure function of names, shapes and dtypes, the same on every rank.

Parameters are taken in reverse order of definition, which is about the order in which backward finishes them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALIGN = 64  # bytes; a cache line, so that no two gradients share one


class Spec(NamedTuple):
    """One parameter as the plan sees it."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Span(NamedTuple):
    """Where one gradient lies in its bucket, in elements."""

    param: int
    start: int
    stop: int


class BucketPlan(NamedTuple):
    """One flat buffer: its dtype, its length in elements with gaps, and the spans in it."""

    number: int
    dtype: str
    length: int
    spans: tuple[Span, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self.length * np.dtype(self.dtype).itemsize


def plan_buckets(specs: Sequence[Spec], cap_bytes: int, first_cap_bytes: int) -> list[BucketPlan]:
    """Buckets of at most ``cap_bytes`` (a single larger gradient has its own), the first of ``first_cap_bytes``.

    A small first bucket lets communication begin early.  One dtype per bucket; buckets are numbered in the order in
    which they fill, which is the order in which they are reduced.
    """
    open_: dict[str, list[Span]] = {}
    length: dict[str, int] = {}
    plans: list[BucketPlan] = []

    def close(dtype: str) -> None:
        if open_.get(dtype):
            plans.append(BucketPlan(len(plans), dtype, length[dtype], tuple(open_[dtype])))
        open_[dtype], length[dtype] = [], 0

    for i in reversed(range(len(specs))):
        spec = specs[i]
        item = np.dtype(spec.dtype).itemsize
        step = max(1, ALIGN // item)
        padded = -(-spec.numel // step) * step
        cap = cap_bytes if plans else first_cap_bytes
        if open_.get(spec.dtype) and (length[spec.dtype] + padded) * item > cap:
            close(spec.dtype)
        start = length.setdefault(spec.dtype, 0)
        open_.setdefault(spec.dtype, []).append(Span(i, start, start + spec.numel))
        length[spec.dtype] = start + padded
    for dtype in list(open_):
        close(dtype)
    return plans


def digest(specs: Sequence[Spec], plans: Sequence[BucketPlan]) -> bytes:
    """32 bytes that are equal on two ranks only if they mean the same parameters in the same places."""
    return hashlib.sha256(repr((list(map(tuple, specs)), list(map(tuple, plans)))).encode()).digest()
