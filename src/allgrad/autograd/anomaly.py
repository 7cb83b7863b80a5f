"""Anomaly mode: where in the user's program the forward of a failing backward ran."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allgrad.autograd.node import Node
from allgrad.context import ctx
from allgrad.errors import GradientError

_HERE = str(Path(__file__).resolve().parent.parent)


def user_line(node: Node) -> str:
    """The user's own line that ran the forward of ``node``, as ``file:line: code``."""
    frames: Sequence[traceback.FrameSummary] = node.trace or ()
    own = [f for f in frames if not f.filename.startswith(_HERE)] or list(frames)
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else "unknown; it ran outside detect_anomaly"


def check_finite(node: Node, results: Sequence[Any]) -> None:
    """GradientError naming the forward line if a gradient that the node returned holds NaN."""
    if not ctx.anomaly_check_nan:
        return
    for i, g in enumerate(results):
        if g is not None and np.isnan(getattr(g, "_a", g)).any():
            failing_forward(node, None)
            raise GradientError(
                f"Function '{node.name()}' returned nan values in its {i}th output. Its forward ran at {user_line(node)}"
            )


def failing_forward(node: Node, error: Exception | None) -> None:
    """Warn with the forward's stack when a backward rule fails under anomaly mode."""
    if not ctx.anomaly or node.trace is None:
        return
    if error is not None and sys.version_info >= (3, 11):
        error.add_note(f"the forward of {node.name()} ran at {user_line(node)}")
    text = "".join(traceback.format_list(node.trace))
    warnings.warn(
        f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{text}", stacklevel=2
    )
