"""Batch normalization with the statistics of all ranks: each counts by how many values it holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.function import Function
from allgrad.autograd.record import wrap
from allgrad.context import rank_state
from allgrad.errors import ArgumentError
from allgrad.nn.modules.batchnorm import _BatchNorm
from allgrad.nn.modules.module import Module


class _SumOverRanks(Function):
    """The sum over all ranks; its gradient is the sum of all ranks' gradients, since each rank's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, x: Any, comm: Any) -> Any:
        ctx.comm = comm
        flat = np.array(x.detach().numpy(), order="C").reshape(-1)
        comm.all_reduce(flat, label="SyncBatchNorm")
        return wrap(flat.reshape(x.shape))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return _SumOverRanks.apply(g, ctx.comm), None


class SyncBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance are those of the whole batch over all ranks: (batch, features, ...).

    Ranks may hold different numbers of samples.  In evaluation, without a process group, and on one rank it is BatchNorm.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() < 2:
            raise ArgumentError(f"expected at least 2D input (got {input.dim()}D input)")

    def forward(self, input: Any) -> Any:
        group = rank_state().group if self.process_group is None else self.process_group
        if group is None or group.comm.size == 1 or not (self.training or self.running_mean is None):
            return super().forward(input)
        self._check_input_dim(input)
        comm = group.comm
        dims = (0, *range(2, input.dim()))
        view = (1, -1, *[1] * (input.dim() - 2))
        here = input.numel() // self.num_features
        counts = np.array([here], np.float64)
        comm.all_reduce(counts, label="SyncBatchNorm count")
        count = float(counts[0])
        if count <= 1:
            raise ArgumentError(
                f"Expected more than 1 value per channel when training, got {int(count)} over all ranks"
            )
        mean = _SumOverRanks.apply(input.sum(dims), comm) / count
        centred = input - mean.view(view)
        variance = _SumOverRanks.apply((centred * centred).sum(dims), comm) / count
        self._track(mean, variance, count)
        y = centred * (variance + self.eps).rsqrt().view(view)
        if self.weight is not None:
            y = y * self.weight.view(view)
        return y if self.bias is None else y + self.bias.view(view)

    def _track(self, mean: Any, variance: Any, count: float) -> None:
        if not (self.training and self.track_running_stats):
            return
        self.num_batches_tracked._a += 1
        self.num_batches_tracked._cell[0] += 1
        share = 1.0 / float(self.num_batches_tracked._a) if self.momentum is None else self.momentum
        for kept, new in ((self.running_mean, mean._a), (self.running_var, variance._a * (count / (count - 1)))):
            kept._a *= 1 - share
            kept._a += (share * new).astype(kept._a.dtype)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """``module`` with every BatchNorm in it replaced by a SyncBatchNorm with the same parameters and statistics."""
        converted: Module = module
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
            converted = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            for place in ("_parameters", "_buffers"):
                getattr(converted, place).update(getattr(module, place))
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted
