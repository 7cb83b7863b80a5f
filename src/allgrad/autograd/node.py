"""One node of the graph: an op that ran, what its pullbacks need, and where their results go.

A node keeps its op, its settings, the saved values that the op's plan names, and for each input an edge:
another node, a leaf (the Tensor itself), or None where no gradient is wanted.  Nodes never hold the Tensors
they produced, so a graph has no reference cycles and goes away with its last Tensor.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from allgrad.errors import GraphFreedError, InplaceError
from allgrad.ops.op import Op, Plan, op

sequence: Iterator[int] = itertools.count()
"""Nodes are numbered as they are made: a consumer has a higher number than what it consumed."""

FREED = ("freed",)


class Node:
    """An op that ran.  ``shape`` and ``dtype`` are those of its output (lists of them for several outputs)."""

    __slots__ = (
        "__dict__", "__weakref__", "dtype", "meta", "op", "parents", "plan", "saved", "seq", "shape", "versions", "watched",
    )  # fmt: skip

    # What few nodes have lives in their __dict__, which the others never allocate.
    hooks: dict[int, Callable[..., Any]] | None = None  # on the output Tensor's gradient, before the pullbacks
    pre_hooks: dict[int, Callable[..., Any]] | None = None  # on the tuple of the outputs' gradients, after ``hooks``
    post_hooks: dict[int, Callable[..., Any]] | None = None  # after the pullbacks, on (inputs', outputs')
    retained: Any = None  # weak reference to the output Tensor that wants its .grad
    packed: bool = False  # whether saved values went through a user's hooks
    trace: Any = None  # where the forward ran, under detect_anomaly
    metadata_: dict[str, Any] | None = None

    def __init__(
        self, op: Op, meta: dict[str, Any], plan: Plan, parents: tuple[Any, ...], shape: Any, dtype: Any
    ) -> None:
        self.op = op
        self.meta = meta
        self.plan = plan
        self.parents = parents
        self.shape = shape
        self.dtype = dtype
        self.saved: Any = ()
        self.versions: Any = ()  # (version cell, number when saved, input index or -1 for the output) per saved array
        self.seq = next(sequence)
        self.watched = False  # whether hooks, a Tensor that retains its gradient or packed values ask for the long way

    def name(self) -> str:
        """The op's name as PyTorch writes it: ``MulBackward0``."""
        n = self.op.name
        if n.endswith("Backward"):
            return n
        return "".join(part[:1].upper() + part[1:] for part in n.split("_")) + "Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for the user's notes on this node."""
        if self.metadata_ is None:
            self.metadata_ = {}
        return self.metadata_

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(node, output index) per input; leaves appear as AccumulateGrad; (None, 0) where no gradient flows."""
        return tuple(as_function(p) for p in self.parents)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node's backward; it may return new grad_inputs."""
        self.watched = True
        if self.post_hooks is None:
            self.post_hooks = {}
        return RemovableHandle(self.post_hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this node's backward; it may return new grad_outputs."""
        self.watched = True
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return RemovableHandle(self.pre_hooks, hook)

    def register_tensor_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this node's output is known; it may return another."""
        self.watched = True
        if self.hooks is None:
            self.hooks = {}
        return RemovableHandle(self.hooks, hook)

    def retain(self, tensor: weakref.ref[Any] | None) -> None:
        """Let the output Tensor behind this reference keep its gradient; None: no Tensor any more."""
        self.watched = True
        self.retained = tensor

    def check_alive(self) -> None:
        """Errors if the saved values are gone or were changed in place since they were saved."""
        if self.saved is FREED:
            raise GraphFreedError(
                f"Trying to backward through the graph a second time: the values that {self.op.name!r} saved were "
                "freed by the first backward. Specify retain_graph=True in the first backward() or grad() call "
                "if you need to go through the graph again"
            )
        for cell, number, i in self.versions:
            if cell[0] != number:
                raise self._changed(cell, number, i)

    def _changed(self, cell: list[Any], number: int, i: int) -> InplaceError:
        names = self.op.inputs
        what = "the output" if i < 0 else names[i] if i < len(names) else f"input {i}"
        changed = cell[1] if len(cell) > 1 else "an in-place operation"
        return InplaceError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"{what} saved by {self.op.name!r} (output shape {list(self.shape) if self.shape else []}) is at "
            f"version {cell[0]}; expected version {number} instead. It was changed by {changed!r}. "
            "Hint: change a copy instead (x = x + 1 in place of x += 1), or enable anomaly detection to find "
            "the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True)"
        )

    def version_of(self, i: int) -> list[Any] | None:
        """The version cell of the saved input ``i``, of the output for -1; None if it has none."""
        return next((cell for cell, _, k in self.versions if k == i), None)

    def free(self) -> None:
        """Drop the saved arrays; a node that saved none can run again."""
        if self.plan.keeps_arrays:
            self.saved = FREED
            self.versions = ()


class AccumulateGrad:
    """How a leaf appears in ``next_functions``."""

    __slots__ = ("variable",)

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def name(self) -> str:
        """The name that PyTorch gives it."""
        return "torch::autograd::AccumulateGrad"

    @property
    def next_functions(self) -> tuple[()]:
        """Nothing lies beyond a leaf."""
        return ()

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook((grad,))`` before the leaf's gradient is added up; it may return another."""

        def on_gradient(g: Any) -> Any:
            new = hook((g,))
            return new[0] if isinstance(new, tuple) else new

        return self.variable.register_hook(on_gradient)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook((), ())`` after the leaf's gradient was added up; what came in is in ``variable.grad`` by then."""

        def on_leaf(_: Any) -> None:
            hook((), ())

        return self.variable.register_post_accumulate_grad_hook(on_leaf)


def as_function(parent: Any) -> tuple[Any, int]:
    """An edge as ``next_functions`` shows it."""
    if parent is None:
        return (None, 0)
    if not isinstance(parent, Node):
        return (AccumulateGrad(parent), 0)
    if parent.op is pick:  # an output of an op with several: users see that op's node
        return (parent.parents[0], parent.meta["index"])
    return (parent, 0)


class RemovableHandle:
    """Removes a hook: ``handle.remove()``, or leave its ``with`` block."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any, *, prepend: bool = False) -> None:
        self.hooks = hooks
        self.id = next(RemovableHandle._ids)
        hooks[self.id] = hook
        if prepend:
            others = [(k, v) for k, v in hooks.items() if k != self.id]
            for key, _ in others:
                del hooks[key]
            hooks.update(others)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


@op(name="pick")
def pick(x: Any, *, index: int) -> np.ndarray[Any, Any]:
    """One output of an op with several: the walk hands its gradient to that op's slot ``index``."""
    return x[index]


pick.pull(x=lambda g: g)
