"""``autocast`` and ``GradScaler``: on this CPU everything is computed in the dtype of its inputs.

Reduced precision has no faster arithmetic in NumPy, so autocast never casts.  Programs that switch it on for CUDA run
in full precision, and are told so once; a request for the CPU itself is refused, because there it would change results.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from allgrad.context import ctx
from allgrad.errors import ArgumentError, UnsupportedError
from allgrad.optim.registry import register_follower


class autocast:
    """A context and decorator that leaves dtypes alone."""

    def __init__(
        self, device_type: str = "cuda", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ArgumentError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if enabled and device_type == "cpu":
            raise UnsupportedError(
                "autocast on the CPU is not supported: allgrad computes in the dtype of the inputs, because NumPy has no "
                "faster arithmetic for bfloat16 or float16. Use autocast('cpu', enabled=False), or drop it"
            )
        if enabled:
            warnings.warn("User provided device_type of 'cuda', but CUDA is not available. Disabling", stacklevel=3)
        self.device = device_type
        self.fast_dtype = dtype

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run


class GradScaler:
    """Scales a loss so that float16 gradients do not vanish; disabled, it passes everything through.

    Enabled, it does what PyTorch's does: scaled loss, unscaled gradients, a step skipped on inf or nan, a scale that
    adapts.  It is switched off where CUDA is asked for, since there is none.
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if enabled and device == "cuda":
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            enabled = False
        if growth_factor <= 1.0 or not 0.0 < backoff_factor < 1.0:
            raise ArgumentError(
                f"growth_factor must be > 1 and backoff_factor within (0, 1), found {growth_factor}, {backoff_factor}"
            )
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor, self._growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        self._good_steps = 0
        self._found_inf: dict[int, bool] = {}
        register_follower(self)

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """The factor; 1.0 when disabled."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """A loss, or a list of them, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(o) for o in outputs)
        return outputs * self._scale

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients by the factor and note whether one is inf or nan."""
        if not self._enabled:
            return
        if id(optimizer) in self._found_inf:
            raise ArgumentError("unscale_() has already been called on this optimizer since the last update().")
        bad = False
        for group in optimizer.param_groups:
            for p in group["params"]:
                bad = bad or id(p) in ctx.overflowed  # dropped on all ranks, because of an overflow on one
                if p.grad is not None:
                    a = p.grad.detach()
                    a.mul_(1.0 / self._scale)
                    bad = bad or not bool(np.isfinite(a.numpy()).all())
        self._found_inf[id(optimizer)] = bad

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """The optimizer's step, unless a gradient is inf or nan."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._found_inf:
            self.unscale_(optimizer)
        return None if self._found_inf[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Adapt the factor to what the steps since the last call found."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif any(self._found_inf.values()):
            self._scale *= self._backoff_factor
            self._good_steps = 0
        else:
            self._good_steps += 1
            if self._good_steps == self._growth_interval:
                self._scale *= self._growth_factor
                self._good_steps = 0
        self._found_inf.clear()
        ctx.overflowed.clear()

    def state_dict(self) -> dict[str, Any]:
        """Factor and counters; empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._good_steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state back."""
        if not self._enabled:
            return
        if not state_dict:
            raise ArgumentError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = state_dict["scale"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._good_steps = state_dict["growth_interval"], state_dict["_growth_tracker"]


def custom_fwd(function: Any = None, *, device_type: str = "cuda", cast_inputs: Any = None) -> Any:
    """The function itself: nothing is cast."""
    return function if function is not None else lambda f: f


def custom_bwd(function: Any = None, *, device_type: str = "cuda") -> Any:
    """The function itself: nothing is cast."""
    return function if function is not None else lambda f: f


def is_autocast_available(device_type: str) -> bool:
    """False."""
    return False


__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
