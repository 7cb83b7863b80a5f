"""Calling the pullbacks of one node: with arrays, or with Tensors joined to the graph under ``create_graph``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.node import Node, pick
from allgrad.autograd.saved import Packed
from allgrad.autograd.value import Variable, wrap
from allgrad.ops.op import op

NOTHING: dict[str, Any] = {}


def pull(node: Node, g: Any, create_graph: bool, needed: set[Any] | None) -> list[Any]:
    """The gradients of the inputs, aligned with ``node.parents``; None where none flows.

    ``g``: the gradient of the output, a list for an op with several.  ``needed``: if given, the edges that matter.
    """
    plan, parents = node.plan, node.parents
    saved: Sequence[Any] = node.saved
    if plan.keeps_arrays:
        if node.packed:
            saved = [_unpacked(s) for s in saved]
        if create_graph:
            saved = _joined(node, saved)
    if type(g) is list:
        g = _filled(node, g, create_graph)
    if plan.fused:
        (_, call, at, settings) = plan.steps[0]
        kw = settings_of(node, settings)
        if "wanted" in kw:
            kw["wanted"] = tuple([p is not None and (needed is None or p in needed) for p in parents])
        found = list(call(g, *[saved[k] for k in at], **kw))
        missing = len(parents) - len(found)
        return found + [None] * missing if missing > 0 else found[: len(parents)]
    results: list[Any] = [None] * len(parents)
    for i, call, at, settings in plan.steps:
        if needed is None or parents[i] in needed:
            args = [saved[k] for k in at]
            results[i] = call(g, *args, **settings_of(node, settings)) if settings else call(g, *args)
    return results


def settings_of(node: Node, names: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a node's op that a pullback names."""
    if not names:
        return NOTHING
    meta, defaults = node.meta, node.op.defaults
    return {n: None if n == "wanted" else meta[n] if n in meta else defaults[n] for n in names}


def _unpacked(saved: Any) -> Any:
    if type(saved) is Packed:
        return saved.unpack()
    if type(saved) is tuple and any(type(s) is Packed for s in saved):
        return tuple(None if s is None else s.unpack() for s in saved)
    return saved


def _filled(node: Node, gs: list[Any], create_graph: bool) -> tuple[Any, ...]:
    """Gradients of all outputs: zeros where none arrived, unless the op wants to see what is missing."""
    if not node.op.fills:
        return tuple(gs)
    zeros = [np.zeros(s, d) if g is None else None for g, s, d in zip(gs, node.shape, node.dtype)]
    if create_graph:
        zeros = [None if z is None else wrap(z) for z in zeros]
    return tuple(z if g is None else g for g, z in zip(gs, zeros))


def _joined(node: Node, saved: Sequence[Any]) -> list[Any]:
    """Saved values as Tensors that come from where the originals came from, and share their versions."""
    joined = list(saved)
    for k, (kind, i) in enumerate(node.plan.keep):
        if kind == "input" and isinstance(saved[k], np.ndarray):
            joined[k] = join(saved[k], node.parents[i], node.version_of(i))
        elif kind == "out" and not node.op.multi:
            joined[k] = join(saved[k], node, node.version_of(-1))
        elif kind == "out":
            cells = iter([cell for cell, _, i in node.versions if i < 0])
            joined[k] = tuple(
                None if s is None else join(s, _output(node, j, s), next(cells, None)) for j, s in enumerate(saved[k])
            )
    return joined


def _output(node: Node, j: int, a: Any) -> Node | None:
    if a.dtype.kind in "iub":
        return None
    return Node(pick, {"index": j}, pick.plan(1), (node,), a.shape, a.dtype)


def join(array: Any, parent: Any, version: list[Any] | None) -> Any:
    """A Tensor of a saved array whose gradient goes to ``parent``: a node, a leaf or nothing."""
    if isinstance(parent, Variable):
        if parent._a is array:
            return parent
        # The leaf's memory was exchanged, or a hook unpacked a copy: the value is that, the gradient goes to the leaf.
        parent = Node(alias, {}, alias.plan(1), (parent,), array.shape, array.dtype)
    t = wrap(array)
    if version is not None:
        t._cell = version
    t._node = parent
    return t


@op(name="alias")
def alias(x: Any) -> Any:
    """The same value."""
    return x


alias.pull(x=lambda g: g)
