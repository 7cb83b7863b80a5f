"""Functions of one float32 number for use inside kernels, written so that loops over them become vector instructions.

Coefficients of ``exp`` and ``tanh`` are those of S. Moshier's Cephes library (expf, tanhf); errors are below 3 units in
the last place.  nan stays nan, and exp reaches 0 and infinity.
"""

from __future__ import annotations

import numba
import numpy as np

F = np.float32
# Inlined as compiled code, not as source: the sums of a kernel may change their order, the differences in here must not.
_inside = numba.njit(forceinline=True, error_model="numpy", fastmath={"contract"})

LOG2_E, LN2_HIGH, LN2_LOW = F(1.4426950408889634), F(0.693359375), F(-2.12194440e-4)
E0, E1, E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
E3, E4, E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
T0, T1, T2 = F(-5.70498872745e-3), F(2.06390887954e-2), F(-5.37397155531e-2)
T3, T4 = F(1.33314422036e-1), F(-3.33332819422e-1)
LOW, HIGH, HALF, ONE, TWO, ZERO = F(-87.0), F(88.0), F(0.5), F(1), F(2), F(0)
INFINITY, OVERFLOW, NEAR = F(np.inf), F(88.7228), F(0.625)


@_inside
def exp(x):
    """e to the power x."""
    # Comparisons in this order keep nan.
    y = LOW if x < LOW else x
    y = HIGH if y > HIGH else y
    n = np.floor(y * LOG2_E + HALF)
    r = y - n * LN2_HIGH - n * LN2_LOW
    p = (((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5) * r * r + r + ONE
    # 2 to the power n, written into the exponent of a float.
    p = p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    p = ZERO if x < LOW else p
    return INFINITY if x > HIGH else p


@_inside
def less(x, top, level):
    """x - top - level in this order: x and top may be large and nearly equal."""
    return (x - top) - level


@_inside
def logistic(x):
    """1 / (1 + exp(-x))."""
    return ONE / (ONE + exp(-x))


@_inside
def tanh(x):
    """The hyperbolic tangent: a polynomial near 0, exponentials beyond."""
    s = x * x
    near = x + x * s * ((((T0 * s + T1) * s + T2) * s + T3) * s + T4)
    far = ONE - TWO / (exp(x + x) + ONE)
    return far if abs(x) > NEAR else near
