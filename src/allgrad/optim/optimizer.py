"""``Optimizer``: parameter groups, state, hooks, state dicts in PyTorch's layout.

A subclass gives its defaults and ``_update(group, params, grads, states)`` for one group, on arrays.
"""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.node import RemovableHandle
from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError, CheckpointError, DtypeError

Array = np.ndarray[Any, Any]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

_global_pre: dict[int, Any] = OrderedDict()
_global_post: dict[int, Any] = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before the step of every optimizer."""
    return RemovableHandle(_global_pre, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after the step of every optimizer."""
    return RemovableHandle(_global_post, hook)


class Optimizer:
    """Base of all optimizers: ``params`` is an iterable of Tensors, of (name, Tensor), or of group dictionaries."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Variable):
            raise DtypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{type(params).__name__}; put it in a list"
            )
        self.defaults = defaults
        self.state: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._pre_hooks: dict[int, Any] = OrderedDict()
        self._post_hooks: dict[int, Any] = OrderedDict()
        self._state_hooks: dict[str, dict[int, Any]] = {
            k: OrderedDict() for k in ("save_pre", "save_post", "load_pre", "load_post")
        }
        groups = list(params)
        if not groups:
            raise ArgumentError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what is not set comes from the defaults."""
        if not isinstance(param_group, dict):
            raise DtypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Variable):
            params = [params]
        elif isinstance(params, set):
            raise DtypeError("optimizer parameters need to be organized in ordered collections, not a set")
        params = list(params)
        names = None
        if params and isinstance(params[0], tuple):
            names = [n for n, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Variable):
                raise DtypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:  # type: ignore[attr-defined]
                raise ArgumentError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ArgumentError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            raise ArgumentError("some parameters appear more than once in one parameter group; pass each once")
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
                if p._grad is None:
                    continue
                if set_to_none:
                    p._grad = None
                else:
                    if p._grad._node is not None:
                        p._grad = p._grad.detach()
                    p._grad._a.fill(0)
                    p._grad._version[0] += 1

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; ``closure`` computes the loss again and returns it."""
        for hook in [*_global_pre.values(), *self._pre_hooks.values()]:
            changed = hook(self, (self, closure), {})
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise ArgumentError(f"a step pre-hook must return None or a tuple of (new_args, new_kwargs), found {changed}")
                closure = changed[0][1] if len(changed[0]) > 1 else changed[1].get("closure", closure)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._step()
        for hook in [*self._post_hooks.values(), *_global_post.values()]:
            hook(self, (self, closure), {})
        return loss

    def _step(self) -> None:
        for group in self.param_groups:
            params, grads = [], []
            for p in group["params"]:
                if p._grad is not None:
                    params.append(p)
                    grads.append(p._grad._a)
            if params:
                self._update(group, params, grads)
                for p in params:
                    p._version[0] += 1

    def _update(self, group: dict[str, Any], params: list[Any], grads: list[Array]) -> None:
        """Change the arrays of ``params`` by their ``grads``; both have the same order."""
        raise ArgumentError(f"{type(self).__name__} must define _update or step")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``."""
        return RemovableHandle(self._state_hooks["save_pre"], hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after ``state_dict``; what it returns replaces it."""
        return RemovableHandle(self._state_hooks["save_post"], hook, prepend=prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; what it returns replaces it."""
        return RemovableHandle(self._state_hooks["load_pre"], hook, prepend=prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return RemovableHandle(self._state_hooks["load_post"], hook, prepend=prepend)

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}``; Tensors are not copied."""
        for hook in self._state_hooks["save_pre"].values():
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
        for hook in self._state_hooks["save_post"].values():
            changed = hook(self, found)
            found = found if changed is None else changed
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state: floating values in the dtype of their parameter, memory of its own."""
        given = dict(state_dict)
        for hook in self._state_hooks["load_pre"].values():
            changed = hook(self, given)
            given = given if changed is None else changed
        groups, saved = self.param_groups, copy.deepcopy(given["param_groups"])
        if len(groups) != len(saved):
            raise CheckpointError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, expected {len(groups)}"
            )
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
            raise CheckpointError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        by_index = {i: p for g, s in zip(groups, saved) for i, p in zip(s["params"], g["params"])}
        state: dict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in given["state"].items():
            p = by_index.get(key)
            state[key if p is None else p] = _own(value, p)
        self.state = state
        for group, new in zip(groups, saved):
            kept = group["params"]
            names = group.get("param_names")
            group.clear()
            group.update({k: v for k, v in new.items() if k != "params"})
            group["params"] = kept
            if names is not None:
                group["param_names"] = names
        self._loaded()
        for hook in self._state_hooks["load_post"].values():
            hook(self)

    def _loaded(self) -> None:
        """The state was replaced: drop whatever was derived from it."""

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params")
        return text + ")"


def _own(value: Any, p: Any, key: str | None = None) -> Any:
    """A copy of a state entry; Tensors of the parameter's kind take its dtype, ``step`` keeps its own."""
    if isinstance(value, Variable):
        a = value._a
        if key != "step" and p is not None and p._a.dtype.kind not in "iub" and a.dtype.kind not in "iub":
            a = a.astype(p._a.dtype)
        return wrap(np.array(a, order="C"))
    if isinstance(value, dict):
        return {k: _own(v, p, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_own(v, p) for v in value)
    return copy.deepcopy(value)


