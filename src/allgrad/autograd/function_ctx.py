"""The ``ctx`` of a custom Function: what its forward tells its backward."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.node import FREED, Node, pick
from allgrad.autograd.pulling import join
from allgrad.autograd.record import edge
from allgrad.autograd.saved import Packed
from allgrad.autograd.value import Variable
from allgrad.context import ctx as context
from allgrad.errors import DtypeError, GradientError, GraphFreedError, InplaceError


class Kept:
    """One saved Tensor: its array, version, and the edge its gradient takes; ``output`` tells which output it is."""

    __slots__ = ("array", "number", "output", "source", "version")

    def __init__(self, t: Variable, outs: list[Any]) -> None:
        self.version = t._cell
        self.number: int | None = t._cell[0]
        self.output = next((k for k, o in enumerate(outs) if o is t), -1)
        # An output is joined to the node anew when asked for: kept here, node and Tensor would hold each other.
        self.source = edge(t) if self.output < 0 else None
        self.array: Any = t._a
        if context.saved_hooks:
            self.array = packed = Packed(t._a, t._cell)
            if not packed.shares(t._cell):
                self.number = None

    def tensor(self, node: Node) -> Any:
        """The saved Tensor again; InplaceError if it was changed since."""
        if self.number is not None and self.version[0] != self.number:
            changed = self.version[1] if len(self.version) > 1 else "an in-place operation"
            raise InplaceError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: a "
                f"Tensor of shape {list(self.version_shape())}, saved by {node.name()} with save_for_backward, is at "
                f"version {self.version[0]}; expected version {self.number} instead. It was changed by {changed!r}. "
                "Hint: change a copy instead"
            )
        array = self.array.unpack() if type(self.array) is Packed else self.array
        source = self.source
        if self.output >= 0 and array.dtype.kind not in "iub":
            source = Node(pick, {"index": self.output}, pick.plan(1), (node,), array.shape, array.dtype)
        return join(array, source, self.version)

    def version_shape(self) -> tuple[int, ...]:
        """The shape of the saved array, () if a hook holds it."""
        return () if type(self.array) is Packed else self.array.shape


class FunctionCtx:
    """Notes of one call; any attribute may be set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...] = ()) -> None:
        self.needs_input_grad = needs_input_grad
        self.to_save: tuple[Any, ...] = ()
        self.dirty: tuple[Any, ...] = ()
        self.undifferentiable: tuple[Any, ...] = ()
        self.materialize = True
        self.were_tensors: tuple[bool, ...] = ()
        self.node: Any = lambda: None  # a weak reference to the node, once recorded

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors (or None) for backward, where ``saved_tensors`` gives them back."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Variable):
                raise DtypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}"
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Accepted for programs that use it; there is no forward-mode derivative to need them."""

    def mark_dirty(self, *args: Any) -> None:
        """Say that these inputs were changed in place; all must be returned."""
        self.dirty = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say that these outputs have no gradient."""
        self.undifferentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward sees zeros (True, the default) or None for an output that got no gradient."""
        self.materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The Tensors of ``save_for_backward``, joined to the graph; GraphFreedError once backward has run."""
        node = self.node()
        if node is None:
            return self.to_save
        if node.saved is FREED:
            raise GraphFreedError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have "
                "already been freed). Specify retain_graph=True if you need to backward through the graph a second "
                "time or if you need to access saved tensors after calling backward."
            )
        return tuple(None if kept is None else kept.tensor(node) for kept in node.saved)

    def without_gradient(self, out: Any) -> bool:
        """Whether ``mark_non_differentiable`` named this output."""
        return any(out is t for t in self.undifferentiable)

    def keep(self, node: Node, outs: list[Any]) -> None:
        """Hand what was to be saved over to the node, which drops it after backward."""
        if any(isinstance(t, Variable) and t._inference for t in self.to_save):
            raise GradientError("Inference tensors cannot be saved for backward; make a clone to get a normal tensor")
        node.saved = [None if t is None else Kept(t, outs) for t in self.to_save]
        self.to_save = self.dirty = self.undifferentiable = ()
