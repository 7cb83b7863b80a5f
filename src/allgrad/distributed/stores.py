"""Key-value stores with PyTorch's names: small texts and counters that processes share beside the collectives.

``HashStore`` lives in one process, ``FileStore`` in a file that processes share, ``PrefixStore`` gives another store's keys a
prefix; ``TCPStore`` is in ``tcp_store.py``.  Values are bytes; what does not come within the timeout is DistStoreError.
"""

from __future__ import annotations

import base64
import datetime
import fcntl
import json
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from allgrad.distributed.group import seconds
from allgrad.errors import ArgumentError, DistStoreError

Value = bytes | str
DEFAULT_S = 300.0


def as_bytes(value: Value) -> bytes:
    """Texts are stored as UTF-8."""
    return value.encode() if isinstance(value, str) else bytes(value)


Table = dict[str, bytes]


def _set(table: Table, keys: list[str], values: list[bytes]) -> None:
    table.update(zip(keys, values))


def _read(table: Table, keys: list[str]) -> list[bytes | None]:
    return [table.get(k) for k in keys]


def _add(table: Table, keys: list[str], amount: int) -> int:
    (key,) = keys
    total = int(table.get(key, b"0")) + amount
    table[key] = str(total).encode()
    return total


def _append(table: Table, keys: list[str], value: bytes) -> None:
    (key,) = keys
    table[key] = table.get(key, b"") + value


def _compare_set(table: Table, keys: list[str], expected: bytes, desired: bytes) -> bytes:
    (key,) = keys
    if table.get(key, b"") == expected:
        table[key] = desired
    return table.get(key, expected)


def _check(table: Table, keys: list[str]) -> bool:
    return all(k in table for k in keys)


def _delete(table: Table, keys: list[str]) -> bool:
    (key,) = keys
    return table.pop(key, None) is not None


def _count(table: Table, keys: list[str]) -> int:
    return len(table)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "set": _set,
    "read": _read,
    "add": _add,
    "append": _append,
    "compare_set": _compare_set,
    "check": _check,
    "delete": _delete,
    "count": _count,
}


class Store(ABC):
    """What every store can do.  Each operation is atomic; ``get`` and ``wait`` wait for keys that others will set."""

    def __init__(self, timeout: Any = None) -> None:
        self._timeout_s = seconds(timeout) or DEFAULT_S

    @property
    def timeout(self) -> datetime.timedelta:
        """How long ``get`` and ``wait`` wait."""
        return datetime.timedelta(seconds=self._timeout_s)

    def set_timeout(self, timeout: Any) -> None:
        """Wait for ``timeout`` (timedelta or seconds) from now on."""
        self._timeout_s = seconds(timeout) or DEFAULT_S

    @abstractmethod
    def _do(self, name: str, keys: list[str], *values: Any) -> Any:
        """Run one of ``OPERATIONS`` on the table while nobody else does."""

    def set(self, key: str, value: Value) -> None:
        """Write ``value`` under ``key``."""
        self._do("set", [key], [as_bytes(value)])

    def get(self, key: str) -> bytes:
        """The value of ``key``, once it is there."""
        return self.multi_get([key])[0]

    def add(self, key: str, amount: int) -> int:
        """Add to the counter ``key``, which begins at 0; its new value."""
        found: int = self._do("add", [key], int(amount))
        return found

    def append(self, key: str, value: Value) -> None:
        """Put ``value`` behind what ``key`` holds."""
        self._do("append", [key], as_bytes(value))

    def compare_set(self, key: str, expected_value: Value, desired_value: Value) -> bytes:
        """Write ``desired_value`` if ``key`` holds ``expected_value``, or is new and that is empty; what it holds then."""
        found: bytes = self._do("compare_set", [key], as_bytes(expected_value), as_bytes(desired_value))
        return found

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all ``keys`` are there."""
        found: bool = self._do("check", list(keys))
        return found

    def delete_key(self, key: str) -> bool:
        """Take ``key`` away; whether it was there."""
        found: bool = self._do("delete", [key])
        return found

    def num_keys(self) -> int:
        """How many keys there are."""
        found: int = self._do("count", [])
        return found

    def multi_set(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        """``set`` for several keys at once."""
        if len(keys) != len(values):
            raise ArgumentError(f"multi_set needs one value per key, found {len(keys)} keys and {len(values)} values")
        self._do("set", list(keys), [as_bytes(v) for v in values])

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """``get`` for several keys."""
        self.wait(keys)
        found: list[bytes | None] = self._do("read", list(keys))
        for key, value in zip(keys, found):
            if value is None:
                raise DistStoreError(f"key {key!r} was deleted while it was read")
        return [value for value in found if value is not None]

    def wait(self, keys: Sequence[str], timeout: Any = None) -> None:
        """Return once all ``keys`` are there; DistStoreError naming those that did not come in time."""
        limit = seconds(timeout) or self._timeout_s
        until, pause = time.monotonic() + limit, 0.001
        while not self.check(keys):
            if time.monotonic() > until:
                missing = [k for k in keys if not self.check([k])]
                raise DistStoreError(
                    f"wait timeout after {limit:g} s, keys that nobody has set: {', '.join(missing)}. A rank that should "
                    "set them has failed, or uses another store or prefix"
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.05)


class HashStore(Store):
    """A store in the memory of one process, for its threads."""

    def __init__(self, timeout: Any = None) -> None:
        super().__init__(timeout)
        self._table: Table = {}
        self._lock = threading.Lock()

    def _do(self, name: str, keys: list[str], *values: Any) -> Any:
        with self._lock:
            return OPERATIONS[name](self._table, keys, *values)


class FileStore(Store):
    """A store in the file ``file_name``, which all processes can lock; its creator may delete it afterwards."""

    def __init__(self, file_name: str | os.PathLike[str], world_size: int = -1, timeout: Any = None) -> None:
        super().__init__(timeout)
        self.path = os.fspath(file_name)
        self.world_size = world_size
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._threads = threading.Lock()  # a file lock belongs to the process: it does not part its threads

    def _do(self, name: str, keys: list[str], *values: Any) -> Any:
        with self._threads, open(self.path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
            before = file.read()
            try:
                table = {k: base64.b64decode(v) for k, v in json.loads(before or b"{}").items()}
            except (ValueError, AttributeError, TypeError) as error:
                raise DistStoreError(f"{self.path} is not a file of FileStore: {error}") from None
            found = OPERATIONS[name](table, keys, *values)
            if name not in ("read", "check", "count"):
                file.seek(0)
                file.write(json.dumps({k: base64.b64encode(v).decode() for k, v in table.items()}).encode())
                file.truncate()
            return found


class PrefixStore(Store):
    """Another store, in which every key begins with ``prefix/``."""

    def __init__(self, prefix: str, store: Store) -> None:
        super().__init__(store.timeout)
        self.prefix, self.underlying_store = prefix, store

    def _do(self, name: str, keys: list[str], *values: Any) -> Any:
        return self.underlying_store._do(name, [f"{self.prefix}/{k}" for k in keys], *values)
