"""``backward`` and ``grad``: what a user asks of the graph."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.graph import GradientEdge
from allgrad.autograd.node import Node
from allgrad.autograd.record import Variable, edge, wrap
from allgrad.autograd.walk import Walk
from allgrad.errors import ArgumentError, DtypeError, GradientError, ShapeError
from allgrad.ops.op import TABLE


def _sequence(x: Any) -> tuple[Any, ...]:
    return (x,) if isinstance(x, (Variable, GradientEdge)) else tuple(x)


def _root(t: Any, i: int) -> Any:
    if not isinstance(t, Variable):
        raise DtypeError(f"expected a Tensor to differentiate, found {type(t).__name__}")
    root = edge(t)
    if root is None:
        raise GradientError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    return root


def _check_types(gradients: Sequence[Any]) -> None:
    for g in gradients:
        if g is not None and not isinstance(g, Variable):
            raise DtypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")


def _seed(t: Any, g: Any, create_graph: bool) -> Any:
    """The gradient to start from: given, or one for a scalar."""
    if g is None:
        if t._a.size != 1:
            raise GradientError(
                f"grad can be implicitly created only for scalar outputs; this one has shape {list(t._a.shape)}. "
                "Reduce it first (loss.mean()), or pass gradient=torch.ones_like(output)"
            )
        g = np.empty(t._a.shape, t._a.dtype)
        g.fill(1)
        return wrap(g) if create_graph else g
    if g._a.shape != t._a.shape:
        raise ShapeError(
            f"Mismatch in shape: grad_output has a shape of {list(g._a.shape)} and output {list(t._a.shape)}"
        )
    if create_graph:
        return g
    return g._a if g._a.dtype == t._a.dtype else g._a.astype(t._a.dtype)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of ``tensors`` to the ``.grad`` of every leaf, or of ``inputs`` only.

    ``grad_tensors``: one gradient for each tensor, of its shape; may be None for a tensor of one element.
    RuntimeError for a freed graph, for a value changed in place since it was saved, for a missing gradient.

    >>> import allgrad as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    if isinstance(tensors, Variable) and grad_tensors is None and grad_variables is None and inputs is None:
        retain = create_graph if retain_graph is None else retain_graph
        root, seed = _root(tensors, 0), _seed(tensors, None, create_graph)
        Walk(create_graph=create_graph, retain_graph=retain, stops=None, accumulate=True).run((root,), (seed,))
        return
    roots_of = _sequence(tensors)
    given = grad_variables if grad_tensors is None else grad_tensors
    seeds: Sequence[Any] = (None,) * len(roots_of) if given is None else _sequence(given)
    _check_types(seeds)
    if len(seeds) != len(roots_of):
        raise GradientError(f"got {len(roots_of)} tensors and {len(seeds)} gradients")
    roots = [_root(t, i) for i, t in enumerate(roots_of)]
    gradients = [_seed(t, g, create_graph) for t, g in zip(roots_of, seeds)]
    retain = create_graph if retain_graph is None else retain_graph
    stops: set[Any] | None = None
    if inputs is not None:
        wanted = _sequence(inputs)
        if not wanted:
            raise GradientError("`inputs` argument to `backward()` cannot be empty.")
        stops = {_asked(t) for t in wanted}
        for t in wanted:
            if isinstance(t, Variable) and t._node is not None:
                t._node.retain(weakref.ref(t))  # from now on it keeps its gradient, as after retain_grad()
    walk = Walk(create_graph=create_graph, retain_graph=retain, stops=stops, accumulate=True)
    walk.run(roots, gradients)


def _asked(t: Any) -> Any:
    """The edge of an input asked for: a Tensor, or a GradientEdge that stands for one."""
    e = edge(t) if isinstance(t, Variable) else t.ownership_token
    if e is None:
        raise GradientError("One of the differentiated Tensors does not require grad")
    return e


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, each of its input's shape; no ``.grad`` changes.

    None for an input that the outputs do not depend on if ``allow_unused``, zeros if ``materialize_grads``,
    else a RuntimeError.

    >>> import allgrad as torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = torch.autograd.grad(x**3, x, create_graph=True)
    >>> torch.autograd.grad(slope, x)
    (tensor(18.),)
    """
    if allow_unused is False and materialize_grads:
        raise ArgumentError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        raise ArgumentError("only_inputs=False is gone in PyTorch too; call backward() to accumulate gradients")
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    outs, ins = _sequence(outputs), _sequence(inputs)
    seeds = (None,) * len(outs) if grad_outputs is None else _sequence(grad_outputs)
    _check_types(seeds)
    if len(seeds) != len(outs):
        raise GradientError(f"got {len(outs)} tensors and {len(seeds)} gradients")
    if is_grads_batched:
        rows = next((s._a.shape[0] for s in seeds if s is not None), 0)
        per_row = []
        for k in range(rows):
            row = [None if s is None else s[k] for s in seeds]
            per_row.append(grad(outs, ins, row, True, create_graph, True, allow_unused, False, materialize_grads))
        return tuple(None if column[0] is None else TABLE["stack"](*column, dim=0) for column in zip(*per_row))
    roots = [_root(t, i) for i, t in enumerate(outs)]
    gradients = [_seed(t, g, create_graph) for t, g in zip(outs, seeds)]
    asked = [_asked(t) for t in ins]
    retain = create_graph if retain_graph is None else retain_graph
    walk = Walk(create_graph=create_graph, retain_graph=retain, stops=set(asked), accumulate=False)
    found = walk.run(roots, gradients)
    results = []
    for e in asked:
        g = found.get(e)
        if g is None and materialize_grads:
            g = np.zeros(e.shape, e.dtype) if isinstance(e, Node) else np.zeros(e._a.shape, e._a.dtype)
        if g is None and not allow_unused:
            raise GradientError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        if g is None or isinstance(g, Variable):
            results.append(g)
        else:  # a broadcast gradient is read-only; what a user gets must be writable
            results.append(wrap(g if np.asarray(g).flags.writeable else np.array(g)))
    return tuple(results)
