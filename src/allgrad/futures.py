"""``Future``: a value that will be there later, as PyTorch's ``torch.futures`` has it.

A future over a communication is pushed on by whoever waits for it; callbacks run then, so they run in the same order on
every rank as long as the futures are waited for in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from allgrad.errors import ArgumentError

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A value set by ``set_result``, or fetched by ``fetch`` when somebody waits for it."""

    def __init__(self, *, devices: Any = None, fetch: Callable[[], Any] | None = None) -> None:
        self._fetch = fetch
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def done(self) -> bool:
        """Whether the value, or an error, is there."""
        return self._done

    def wait(self) -> Any:
        """The value; raises what went wrong instead, if something did."""
        if not self._done:
            if self._fetch is None:
                raise ArgumentError(
                    "this future has no result and nobody under way to set one; call set_result() first"
                )
            try:
                value = self._fetch()
            except Exception as error:
                self.set_exception(error)
            else:
                self.set_result(value)
        return self.value()

    def value(self) -> Any:
        """The value of a future that is done."""
        if not self._done:
            raise ArgumentError("value() was asked of a future that is not done; use wait()")
        if self._error is not None:
            raise self._error
        return self._value

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A future of ``callback(self)``, called when this one is done."""

        def fetch() -> Any:
            if not self._done and self._fetch is not None:
                try:
                    self.wait()
                except Exception:
                    if self._error is None:
                        raise
            return callback(self)

        chained = Future(fetch=fetch)
        if self._done or self._fetch is None:
            self.add_done_callback(lambda _: chained._settle())
        return chained

    def _settle(self) -> None:
        """Fetch now; an error stays in the future."""
        if not self._done and self._fetch is not None:
            try:
                value = self._fetch()
            except Exception as error:
                self.set_exception(error)
            else:
                self.set_result(value)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call ``callback(self)`` when it is done; now, if it is."""
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def set_result(self, result: Any) -> None:
        """Here is the value; only once."""
        self._end(result, None)

    def set_exception(self, result: BaseException) -> None:
        """It went wrong."""
        if not isinstance(result, BaseException):
            raise ArgumentError(f"{result!r} is of type {type(result).__name__}, not an Exception.")
        self._end(None, result)

    def _end(self, value: Any, error: BaseException | None) -> None:
        if self._done:
            raise ArgumentError("the result of this future was set already")
        self._done, self._value, self._error, self._fetch = True, value, error, None
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


def collect_all(futures: Sequence[Future]) -> Future:
    """A future of the list of all of ``futures``, done when they are."""

    def fetch() -> list[Future]:
        for each in futures:
            each.wait()
        return list(futures)

    return Future(fetch=fetch)


def wait_all(futures: Sequence[Future]) -> list[Any]:
    """The values of all."""
    return [each.wait() for each in futures]
