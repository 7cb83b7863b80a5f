"""The Tensor itself: array, gradient, graph.  Arithmetic and the rest come from the method groups."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.differentiate import backward as run_backward
from allgrad.autograd.inplace import bump, check_inplace
from allgrad.autograd.node import Node, RemovableHandle, pick
from allgrad.autograd.record import Variable, add_hook, apply, edge, refresh, wrap
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import from_np
from allgrad.errors import DtypeError, GradientError, InplaceError, ShapeError
from allgrad.ops.arithmetic import clone as clone_op
from allgrad.ops.op import Op
from allgrad.printing import format_array
from allgrad.tensor.size import CPU, Size, device

Array = np.ndarray[Any, Any]


class TensorCore(Variable):
    """What every Tensor knows of itself."""

    __array_priority__ = 1000
    is_cuda = is_sparse = is_quantized = is_complex_ = is_mps = is_meta = is_nested = False
    layout = "torch.strided"
    names: tuple[Any, ...] = ()

    def _record(self, op: Op, inputs: tuple[Any, ...], meta: dict[str, Any]) -> Any:
        return apply(op, inputs, meta)

    # -- the array ---------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Lengths of the dimensions."""
        return Size(self._a.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return Size(self._a.shape) if dim is None else self._a.shape[dim]

    @property
    def dtype(self) -> Dtype:
        """Element type."""
        return from_np(self._a.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._a.ndim

    def dim(self) -> int:
        """Number of dimensions."""
        return self._a.ndim

    ndimension = dim

    def numel(self) -> int:
        """Number of elements."""
        return self._a.size

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._a.itemsize

    def element_size(self) -> int:
        """Bytes per element."""
        return self._a.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._a.nbytes

    @property
    def device(self) -> device:
        """Always the CPU."""
        return CPU

    def get_device(self) -> int:
        """-1, as for every CPU tensor."""
        return -1

    def stride(self, dim: int | None = None) -> Any:
        """Step between neighbours of each dimension, in elements."""
        steps = tuple(s // self._a.itemsize for s in self._a.strides)
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Elements before the first one in the memory it views."""
        base = self._a.base
        if not isinstance(base, np.ndarray):
            return 0
        return (self._a.ctypes.data - base.ctypes.data) // self._a.itemsize

    def data_ptr(self) -> int:
        """Address of the first element."""
        return self._a.ctypes.data

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return self._a.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self._a.dtype.kind not in "iub"

    def is_complex(self) -> bool:
        """False: there are no complex dtypes."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has negative values."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether it was made in inference mode."""
        return self._inference

    @property
    def data(self) -> Any:
        """A Tensor on the same memory, outside the graph, with version numbers of its own."""
        t = wrap(self._a)
        t._inference = False
        return t

    @data.setter
    def data(self, new: Any) -> None:
        if not isinstance(new, Variable):
            raise DtypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        self._a = new._a

    def numpy(self, *, force: bool = False) -> Array:
        """The array itself, sharing memory.  A Tensor that requires grad refuses unless ``force``."""
        if self.requires_grad and not force:
            raise GradientError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self._a

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        a = self.numpy()
        if dtype is not None and a.dtype != dtype:
            return a.astype(dtype)
        return a.copy() if copy else a

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        return wrap(array)

    def __dlpack__(self, **settings: Any) -> Any:
        return self.numpy().__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return (self._a if self._a.dtype.kind != "V" else self._a.astype(np.float32)).tolist()

    # -- the graph ---------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        view = self._view
        if view is not None and not view.untracked:
            refresh(self)
        return self._rg or self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Start or stop recording operations on this leaf; floating dtypes only."""
        if self.grad_fn is not None:
            if not requires_grad:
                raise GradientError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                    "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return self
        if requires_grad and self._a.dtype.kind in "iub":
            raise GradientError(
                f"only Tensors of floating point dtype can require gradients; this one is {self.dtype!r}: "
                "convert it first, x.float()"
            )
        if requires_grad and self._inference:
            raise GradientError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._rg = bool(requires_grad)
        return self

    @property
    def grad_fn(self) -> Node | None:
        """The node that made it; None for a leaf."""
        if self._view is not None:
            refresh(self)
        node = self._node
        return node.parents[0] if node is not None and node.op is pick else node

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded operation."""
        view = self._view
        if view is not None and not view.untracked:
            refresh(self)
        return self._node is None

    @property
    def grad(self) -> Any:
        """The accumulated gradient, a Tensor of the same shape; None before the first backward."""
        node = self._node
        if node is not None and self._grad is None and (node.retained is None or node.retained() is not self):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute "
                "won't be populated during autograd.backward(). If you indeed want the .grad field to be populated "
                "for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, new: Any) -> None:
        if new is not None:
            if not isinstance(new, Variable):
                raise DtypeError(f"assigned grad expected to be a Tensor or None but got {type(new).__name__}")
            if new._a.shape != self._a.shape:
                raise ShapeError(
                    f"assigned grad has data of a different size: expected {list(self._a.shape)}, found {list(new._a.shape)}"
                )
            if new._a.dtype != self._a.dtype:
                raise DtypeError(
                    f"assigned grad has data of a different type: expected {self.dtype!r}, found {from_np(new._a.dtype)!r}"
                )
            if new is self:
                raise GradientError("can't assign Variable as its own grad")
        self._grad = new

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add d self / d leaf to every leaf's ``.grad``; ``gradient`` is needed unless self has one element."""
        run_backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Any:
        """A Tensor on the same memory that requires no grad; changing either is noticed by both."""
        t = wrap(self._a)
        t._cell = self._cell
        return t

    def detach_(self) -> Any:
        """Leave the graph in place."""
        if self._view is not None:
            raise GradientError("Can't detach views in-place. Use detach() instead.")
        self._node = None
        self._rg = False
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in ``.grad``."""
        if not self.requires_grad:
            raise GradientError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is not None:
            self._node.retain(weakref.ref(self))

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was called on this non-leaf."""
        node = self._node
        return node is not None and node.retained is not None and node.retained() is self

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this Tensor is known; it may return another."""
        return add_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], None]) -> RemovableHandle:
        """Call ``hook(self)`` after this leaf's ``.grad`` was accumulated."""
        if edge(self) is not self:
            raise GradientError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._post_hooks is None:
            self._post_hooks = {}
        return RemovableHandle(self._post_hooks, hook)

    @property
    def _version(self) -> int:
        """How often the memory was changed in place."""
        return self._cell[0]

    @property
    def output_nr(self) -> int:
        """Which output of its node this is."""
        node = self._node
        return node.meta["index"] if node is not None and node.op is pick else 0

    @property
    def _base(self) -> Any:
        """The Tensor that this one views, None if it owns its memory."""
        return None if self._view is None else self._view.base

    def _is_view(self) -> bool:
        """Whether it views the memory of another Tensor."""
        return self._view is not None

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy, recorded."""
        return apply(clone_op, (self,), {})

    def contiguous(self, memory_format: Any = None) -> Any:
        """Itself if its elements lie in row-major order, else a recorded copy."""
        return self if self._a.flags.c_contiguous else apply(clone_op, (self,), {})

    def set_(self, source: Any) -> Any:
        """Take over the memory of ``source``."""
        check_inplace(self, "set_")
        self._a = source._a
        bump(self, "set_")
        return self

    # -- as an object ------------------------------------------------------------------------------

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self.grad_fn is not None:
            raise GradientError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
                "Use x.detach().clone() to copy a result"
            )
        if id(self) in memo:
            return memo[id(self)]
        new = object.__new__(type(self))
        memo[id(self)] = new
        new._a = np.array(self._a, order="C")
        new._cell = [0]
        new._rg = self._rg
        if self._grad is not None:
            new._grad = self._grad.detach().clone()
        return new

    def __repr__(self) -> str:
        try:
            node = self.grad_fn
            name = None if node is None else node.name()
        except InplaceError:  # a view that cannot be recorded again; printing it must work all the same
            name = "Invalid"
        return format_array(
            self._a,
            dtype=self.dtype,
            requires_grad=self._rg,
            grad_fn_name=name,
        )
