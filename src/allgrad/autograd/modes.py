"""Grad mode and inference mode, of the calling thread only: context managers and decorators.

    with no_grad(): ...          @no_grad()           @no_grad
                                 def f(): ...         def f(): ...

A decorated generator function runs each of its steps in the mode, and its caller outside of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from allgrad.context import ctx
from allgrad.errors import DtypeError

Function = TypeVar("Function", bound=Callable[..., Any])


class GradMode:
    """A mode to enter: what grad mode and inference mode shall be inside; None leaves as it is."""

    grad: bool | None = None
    inference: bool | None = None

    def __init__(self) -> None:
        self.before: list[tuple[bool, bool]] = []  # a stack: one object may be entered again inside itself

    def __enter__(self) -> None:
        self.before.append((ctx.grad_enabled, ctx.inference))
        if self.grad is not None:
            ctx.grad_enabled = self.grad
        if self.inference is not None:
            ctx.inference = self.inference

    def __exit__(self, *exc: object) -> None:
        ctx.grad_enabled, ctx.inference = self.before.pop()

    def clone(self) -> GradMode:
        """The same mode, not entered yet: decorated functions take one for each call."""
        return type(self)()

    def __call__(self, function: Function) -> Function:
        """``function`` run in this mode."""
        if isinstance(function, type):
            raise DtypeError(
                f"{type(self).__name__} decorates functions and methods, not the class {function.__name__}: "
                "decorate its __init__"
            )
        clone = self.clone
        if inspect.isgeneratorfunction(function):
            return _generator(function, clone)  # type: ignore[return-value]

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with clone():
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def _generator(function: Callable[..., Any], clone: Callable[[], GradMode]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = function(*args, **kwargs)
        try:
            with clone():
                shown = next(steps)
            while True:
                try:
                    sent = yield shown
                except GeneratorExit:
                    with clone():
                        steps.close()
                    raise
                except BaseException as error:
                    with clone():
                        shown = steps.throw(error)
                else:
                    with clone():
                        shown = steps.send(sent)
        except StopIteration as end:
            return end.value

    return inside


class _Bare(GradMode):
    """A mode without arguments: ``@no_grad`` does what ``@no_grad()`` does."""

    def __new__(cls, function: Any = None) -> Any:
        made = object.__new__(cls)
        if function is None:
            return made
        GradMode.__init__(made)
        return made(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class no_grad(_Bare):
    """Nothing is recorded inside: results do not require grad.

    >>> import allgrad as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    grad = False


class enable_grad(_Bare):
    """Operations are recorded inside, also within ``no_grad``."""

    grad = True


class set_grad_enabled(GradMode):
    """Grad mode on or off from now on, or inside a ``with`` block, or in a decorated function."""

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise DtypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        super().__init__()
        self.mode = self.grad = mode
        self.set_from = ctx.grad_enabled
        ctx.grad_enabled = mode

    def __enter__(self) -> None:
        # The mode was set when the object was made; leaving goes back to what was before that.
        self.before.append((self.set_from, ctx.inference))
        ctx.grad_enabled = self.mode

    def clone(self) -> GradMode:
        return set_grad_enabled(self.mode)

    def __call__(self, function: Function) -> Function:
        ctx.grad_enabled = self.set_from
        return super().__call__(function)


class inference_mode(GradMode):
    """No recording, no version numbers to keep, no views to track: results can never enter a graph."""

    def __new__(cls, mode: Any = True) -> Any:
        made = object.__new__(cls)
        if isinstance(mode, bool):
            return made
        inference_mode.__init__(made)
        return made(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = bool(mode)
        self.grad = not self.mode
        self.inference = self.mode

    def clone(self) -> GradMode:
        return inference_mode(self.mode)


class set_multithreading_enabled(GradMode):
    """Accepted for programs that switch it: a backward pass runs in the thread that called it, always."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode

    def clone(self) -> GradMode:
        return set_multithreading_enabled(self.mode)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return ctx.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return ctx.inference
