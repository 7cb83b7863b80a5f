"""Whole objects, such as modules: the only place where pickle is used, and only where the user said so.

Their Tensors are not pickled: they lie beside, in the table of arrays, and keep sharing memory.
Loading a pickle can run any code, so ``load`` comes here only with ``weights_only=False``.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import CheckpointError, DtypeError
from allgrad.nn.parameter import is_lazy


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, describe: Callable[[Any], str]) -> None:
        super().__init__(file, protocol=4)
        self._describe = describe

    def persistent_id(self, obj: Any) -> str | None:
        """Tensors go to the table of arrays; the pickle holds their node of the tree."""
        return self._describe(obj) if isinstance(obj, Variable) and not is_lazy(obj) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, fetch: Callable[[str], Any]) -> None:
        super().__init__(file)
        self._fetch = fetch

    def persistent_load(self, pid: str) -> Any:
        """A Tensor from the table of arrays."""
        return self._fetch(pid)


def dump(obj: Any, name: str, where: str, describe: Callable[[Any], str]) -> bytes:
    """The pickle of ``obj``; ``describe`` takes its Tensors.  DtypeError naming the place of what cannot be pickled."""
    file = io.BytesIO()
    try:
        _Pickler(file, describe).dump(obj)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise DtypeError(
            f"{where} is a {name}, which cannot be saved ({error}); save numbers, texts, containers, arrays and Tensors, "
            "for a module its state_dict()"
        ) from error
    return file.getvalue()


def restore(raw: bytes, where: str, fetch: Callable[[str], Any]) -> Any:
    """The object of a pickle, which may run code; CheckpointError naming its place if its classes are not here."""
    try:
        return _Unpickler(io.BytesIO(raw), fetch).load()
    except (pickle.UnpicklingError, ImportError, AttributeError, EOFError) as error:
        raise CheckpointError(
            f"{where} cannot be put together: {error!r}.  Its classes must be importable under the names they had when it "
            "was saved"
        ) from error
