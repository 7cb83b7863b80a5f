"""The recorded value without its face: an array, its version, and where its gradient comes from.

The Tensor class (floor 3) gives it operators and methods and registers itself with ``use_face``, the one link
that points upward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.context import ctx
from allgrad.ops.op import Op, Recorded

if TYPE_CHECKING:
    from allgrad.autograd.node import Node

Array = np.ndarray[Any, Any]


class View:
    """How a view was made: from ``base`` by a chain of (op, settings); at which version its node was recorded."""

    __slots__ = ("base", "chain", "untracked", "version")

    def __init__(
        self, base: Variable, chain: tuple[tuple[Op, dict[str, Any]], ...], version: int, untracked: str
    ) -> None:
        self.base = base
        self.chain = chain
        self.version = version
        # Why in-place changes that autograd has to follow are refused: "no_grad", "multi", "function"; "" where allowed.
        self.untracked = untracked

    def of(self, array: Any) -> Any:
        """The same view of another value."""
        for op, meta in self.chain:
            array = op(array, **meta)
        return array


class Variable(Recorded):
    """A recorded value: an array, and where its gradient comes from."""

    _a: Array
    _cell: list[Any]  # shared by all that alias the memory: [number, name of the last op that changed it]
    _node: Node | None = None
    _rg: bool = False  # a leaf that requires grad
    _grad: Any = None
    _view: View | None = None
    _grad_hooks: dict[int, Any] | None = None  # on a leaf's incoming gradient
    _post_hooks: dict[int, Any] | None = None  # after a leaf's gradient was accumulated
    _grad_buffer: Array | None = None  # where the first gradient is written, a span of a bucket; None: anywhere
    _averager: Any = None  # the reducer that averages the gradient of a parameter over ranks
    _inference: bool = False


_face: type[Variable] = Variable
_new = object.__new__


def use_face(face: type[Variable]) -> None:
    """Make ``face`` the class of every recorded result."""
    global _face
    _face = face


def wrap(array: Any) -> Any:
    """A Tensor around an array, which is shared, not copied; requires no grad."""
    t = _new(_face)
    t._a = array if type(array) is np.ndarray else np.asarray(array)
    t._cell = [0]
    if ctx.inference:
        t._inference = True
    return t
