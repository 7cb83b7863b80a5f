"""The table of calls by which ``nn.functional`` is compared with PyTorch: name, arguments, settings.

Arrays of float64 are differentiated; everything else is passed as it is.  Each case draws its numbers from a seed
of its own, so that stored references stay valid when cases are added.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call.  ``second`` says whether PyTorch has the second derivative to compare with.

    ``tolerance`` is wider where PyTorch itself rounds to single precision on the way.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    second: bool = True
    label: str = ""
    tolerance: float = 1e-9


@dataclass(frozen=True)
class Fixed:
    """A floating array that is not differentiated."""

    array: Any


class Table:
    """Cases under construction: ``R(...)`` draws normals, ``N(...)`` whole numbers, ``U(...)`` uniform numbers."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.rng = np.random.default_rng(0)
        self.seed("")

    def seed(self, label: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(label.encode()))

    def add(self, name: str, make: Any, second: bool = True, tolerance: float = 1e-9, **kwargs: Any) -> None:
        """One case: ``make(self)`` gives the positional arguments."""
        label = f"{len([c for c in self.cases if c.name == name])}"
        self.seed(f"{name} {label}")
        args = make(self)
        kwargs = {k: v(self) if callable(v) and not isinstance(v, type) else v for k, v in kwargs.items()}
        self.cases.append(
            Case(name, args if isinstance(args, tuple) else (args,), kwargs, second, f"{name}-{label}", tolerance)
        )

    def R(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape)

    def U(self, *shape: int, low: float = 0.05, high: float = 0.95) -> Any:
        return self.rng.uniform(low, high, shape)

    def N(self, high: int, *shape: int) -> Any:
        return self.rng.integers(0, high, shape)

    def P(self, *shape: int) -> Any:
        p = self.rng.uniform(0.1, 1, shape)
        return p / p.sum(1, keepdims=True)

    def S(self, *shape: int) -> Any:
        """-1.0 or 1.0, as integers so that they are not differentiated."""
        return self.rng.integers(0, 2, shape) * 2 - 1
