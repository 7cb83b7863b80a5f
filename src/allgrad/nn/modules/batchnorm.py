"""Normalization over the batch (with running statistics) and over each instance."""

from __future__ import annotations

from typing import Any

from allgrad.absent import on_cpu
from allgrad.dtypes import int64
from allgrad.errors import ArgumentError
from allgrad.functions.creation import empty, ones, tensor, zeros
from allgrad.nn import functional as F
from allgrad.nn import init
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter


class _NormBase(Module):
    """weight and bias (features,) if ``affine``; running_mean, running_var, num_batches_tracked if tracked."""

    _version = 2
    dims: tuple[int, ...] = ()

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", Parameter(empty(num_features, dtype=dtype)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, dtype=dtype)) if affine and bias else None)
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Means to zero, variances to one, count to zero."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weights to one, biases to zero, statistics to their start."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() not in self.dims:
            wanted = " or ".join(f"{d}D" for d in self.dims)
            raise ArgumentError(f"expected {wanted} input (got {input.dim()}D input)")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        # Files older than the counter lack it: start it at zero, as PyTorch does.
        version = local_metadata.get("version")
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict[key] = tensor(0, dtype=int64)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked._a += 1
            self.num_batches_tracked._cell[0] += 1
            if self.momentum is None:  # a cumulative average
                momentum = 1.0 / float(self.num_batches_tracked._a)
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """(batch, features) or (batch, features, length)."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(batch, features, height, width)."""

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """(batch, features, depth, height, width)."""

    dims = (5,)


class _InstanceNorm(_NormBase):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        batched = input if input.dim() == max(self.dims) else input.unsqueeze(0)
        y = F.instance_norm(
            batched, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return y if batched is input else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """(batch, features, length) or without batch."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """(batch, features, height, width) or without batch."""

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """(batch, features, depth, height, width) or without batch."""

    dims = (4, 5)
