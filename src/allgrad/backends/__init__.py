"""Switches of PyTorch's backends: they can be read and set; only the thread counts mean something here."""

from __future__ import annotations


class _Switches:
    """Attributes that programs set, and a backend that is not there."""

    enabled = False
    benchmark = False
    deterministic = True
    allow_tf32 = False

    def is_available(self) -> bool:
        """False."""
        return False

    def is_built(self) -> bool:
        """False."""
        return False

    def version(self) -> None:
        """None: there is none."""
        return


class _CudaSwitches(_Switches):
    """``backends.cuda``: its matmul switches too."""

    def __init__(self) -> None:
        self.matmul = _Switches()


cudnn = _Switches()
mps = _Switches()
mkldnn = _Switches()
openmp = _Switches()
mkl = _Switches()
cuda = _CudaSwitches()


class _Cpu:
    """``backends.cpu``."""

    def get_cpu_capability(self) -> str:
        """Named as NumPy's dispatch does it: by its own features."""
        return "NUMPY"


cpu = _Cpu()

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
