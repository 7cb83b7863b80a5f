"""``autograd.graph``: nodes and edges, hooks on several gradients at once, hooks on what a graph saves."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from allgrad.autograd.inplace import bump
from allgrad.autograd.node import Node, as_function
from allgrad.autograd.record import add_hook, edge
from allgrad.autograd.value import Variable, wrap
from allgrad.context import ctx
from allgrad.errors import ArgumentError, GradientError

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """What operations inside save for backward goes through ``pack``, and through ``unpack`` when it is needed.

    ``pack(tensor)`` returns anything; ``unpack`` of that returns a Tensor with the same values.

    >>> import allgrad as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), torch.tensor):
    ...     y = (x * x).sum()  # lists are kept in place of Tensors
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if ctx.saved_hooks_refused is not None:
            raise GradientError(ctx.saved_hooks_refused)
        ctx.saved_hooks = [*ctx.saved_hooks, (self.pack_hook, self.unpack_hook)]

    def __exit__(self, *exc: object) -> None:
        ctx.saved_hooks = ctx.saved_hooks[:-1]


class save_on_cpu(saved_tensors_hooks):
    """Saved Tensors are copied; on a CPU that keeps them apart from later in-place changes."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_copied, _itself)


def _copied(t: Any) -> Any:
    return wrap(t._a.copy())


def _itself(t: Any) -> Any:
    return t


class disable_saved_tensors_hooks:
    """Using ``saved_tensors_hooks`` inside is an error with this message."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message
        self.before: str | None = None

    def __enter__(self) -> None:
        if ctx.saved_hooks:
            raise GradientError(self.error_message)
        self.before, ctx.saved_hooks_refused = ctx.saved_hooks_refused, self.error_message

    def __exit__(self, *exc: object) -> None:
        ctx.saved_hooks_refused = self.before


class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """In-place changes of saved Tensors are harmless inside: backward uses the values that were saved."""

    def __init__(self) -> None:
        super().__init__(_copied, _itself)


class GradientEdge(NamedTuple):
    """Where a gradient flows: into output ``output_nr`` of ``node``; stands for a Tensor in ``grad(inputs=...)``."""

    node: Any
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge that the gradient of ``tensor`` takes; it keeps no values alive."""
    target = edge(tensor)
    if target is None:
        raise GradientError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node, output_nr = as_function(target)
    return GradientEdge(node, output_nr, target)


def increment_version(tensor: Any) -> None:
    """Say that the memory of a Tensor (or of each of several) was changed by means that autograd cannot see."""
    for t in (tensor,) if isinstance(tensor, Variable) else tensor:
        if t._inference:
            raise GradientError("increment_version: an inference Tensor has no version")
        bump(t, "increment_version")


class MultiGradHook:
    """A hook on several Tensors; ``remove()`` takes it from all."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hook away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> MultiGradHook:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Iterable[Any], fn: Callable[[Any], None], *, mode: str = "all") -> MultiGradHook:
    """Call ``fn`` in a backward pass once the gradients of all ``tensors`` that it reaches are known.

    ``fn`` gets a list with None for those that it does not reach; with ``mode="any"`` the first gradient alone.
    """
    if mode not in ("all", "any"):
        raise ArgumentError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    watched = list(tensors)
    # What has arrived so far, by backward pass: two passes may run at once, in two threads or one inside the other.
    arrived: weakref.WeakKeyDictionary[Any, dict[int, Any]] = weakref.WeakKeyDictionary()
    expected: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
    targets = [edge(t) for t in watched]

    def hook_of(i: int) -> Callable[[Any], None]:
        def hook(g: Any) -> None:
            walk = ctx.walk
            grads = arrived.setdefault(walk, {})
            grads[i] = g
            if mode == "any":
                if len(grads) == 1:
                    fn(g)
                return
            if walk not in expected:
                expected[walk] = sum(walk.reaches(target) for target in targets)
            if len(grads) == expected[walk]:
                fn([grads.get(k) for k in range(len(watched))])

        return hook

    return MultiGradHook([add_hook(t, hook_of(i)) for i, t in enumerate(watched)])
