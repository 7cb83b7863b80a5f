"""Hooks on modules: before and after forward, before and after backward; on one module or on all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allgrad.autograd.function import Function
from allgrad.autograd.node import RemovableHandle
from allgrad.autograd.record import Variable
from allgrad.context import ctx
from allgrad.errors import DtypeError

# Hooks on all modules.
_forward_pre: dict[int, Any] = {}
_forward: dict[int, Any] = {}
_backward_pre: dict[int, Any] = {}
_backward: dict[int, Any] = {}


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward of every module."""
    return RemovableHandle(_forward_pre, hook)


def register_module_forward_hook(hook: Callable[..., Any], *, always_call: bool = False) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after the forward of every module."""
    return RemovableHandle(_forward, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` after the backward of every module."""
    return RemovableHandle(_backward, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` before the backward of every module."""
    return RemovableHandle(_backward_pre, hook)


class Hooks:
    """The half of a module that calls hooks."""

    forward: Callable[..., Any]
    _forward_hooks: dict[int, Any]
    _forward_pre_hooks: dict[int, Any]
    _backward_hooks: dict[int, Any]
    _backward_pre_hooks: dict[int, Any]
    _with_kwargs: set[int]
    _always_called: set[int]

    def _init_hooks(self) -> None:
        put = object.__setattr__
        for name in (
            "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
            "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
        ):  # fmt: skip
            put(self, name, {})
        put(self, "_with_kwargs", set())
        put(self, "_always_called", set())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__  # one look-up instead of four: this runs for every layer of every step
        if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
            return self._call_with_hooks(args, kwargs)
        if _forward_pre or _forward or _backward_pre or _backward:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; what it returns replaces the arguments."""
        handle = RemovableHandle(self._forward_pre_hooks, hook, prepend=prepend)
        if with_kwargs:
            self._with_kwargs.add(handle.id)
        return handle

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns replaces the output."""
        handle = RemovableHandle(self._forward_hooks, hook, prepend=prepend)
        if with_kwargs:
            self._with_kwargs.add(handle.id)
        if always_call:
            self._always_called.add(handle.id)
        return handle

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the input gradients are known; may return new ones."""
        return RemovableHandle(self._backward_hooks, hook, prepend=prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the output gradients are known; may return new ones."""
        return RemovableHandle(self._backward_pre_hooks, hook, prepend=prepend)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for key, hook in [*_forward_pre.items(), *self._forward_pre_hooks.items()]:
            if key in self._with_kwargs:
                new = hook(self, args, kwargs)
                if new is not None:
                    if not (isinstance(new, tuple) and len(new) == 2):
                        raise DtypeError(
                            f"forward pre-hook must return None or a tuple of (args, kwargs), but got {new}"
                        )
                    args, kwargs = new
            else:
                new = hook(self, args)
                if new is not None:
                    args = new if isinstance(new, tuple) else (new,)
        backward = [*_backward.values(), *self._backward_hooks.values()]
        before = [*_backward_pre.values(), *self._backward_pre_hooks.values()]
        bracket = _Bracket(self, before, backward) if (backward or before) and ctx.grad_enabled else None
        if bracket is not None:
            args = bracket.enter(args)
        try:
            result = self.forward(*args, **kwargs)
        except Exception:
            for key, hook in list(self._forward_hooks.items()):
                if key in self._always_called:
                    _call(self, hook, key, args, kwargs, None)
            raise
        for key, hook in [*_forward.items(), *self._forward_hooks.items()]:
            new = _call(self, hook, key, args, kwargs, result)
            result = result if new is None else new
        return result if bracket is None else bracket.leave(result)


def _call(module: Hooks, hook: Any, key: int, args: Any, kwargs: Any, result: Any) -> Any:
    if key in module._with_kwargs:
        return hook(module, args, kwargs, result)
    return hook(module, args, result)


class _Pass(Function):
    """Identity on several Tensors at once: its node sees all their gradients together."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class _Bracket:
    """Identity nodes before and after a module's forward, where its backward hooks run."""

    def __init__(self, module: Any, before: list[Any], after: list[Any]) -> None:
        self.module = module
        self.before = before
        self.after = after
        self.grad_outputs: tuple[Any, ...] | None = None
        self.has_input = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        at = [i for i, a in enumerate(args) if isinstance(a, Variable) and a.requires_grad]  # type: ignore[attr-defined]
        if not self.after or not at:
            return args
        self.has_input = True
        passed = _tuple(_Pass.apply(*[args[i] for i in at]))
        new = list(args)
        for i, t in zip(at, passed):
            new[i] = t

        def on_backward(grad_inputs: Any, _grad_outputs: Any) -> Any:
            full: list[Any] = [None] * len(args)
            for i, g in zip(at, grad_inputs):
                full[i] = g
            changed = self._run_after(tuple(full))
            return tuple(changed[i] for i in at)

        _node_of(passed).register_hook(on_backward)
        return tuple(new)

    def leave(self, result: Any) -> Any:
        outs = [result] if isinstance(result, Variable) else list(result) if isinstance(result, (tuple, list)) else []
        at = [i for i, t in enumerate(outs) if isinstance(t, Variable) and t.requires_grad]  # type: ignore[attr-defined]
        if not at:
            return result
        passed = _tuple(_Pass.apply(*[outs[i] for i in at]))
        for i, t in zip(at, passed):
            outs[i] = t

        def on_backward(grad_inputs: Any, _grad_outputs: Any) -> Any:
            full: list[Any] = [None] * len(outs)
            for i, g in zip(at, grad_inputs):
                full[i] = g
            grads: Any = tuple(full)
            for hook in self.before:
                new = hook(self.module, grads)
                if new is not None:
                    grads = new if isinstance(new, tuple) else (new,)
            self.grad_outputs = grads
            if self.after and not self.has_input:
                self._run_after((None,))
            return tuple(grads[i] for i in at)

        _node_of(passed).register_hook(on_backward)
        return outs[0] if isinstance(result, Variable) else type(result)(outs)

    def _run_after(self, grad_inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.after:
            new = hook(self.module, grad_inputs, self.grad_outputs)
            if new is not None:
                grad_inputs = new if isinstance(new, tuple) else (new,)
        return grad_inputs


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _node_of(tensors: tuple[Any, ...]) -> Any:
    node = tensors[0].grad_fn
    return node.parents[0] if node.op.name == "pick" else node
