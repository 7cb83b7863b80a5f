"""The plain mean as a hook, and gradients sent in 16 bits but added in 32."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.hooks import GradBucket, Hook
from allgrad.dtypes import bfloat16, float16
from allgrad.futures import Future

__all__ = [
    "allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook", "fp16_compress_wrapper",
]  # fmt: skip


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The mean over the ranks: what happens without a hook."""
    return bucket.start_mean(bucket.buffer()._a, "mean").then(lambda done: wrap(done.value()))


def _compressed(bucket: GradBucket, dtype: Any, name: str) -> Future:
    """Half the bytes of float32.  The ranks' values are added in float32 and rounded once; large ones are cut off."""
    flat = bucket.buffer()._a
    kind = dtype.np
    if name == "float16":
        flat = np.clip(flat, -65504.0, 65504.0)  # its largest number: an overflow would make all ranks infinite
    small = flat.astype(kind)
    return bucket.start_mean(small, name).then(lambda done: wrap(done.value().astype(bucket.buffer()._a.dtype)))


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """Gradients travel as float16: 11 bits of precision, nothing above 65504 or below 6e-8."""
    return _compressed(bucket, float16, "float16")


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """Gradients travel as bfloat16: 8 bits of precision, the range of float32."""
    return _compressed(bucket, bfloat16, "bfloat16")


def _wrapper(hook: Hook, dtype: Any) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Future:
        flat = bucket.buffer()._a
        flat[...] = flat.astype(dtype.np)
        return hook(state, bucket)

    return wrapped


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """``hook`` on gradients rounded to float16 first."""
    return _wrapper(hook, float16)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """``hook`` on gradients rounded to bfloat16 first."""
    return _wrapper(hook, bfloat16)
