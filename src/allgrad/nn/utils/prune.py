"""Pruning: ``<name>_orig`` is trained, ``<name>_mask`` is fixed, ``<name>`` is their product before each forward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError, DtypeError
from allgrad.random import default_generator


class BasePruningMethod(ABC):
    """A rule for which entries stay; a subclass defines ``compute_mask``."""

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        object.__setattr__(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Ones where entries of ``t`` stay, zeros elsewhere; entries that ``default_mask`` has removed stay removed."""

    def apply_mask(self, module: Any) -> Any:
        """The parameter times its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune ``name`` of ``module``, on top of what earlier calls have pruned."""
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        earlier = _hook(module, name)
        if earlier is not None:
            key, old = earlier
            del module._forward_pre_hooks[key]
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
        current = getattr(module, name)
        scores = current if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(current.shape):
            raise ArgumentError(
                f"importance_scores have shape {tuple(scores.shape)}, {name} has {tuple(current.shape)}"
            )
        if earlier is None:
            original = module._parameters.pop(name)
            module.register_parameter(name + "_orig", original)
            mask = wrap(np.ones(tuple(original.shape), original._a.dtype))
        else:
            mask = getattr(module, name + "_mask")
        newest = method if earlier is None else method._pruning_methods[-1]
        fresh = newest._narrowed(scores.detach(), mask)
        module.register_buffer(name + "_mask", fresh)
        object.__setattr__(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def _narrowed(self, scores: Any, mask: Any) -> Any:
        """The mask after this method too; it sees only what is still there."""
        if self.PRUNING_TYPE == "unstructured":
            there = mask._a == 1
            part = self.compute_mask(wrap(scores._a[there]), wrap(mask._a[there]))
            fresh = mask._a.copy()
            fresh[there] = part._a
            return wrap(fresh)
        if self.PRUNING_TYPE == "structured":
            dim = self.dim % scores.dim()  # type: ignore[attr-defined]  # structured methods have one
            others = tuple(d for d in range(scores.dim()) if d != dim)
            there = np.flatnonzero(mask._a.sum(others) != 0)
            fresh = mask._a.copy()
            place: list[Any] = [slice(None)] * scores.dim()
            place[dim] = there
            fresh[tuple(place)] = self.compute_mask(wrap(scores._a[tuple(place)]), wrap(fresh[tuple(place)]))._a
            return wrap(fresh)
        return self.compute_mask(scores, mask)

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """``t`` with the pruned entries zero."""
        mask = wrap(np.ones_like(t._a)) if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, mask)

    def remove(self, module: Any) -> None:
        """Make the pruning permanent: the parameter is ``name`` again, with zeros."""
        weight = self.apply_mask(module).detach()
        original = module._parameters.pop(self._tensor_name + "_orig")
        original._a[...] = weight._a
        del module._buffers[self._tensor_name + "_mask"]
        module.__dict__.pop(self._tensor_name, None)
        setattr(module, self._tensor_name, original)


class PruningContainer(BasePruningMethod):
    """Several methods, one after the other, on one parameter."""

    PRUNING_TYPE = "container"

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: list[Any] = []
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """One more, for the same parameter."""
        if not isinstance(method, BasePruningMethod):
            raise DtypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._pruning_methods and method._tensor_name != self._tensor_name:
            raise ArgumentError(f"methods of one container prune one parameter: {self._tensor_name}")
        self._tensor_name = method._tensor_name
        self._pruning_methods.append(method)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return self._pruning_methods[-1]._narrowed(t, default_mask)


class Identity(BasePruningMethod):
    """Prunes nothing, but puts mask and hook in place."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


def _count(amount: Any, size: int) -> int:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise DtypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ArgumentError(f"amount={amount} should be a float in [0.0, 1.0] or a non-negative int")
    if isinstance(amount, float):
        return round(amount * size)
    if amount > size:
        raise ArgumentError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return amount


class _Scored(BasePruningMethod):
    """Removes the ``amount`` lowest of ``_scores``."""

    def __init__(self, amount: Any) -> None:
        _count(amount, 2**62)
        self.amount = amount

    def _scores(self, a: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _scores")

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask._a.copy()
        scores = self._scores(t._a)
        lowest = np.argsort(scores.ravel(), kind="stable")[: _count(self.amount, scores.size)]
        mask.reshape(-1)[lowest] = 0
        return wrap(mask)


class RandomUnstructured(_Scored):
    """Removes entries by chance."""

    def _scores(self, a: Any) -> Any:
        return default_generator().uniform(a.shape, np.float32)


class L1Unstructured(_Scored):
    """Removes the smallest entries."""

    def _scores(self, a: Any) -> Any:
        return np.abs(a)


class RandomStructured(BasePruningMethod):
    """Removes slices along ``dim`` by chance."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _count(amount, 2**62)
        self.amount, self.dim = amount, dim

    def _scores(self, rows: Any) -> Any:
        return default_generator().uniform((rows.shape[0],), np.float32)

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask._a.copy()
        rows = np.moveaxis(t._a, self.dim, 0)
        lowest = np.argsort(self._scores(rows.reshape(len(rows), -1)), kind="stable")[: _count(self.amount, len(rows))]
        np.moveaxis(mask, self.dim, 0)[lowest] = 0
        return wrap(mask)


class LnStructured(RandomStructured):
    """Removes the slices along ``dim`` whose ``n``-norm is smallest."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, rows: Any) -> Any:
        return np.linalg.norm(rows, ord=None if self.n == "fro" else float(self.n), axis=1)


class CustomFromMask(BasePruningMethod):
    """Removes where ``mask`` is zero."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Any, name: str) -> Any:
    """Mask and hook without pruning; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Remove ``amount`` entries, or that share of them, by chance."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Remove the ``amount`` smallest entries, or that share."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Remove slices along ``dim`` by chance."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Remove the slices along ``dim`` of smallest ``n``-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Remove where ``mask`` is zero."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune entries of all (module, name) together, as if they were one vector."""
    pairs, given = list(parameters), importance_scores or {}
    scores = [given.get(pair, getattr(*pair)).detach()._a for pair in pairs]
    masks = [
        getattr(m, n + "_mask")._a if hasattr(m, n + "_mask") else np.ones_like(s) for (m, n), s in zip(pairs, scores)
    ]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise DtypeError(
            f"Only 'unstructured' PRUNING_TYPE supported for the pruning method, found {method.PRUNING_TYPE}"
        )
    one = method._narrowed(
        wrap(np.concatenate([s.ravel() for s in scores])), wrap(np.concatenate([m.ravel() for m in masks]))
    )._a
    ends = np.cumsum([s.size for s in scores])[:-1]
    for (module, name), part, s in zip(pairs, np.split(one, ends), scores):
        custom_from_mask(module, name, wrap(part.reshape(s.shape)))


def _hook(module: Any, name: str) -> Any:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


def remove(module: Any, name: str) -> Any:
    """Make the pruning of ``name`` permanent; returns the module."""
    found = _hook(module, name)
    if found is None:
        raise ArgumentError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Any) -> bool:
    """Whether a parameter of the module or of one below it is pruned."""
    return any(isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values())
