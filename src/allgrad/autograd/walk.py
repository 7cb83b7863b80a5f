"""The backward walk: from the roots to the leaves, each node once, after all its consumers.

Nodes are numbered as they are made, so descending order of the numbers is a topological order: no recursion,
no priority queue.  A first pass finds what can be reached and counts, for each leaf, how many edges will
report to it.  When the last one has, the leaf's gradient is final and its hooks fire, while the walk goes on.

Gradients are summed in place where the walk alone knows the array.  Who else may know it (a saved value, the user,
a second edge) is read from its reference count: a count of one is the only proof that needs no bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np

from allgrad.autograd.alone import ARGUMENT, IN_DICT, LOCAL, base_alone
from allgrad.autograd.anomaly import check_finite, failing_forward
from allgrad.autograd.leaf import accumulate_leaf, run_hooks
from allgrad.autograd.node import FREED, Node, pick
from allgrad.autograd.pulling import pull, settings_of
from allgrad.autograd.value import Variable, wrap
from allgrad.context import ctx
from allgrad.errors import GradientError, ShapeError
from allgrad.ops.op import TABLE
from allgrad.ops.shape import slice_, unslice

Gradients = dict[Any, Any]  # node or leaf -> its gradient so far: an array, or a Tensor under create_graph

_age = attrgetter("seq")


class Walk:
    """One backward pass.

    ``stops``: the leaves and nodes whose gradients are asked for; the walk computes just these, and adds to no leaf
    unless ``accumulate``.  None: it reaches every leaf and adds to its ``.grad``.
    """

    def __init__(self, *, create_graph: bool, retain_graph: bool, stops: set[Any] | None, accumulate: bool) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.stops = stops
        self.accumulate = accumulate
        self.needed: set[Any] | None = None  # with stops: these, and the nodes that lead to one of them
        self.reached: set[Node] = set()
        self.grads: Gradients = {}
        self.found: Gradients = {}
        self.waiting: dict[Variable, int] = {}

    def run(self, roots: Sequence[Any], gradients: Sequence[Any]) -> Gradients:
        """Walk from the roots' edges with their gradients; the gradients of the stops, where any flowed."""
        nodes = self._reach(roots)
        for root, g in zip(roots, gradients):
            self._add(root, g)
        del gradients
        grad, hooks, inference = ctx.grad_enabled, ctx.saved_hooks, ctx.inference
        # What runs in a backward is recorded only under create_graph; hooks on saved values apply only then.
        ctx.grad_enabled, ctx.inference = self.create_graph, False
        if not self.create_graph:
            ctx.saved_hooks = []
        ctx.backward_depth += 1
        outer, ctx.walk = ctx.walk, self
        try:
            for root in roots:
                if not isinstance(root, Node):
                    self._report(root)
            self._visit_all(nodes)
            if ctx.backward_depth == 1:
                while ctx.after_backward:
                    ctx.after_backward.pop(0)[0]()
        except BaseException as error:
            if ctx.backward_depth == 1:
                while ctx.after_backward:
                    failed = ctx.after_backward.pop(0)[1]
                    if failed is not None:
                        failed(error)
            raise
        finally:
            ctx.walk = outer
            ctx.backward_depth -= 1
            if ctx.backward_depth == 0:
                ctx.after_backward.clear()
            ctx.grad_enabled, ctx.saved_hooks, ctx.inference = grad, hooks, inference
        return self.found

    def _visit_all(self, nodes: Sequence[Node]) -> None:
        """Visit the nodes in order.  Those with one pullback and nothing out of the ordinary are done right here."""
        grads, add, visit = self.grads, self._add, self._visit
        short = self.stops is None and not self.create_graph and not ctx.anomaly
        drop = not self.retain_graph
        for node in nodes:
            plan = node.plan
            single = plan.single
            if not short or node.watched:
                visit(node)
                continue
            if single is None:
                if plan.several is None:
                    visit(node)
                else:
                    self._visit_plain(node, plan.several)
                continue
            i, call, at, settings = single
            parent = node.parents[i]
            g = grads.pop(node, None)
            if g is not None:
                saved = node.saved
                if saved is FREED:
                    node.check_alive()
                for cell, number, _ in node.versions:
                    if cell[0] != number:
                        node.check_alive()
                if settings:
                    results = [call(g, *[saved[k] for k in at], **settings_of(node, settings))]
                elif not at:
                    results = [call(g)]
                elif len(at) == 1:
                    results = [call(g, saved[at[0]])]
                else:
                    results = [call(g, *[saved[k] for k in at])]
                if drop and plan.keeps_arrays:
                    node.saved, node.versions = FREED, ()
                # The list alone holds the gradient now: what arrives alone can be summed in place.
                g = saved = None
                if results[0] is not None:
                    try:
                        add(parent, results.pop())
                    except _WrongShape as wrong:
                        raise wrong.of(node, i) from wrong.__cause__
            if type(parent) is not Node:
                self._report(parent)

    def _visit_plain(self, node: Node, steps: Sequence[Any]) -> None:
        """Visit a node with several pullbacks (input, call, which saved values) and nothing out of the ordinary."""
        grads, parents = self.grads, node.parents
        g = grads.pop(node, None)
        if g is None:
            for i, _, _ in steps:
                if type(parents[i]) is not Node:
                    self._report(parents[i])
            return
        saved = node.saved
        if saved is FREED:
            node.check_alive()
        for cell, number, _ in node.versions:
            if cell[0] != number:
                node.check_alive()
        results = []
        for _, call, at in steps:
            if len(at) == 1:
                results.append(call(g, saved[at[0]]))
            else:
                results.append(call(g, *[saved[k] for k in at]) if at else call(g))
        if not self.retain_graph and node.plan.keeps_arrays:
            node.saved, node.versions = FREED, ()
        g = saved = None
        results.reverse()
        for i, _, _ in steps:
            parent = parents[i]
            leaf = type(parent) is not Node
            if results[-1] is None:
                results.pop()
            else:
                try:
                    self._add(parent, results.pop())
                except _WrongShape as wrong:
                    raise wrong.of(node, i) from wrong.__cause__
            if leaf:
                self._report(parent)

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
        self.reached = seen
        nodes = sorted(seen, key=_age)
        if self.stops is not None:
            needed = set(self.stops)
            for node in nodes:  # the oldest first: its parents were judged before
                if node not in needed and any(p in needed for p in node.parents if p is not None):
                    needed.add(node)
            self.needed = needed
            nodes = [n for n in nodes if n in needed]
        nodes.reverse()
        return nodes

    def reaches(self, target: Any) -> bool:
        """Whether this pass computes the gradient at an edge."""
        known = target in self.reached or target in self.waiting
        return known and (self.needed is None or target in self.needed)

    def _visit(self, node: Node) -> None:
        g = self.grads.pop(node, None)
        parents = node.parents
        if g is not None:
            if node.hooks is not None or node.pre_hooks is not None or node.retained is not None:
                g = self._before(node, g)
            if self.stops is not None and node in self.stops:
                self.found[node] = g
        op = node.op
        if g is None or (self.needed is not None and not any(p in self.needed for p in parents)):
            for parent in parents:
                if parent is not None and type(parent) is not Node:
                    self._report(parent)
            return
        if op is pick:
            self._to_slot(node, g)
            return
        if op is slice_ and not self.create_graph and not node.post_hooks and not ctx.anomaly:
            self._add_slice(parents[0], node.meta["index"], g)
            return
        try:
            if node.saved is FREED or node.versions:
                node.check_alive()
            results = pull(node, g, self.create_graph, self.needed)
        except Exception as error:
            failing_forward(node, error)
            raise
        if not self.retain_graph:
            node.free()
        if node.post_hooks:
            results = self._after(node, results, g)
        if ctx.anomaly:
            check_finite(node, results)
        g = None
        needed = self.needed
        add = self._add
        results.reverse()
        try:
            for parent in parents:
                if parent is None:
                    results.pop()
                    continue
                # The list lets go of the gradient before it is added: what arrives alone can be summed in place.
                if results[-1] is None or (needed is not None and parent not in needed):
                    results.pop()
                else:
                    add(parent, results.pop())
                if type(parent) is not Node:
                    self._report(parent)
        except _WrongShape as wrong:
            raise wrong.of(node, len(parents) - len(results) - 1) from wrong.__cause__

    def _before(self, node: Node, g: Any) -> Any:
        """Hooks on the gradient of a node's output, and the Tensor that retains it."""
        if node.hooks:
            g = run_hooks(node.hooks, g, self.create_graph)
        if node.pre_hooks:
            several = isinstance(g, list)
            shown = tuple(None if x is None else _shown(x) for x in (g if several else [g]))
            for hook in list(node.pre_hooks.values()):
                new = hook(shown)
                if new is not None:
                    shown = new if isinstance(new, tuple) else (new,)
            back = [x if x is None or self.create_graph else x._a for x in shown]
            g = back if several else back[0]
        if g is not None and node.retained is not None:
            tensor = node.retained()
            if tensor is not None:
                new = g if isinstance(g, Variable) else wrap(np.array(g))
                tensor._grad = new if tensor._grad is None else tensor._grad + new
        return g

    def _after(self, node: Node, results: list[Any], g: Any) -> list[Any]:
        """Hooks on a node: they see its inputs' and outputs' gradients and may replace the former."""
        ins: Any = tuple(None if r is None else _shown(r) for r in results)
        outs = tuple(None if x is None else _shown(x) for x in (g if isinstance(g, list) else [g]))
        for hook in list((node.post_hooks or {}).values()):
            new = hook(ins, outs)
            if new is not None:
                new = new if isinstance(new, tuple) else (new,)
                if len(new) != len(ins):
                    raise GradientError(f"hook of {node.name()} returned {len(new)} gradients, expected {len(ins)}")
                ins = new
        return list(ins) if self.create_graph else [None if x is None else x._a for x in ins]

    def _to_slot(self, node: Node, g: Any) -> None:
        """Collect the gradient of one output of an op with several; the op's own node is visited later."""
        several = node.parents[0]
        slots = self.grads.get(several)
        if slots is None:
            slots = self.grads[several] = [None] * len(several.shape)
        k = node.meta["index"]
        slots[k] = g if slots[k] is None else slots[k] + g

    def _add(self, target: Any, g: Any) -> None:
        """Add ``g`` to what has arrived at ``target``, summed back to its shape if it was broadcast."""
        if type(target) is Node:
            shape, dtype = target.shape, target.dtype
        else:
            shape, dtype = target._a.shape, target._a.dtype
        if g.shape != shape:
            g = _unbroadcast(g, shape)
        if self.create_graph:
            if type(g) is np.ndarray or not isinstance(g, Variable):
                g = wrap(g)
            if g._a.dtype != dtype:
                g = TABLE["cast"](g, dtype=dtype)
        elif g.dtype is not dtype and g.dtype != dtype:
            g = g.astype(dtype)
        grads = self.grads
        before = grads.get(target)
        if before is None:
            grads[target] = g
        elif _summable(before) and getrefcount(before) == IN_DICT and base_alone(before):
            before += g
        elif _summable(g) and getrefcount(g) == ARGUMENT and base_alone(g):
            g += before
            grads[target] = g
        else:
            grads[target] = before + g

    def _add_slice(self, target: Any, index: Any, g: Any) -> None:
        """Add the gradient of a slice into one buffer: ``x[t]`` for all t costs what one gradient of x costs."""
        before = self.grads.get(target)
        if type(before) is not np.ndarray:
            self._add(target, unslice(g, index=index, shape=(target if type(target) is Node else target._a).shape))
        else:
            if not (_summable(before) and getrefcount(before) == IN_DICT and base_alone(before)):
                before = self.grads[target] = np.array(before)
            before[index] += g
        if type(target) is not Node:
            self._report(target)

    def _report(self, leaf: Variable) -> None:
        """One more edge of a leaf is done; after the last its gradient is final."""
        left = self.waiting[leaf] - 1
        self.waiting[leaf] = left
        if left or (self.needed is not None and leaf not in self.needed):
            return
        g = self.grads.pop(leaf, None)
        if g is None:
            return
        if self.accumulate:
            owned = type(g) is np.ndarray and getrefcount(g) == LOCAL and base_alone(g)
            owned = owned and (g.base is None or g.base.size == g.size)  # no small view keeps a large array alive
            accumulate_leaf(leaf, g, owned=owned, create_graph=self.create_graph)
            return
        if leaf._grad_hooks:
            g = run_hooks(leaf._grad_hooks, g, self.create_graph)
        self.found[leaf] = g


def queue_callback(callback: Callable[[], None], failed: Callable[[BaseException], None] | None = None) -> None:
    """Call ``callback`` once, when the outermost backward pass of this thread is through; ``failed(error)`` if it fails."""
    ctx.after_backward.append((callback, failed))


def _summable(g: Any) -> bool:
    return type(g) is np.ndarray and g.ndim > 0 and g.flags.writeable


def _shown(g: Any) -> Any:
    return g if isinstance(g, Variable) else wrap(g)


class _WrongShape(Exception):
    """A gradient that does not broadcast from the shape of its target; the visit adds whose it is."""

    def of(self, node: Node, i: int) -> ShapeError:
        """The error for the user."""
        return ShapeError(f"Function {node.name()} returned an invalid gradient at index {i} - {self}")


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    try:
        return TABLE["sum_to"](g, shape=shape)
    except ValueError as error:
        raise _WrongShape(f"got {list(g.shape)} but expected shape compatible with {list(shape)}") from error
