"""Layers that learn the number of channels from the first batch, and then are the ordinary ones.

Make the optimizer after the first forward, or before: the parameters stay the same objects.
"""

from __future__ import annotations

from typing import Any

from allgrad.absent import on_cpu
from allgrad.functions.creation import ones, zeros
from allgrad.nn.modules.batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _NormBase,
)
from allgrad.nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _Conv,
    _ConvNd,
    _ConvTranspose,
)
from allgrad.nn.parameter import UninitializedParameter, is_lazy


class _LazyConvNd(_ConvNd):
    """A convolution without channels until its first forward."""

    cls_to_become: type
    weight: Any

    def _wait(self, out_channels: int, bias: bool, dtype: Any) -> None:
        self.out_channels, self._dtype = out_channels, dtype
        self._parameters.clear()  # and anew in order: weight, bias
        self.weight = UninitializedParameter(dtype=dtype)
        self.register_parameter("bias", UninitializedParameter(dtype=dtype) if bias else None)

    def reset_parameters(self) -> None:
        """Draw new initial values; nothing before the first forward."""
        if self.in_channels:
            super().reset_parameters()

    def _padded(self, input: Any) -> tuple[Any, Any]:
        self._materialize(input)
        return self._padded(input)  # by now an ordinary convolution's

    def _materialize(self, input: Any) -> None:
        """Weights for the channels of ``input``, unless a state dict gave them; from here on the ordinary layer."""
        if is_lazy(self.weight):
            self.in_channels = input.shape[-self.ndim - 1]
            inside, outside = self.in_channels, self.out_channels
            lead = (inside, outside // self.groups) if self.transposed else (outside, inside // self.groups)
            self.weight.materialize((*lead, *self.kernel_size), dtype=self._dtype)
            if self.bias is not None:
                self.bias.materialize((outside,), dtype=self._dtype)
            self.reset_parameters()
        del self._dtype
        self.__class__ = self.cls_to_become


class _LazyConv(_LazyConvNd, _Conv):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._wait(out_channels, bias, dtype)


class _LazyConvTranspose(_LazyConvNd, _ConvTranspose):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode)
        self._wait(out_channels, bias, dtype)

    def _output_padding(self, input: Any, output_size: Any) -> tuple[int, ...]:
        self._materialize(input)
        return self._output_padding(input, output_size)  # by now an ordinary convolution's


class LazyConv1d(_LazyConv, Conv1d):
    """A Conv1d whose ``in_channels`` comes from the first batch."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A Conv2d whose ``in_channels`` comes from the first batch."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A Conv3d whose ``in_channels`` comes from the first batch."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A ConvTranspose1d whose ``in_channels`` comes from the first batch."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A ConvTranspose2d whose ``in_channels`` comes from the first batch."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A ConvTranspose3d whose ``in_channels`` comes from the first batch."""

    cls_to_become = ConvTranspose3d


class _LazyBatchNorm(_NormBase):
    cls_to_become: type
    weight: Any

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__(0, eps, momentum, False, track_running_stats, dtype=dtype)
        self.affine, self._dtype = affine, dtype
        self.weight = UninitializedParameter(dtype=dtype) if affine else None
        self.bias = UninitializedParameter(dtype=dtype) if affine and bias else None

    def _features_of(self, input: Any) -> int:
        return input.shape[1]

    def _check_input_dim(self, input: Any) -> None:
        super()._check_input_dim(input)
        if self.num_features:
            return
        self.num_features = self._features_of(input)
        for p in (self.weight, self.bias):
            if p is not None:
                p.materialize((self.num_features,), dtype=self._dtype)
        if self.track_running_stats:
            self.running_mean = zeros(self.num_features, dtype=self._dtype)
            self.running_var = ones(self.num_features, dtype=self._dtype)
        del self._dtype
        self.reset_parameters()
        self.__class__ = self.cls_to_become


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """A BatchNorm1d whose ``num_features`` comes from the first batch."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """A BatchNorm2d whose ``num_features`` comes from the first batch."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """A BatchNorm3d whose ``num_features`` comes from the first batch."""

    cls_to_become = BatchNorm3d


class _LazyInstanceNorm(_LazyBatchNorm):
    def __init__(
        self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _features_of(self, input: Any) -> int:
        return input.shape[1 if input.dim() == max(self.dims) else 0]


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An InstanceNorm1d whose ``num_features`` comes from the first batch."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An InstanceNorm2d whose ``num_features`` comes from the first batch."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An InstanceNorm3d whose ``num_features`` comes from the first batch."""

    cls_to_become = InstanceNorm3d
