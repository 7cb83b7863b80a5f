"""Convolutions: (batch, in, *space) -> (batch, out, *space')."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from allgrad.absent import on_cpu
from allgrad.errors import ArgumentError
from allgrad.functions.creation import empty
from allgrad.nn import functional as F
from allgrad.nn import init
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter


def ntuple(value: Any, n: int) -> tuple[Any, ...]:
    """``value`` for each of ``n`` dimensions."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * n


class _ConvNd(Module):
    """Weights (out, in / groups, *kernel) and bias (out,), uniform on ±1/sqrt(in / groups · kernel volume)."""

    ndim = 0
    transposed = False

    def _build(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, output_padding: Any,
        dilation: Any, groups: int, bias: bool, padding_mode: str, dtype: Any,
    ) -> None:  # fmt: skip
        if groups <= 0:
            raise ArgumentError("groups must be a positive integer")
        if in_channels % groups:
            raise ArgumentError(f"in_channels must be divisible by groups: {in_channels} by {groups}")
        if out_channels % groups:
            raise ArgumentError(f"out_channels must be divisible by groups: {out_channels} by {groups}")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ArgumentError(f"Invalid padding string '{padding}', should be one of same, valid")
            if padding == "same" and any(s != 1 for s in ntuple(stride, self.ndim)):
                raise ArgumentError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(f"padding_mode must be zeros, reflect, replicate or circular, but got '{padding_mode}'")
        n = self.ndim
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = ntuple(kernel_size, n)
        self.stride = ntuple(stride, n)
        self.padding = padding if isinstance(padding, str) else ntuple(padding, n)
        self.dilation = ntuple(dilation, n)
        self.output_padding = ntuple(output_padding, n)
        self.groups = groups
        self.padding_mode = padding_mode
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Any) -> tuple[Any, Any]:
        """The input and the padding left for the convolution, by padding mode."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if isinstance(self.padding, str):
            total = [d * (k - 1) if self.padding == "same" else 0 for d, k in zip(self.dilation, self.kernel_size)]
            sides = [(t // 2, t - t // 2) for t in total]
        else:
            sides = [(p, p) for p in self.padding]
        flat = [n for side in reversed(sides) for n in side]
        return F.pad(input, flat, mode=self.padding_mode), (0,) * self.ndim

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != (0,) * self.ndim:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.ndim:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.ndim:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__()
        self._build(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode, dtype
        )


class Conv1d(_Conv):
    """(batch, in, length) -> (batch, out, length')."""

    ndim = 1

    def forward(self, input: Any) -> Any:
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """(batch, in, height, width) -> (batch, out, height', width')."""

    ndim = 2

    def forward(self, input: Any) -> Any:
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """(batch, in, depth, height, width) -> (batch, out, depth', height', width')."""

    ndim = 3

    def forward(self, input: Any) -> Any:
        x, padding = self._padded(input)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__()
        if padding_mode != "zeros":
            raise ArgumentError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._build(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            dtype,
        )

    def _output_padding(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``; the layer's own if that is None."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.ndim :]
        found = []
        for i, size in enumerate(wanted):
            low = (
                (input.shape[i - self.ndim] - 1) * self.stride[i]
                - 2 * self.padding[i]
                + self.dilation[i] * (self.kernel_size[i] - 1)
                + 1
            )
            if not low <= size < low + max(self.stride[i], self.dilation[i]):
                raise ArgumentError(
                    f"requested an output size of {list(wanted)}, but valid sizes of dimension {i} range from {low} "
                    f"to {low + max(self.stride[i], self.dilation[i]) - 1}"
                )
            found.append(size - low)
        return tuple(found)


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of Conv1d: (batch, in, length) -> (batch, out, length')."""

    ndim = 1

    def forward(self, input: Any, output_size: Any = None) -> Any:
        extra = self._output_padding(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of Conv2d: (batch, in, height, width) -> (batch, out, height', width')."""

    ndim = 2

    def forward(self, input: Any, output_size: Any = None) -> Any:
        extra = self._output_padding(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose3d(_ConvTranspose):
    """The adjoint of Conv3d."""

    ndim = 3

    def forward(self, input: Any, output_size: Any = None) -> Any:
        extra = self._output_padding(input, output_size)
        return F.conv_transpose3d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )
