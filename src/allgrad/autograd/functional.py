"""``autograd.functional``: Jacobians, Hessians and their products with vectors, for functions of Tensors.

Each takes a function and its inputs (one Tensor or a tuple), and answers in the same structure.  Results are detached
unless ``create_graph``.  ``strict=True`` turns a result that is zero because nothing depends on an input into an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.differentiate import grad
from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import edge
from allgrad.autograd.value import Variable, wrap
from allgrad.errors import ArgumentError, DtypeError, GradientError, ShapeError
from allgrad.ops.op import TABLE

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Any, ...]


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``func(*inputs)`` and its Jacobian transposed times ``v``, which has the outputs' shape."""
    with enable_grad():
        given, one_input = _tensors(inputs, "inputs", "vjp")
        xs = _started(given, create_graph)
        ys, one_output = _called(func, xs, "vjp")
        _check_depends(ys, strict, "outputs", "inputs")
        vs = _vectors(v, ys, "vjp")
        found = _gradients(ys, xs, vs, create_graph, strict, "vjp")
    return _answer(ys, one_output, create_graph), _answer(found, one_input, create_graph)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``func(*inputs)`` and its Jacobian times ``v``, which has the inputs' shape; two backward passes."""
    with enable_grad():
        given, _ = _tensors(inputs, "inputs", "jvp")
        xs = _started(given, create_graph)
        vs = _vectors(v, xs, "jvp")
        ys, one_output = _called(func, xs, "jvp")
        _check_depends(ys, strict, "outputs", "inputs")
        # J^T u is linear in u; its derivative by u, applied to v, is J v.
        us = tuple(wrap(np.zeros_like(y._a)).requires_grad_() for y in ys)
        pulled = _gradients(ys, xs, us, True, strict, "jvp")
        _check_depends(pulled, strict, "the Jacobian", "inputs")
        found = _gradients(pulled, us, vs, create_graph, strict, "jvp")
    return _answer(ys, one_output, create_graph), _answer(found, one_output, create_graph)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The scalar ``func(*inputs)`` and its Hessian times ``v``."""
    with enable_grad():
        given, one_input = _tensors(inputs, "inputs", "hvp")
        xs = _started(given, create_graph)
        vs = _vectors(v, xs, "hvp")
        ys, one_output = _called(func, xs, "hvp")
        _check_scalar(ys, one_output, "hvp")
        _check_depends(ys, strict, "outputs", "inputs")
        us = tuple(wrap(np.zeros_like(x._a)).requires_grad_() for x in xs)
        jac = _gradients(ys, xs, None, True, strict, "hvp")
        _check_depends(jac, strict, "the Jacobian", "inputs")
        pulled = _gradients(jac, xs, us, True, False, "hvp")
        found = _gradients(pulled, us, vs, create_graph, strict, "hvp")
    return _answer(ys, one_output, create_graph), _answer(found, one_input, create_graph)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The scalar ``func(*inputs)`` and ``v`` times its Hessian: one backward pass less than ``hvp``."""
    with enable_grad():
        given, one_input = _tensors(inputs, "inputs", "vhp")
        xs = _started(given, create_graph)
        vs = _vectors(v, xs, "vhp")
        ys, one_output = _called(func, xs, "vhp")
        _check_scalar(ys, one_output, "vhp")
        _check_depends(ys, strict, "outputs", "inputs")
        jac = _gradients(ys, xs, None, True, strict, "vhp")
        _check_depends(jac, strict, "the Jacobian", "inputs")
        found = _gradients(jac, xs, vs, create_graph, strict, "vhp")
    return _answer(ys, one_output, create_graph), _answer(found, one_input, create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """d output / d input, of shape (*output, *input); tuples of them where there are several.

    ``vectorize`` and ``strategy`` are accepted; one backward pass per output element is what runs.

    >>> import allgrad as torch
    >>> torch.autograd.functional.jacobian(lambda x: x * x, torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ArgumentError(f'Expected strategy to be either "forward-mode" or "reverse-mode", found {strategy!r}')
    if strategy == "forward-mode" and create_graph:
        raise ArgumentError('torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"`')
    with enable_grad():
        given, one_input = _tensors(inputs, "inputs", "jacobian")
        xs = _started(given, create_graph)
        ys, one_output = _called(func, xs, "jacobian")
        _check_depends(ys, strict, "outputs", "inputs")
        table = tuple(_rows(y, xs, create_graph, strict) for y in ys)
    blocks = tuple(_answer(row, one_input, create_graph) for row in table)
    return blocks[0] if one_output else blocks


def _rows(y: Any, xs: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """d y / d x for each x, one output element after another."""
    columns: list[list[Any]] = [[] for _ in xs]
    for k in range(y._a.size):
        unit = np.zeros(y._a.shape, y._a.dtype)
        unit.reshape(-1)[k] = 1
        for column, g in zip(columns, _gradients((y,), xs, (wrap(unit),), create_graph, strict, "jacobian")):
            column.append(g)
        if strict and create_graph:
            _check_depends([c[-1] for c in columns], True, "the Jacobian", "inputs")
    found = []
    for x, column in zip(xs, columns):
        shape = (*y._a.shape, *x._a.shape)
        if not column:
            found.append(wrap(np.zeros(shape, x._a.dtype)))
        elif create_graph:
            found.append(TABLE["reshape"](TABLE["stack"](*column, dim=0), shape=shape))
        else:
            found.append(wrap(np.stack([g._a for g in column]).reshape(shape)))
    return tuple(found)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of the scalar ``func(*inputs)``: of shape (*input i, *input j) for inputs i and j.

    >>> import allgrad as torch
    >>> torch.autograd.functional.hessian(lambda x: x[0] ** 2 * x[1], torch.tensor([1.0, 2.0]))
    tensor([[4., 2.],
            [2., 0.]])
    """
    given, one_input = _tensors(inputs, "inputs", "hessian")

    def first(*xs: Any) -> Any:
        ys, one_output = _called(func, xs, "hessian")
        _check_scalar(ys, one_output, "hessian")
        _check_depends(ys, strict, "outputs", "inputs")
        found = _gradients(ys, xs, None, True, strict, "hessian")
        _check_depends(found, strict, "the Jacobian", "inputs")
        return found[0] if one_input else found

    return jacobian(first, given[0] if one_input else given, create_graph, strict, vectorize, outer_jacobian_strategy)


def _tensors(given: Any, what: str, name: str) -> tuple[Tensors, bool]:
    """A tuple of Tensors, and whether it was a single one."""
    one = not isinstance(given, tuple)
    several = (given,) if one else given
    for i, t in enumerate(several):
        if not isinstance(t, Variable):
            which = (
                f"the given {what} has type {type(t).__name__}"
                if one
                else f"the value at index {i} is {type(t).__name__}"
            )
            raise DtypeError(f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but {which}")
    return tuple(several), one


def _called(func: Callable[..., Any], xs: Sequence[Any], name: str) -> tuple[Tensors, bool]:
    return _tensors(func(*xs), "outputs of the user-provided function", name)


def _started(given: Tensors, create_graph: bool) -> Tensors:
    """Where differentiation starts: views of the inputs, joined to what they come from only under create_graph."""
    found = []
    for x in given:
        if create_graph and edge(x) is not None:
            found.append(TABLE["reshape"](x, shape=x._a.shape))
        else:
            t = wrap(x._a)
            t._cell = x._cell
            found.append(t.requires_grad_())
    return tuple(found)


def _check_depends(ys: Sequence[Any], strict: bool, what: str, on: str) -> None:
    if strict:
        for i, y in enumerate(ys):
            if edge(y) is None:
                raise GradientError(
                    f"{what}: element {i} does not depend on the {on}, so its derivative is zero everywhere; this is not "
                    "allowed in strict mode"
                )


def _check_scalar(ys: Tensors, one_output: bool, name: str) -> None:
    if not one_output or ys[0]._a.size != 1:
        raise GradientError(
            f"The function given to {name} should return a single Tensor with a single element; it returned "
            f"{len(ys)} of shapes {[list(y._a.shape) for y in ys]}"
        )


def _vectors(v: Any, like: Tensors, name: str) -> Tensors:
    """The vector to multiply by, checked against what it belongs to; one for a single element."""
    if v is None:
        if len(like) != 1 or like[0]._a.size != 1:
            raise GradientError(
                f"The vector v can only be None for {name} if what it multiplies is a single Tensor with a single element"
            )
        return (wrap(np.ones_like(like[0]._a)),)
    vs, _ = _tensors(v, "v", name)
    if len(vs) != len(like):
        raise GradientError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}.")
    for i, (a, b) in enumerate(zip(vs, like)):
        if a._a.shape != b._a.shape:
            raise ShapeError(
                f"Entry {i} of v has invalid size: should be {list(b._a.shape)} but got {list(a._a.shape)}."
            )
    return vs


def _gradients(
    ys: Sequence[Any], xs: Tensors, vs: Tensors | None, create_graph: bool, strict: bool, name: str
) -> Tensors:
    """``grad`` that goes on where an output depends on nothing; zeros for what does not count, an error if strict."""
    live = [i for i, y in enumerate(ys) if edge(y) is not None]
    if live:
        found: Sequence[Any] = grad(
            [ys[i] for i in live],
            xs,
            None if vs is None else [vs[i] for i in live],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    else:
        found = [None] * len(xs)
    if strict and any(g is None for g in found):
        missing = next(i for i, g in enumerate(found) if g is None)
        raise GradientError(
            f"{name}: the result is independent of input {missing}. This is not allowed in strict mode."
        )
    return tuple(wrap(np.zeros_like(x._a)) if g is None else g for g, x in zip(found, xs))


def _answer(ts: Sequence[Any], one: bool, create_graph: bool) -> Any:
    found = tuple(ts) if create_graph else tuple(t.detach() for t in ts)
    return found[0] if one else found
