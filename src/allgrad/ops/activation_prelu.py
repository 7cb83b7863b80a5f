"""The leaky rectifier whose slope is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import gate, where
from allgrad.ops.op import op

Array = Any


@op
def prelu(x: Array, weight: Array) -> Array:
    """``x`` above 0, else ``weight * x``, broadcast."""
    return np.where(x > 0, x, weight * x)


prelu.pull(x=lambda g, x, weight: where(x > 0, g, g * weight), weight=lambda g, x: gate(g * x, x <= 0))
