"""The backward walk: from the roots to the leaves, each node once, after all its consumers.

Nodes are numbered as they are made, so descending order of the numbers is a topological order: no recursion,
no priority queue.  A first pass finds what can be reached and counts, for each leaf, how many edges will
report to it.  When the last one has, the leaf's gradient is final and its hooks fire, while the walk goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.anomaly import check_finite, failing_forward
from allgrad.autograd.leaf import accumulate_leaf, run_hooks
from allgrad.autograd.node import Node, pick
from allgrad.autograd.record import Packed, Variable, wrap
from allgrad.context import ctx
from allgrad.errors import ShapeError
from allgrad.ops.op import TABLE

Gradients = dict[Any, Any]  # node or leaf -> its gradient so far: an array, or a Tensor under create_graph


class Walk:
    """One backward pass.

    ``stops`` maps a leaf or node to nothing yet: with it, the walk computes the gradients of exactly these and
    accumulates into no leaf (unless ``accumulate``); without it, it reaches and accumulates into every leaf.
    """

    def __init__(self, *, create_graph: bool, retain_graph: bool, stops: set[Any] | None, accumulate: bool) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.stops = stops
        self.accumulate = accumulate
        self.grads: Gradients = {}
        self.owned: set[Any] = set()  # nodes and leaves whose gradient is a buffer that only this walk knows
        self.found: Gradients = {}
        self.waiting: dict[Variable, int] = {}

    def run(self, roots: Sequence[Any], gradients: Sequence[Any]) -> Gradients:
        """Walk from the roots' edges with their gradients; the gradients of the stops, where any flowed."""
        nodes = self._reach(roots)
        for root, g in zip(roots, gradients):
            self._add(root, g, owned=False)
        with _modes(self.create_graph), np.errstate(all="ignore"), _outermost():
            for root in roots:
                if not isinstance(root, Node):
                    self._report(root)
            for node in nodes:
                self._visit(node)
        return self.found

    def _reach(self, roots: Sequence[Any]) -> list[Node]:
        """All nodes to visit, consumers first; counts how often each leaf will be reported to."""
        seen: set[Node] = set()
        stack: list[Node] = []
        waiting = self.waiting
        for root in roots:
            if not isinstance(root, Node):
                waiting[root] = waiting.get(root, 0) + 1
            elif root not in seen:
                seen.add(root)
                stack.append(root)
        while stack:
            for parent in stack.pop().parents:
                if parent is None:
                    continue
                if type(parent) is Node:
                    if parent not in seen:
                        seen.add(parent)
                        stack.append(parent)
                else:
                    waiting[parent] = waiting.get(parent, 0) + 1
        nodes = sorted(seen, key=_age)
        if self.stops is not None:
            # Going up from the oldest: a node is needed if it is asked for, or leads to one that is.
            needed = set(self.stops)
            for node in nodes:
                if node not in needed and any(p in needed for p in node.parents if p is not None):
                    needed.add(node)
            self.needed = needed
            nodes = [n for n in nodes if n in needed]
        nodes.reverse()
        return nodes

    def _wanted(self, parent: Any) -> bool:
        return parent is not None and (self.stops is None or parent in self.needed)

    def _visit(self, node: Node) -> None:
        g = self.grads.pop(node, None)
        self.owned.discard(node)
        if g is not None and node.hooks:
            g = run_hooks(node.hooks, g, self.create_graph)
        if g is not None and node.retained is not None:
            _retain(node, g, self.create_graph)
        if self.stops is not None and node in self.stops and g is not None:
            self.found[node] = g
        parents = node.parents
        if g is None:
            for parent in parents:
                if parent is not None and type(parent) is not Node:
                    self._report(parent)
            return
        if node.op is pick:
            slots = self.grads.setdefault(parents[0], [None] * len(parents[0].shape))
            k = node.meta["index"]
            slots[k] = g if slots[k] is None else slots[k] + g
            return
        if not any(self._wanted(p) for p in parents):
            return
        node.check_alive()
        try:
            results = self._pull(node, g)
        except Exception as error:
            failing_forward(node, error)
            raise
        if not self.retain_graph:
            node.free()
        if node.post_hooks:
            results = self._post(node, results, g)
        if ctx.anomaly:
            check_finite(node, results)
        # A result is fresh memory unless it is the incoming gradient itself or a view of something.
        passing = type(g) is list or node.op.name in _PASSING
        for i, parent in enumerate(parents):
            if parent is None:
                continue
            gi = results[i] if i < len(results) else None
            if gi is not None and self._wanted(parent):
                fresh = not passing and type(gi) is np.ndarray and gi.base is None and gi is not g
                self._add(parent, gi, owned=fresh)
            if type(parent) is not Node:
                self._report(parent)

    def _pull(self, node: Node, g: Any) -> Sequence[Any]:
        """The gradients of the inputs, aligned with ``node.parents``; None where none flows."""
        plan = node.plan
        if isinstance(g, list):
            g = tuple(self._zeros(s, d) if x is None else x for x, s, d in zip(g, node.shape, node.dtype))
        saved = self._saved(node)
        if plan.fused:
            (_, call, at, settings) = plan.steps[0]
            kw = self._settings(node, settings)
            if "wanted" in kw:
                kw["wanted"] = tuple(self._wanted(p) for p in node.parents)
            return call(g, *[saved[k] for k in at], **kw)
        results: list[Any] = [None] * len(node.parents)
        for i, call, at, settings in plan.steps:
            if self._wanted(node.parents[i]):
                if settings:
                    results[i] = call(g, *[saved[k] for k in at], **self._settings(node, settings))
                else:
                    results[i] = call(g, *[saved[k] for k in at])
        return results

    def _settings(self, node: Node, names: tuple[str, ...]) -> dict[str, Any]:
        meta, defaults = node.meta, node.op.defaults
        return {n: None if n == "wanted" else meta[n] if n in meta else defaults[n] for n in names}

    def _zeros(self, shape: Any, dtype: Any) -> Any:
        zeros = np.zeros(shape, dtype)
        return wrap(zeros) if self.create_graph else zeros

    def _saved(self, node: Node) -> Sequence[Any]:
        """Saved values as the pullbacks want them: arrays, or Tensors joined to the graph under create_graph."""
        saved: Sequence[Any] = node.saved
        if ctx.saved_hooks or any(type(s) is Packed for s in saved):
            saved = [s.unpack() if type(s) is Packed else s for s in saved]
        if not self.create_graph:
            return saved
        joined = list(saved)
        for k, (kind, i) in enumerate(node.plan.keep):
            if kind == "input" and isinstance(saved[k], np.ndarray):
                parent = node.parents[i]
                packed = type(node.saved[k]) is Packed
                joined[k] = parent if packed and isinstance(parent, Variable) else _join(saved[k], parent)
            elif kind == "out" and not node.op.multi:
                joined[k] = _join(saved[k], node)
            elif kind == "out":
                joined[k] = tuple(
                    _join(
                        s,
                        Node(pick, {"index": j}, pick.plan(1), (node,), s.shape, s.dtype)
                        if s.dtype.kind not in "iub"
                        else None,
                    )
                    for j, s in enumerate(saved[k])
                )
        return joined

    def _add(self, target: Any, g: Any, *, owned: bool) -> None:
        """Add ``g`` to what has arrived at ``target``, summed back to its shape if it was broadcast."""
        shape = target.shape if type(target) is Node else target._a.shape
        if g.shape != shape:
            g = _unbroadcast(g, shape, target)
            owned = type(g) is np.ndarray and g.base is None
        before = self.grads.get(target)
        if before is None:
            self.grads[target] = g
            if owned:
                self.owned.add(target)
        elif type(before) is np.ndarray and type(g) is np.ndarray and before.dtype == g.dtype and before.ndim:
            if target in self.owned:
                before += g
            elif owned:
                g += before
                self.grads[target] = g
                self.owned.add(target)
            else:
                self.grads[target] = before + g
                self.owned.add(target)
        else:
            self.grads[target] = before + g
            self.owned.discard(target)

    def _report(self, leaf: Variable) -> None:
        """One more edge of a leaf is done; after the last its gradient is final."""
        left = self.waiting[leaf] - 1
        self.waiting[leaf] = left
        if left or not self._wanted(leaf):
            return
        g = self.grads.pop(leaf, None)
        owned = leaf in self.owned
        self.owned.discard(leaf)
        if g is None:
            return
        if self.stops is not None and not self.accumulate:
            if leaf._grad_hooks:
                g = run_hooks(leaf._grad_hooks, g, self.create_graph)
            self.found[leaf] = g
            return
        accumulate_leaf(leaf, g, owned=owned, create_graph=self.create_graph)

    def _post(self, node: Node, results: Sequence[Any], g: Any) -> Sequence[Any]:
        def shown(x: Any) -> Any:
            return x if x is None or isinstance(x, Variable) else wrap(x)

        ins: Any = tuple(shown(r) for r in results)
        outs = tuple(shown(x) for x in g) if isinstance(g, (list, tuple)) else (shown(g),)
        for hook in list((node.post_hooks or {}).values()):
            new = hook(ins, outs)
            if new is not None:
                ins = new if isinstance(new, tuple) else (new,)
        return ins if self.create_graph else [None if x is None else x._a for x in ins]


