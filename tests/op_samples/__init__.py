"""One sample or more for every op of the table: inputs, settings, and an outside reference for the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sample:
    """Inputs as float64 arrays (or what the op takes), settings, and what the value must be.

    ``reference`` gets the same inputs and settings; None where the op is its own definition in NumPy.
    ``wrt`` names the inputs with a derivative; None means every floating input with a pullback.
    ``second`` says whether the second derivative is checked too.
    """

    inputs: tuple[Any, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    wrt: tuple[int, ...] | None = None
    second: bool = True
