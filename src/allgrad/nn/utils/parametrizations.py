"""Parametrizations ready to use: ``weight_norm`` and ``spectral_norm``, with PyTorch's names in the state dict."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError
from allgrad.nn.modules.module import Module
from allgrad.nn.utils.parametrize import register_parametrization
from allgrad.nn.utils.weight_norm import _norm_except, _unit
from allgrad.random import default_generator

__all__ = ["spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """``g * v / |v|`` (Salimans & Kingma 2016); the length over all dimensions but ``dim``, or over all if None."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / _norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Lengths and directions of a weight."""
        return _norm_except(weight, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Lengths ``parametrizations.<name>.original0`` and directions ``original1`` in the place of a parameter.

    State dicts of the older ``nn.utils.weight_norm`` (``<name>_g``, ``<name>_v``) load too.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *args: Any) -> None:
        g, v = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if g in state_dict and v in state_dict:
            state_dict[f"{prefix}parametrizations.{name}.original0"] = state_dict.pop(g)
            state_dict[f"{prefix}parametrizations.{name}.original1"] = state_dict.pop(v)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """``weight / sigma`` (Miyato et al. 2018); sigma, the largest singular value, by power iteration in training."""

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ArgumentError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + weight.dim()
        self.n_power_iterations, self.eps = n_power_iterations, eps
        if weight.dim() > 1:
            matrix = self._as_matrix(weight.detach())._a
            source = default_generator()
            u = source.normal((matrix.shape[0],), matrix.dtype, 0.0, 1.0)
            v = source.normal((matrix.shape[1],), matrix.dtype, 0.0, 1.0)
            self.register_buffer("_u", wrap(_unit(u, eps)))
            self.register_buffer("_v", wrap(_unit(v, eps)))
            self._iterate(matrix, 15)

    def _as_matrix(self, weight: Any) -> Any:
        """The weight with dimension ``dim`` first, flattened: (rows, columns)."""
        if self.dim:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])
        return weight.reshape(weight.shape[0], -1)

    def _iterate(self, matrix: Any, rounds: int) -> None:
        for _ in range(rounds):
            self._u._a[...] = _unit(matrix @ self._v._a, self.eps)
            self._v._a[...] = _unit(matrix.T @ self._u._a, self.eps)

    def forward(self, weight: Any) -> Any:
        if weight.dim() == 1:
            return weight / (weight * weight).sum().sqrt().clamp(min=self.eps)
        matrix = self._as_matrix(weight)
        if self.training:
            self._iterate(matrix._a, self.n_power_iterations)
        # The vectors are constants of this forward; the next one changes them in place.
        u, v = wrap(self._u._a.copy()), wrap(self._v._a.copy())
        return weight / (u * (matrix @ v)).sum()

    def right_inverse(self, value: Any) -> Any:
        """The value itself: an original with that spectral norm already."""
        return value


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Keep the largest singular value of parameter ``name`` at one; ``dim`` is 1 for transposed convolutions."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Variable):
        raise ArgumentError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module
