"""``Module``: a function with parameters, buffers and submodules, each under a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from allgrad.autograd.record import Variable
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import float16, float32, float64, to_dtype
from allgrad.errors import ArgumentError, DtypeError, UnknownAttributeError, UnsupportedError
from allgrad.nn.modules import hooks as _hooks
from allgrad.nn.modules.state import StateDict
from allgrad.nn.parameter import Buffer, Parameter
from allgrad.tensor import device

T = TypeVar("T", bound="Module")


class Module(_hooks.Hooks, StateDict):
    """Base of all layers and models.  A subclass calls ``super().__init__()`` first and defines ``forward``.

    Parameters, buffers and modules that are set as attributes are registered under the attribute's name.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Any]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    dump_patches = False
    call_super_init = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        put = object.__setattr__
        put(self, "training", True)
        put(self, "_parameters", {})
        put(self, "_buffers", {})
        put(self, "_modules", {})
        put(self, "_non_persistent_buffers_set", set())
        self._init_hooks()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes; every subclass defines it."""
        raise UnsupportedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # -- attributes --------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        parts = self.__dict__
        parameters = parts.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise UnknownAttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if parameters is None:
                raise UnknownAttributeError("cannot assign module before Module.__init__() call")
            self._forget(name)
            parts["_modules"][name] = value
        elif isinstance(value, Buffer):
            if parameters is None:
                raise UnknownAttributeError("cannot assign buffer before Module.__init__() call")
            self._forget(name)
            self.register_buffer(name, value, value.persistent)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise DtypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            parameters[name] = None
        elif parameters is not None and name in parts["_modules"]:
            if value is not None:
                raise DtypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            parts["_modules"][name] = None
        elif parameters is not None and name in parts["_buffers"]:
            if value is not None and not isinstance(value, Variable):
                raise DtypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (torch.Tensor or None expected)"
                )
            parts["_buffers"][name] = value
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            self.__dict__[kind].pop(name, None)
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__
        if "_parameters" in parts:
            for found in (parts["_parameters"], parts["_buffers"], parts["_modules"]):
                if name in found:
                    return found[name]
        raise UnknownAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = set(dir(type(self))) | set(self.__dict__)
        for kind in ("_parameters", "_buffers", "_modules"):
            names |= set(self.__dict__[kind])
        return sorted(n for n in names if not n[:1].isdigit())

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """List ``param`` under ``name``; None keeps the place."""
        self._check_name(name, self._parameters, "parameter")
        if param is not None:
            if not isinstance(param, Parameter):
                raise DtypeError(
                    f"cannot assign '{type(param).__name__}' object to parameter '{name}' (torch.nn.Parameter or None required)"
                )
            if not param.is_leaf:
                raise ArgumentError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly."
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """List ``tensor`` under ``name``: state that is saved (if ``persistent``) but not trained."""
        self._check_name(name, self._buffers, "buffer")
        if tensor is not None and not isinstance(tensor, Variable):
            raise DtypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """List ``module`` under ``name``."""
        if module is not None and not isinstance(module, Module):
            raise DtypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, self._modules, "module")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, place: dict[str, Any], kind: str) -> None:
        if "_parameters" not in self.__dict__:
            raise UnknownAttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise DtypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in place:
            raise KeyError(f"attribute '{name}' already exists")

    # -- walking -----------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(name, module) for this module and all below it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for the direct submodules."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (m for _, m in self.named_children())

    def _named_members(
        self, members: Callable[[Module], Any], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        places = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for where, module in places:
            for name, member in members(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield (f"{where}.{name}" if where else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), a shared one under its first name only."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(name, buffer)."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; "" is this module."""
        found: Any = self
        for name in target.split(".") if target else []:
            if not hasattr(found, name):
                raise UnknownAttributeError(f"{type(found).__name__} has no attribute `{name}`")
            found = getattr(found, name)
            if not isinstance(found, Module):
                raise UnknownAttributeError(f"`{name}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace the submodule at a dotted path."""
        if not target:
            raise ArgumentError("Cannot set the submodule without a target name!")
        where, _, name = target.rpartition(".")
        setattr(self.get_submodule(where), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        where, _, name = target.rpartition(".")
        found = getattr(self.get_submodule(where), name)
        if not isinstance(found, Parameter):
            raise UnknownAttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Any:
        """The buffer at a dotted path."""
        where, _, name = target.rpartition(".")
        module = self.get_submodule(where)
        if name not in module._buffers:
            raise UnknownAttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]

    # -- changing all of it ------------------------------------------------------------------------

    def apply(self: T, fn: Callable[[Module], Any]) -> T:
        """Call ``fn`` on every submodule, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: T, mode: bool = True) -> T:
        """Training behaviour (dropout, batch statistics) on or off, here and below."""
        if not isinstance(mode, bool):
            raise ArgumentError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: T) -> T:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Freeze or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or set them to zero in place."""
        for p in self.parameters():
            if p._grad is None:
                continue
            if set_to_none:
                p._grad = None
            else:
                p._grad = p._grad.detach() if p._grad._node is not None else p._grad
                p._grad._a.fill(0)

    def _cast(self: T, d: Dtype) -> T:
        """Floating parameters, gradients and buffers in dtype ``d``; the Tensor objects stay the same."""
        for t in [*self.parameters(), *self.buffers()]:
            if t._a.dtype.kind not in "iub" and t._a.dtype != d.np:
                t._a = t._a.astype(d.np)
                if t._grad is not None:
                    t._grad = t._grad.detach()
                    t._grad._a = t._grad._a.astype(d.np)
        return self

    def float(self: T) -> T:
        """All floating values as float32."""
        return self._cast(float32)

    def double(self: T) -> T:
        """All floating values as float64."""
        return self._cast(float64)

    def half(self: T) -> T:
        """All floating values as float16."""
        return self._cast(float16)

    def bfloat16(self: T) -> T:
        """All floating values as bfloat16; needs the package ml_dtypes."""
        return self._cast(to_dtype("bfloat16"))

    def type(self: T, dst_type: Any) -> T:
        """All floating values in a dtype."""
        return self._cast(to_dtype(dst_type))

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """Another dtype (the device is always the CPU): ``to(torch.float64)``, ``to("cpu")``, ``to(other_tensor)``."""
        for x in [*args, *kwargs.values()]:
            if isinstance(x, Dtype):
                if not x.is_floating_point:
                    raise DtypeError(
                        f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={x}"
                    )
                self._cast(x)
            elif isinstance(x, Variable):
                self._cast(x.dtype)  # type: ignore[attr-defined]
            elif isinstance(x, (str, device)):
                device(x)
        return self

    def cpu(self: T) -> T:
        """Itself: the CPU is where everything is."""
        return self

    def cuda(self: T, device: Any = None) -> T:
        """An error: there is no CUDA."""
        raise UnsupportedError("Torch not compiled with CUDA enabled: allgrad runs on the CPU; drop .cuda()")

    def to_empty(self: T, *, device: Any = None, recurse: bool = True) -> T:
        """Itself: memory is never on another device."""
        return self

    def share_memory(self: T) -> T:
        """Itself: ranks share through the communicator."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Accepted; the module already runs as fast as it will."""

    # -- text --------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the brackets of this module's line."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        head = self._get_name() + "("
        if not children and len(lines) == 1:
            return f"{head}{lines[0]})"
        if not children and not lines:
            return head + ")"
        return head + "\n  " + "\n  ".join(lines + children) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _indent(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line for line in rest)])
