"""``Optimizer``: parameter groups, the step with its hooks, state dicts in PyTorch's layout.

A subclass of a user overrides ``step``; those of this package override ``_step``, which works on arrays.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.node import RemovableHandle
from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError, DtypeError, UnsupportedError
from allgrad.optim.registry import register

Array = np.ndarray[Any, Any]
Hooks = dict[int, Callable[..., Any]]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

_global_pre: Hooks = OrderedDict()
_global_post: Hooks = OrderedDict()
_HOOKS = ("step_pre", "step_post", "save_pre", "save_post", "load_pre", "load_post")


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before the step of every optimizer."""
    return RemovableHandle(_global_pre, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after the step of every optimizer."""
    return RemovableHandle(_global_post, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A ``step`` between its hooks; a step that calls the step of its parent class runs them once."""

    @functools.wraps(step)
    def stepping(self: Any, *given: Any, **kwargs: Any) -> Any:
        if self._inside_step:
            return step(self, *given, **kwargs)
        args: tuple[Any, ...] = (self, *given)
        hooks = self._hooks
        self._inside_step = self._opt_called = True
        try:
            if not (_global_pre or _global_post or hooks["step_pre"] or hooks["step_post"]):
                return step(*args, **kwargs)
            for hook in (*_global_pre.values(), *self._hooks["step_pre"].values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise ArgumentError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            found = step(*args, **kwargs)
            for hook in (*self._hooks["step_post"].values(), *_global_post.values()):
                hook(self, args, kwargs)
        finally:
            self._inside_step = False
        return found

    return stepping


class Optimizer:
    """Base of all optimizers: ``params`` is an iterable of Tensors, of (name, Tensor), or of group dictionaries."""

    _inside_step = False
    _opt_called = False  # whether step was called; schedulers warn if they are stepped first

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Variable):
            raise DtypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}; put it in a list"
            )
        self.defaults = defaults
        self.state: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._hooks: dict[str, Hooks] = {kind: OrderedDict() for kind in _HOOKS}
        groups = list(params)
        if not groups:
            raise ArgumentError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        register(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what is not set comes from the defaults."""
        if not isinstance(param_group, dict):
            raise DtypeError(f"param_group must be a dict, but got {type(param_group)}")
        params, names = _split_names(param_group["params"])
        _check_params(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ArgumentError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each is updated once a step. "
                "In future, this will cause an error; see github.com/pytorch/pytorch/issues/40967",
                stacklevel=3,
            )
            params = list({id(p): p for p in params}.values())
        for group in self.param_groups:
            if (names is not None) != ("param_names" in group):
                raise ArgumentError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{'without' if names is None else 'with'} names to the optimizer"
                )
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in taken for p in params):
            raise ArgumentError("some parameters appear in more than one parameter group")
        param_group["params"] = params
        if names is not None:
            param_group["param_names"] = names
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or set them to zero in place."""
        for group in self.param_groups:
            for p in group["params"]:
                grad = p._grad
                if grad is None:
                    continue
                if set_to_none:
                    p._grad = None
                    continue
                if grad._node is not None or not grad._a.flags.writeable:
                    # A recorded gradient stays as its graph knows it, one in foreign memory stays as it is.
                    p._grad = wrap(np.zeros(grad._a.shape, grad._a.dtype))
                    continue
                grad._rg = False
                grad._a.fill(0)
                grad._cell[0] += 1

    @_with_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; ``closure`` computes the loss again and returns it."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._step()
        return loss

    def _step(self) -> None:
        """Change the parameters by their gradients."""
        raise UnsupportedError(f"{type(self).__name__} must define step(closure=None)")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return (new_args, new_kwargs)."""
        return RemovableHandle(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._hooks["step_post"], hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``."""
        return RemovableHandle(self._hooks["save_pre"], hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after ``state_dict``; what it returns replaces it."""
        return RemovableHandle(self._hooks["save_post"], hook, prepend=prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; what it returns replaces it."""
        return RemovableHandle(self._hooks["load_pre"], hook, prepend=prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return RemovableHandle(self._hooks["load_post"], hook, prepend=prepend)

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}``; Tensors are not copied."""
        for hook in self._hooks["save_pre"].values():
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, Variable) else k): v for k, v in self.state.items()}
        found: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._hooks["save_post"].values():
            changed = hook(self, found)
            found = found if changed is None else changed
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state: floating values in the dtype of their parameter, memory of its own."""
        given = dict(state_dict)
        for hook in self._hooks["load_pre"].values():
            changed = hook(self, given)
            given = given if changed is None else changed
        groups, saved = self.param_groups, copy.deepcopy(given["param_groups"])
        if len(groups) != len(saved):
            raise ArgumentError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, expected {len(groups)}"
            )
        for i, (group, new) in enumerate(zip(groups, saved)):
            if len(group["params"]) != len(new["params"]):
                raise ArgumentError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {i} has {len(new['params'])} parameters, expected {len(group['params'])}"
                )
        by_index = {i: p for g, s in zip(groups, saved) for i, p in zip(s["params"], g["params"])}
        state: dict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in given["state"].items():
            p = by_index.get(key)
            if p is None:
                state[key] = value
            else:
                state[p] = _own(value, p)
        for group, new in zip(groups, saved):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
            for name, default in self.defaults.items():
                new.setdefault(name, default)  # saved by a version that did not know the setting
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._hooks["load_post"].values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_hooks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over attributes, after a copy or from ``load_state_dict``."""
        self.__dict__.update(state)
        self.__dict__.setdefault("_hooks", {kind: OrderedDict() for kind in _HOOKS})
        register(self)  # a copy is made without __init__

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params")
        return text + ")"


def _split_names(given: Any) -> tuple[list[Any], list[str] | None]:
    """Parameters, and their names if they came as (name, Tensor)."""
    if isinstance(given, Variable):
        return [given], None
    if isinstance(given, set):
        raise DtypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
            "will change between runs. Please use a list instead."
        )
    found = list(given)
    named = [p for p in found if isinstance(p, tuple)]
    if not named:
        return found, None
    if len(named) != len(found):
        raise ArgumentError("all optimizer params should be with/without names. Some param names are missing")
    return [p for _, p in named], [name for name, _ in named]


def _check_params(params: list[Any]) -> None:
    for p in params:
        if not isinstance(p, Variable):
            raise DtypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
        if not (p.is_leaf or p.retains_grad):  # type: ignore[attr-defined]
            raise ArgumentError("can't optimize a non-leaf Tensor")


def _own(value: Any, p: Any, key: str | None = None) -> Any:
    """A copy of a state entry; Tensors take the dtype of the parameter, ``step`` and other single numbers keep theirs."""
    if isinstance(value, dict):
        return {k: _own(v, p, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_own(v, p) for v in value)
    if isinstance(value, Variable) or (hasattr(value, "__array__") and hasattr(value, "shape")):
        a = value._a if isinstance(value, Variable) else np.asarray(value)
        number = key == "step" or (a.ndim == 0 and p._a.ndim > 0)
        kind = a.dtype if number or p._a.dtype.kind in "iub" else p._a.dtype
        return wrap(np.array(a, dtype=kind, order="C"))
    return copy.deepcopy(value)
