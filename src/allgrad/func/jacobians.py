"""``jacrev``, ``jacfwd``, ``hessian``: whole derivatives, one backward pass per output element."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import wrap
from allgrad.func import trees
from allgrad.func.transforms import Run, chosen, pulled, with_aux
from allgrad.ops.op import TABLE


def jacrev(
    func: Callable[..., Any],
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that returns d output / d argument, of shape (*output, *argument), in the structure of both."""

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run = Run()
        with enable_grad():
            new, asked = chosen(args, argnums, run)
            result, aux = with_aux(func(*new, **kwargs), has_aux, "jacrev")
            kept = run.reaches_out(trees.tensors(result))
            xs = trees.leaves(asked)
            blocks = trees.mapped(lambda y: trees.rebuilt(asked, _rows(y, xs, kept)), result)
        blocks = run.released(blocks, kept)
        return (blocks, run.released(aux, kept)) if has_aux else blocks

    return jacobian


def _rows(y: Any, xs: list[Any], create_graph: bool) -> list[Any]:
    """d y / d x for each x."""
    rows = []
    for k in range(y._a.size):
        unit = np.zeros(y._a.shape, y._a.dtype)
        unit.reshape(-1)[k] = 1
        rows.append(pulled([y], xs, [wrap(unit)], create_graph))
    found = []
    for i, x in enumerate(xs):
        shape = (*y._a.shape, *x._a.shape)
        if rows:
            found.append(TABLE["reshape"](TABLE["stack"](*(row[i] for row in rows), dim=0), shape=shape))
        else:
            found.append(wrap(np.zeros(shape, x._a.dtype)))
    return found


def jacfwd(
    func: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``jacrev`` under the name of the forward mode, which there is not: the same numbers."""
    return jacrev(func, argnums, has_aux=has_aux, chunk_size=chunk_size)


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of ``func``, of shape (*output, *argument, *argument)."""
    return jacrev(jacrev(func, argnums), argnums)
