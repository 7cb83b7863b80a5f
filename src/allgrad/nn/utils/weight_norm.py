"""Weights rewritten before each forward: by length and direction, or divided by their largest singular value."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter
from allgrad.random import default_generator


def _norm_except(v: Any, dim: int | None) -> Any:
    """The length of ``v`` over all dimensions but ``dim``, kept."""
    if dim is None or dim == -1:
        return (v * v).sum().sqrt()
    dims = tuple(d for d in range(v.dim()) if d != dim % v.dim())
    return (v * v).sum(dims, keepdim=True).sqrt() if dims else v.abs()


class WeightNorm:
    """``weight = g * v / |v|`` (Salimans & Kingma 2016), computed before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = dim

    def compute_weight(self, module: Any) -> Any:
        """The weight from ``g`` and ``v``."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / _norm_except(v, self.dim))

    def __call__(self, module: Any, inputs: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module))


def _hook_of(module: Module, kind: type[WeightNorm] | type[SpectralNorm], name: str) -> tuple[int, Any] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Replace parameter ``name`` by its lengths ``name_g`` and directions ``name_v``."""
    if _hook_of(module, WeightNorm, name):
        raise ArgumentError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    weight = getattr(module, name)
    hook = WeightNorm(name, dim)
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(_norm_except(weight.detach(), dim)))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    object.__setattr__(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make ``name`` an ordinary parameter again."""
    found = _hook_of(module, WeightNorm, name)
    if found is None:
        raise ArgumentError(f"weight_norm of '{name}' not found in {module}")
    key, hook = found
    weight = hook.compute_weight(module).detach()
    module.__dict__.pop(name, None)
    del module._parameters[name + "_g"], module._parameters[name + "_v"]
    del module._forward_pre_hooks[key]
    module.register_parameter(name, Parameter(weight))
    return module


class SpectralNorm:
    """``weight = original / sigma`` (Miyato et al. 2018); sigma by power iteration, one round per training forward."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def as_matrix(self, weight: Any) -> Any:
        """The weight with dimension ``dim`` first, flattened: (rows, columns)."""
        if self.dim:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])
        return weight.reshape(weight.shape[0], -1)

    def compute_weight(self, module: Any, iterate: bool) -> Any:
        """The weight divided by its largest singular value."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.as_matrix(weight)
        if iterate:
            for _ in range(self.n_power_iterations):
                v._a[...] = _unit(matrix._a.T @ u._a, self.eps)
                u._a[...] = _unit(matrix._a @ v._a, self.eps)
        # The vectors are constants of this forward; the next one changes them in place.
        sigma = (wrap(u._a.copy()) * (matrix @ wrap(v._a.copy()))).sum()
        return weight / sigma

    def __call__(self, module: Any, inputs: Any) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module, module.training))


def _unit(x: np.ndarray[Any, Any], eps: float) -> np.ndarray[Any, Any]:
    return x / max(float(np.sqrt((x * x).sum())), eps)


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Keep the largest singular value of parameter ``name`` at one; the original is ``name_orig``."""
    if _hook_of(module, SpectralNorm, name):
        raise ArgumentError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    if n_power_iterations <= 0:
        raise ArgumentError(
            f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
        )
    if dim is None:
        dim = 1 if getattr(module, "transposed", False) else 0
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = getattr(module, name)
    matrix = hook.as_matrix(weight.detach())
    source = default_generator()
    u, v = (_unit(source.normal((n,), weight._a.dtype, 0.0, 1.0), eps) for n in matrix._a.shape)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    object.__setattr__(module, name, weight.detach())
    module.register_buffer(name + "_u", wrap(u))
    module.register_buffer(name + "_v", wrap(v))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make ``name`` an ordinary parameter again, with its present value."""
    found = _hook_of(module, SpectralNorm, name)
    if found is None:
        raise ArgumentError(f"spectral_norm of '{name}' not found in {module}")
    key, hook = found
    weight = hook.compute_weight(module, False).detach()
    module.__dict__.pop(name, None)
    del module._parameters[name + "_orig"], module._buffers[name + "_u"], module._buffers[name + "_v"]
    del module._forward_pre_hooks[key]
    module.register_parameter(name, Parameter(weight))
    return module


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """The module; its initialization is cheap here and is not skipped."""
    kwargs.pop("device", None)
    return module_cls(*args, **kwargs)
