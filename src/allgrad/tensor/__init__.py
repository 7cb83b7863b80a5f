"""``Tensor``: an array that remembers how it was made."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd import record
from allgrad.dtypes import get_default_dtype
from allgrad.functions.creation import _from_nested, shape_of
from allgrad.tensor.arithmetic import ArithmeticMethods
from allgrad.tensor.casts import CastMethods
from allgrad.tensor.compare import CompareMethods
from allgrad.tensor.core import TensorCore
from allgrad.tensor.index import IndexMethods
from allgrad.tensor.legacy import LegacyMethods
from allgrad.tensor.linalg import LinalgMethods
from allgrad.tensor.pointwise import PointwiseMethods
from allgrad.tensor.python import PythonMethods
from allgrad.tensor.random import RandomMethods
from allgrad.tensor.reduce import ReduceMethods
from allgrad.tensor.shape import ShapeMethods
from allgrad.tensor.size import Size, device
from allgrad.tensor.storage import StorageMethods

__all__ = ["Size", "Tensor", "device"]


class Tensor(
    ArithmeticMethods,
    PointwiseMethods,
    CompareMethods,
    CastMethods,
    RandomMethods,
    IndexMethods,
    ShapeMethods,
    ReduceMethods,
    LinalgMethods,
    LegacyMethods,
    PythonMethods,
    StorageMethods,
    TensorCore,
):
    """A NumPy array with a gradient and a place in the graph.

    ``Tensor(3, 4)`` is uninitialized memory of that shape, ``Tensor([1, 2])`` holds the values, both in the default
    dtype, as PyTorch's old constructor; ``tensor()`` is the one to use.
    """

    def __new__(cls, *data: Any, **settings: Any) -> Any:
        t = object.__new__(cls)
        kind = get_default_dtype().np
        if len(data) == 1 and not isinstance(data[0], (int, Size)):
            t._a = _from_nested(data[0], None).astype(kind)
        else:
            t._a = np.zeros(shape_of(data) if data else (0,), kind)
        t._cell = [0]
        return t


record.use_face(Tensor)
