"""What a node keeps for its backward: arrays with the versions they had, or what a user's pack hook made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.node import Node
from allgrad.autograd.value import Variable, wrap
from allgrad.context import ctx
from allgrad.errors import DtypeError, GradientError, InplaceError

Array = np.ndarray[Any, Any]


def save(node: Node, inputs: tuple[Any, ...], arrays: list[Any], outs: tuple[Variable, ...], kept: Any = None) -> None:
    """Keep what the plan of ``node`` names; ``kept``: what the op's forward returned for it."""
    saved: list[Any] = []
    versions: list[Any] = []
    for kind, i in node.plan.keep:
        if kind == "input":
            x = inputs[i]
            saved.append(arrays[i])
            if isinstance(x, Variable):
                if x._inference:
                    raise GradientError(INFERENCE)
                version = x._cell
                versions.append((version, version[0], i))
        elif kind == "out":
            reads = node.op.reads
            if not node.op.multi:
                saved.append(outs[0]._a)
            else:
                saved.append(tuple([o._a if reads is None or j in reads else None for j, o in enumerate(outs)]))
            for j, o in enumerate(outs):
                if reads is None or j in reads:
                    versions.append((o._cell, o._cell[0], -1))
        elif kind == "kept":
            saved.append(kept)
        elif kind == "shape":
            saved.append(np.shape(arrays[i]))
        elif kind == "shapes":
            saved.append(tuple(np.shape(a) for a in arrays))
        else:
            saved.append(arrays[i].dtype)
    node.saved = saved
    node.versions = versions
    if ctx.saved_hooks and node.plan.keeps_arrays:
        _pack(node, inputs, outs)


def save_plain(node: Node, at: tuple[int, ...], inputs: tuple[Any, ...], arrays: list[Any], out: Variable) -> None:
    """``save`` for most nodes: inputs at the indices ``at``, the output where it is -1, and no hooks."""
    saved: list[Any] = []
    versions: list[Any] = []
    for i in at:
        if i < 0:
            saved.append(out._a)
            x: Any = out
        else:
            saved.append(arrays[i])
            x = inputs[i]
            if not isinstance(x, Variable):
                continue
            if x._inference:
                raise GradientError(INFERENCE)
        version = x._cell
        versions.append((version, version[0], i))
    node.saved = saved
    node.versions = versions


INFERENCE = (
    "Inference tensors cannot be saved for backward. To work around you can make a clone to get a normal tensor and use "
    "it in autograd."
)


def _pack(node: Node, inputs: tuple[Any, ...], outs: tuple[Variable, ...]) -> None:
    """Hand every saved array to the innermost pack hook.  What a hook copied is safe from in-place changes."""
    watched = []
    node.packed = node.watched = True
    for k, (kind, i) in enumerate(node.plan.keep):
        if kind == "input" and isinstance(node.saved[k], np.ndarray):
            x = inputs[i] if isinstance(inputs[i], Variable) else None
            node.saved[k] = packed = Packed(node.saved[k], None if x is None else x._cell)
            if x is not None and packed.shares(x._cell):
                watched.append((x._cell, x._cell[0], i))
        elif kind == "out":
            reads = node.op.reads
            several = tuple(Packed(o._a, o._cell) if reads is None or j in reads else None for j, o in enumerate(outs))
            node.saved[k] = several if node.op.multi else several[0]
            for o, p in zip(outs, several):
                if p is not None and p.shares(o._cell):
                    watched.append((o._cell, o._cell[0], -1))
    node.versions = watched


class Packed:
    """A saved array behind the pack and unpack hooks that were active when it was saved."""

    __slots__ = ("held", "unpack_hook")

    def __init__(self, array: Array, version: list[Any] | None) -> None:
        pack, self.unpack_hook = ctx.saved_hooks[-1]
        # The hook sees a detached Tensor: were it the recorded one, node and Tensor would keep each other alive.
        shown = wrap(array)
        if version is not None:
            shown._cell = version
        before = shown._cell[0]
        mode, hooks = ctx.grad_enabled, ctx.saved_hooks
        ctx.grad_enabled, ctx.saved_hooks = False, []
        try:
            self.held = pack(shown)
        finally:
            ctx.grad_enabled, ctx.saved_hooks = mode, hooks
        if shown._cell[0] != before:
            raise InplaceError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook can "
                "not be modified by in-place operations as this can lead to unexpected side-effects. Change "
                "a copy: x.clone()"
            )

    def shares(self, version: list[Any]) -> bool:
        """Whether the hook gave back the very Tensor, which an in-place change would still reach."""
        return isinstance(self.held, Variable) and self.held._cell is version

    def unpack(self) -> Array:
        """The array again."""
        found = self.unpack_hook(self.held)
        if not isinstance(found, Variable):
            raise DtypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(found).__name__}"
            )
        return found._a
