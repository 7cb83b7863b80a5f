"""What happens when a leaf's gradient is final: hooks, accumulation into ``.grad``, post-accumulate hooks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from allgrad.autograd.value import Variable, wrap
from allgrad.errors import DtypeError, ShapeError
from allgrad.ops.op import TABLE

Array = np.ndarray[Any, Any]

# Two threads may run backward through graphs that share a leaf: neither gradient may be lost.
_accumulating = threading.RLock()


def run_hooks(hooks: dict[int, Any], g: Any, create_graph: bool) -> Any:
    """Pass a gradient through hooks; each may replace it.  Arrays stay arrays unless the graph is recorded."""
    shown = g if isinstance(g, Variable) else wrap(g)
    for hook in list(hooks.values()):
        new = hook(shown)
        if new is None:
            continue
        if not isinstance(new, Variable):
            raise DtypeError(f"a gradient hook must return None or a Tensor, found {type(new).__name__}")
        if new._a.shape != shown._a.shape:
            raise ShapeError(
                f"hook has changed the size of value: expected {list(shown._a.shape)}, found {list(new._a.shape)}"
            )
        shown = new
    return shown if create_graph else shown._a


def accumulate_leaf(leaf: Any, g: Any, *, owned: bool, create_graph: bool) -> None:
    """Add a final gradient to ``leaf.grad``; the memory is taken over only if the walk owned it."""
    if leaf._grad_hooks:
        g = run_hooks(leaf._grad_hooks, g, create_graph)
        owned = False
    with _accumulating:
        before = leaf._grad
        if isinstance(g, Variable):
            # A copy, or two leaves with the same gradient would share it.
            leaf._grad = TABLE["clone"](g) if before is None else before + g
        elif before is not None and before._a.dtype == leaf._a.dtype and before._a.flags.writeable:
            np.add(before._a, g, out=before._a, casting="same_kind")
            before._cell[:] = (before._cell[0] + 1, "backward")
        else:
            _first(leaf, np.asarray(g), before, owned)
    if leaf._post_hooks:
        for hook in list(leaf._post_hooks.values()):
            hook(leaf)  # what it returns is ignored, as in PyTorch: ``lambda p: p.add_(p.grad, alpha=-0.1)`` is a hook


def _first(leaf: Any, g: Array, before: Any, owned: bool) -> None:
    buffer = leaf._grad_buffer
    if before is not None:
        leaf._grad = before + wrap(g)
    elif buffer is not None:
        np.copyto(buffer, g)
        leaf._grad = wrap(buffer)
    elif owned and g.dtype == leaf._a.dtype and g.flags.c_contiguous and g.flags.writeable:
        leaf._grad = wrap(g)
    else:
        leaf._grad = wrap(np.array(g, dtype=leaf._a.dtype, order="C"))
