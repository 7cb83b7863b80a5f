"""``vmap``: a function of one example, applied to each example of a batch.

NumPy operations have no batching rules to be looked up, so the function runs once for each example and the results
are stacked: any function works, its derivatives too, at the speed of a loop.  Where that hurts, write the batch
dimension out: operations broadcast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, DtypeError, GradientError
from allgrad.func import trees
from allgrad.ops.op import TABLE
from allgrad.random import get_rng_state, set_rng_state


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``func`` over dimension ``in_dims`` of its arguments (None: the same for all), stacked along ``out_dims``.

    >>> import allgrad as torch
    >>> torch.func.vmap(torch.dot)(torch.ones(3, 2), torch.ones(3, 2))
    tensor([2., 2., 2.])

    ``randomness``: drawing random numbers inside is an "error", "different" for each example, or the "same".
    """
    if randomness not in ("error", "different", "same"):
        raise ArgumentError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ArgumentError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        dims = _spread(in_dims, args)
        # Keyword arguments are mapped over their first dimension, as in PyTorch.
        slots = [
            *zip(trees.leaves(args), dims),
            *((t, 0 if isinstance(t, Variable) else None) for t in trees.leaves(kwargs)),
        ]
        size = _batch_size(slots)
        before = get_rng_state() if randomness != "different" else None
        results = []
        for k in range(size):
            if randomness == "same" and k:
                set_rng_state(before)
            picked = [_example(t, dim, k) for t, dim in slots]
            call = trees.rebuilt((args, kwargs), picked)
            results.append(func(*call[0], **call[1]))
        if randomness == "error" and before is not None and not np.array_equal(before, get_rng_state()):
            raise GradientError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )
        return _stacked(results, out_dims)

    return batched


def _spread(in_dims: Any, args: tuple[Any, ...]) -> list[Any]:
    """One dimension (or None) for each leaf of the arguments."""
    if isinstance(in_dims, int):
        return [in_dims if isinstance(leaf, Variable) else None for leaf in trees.leaves(args)]
    if not isinstance(in_dims, (tuple, list)) or len(in_dims) != len(args):
        raise ArgumentError(
            f"vmap: in_dims must be an int or a tuple with one entry for each of the {len(args)} arguments, got {in_dims}"
        )
    found: list[Any] = []
    for dim, arg in zip(in_dims, args):
        inner = trees.leaves(arg)
        if isinstance(dim, (tuple, list, dict)):
            several = trees.leaves(dim)
            if len(several) != len(inner):
                raise ArgumentError(f"vmap: in_dims {dim} do not fit an argument with {len(inner)} leaves")
            found += several
        else:
            found += [dim] * len(inner)
    return found


def _batch_size(slots: list[tuple[Any, Any]]) -> int:
    sizes = set()
    for t, dim in slots:
        if dim is None:
            continue
        if not isinstance(t, Variable):
            raise DtypeError(f"vmap: Got in_dim={dim} for an input that is no Tensor but {type(t).__name__}; use None")
        if not -t._a.ndim <= dim < t._a.ndim:
            raise ArgumentError(f"vmap: Got in_dim={dim} for an input of dimensionality {t._a.ndim}")
        sizes.add(t._a.shape[dim])
    if not sizes:
        raise ArgumentError("vmap: at least one input must be a Tensor to be mapped over (in_dims not None)")
    if len(sizes) > 1:
        raise ArgumentError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sorted(sizes)}"
        )
    (size,) = sizes
    if size == 0:
        raise ArgumentError("vmap: the mapped dimension has no elements; there is no example to learn the outputs from")
    return size


def _example(t: Any, dim: Any, k: int) -> Any:
    if dim is None:
        return t
    index = (slice(None),) * (dim % t._a.ndim) + (k,)
    return apply(TABLE["slice"], (t,), {"index": index})


def _stacked(results: list[Any], out_dims: Any) -> Any:
    columns = [trees.leaves(r) for r in results]
    width = len(columns[0])
    if isinstance(out_dims, int) or out_dims is None:
        dims = [out_dims] * width
    else:
        dims = list(trees.leaves(out_dims))
        if len(dims) != width:
            raise ArgumentError(f"vmap: out_dims {out_dims} do not fit the {width} outputs")
    joined = []
    for j, dim in enumerate(dims):
        column = [c[j] for c in columns]
        if not all(isinstance(t, Variable) for t in column):
            raise DtypeError(f"vmap: the function must only return Tensors, got type {type(column[0]).__name__}")
        if dim is None:
            joined.append(column[0])
        else:
            joined.append(TABLE["stack"](*column, dim=dim % (column[0]._a.ndim + 1)))
    return trees.rebuilt(results[0], joined)
