"""Trading time for memory: what a stretch of the forward saves is dropped, and computed again in backward.

    y = checkpoint(block, x, use_reentrant=False)

Without re-entrance the stretch is recorded as usual, only that each saved array is replaced by its number.  The first
one that backward asks for runs the stretch again and finds them all.  With re-entrance the stretch is one custom
Function whose backward runs forward and a backward of its own.  Both replay the default generator.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from allgrad.autograd import backward as run_backward
from allgrad.autograd.function import Function
from allgrad.autograd.graph import saved_tensors_hooks
from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import Variable, wrap
from allgrad.autograd.saved import Packed
from allgrad.context import ctx as context
from allgrad.errors import ArgumentError, GradientError, InplaceError
from allgrad.random import fork_rng, get_rng_state, set_rng_state

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential", "noop_context_fn"]


class CheckpointError(GradientError):
    """The second run of a checkpointed function saved other things than the first."""


class _Enough(BaseException):
    """All that backward wants has been computed again; no exception handler of the user's is to see it."""


def noop_context_fn() -> tuple[Any, Any]:
    """No context round the first run, none round the second."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)`` without keeping what its backward needs: backward runs it again.

    ``preserve_rng_state=False`` lets the second run draw other random numbers.  CheckpointError if the second run
    saves other shapes or dtypes than the first (not looked at with ``determinism_check="none"``).

    >>> import allgrad as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(lambda v: v.exp().log(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([1., 1.])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    if determinism_check not in ("default", "none"):
        raise ArgumentError(f"determinism_check should be one of ('default', 'none') but got {determinism_check}")
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ArgumentError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not noop_context_fn or debug:
            raise ArgumentError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        if context.grad_enabled and not any(isinstance(a, Variable) and a.requires_grad for a in args):  # type: ignore[attr-defined]
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)
        return _Reentrant.apply(function, preserve, *args)
    if not context.grad_enabled:
        return function(*args, **kwargs)
    first, second = context_fn()
    stretch = _Stretch(function, args, kwargs, preserve, second, determinism_check == "default", early_stop)
    with saved_tensors_hooks(stretch.number, stretch.array), first:
        return function(*args, **kwargs)


class _Argument:
    """A Tensor that a stretch will be run on again; an enclosing checkpoint may hold its values meanwhile."""

    def __init__(self, t: Any) -> None:
        self.requires_grad = t.requires_grad
        self.version = t._cell
        self.number = t._cell[0]
        self.packed = Packed(t._a, t._cell) if context.saved_hooks else None
        self.tensor = None if self.packed is not None else t

    def again(self) -> Any:
        """The same values, as a leaf."""
        if self.packed is not None:
            return wrap(self.packed.unpack()).requires_grad_(self.requires_grad)
        if self.version[0] != self.number:
            raise InplaceError(
                f"an input of a checkpointed function, of shape {list(self.tensor._a.shape)}, was changed in place (version "  # type: ignore[union-attr]
                f"{self.version[0]}; expected {self.number}) before backward ran the function again. Change a copy instead"
            )
        return self.tensor.detach().requires_grad_(self.requires_grad)  # type: ignore[union-attr]


class _Stretch:
    """One checkpointed call: how to run it again, and what it saved the first time."""

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], preserve: bool, second: Any, check: bool,
        early_stop: bool,
    ) -> None:  # fmt: skip
        self.function = function
        self.args = [_Argument(a) if isinstance(a, Variable) else a for a in args]
        self.kwargs = {k: _Argument(a) if isinstance(a, Variable) else a for k, a in kwargs.items()}
        self.state = get_rng_state() if preserve else None
        self.second = second
        self.check = check
        self.early_stop = early_stop
        self.saved: list[tuple[Any, Any]] = []  # shape and dtype of what the first run saved, in order
        # What the second run found, by backward pass, each value until it is fetched.
        self.found: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()

    def number(self, t: Any) -> int:
        """Pack: the place of a saved Tensor in the order of saving."""
        self.saved.append((t._a.shape, t._a.dtype))
        return len(self.saved) - 1

    def array(self, k: int) -> Any:
        """Unpack: the k-th saved Tensor, from the second run of this backward pass."""
        walk = context.walk
        found = self.found.get(walk) if walk is not None else None
        if found is None or k not in found:
            found = self._run_again()
            if walk is not None:
                self.found[walk] = found
        return found.pop(k)

    def _run_again(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        count = 0

        def keep(t: Any) -> None:
            nonlocal count
            k, count = count, count + 1
            if k < len(self.saved):
                self._check(k, t)
                found[k] = t
            if self.early_stop and count == len(self.saved):
                raise _Enough

        args = [a.again() if isinstance(a, _Argument) else a for a in self.args]
        kwargs = {k: a.again() if isinstance(a, _Argument) else a for k, a in self.kwargs.items()}
        hooks = saved_tensors_hooks(keep, _never)
        with contextlib.suppress(_Enough), _replayed(self.state), enable_grad(), self.second, hooks:
            self.function(*args, **kwargs)
        if self.check and count != len(self.saved):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.saved)}\nNumber of tensors saved "
                f"during recomputation: {count}. The function must do the same both times: look for state that it "
                "changes, or a condition that depends on it"
            )
        return found

    def _check(self, k: int, t: Any) -> None:
        shape, dtype = self.saved[k]
        if self.check and (t._a.shape != shape or t._a.dtype != dtype):
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                f"during the forward pass.\ntensor at position {k}:\nsaved: shape {list(shape)}, {dtype}\nrecomputed: "
                f"shape {list(t._a.shape)}, {t._a.dtype}"
            )


def _never(held: Any) -> Any:
    raise GradientError("the graph of a second run is not differentiated")


@contextlib.contextmanager
def _replayed(state: Any) -> Iterator[None]:
    """The default generator as it was at the first run, and afterwards as it is now."""
    with fork_rng(enabled=state is not None):
        if state is not None:
            set_rng_state(state)
        yield


class _Reentrant(Function):
    """A stretch as one node, whose backward runs the stretch and a backward through it."""

    @staticmethod
    def forward(ctx: Any, function: Any, preserve: bool, *args: Any) -> Any:
        ctx.function = function
        ctx.state = get_rng_state() if preserve else None
        ctx.args = [None if isinstance(a, Variable) else a for a in args]
        ctx.at = [i for i, a in enumerate(args) if isinstance(a, Variable)]
        ctx.save_for_backward(*[args[i] for i in ctx.at])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if context.walk.stops is not None:
            raise GradientError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                ".backward() without passing the `inputs` argument."
            )
        args = list(ctx.args)
        for i, t in zip(ctx.at, ctx.saved_tensors):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with _replayed(ctx.state), enable_grad():
            outputs = ctx.function(*args)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        live = [(o, g) for o, g in zip(outputs, grads) if isinstance(o, Variable) and o.requires_grad]  # type: ignore[attr-defined]
        if not live:
            raise GradientError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in live], [g for _, g in live])
        return (None, None, *(a._grad if isinstance(a, Variable) else None for a in args))


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A Sequential, or a list of functions, run in ``segments`` checkpointed stretches (the last one not)."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ArgumentError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    length = len(steps) // segments
    end = 0
    for start in range(0, length * (segments - 1), length):
        end = start + length
        input = checkpoint(_chain(steps[start:end]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _chain(steps[end:])(input)


def _chain(steps: Sequence[Any]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return run
