"""A reader of pickles that cannot run code: an interpreter of the few opcodes that plain containers are made of.

It imports nothing by name.  A pickle names the functions that it wants called; here a name is looked up in one table
of harmless constructors, and anything else is an error that says the name.  Every allocation is bounded by the length
of the pickle.  Opcodes as in the format's description in Python's ``pickletools``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from allgrad.errors import AllgradError, CheckpointError
from allgrad.ops.op import Recorded

_MARK = object()
_TUPLES = {b")": 0, b"\x85": 1, b"\x86": 2, b"\x87": 3}
_CONSTANTS: dict[bytes, Any] = {b"N": None, b"\x88": True, b"\x89": False}
_EMPTY: dict[bytes, Callable[[], Any]] = {b"]": list, b"}": dict, b"\x8f": set}
_NUMBERS = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
# opcode: how its length is written, what its bytes become
_BYTES: dict[bytes, tuple[str, Callable[[bytes], Any]]] = {
    b"X": ("<I", lambda raw: raw.decode("utf-8", "surrogatepass")),
    b"\x8c": ("<B", lambda raw: raw.decode("utf-8", "surrogatepass")),
    b"\x8d": ("<Q", lambda raw: raw.decode("utf-8", "surrogatepass")),
    b"B": ("<I", bytes),
    b"C": ("<B", bytes),
    b"\x8e": ("<Q", bytes),
    b"\x96": ("<Q", bytearray),
    b"T": ("<i", lambda raw: raw.decode("latin-1")),
    b"U": ("<B", lambda raw: raw.decode("latin-1")),
    b"\x8a": ("<B", lambda raw: int.from_bytes(raw, "little", signed=True)),
    b"\x8b": ("<i", lambda raw: int.from_bytes(raw, "little", signed=True)),
}
_GETS = {b"h": "<B", b"j": "<I"}
_PUTS = {b"q": "<B", b"r": "<I"}


class Allowed:
    """A harmless constructor under the name that pickles call it by; ``call`` is None for a mere value, ``value``."""

    __slots__ = ("call", "name", "value")

    def __init__(self, name: str, call: Callable[..., Any] | None = None, value: Any = None) -> None:
        self.name = name
        self.call = call
        self.value = value


class Reader:
    """Reads one pickle.  ``names``: what may be named; ``fetch``: persistent ids; ``build``: state put on an object."""

    def __init__(
        self,
        raw: bytes,
        names: Mapping[str, Allowed],
        fetch: Callable[[Any], Any],
        build: Callable[[Any, Any], None],
        source: str,
    ) -> None:
        self._raw = raw
        self._at = 0
        self._names = names
        self._fetch = fetch
        self._build = build
        self._source = source
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0  # elements that constructors have copied

    def load(self) -> Any:
        """The value of the pickle; CheckpointError for whatever is not plain data."""
        try:
            while (code := self._take(1)) != b".":
                self._step(code)
            found = self._stack.pop()
        except CheckpointError:
            raise
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            RecursionError,
            AllgradError,
        ) as error:
            raise CheckpointError(
                f"{self._source} is damaged: its pickle breaks at byte {self._at} ({error!r})"
            ) from error
        return _plain(found)

    # -- the opcodes -------------------------------------------------------------------------------

    def _step(self, code: bytes) -> None:
        stack = self._stack
        if code in _GETS:
            stack.append(self._memo[self._number(_GETS[code])])
        elif code in _PUTS:
            self._memo[self._number(_PUTS[code])] = stack[-1]
        elif code == b"\x94":
            self._memo[len(self._memo)] = stack[-1]
        elif code in _BYTES:
            width, make = _BYTES[code]
            stack.append(make(self._take(self._number(width))))
        elif code in _NUMBERS:
            stack.append(self._number(_NUMBERS[code]))
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            n = _TUPLES[code]
            items = tuple(_plain(x) for x in self._pop(n))
            stack.append(items)
        elif code == b"(":
            stack.append(_MARK)
        elif code == b"\x80":
            if self._number("<B") > 5:
                raise CheckpointError(f"{self._source}: its pickle is of a newer kind than 5")
        elif code == b"\x95":
            self._take(8)  # how long a frame is; nothing to do
        else:
            self._build_up(code)

    def _build_up(self, code: bytes) -> None:
        stack = self._stack
        if code == b"t":
            stack.append(tuple(self._marked()))
        elif code == b"l":
            stack.append(self._marked())
        elif code == b"\x91":
            stack.append(frozenset(check_key(x) for x in self._marked()))
        elif code == b"d":
            stack.append(dict(_pairs(self._marked())))
        elif code in (b"e", b"a"):
            items = self._marked() if code == b"e" else [_plain(stack.pop())]
            self._top(list).extend(items)
        elif code in (b"u", b"s"):
            items = self._marked() if code == b"u" else [_plain(x) for x in self._pop(2)]
            self._top(dict).update(_pairs(items))
        elif code == b"\x90":
            items = [check_key(x) for x in self._marked()]
            self._top(set).update(items)
        elif code == b"c":
            module, name = self._line(), self._line()
            stack.append(self._named(module, name))
        elif code == b"\x93":
            module, name = self._pop(2)
            stack.append(self._named(module, name))
        elif code in (b"R", b"\x81"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif code == b"b":
            state = _plain(stack.pop())
            self._build(stack[-1], state)
        elif code == b"Q":
            stack.append(self._fetch(stack.pop()))
        elif code == b"0":
            stack.pop()
        elif code == b"2":
            stack.append(stack[-1])
        else:
            raise CheckpointError(
                f"{self._source}: its pickle has the opcode {code!r} at byte {self._at - 1}, which plain data do not need; "
                "nothing of it was run"
            )

    # -- parts -------------------------------------------------------------------------------------

    def _take(self, n: int) -> bytes:
        if not 0 <= n <= len(self._raw) - self._at:
            raise CheckpointError(f"{self._source} was cut off: its pickle ends inside a value")
        self._at += n
        return self._raw[self._at - n : self._at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._raw.index(b"\n", self._at)
        line = self._raw[self._at : end].decode("utf-8")
        self._at = end + 1
        return line

    def _pop(self, n: int) -> list[Any]:
        if len(self._stack) < n:
            raise CheckpointError(f"{self._source} is damaged: its pickle takes more than there is")
        items = self._stack[len(self._stack) - n :]
        del self._stack[len(self._stack) - n :]
        return items

    def _marked(self) -> list[Any]:
        items = []
        while (x := self._stack.pop()) is not _MARK:
            items.append(_plain(x))
        return items[::-1]

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise CheckpointError(f"{self._source} is damaged: its pickle fills a {type(self._stack[-1]).__name__}")
        return self._stack[-1]

    def _named(self, module: Any, name: Any) -> Allowed:
        found = self._names.get(f"{module}.{name}")
        if found is None:
            raise CheckpointError(
                f"Weights only load failed: {self._source} asks for {module}.{name}, which is not plain data: only Tensors, "
                "containers, numbers and texts are read, and nothing was run.  Save the state_dict() in PyTorch instead"
            )
        return found

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Allowed) or function.call is None or type(arguments) is not tuple:
            raise CheckpointError(f"{self._source} is damaged or unsafe: its pickle calls what is no constructor")
        # One long list copied by many short calls would fill the memory from a small file.
        self._copied += sum(len(x) for x in arguments if hasattr(x, "__len__") and not isinstance(x, Recorded))
        if self._copied > 4 * len(self._raw):
            raise CheckpointError(f"{self._source} is unsafe: its pickle copies more than it holds")
        return function.call(*arguments)


def _plain(x: Any) -> Any:
    """What stands for ``x`` in a container: the value of a name, for a marker of the stack an error."""
    if isinstance(x, Allowed):
        return x if x.value is None else x.value
    if x is _MARK:
        raise CheckpointError("a pickle is damaged: a mark stands in place of a value")
    return x


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise CheckpointError("a pickle is damaged: a key has no value")
    return [(check_key(key), value) for key, value in zip(items[::2], items[1::2])]


def check_key(x: Any, depth: int = 0) -> Any:
    """``x`` as a key or a set's element: hashing a tuple nested a million deep would end the process."""
    if isinstance(x, tuple):
        if depth > 20:
            raise CheckpointError("a pickle is damaged or unsafe: a key is nested more than 20 deep")
        for part in x:
            check_key(part, depth + 1)
    return x
