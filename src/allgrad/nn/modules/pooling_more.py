"""Layers that undo max pooling, and pooling by a p-norm."""

from __future__ import annotations

from typing import Any

from allgrad.nn import functional as F
from allgrad.nn.modules.module import Module


def _tuple(n: int, x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,) * n


class _MaxUnpool(Module):
    _dims: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = _tuple(self._dims, kernel_size)
        self.stride = _tuple(self._dims, kernel_size if stride is None else stride)
        self.padding = _tuple(self._dims, padding)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima back at the places that ``MaxPool1d(..., return_indices=True)`` gave, zeros elsewhere."""

    _dims = 1

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Maxima back at the places that ``MaxPool2d(..., return_indices=True)`` gave, zeros elsewhere."""

    _dims = 2

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """Maxima back at the places that ``MaxPool3d(..., return_indices=True)`` gave, zeros elsewhere."""

    _dims = 3

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def _args(self) -> tuple[Any, ...]:
        return float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of each window: (batch, channels, length)."""

    def forward(self, input: Any) -> Any:
        return F.lp_pool1d(input, *self._args())


class LPPool2d(_LPPool):
    """The p-norm of each window: (batch, channels, height, width)."""

    def forward(self, input: Any) -> Any:
        return F.lp_pool2d(input, *self._args())


class LPPool3d(_LPPool):
    """The p-norm of each window: (batch, channels, depth, height, width)."""

    def forward(self, input: Any) -> Any:
        return F.lp_pool3d(input, *self._args())
