"""``detect_anomaly``: find the forward line behind a failing backward or the first NaN gradient."""

from __future__ import annotations

from allgrad.context import ctx


class set_detect_anomaly:
    """Anomaly mode of this thread on or off, from now on or inside a ``with`` block.

    Slow: each operation notes the stack it ran in.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = (ctx.anomaly, ctx.anomaly_check_nan)
        ctx.anomaly, ctx.anomaly_check_nan = mode, check_nan

    def __enter__(self) -> None:
        """The mode was set when the object was made."""

    def __exit__(self, *exc: object) -> None:
        ctx.anomaly, ctx.anomaly_check_nan = self.before


class detect_anomaly:
    """``with detect_anomaly():`` an error in backward, or a NaN that it makes, names the forward line."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.before = (ctx.anomaly, ctx.anomaly_check_nan)

    def __enter__(self) -> None:
        self.before = (ctx.anomaly, ctx.anomaly_check_nan)
        ctx.anomaly, ctx.anomaly_check_nan = True, self.check_nan

    def __exit__(self, *exc: object) -> None:
        ctx.anomaly, ctx.anomaly_check_nan = self.before


def is_anomaly_enabled() -> bool:
    """Whether this thread is in anomaly mode."""
    return ctx.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode also looks for NaN in gradients."""
    return ctx.anomaly_check_nan
