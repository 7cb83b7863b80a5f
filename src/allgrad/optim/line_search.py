"""A line search for the strong Wolfe conditions (Nocedal & Wright, Numerical Optimization, algorithms 3.5 and 3.6).

The steps tried, the safeguards and the bounds are those of minFunc (Mark Schmidt), which PyTorch uses too, so that both
visit the same points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Point(NamedTuple):
    """A step length, and there the value, the gradient, and the slope along the direction."""

    step: float
    value: float
    grad: Array
    slope: float


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with these slopes is least, kept within [low, high]; else their middle."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    left, right = (a, b) if a.step <= b.step else (b, a)
    scale = right.slope - left.slope + 2 * d2
    if scale == 0:
        return (low + high) / 2.0
    found = right.step - (right.step - left.step) * ((right.slope + d2 - d1) / scale)
    return min(max(found, low), high)


def strong_wolfe(
    evaluate: Callable[[float], tuple[float, Array]], direction: Array, step: float, start: Point, *,
    most: int, c1: float = 1e-4, c2: float = 0.9, tolerance_change: float = 1e-9,
) -> tuple[Point, int]:  # fmt: skip
    """The point found and how often ``evaluate(step) -> (value, gradient)`` was called, at most ``most`` + 1 times."""

    def at(step: float) -> Point:
        value, grad = evaluate(step)
        return Point(step, value, grad, float(np.dot(grad, direction)))

    def too_high(p: Point) -> bool:
        return p.value > start.value + c1 * p.step * start.slope

    def flat_enough(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    before, here, tried = start, at(step), 0
    bracket: list[Point] | None = None
    while tried < most:
        if too_high(here) or (tried > 1 and here.value >= before.value):
            bracket = [before, here]
        elif flat_enough(here):
            return here, tried + 1
        elif here.slope >= 0:
            bracket = [before, here]
        if bracket is not None:
            break
        step = cubic_minimum(before, here, here.step + 0.01 * (here.step - before.step), here.step * 10)
        before, here, tried = here, at(step), tried + 1
    if bracket is None:
        bracket = [start, here]
    return _zoom(bracket, at, too_high, flat_enough, float(np.abs(direction).max()), most, tried, tolerance_change)


def _zoom(
    bracket: list[Point], at: Callable[[float], Point], too_high: Callable[[Point], bool],
    flat_enough: Callable[[Point], bool], scale: float, most: int, tried: int, tolerance_change: float,
) -> tuple[Point, int]:  # fmt: skip
    """Narrow a bracket until a point in it satisfies both conditions, or it is too small to matter."""
    calls = tried + 1
    low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
    stuck = False
    while tried < most:
        left, right = sorted((bracket[0].step, bracket[1].step))
        if (right - left) * scale < tolerance_change:
            break
        step = cubic_minimum(bracket[0], bracket[1], left, right)
        # A trial close to an end of the bracket twice in a row, or on it, moves a tenth inward.
        margin = 0.1 * (right - left)
        if min(right - step, step - left) < margin:
            if stuck or step >= right or step <= left:
                step = right - margin if abs(step - right) < abs(step - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        here = at(step)
        calls, tried = calls + 1, tried + 1
        if too_high(here) or here.value >= bracket[low].value:
            bracket[high] = here
            low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
            continue
        done = flat_enough(here)
        if not done and here.slope * (bracket[high].step - bracket[low].step) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = here
        if done:
            break
    return bracket[low], calls