# Their pullbacks hand on arrays that someone else may own.
_PASSING = frozenset({"function"})


def _age(node: Node) -> int:
    return node.seq


def _join(array: Any, parent: Any) -> Any:
    if isinstance(parent, Variable):
        if parent._a is array:
            return parent
        parent_node = None
    else:
        parent_node = parent
    t = wrap(array)
    if parent_node is not None:
        t._node = parent_node
    return t


def _unbroadcast(g: Any, shape: tuple[int, ...], target: Any) -> Any:
    try:
        return TABLE["sum_to"](g, shape=shape)
    except ValueError as error:
        name = target.name() if isinstance(target, Node) else "a leaf"
        raise ShapeError(
            f"backward returned an invalid gradient for {name}: got {list(g.shape)} but expected shape "
            f"compatible with {list(shape)}"
        ) from error


def _retain(node: Node, g: Any, create_graph: bool) -> None:
    tensor = node.retained()
    if tensor is not None:
        new = g if isinstance(g, Variable) else wrap(np.array(g))
        tensor._grad = new if tensor._grad is None else tensor._grad + new


def queue_callback(callback: Callable[[], None]) -> None:
    """Call ``callback`` once, when the outermost backward pass of this thread is through; never if it fails."""
    ctx.after_backward.append(callback)


@contextlib.contextmanager
def _outermost() -> Iterator[None]:
    """Run the queued callbacks at the end of the outermost pass; drop them if the pass fails."""
    ctx.backward_depth += 1
    try:
        yield
        if ctx.backward_depth == 1:
            while ctx.after_backward:
                ctx.after_backward.pop(0)()
    finally:
        ctx.backward_depth -= 1
        if ctx.backward_depth == 0:
            ctx.after_backward.clear()


@contextlib.contextmanager
def _modes(create_graph: bool) -> Iterator[None]:
    """Grad mode during a backward: on only when it is itself recorded; saved-tensor hooks do not apply."""
    grad, hooks, inference = ctx.grad_enabled, ctx.saved_hooks, ctx.inference
    ctx.grad_enabled, ctx.inference = create_graph, False
    if not create_graph:
        ctx.saved_hooks = []
    try:
        yield
    finally:
        ctx.grad_enabled, ctx.saved_hooks, ctx.inference = grad, hooks, inference
