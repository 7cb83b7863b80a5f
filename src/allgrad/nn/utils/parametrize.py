"""Parameters computed from others at each reading: ``register_parametrization(layer, "weight", Symmetric())``.

The original moves to ``layer.parametrizations.weight.original``, where the optimizer finds it; ``layer.weight`` is what
the parametrization makes of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from allgrad.autograd.modes import no_grad
from allgrad.autograd.record import Variable
from allgrad.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from allgrad.nn.modules.container import ModuleDict, ModuleList
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

# Values read inside ``cached()``, by module and name; None outside.
_cache: dict[tuple[int, str], Any] | None = None


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, at its first reading."""
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor in order, and its ``original`` (or ``original0``, ``original1``, ...)."""

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new = self._inverse(original)
        self.is_tensor = isinstance(new, Variable)
        if not self.is_tensor and not (isinstance(new, Sequence) and all(isinstance(x, Variable) for x in new)):
            raise ArgumentError(
                f"'right_inverse' must return a Tensor or a sequence of tensors, got {type(new).__name__}"
            )
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if new.dtype is not original.dtype:
                raise ArgumentError(f"'right_inverse' must keep the dtype {original.dtype}, it gave {new.dtype}")
            with no_grad():
                original.data = new.detach()
            _register(self, "original", original)
        else:
            for i, x in enumerate(new):
                trained = isinstance(original, Parameter)
                _register(self, f"original{i}", Parameter(x.detach(), original.requires_grad) if trained else x)
        if not unsafe:
            _check_kept(self(), original, tuple(original.shape), "after registering a parametrization")

    def _inverse(self, value: Any) -> Any:
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                value = module.right_inverse(value)
        return value

    def originals(self) -> list[Any]:
        """What the parametrizations start from."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Give the originals the values that make this ``value``, as far as the parametrizations can say."""
        for module in self:
            if not hasattr(module, "right_inverse"):
                raise UnsupportedError(
                    f"parametrization {type(module).__name__} does not implement right_inverse, so the parametrized "
                    "tensor cannot be assigned to; give it that method, or set parametrizations.<name>.original"
                )
        with no_grad():
            new = self._inverse(value)
            for place, x in zip(self.originals(), [new] if self.is_tensor else new, strict=True):
                if tuple(place.shape) != tuple(x.shape):
                    raise ShapeError(
                        f"'right_inverse' gave shape {tuple(x.shape)}, the original has {tuple(place.shape)}"
                    )
                place.data = x.detach().clone()

    def forward(self) -> Any:
        first, *others = self
        value = first(*self.originals())
        for module in others:
            value = module(value)
        return value


def _register(module: Module, name: str, tensor: Any) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_kept(value: Any, like: Any, shape: tuple[int, ...], when: str) -> None:
    if not isinstance(value, Variable):
        raise ArgumentError(f"A parametrization must return a tensor. Got {type(value).__name__} {when}.")
    kept: Any = value
    if kept.dtype is not like.dtype:
        raise ArgumentError(f"A parametrization may not change the dtype: {like.dtype} became {kept.dtype} {when}.")
    if tuple(kept.shape) != shape:
        raise ArgumentError(f"A parametrization may not change the shape: {shape} became {tuple(kept.shape)} {when}.")


def _computed(name: str) -> property:
    """The property that stands where the tensor was."""

    def read(self: Any) -> Any:
        if _cache is None:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _class_of_its_own(module: Any, base: Any, names: Sequence[str]) -> None:
    """A subclass of ``base`` for this one module: properties live on classes, and its siblings keep their tensors."""

    def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        new = base.__new__(base)
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        _class_of_its_own(new, base, list(self.parametrizations))
        return new

    found = {name: _computed(name) for name in names}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), {"__deepcopy__": deepcopy, **found})


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module, or the one of that name, is parametrized."""
    found = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type:
    """The class that the module was made of."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def register_parametrization(module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """From now on ``module.<tensor_name>`` is ``parametrization(original)``; a second one takes the first one's value.

    ``unsafe`` allows another dtype or shape.  A method ``right_inverse`` says which original gives a wanted value.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found = module.parametrizations[tensor_name]
        value = getattr(module, tensor_name).detach()
        if not unsafe:
            _check_kept(parametrization(value), value, tuple(value.shape), "after registering a parametrization")
        found.append(parametrization)
        found.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ArgumentError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element '{tensor_name}'"
        )
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
        _class_of_its_own(module, type(module), [tensor_name])
    else:
        setattr(type(module), tensor_name, _computed(tensor_name))
    module.parametrizations[tensor_name] = chain
    return module


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """An ordinary tensor again: with its last value, or (``leave_parametrized=False``) with the original one."""
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    originals = chain.originals()
    kept = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
        if not chain.is_tensor:
            kept = Parameter(value) if isinstance(kept, Parameter) else value
        elif value.dtype is not kept.dtype:
            raise DtypeError(
                f"{tensor_name} is {value.dtype} and its original {kept.dtype}; use leave_parametrized=False"
            )
        else:
            kept.data = value
    elif not chain.is_tensor:
        raise ArgumentError(
            "Cannot leave unparametrized a tensor that is parametrized in terms of a sequence of tensors."
        )
    base = type_before_parametrizations(module)
    del module.parametrizations[tensor_name]
    delattr(type(module), tensor_name)
    if not len(module.parametrizations):
        del module._modules["parametrizations"]
        module.__class__ = base
    _register(module, tensor_name, kept)
    return module
