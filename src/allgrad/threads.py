"""How many threads NumPy's BLAS uses: asked of and told to the library that is loaded."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

# OpenBLAS as NumPy's wheels name its functions, as Debian does, and MKL.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


@lru_cache(maxsize=1)
def _functions() -> tuple[Any, Any] | None:
    """(get, set) of the BLAS in this process; None if it has none of the known names."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "blas" in line.lower() or "mkl" in line.lower()}
    except OSError:  # no /proc: not Linux
        return None
    for path in sorted(paths):
        if not path.startswith("/") or ".so" not in path:
            continue
        library = ctypes.CDLL(path)
        for get, put in _NAMES:
            if hasattr(library, get):
                return getattr(library, get), getattr(library, put)
    return None


def blas_threads() -> int:
    """Threads of one product; 1 where the library cannot be asked."""
    found = _functions()
    return int(found[0]()) if found else 1


def set_blas_threads(n: int) -> bool:
    """Let one product use ``n`` threads; False where the library cannot be told."""
    found = _functions()
    if found is None:
        return False
    found[1](ctypes.c_int(n))
    return True
