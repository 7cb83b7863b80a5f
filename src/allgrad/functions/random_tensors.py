"""Random Tensors, drawn from PyTorch's streams (see ``allgrad.random``), and the public generators."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import random as streams
from allgrad.absent import on_cpu
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.creation import _size, finish, like_dtype, np_dtype, shape_of
from allgrad.functions.promote import as_tensor_like, into
from allgrad.ops.op import op


class Generator(streams.Generator):
    """A source of random numbers whose state is a Tensor: ``Generator().manual_seed(0)``."""

    def get_state(self) -> Any:
        """The whole state: -> (5056,) uint8, PyTorch's own bytes."""
        return wrap(super().get_state())

    def set_state(self, new_state: Any) -> Generator:
        """Go on from a state that ``get_state`` gave."""
        super().set_state(new_state._a if isinstance(new_state, Variable) else new_state)
        return self

    def clone_state(self) -> Generator:
        """Another generator that will draw the same numbers."""
        return _in_state(super().get_state())

    def __reduce__(self) -> Any:
        return _in_state, (super().get_state(),)


def _in_state(state: np.ndarray[Any, Any]) -> Generator:
    generator = Generator()
    generator.set_state(state)
    return generator


class DefaultGenerator(Generator):
    """The generator that is used where none is given: that of the calling thread's rank, whichever thread calls."""

    device = "cpu"

    def __init__(self) -> None:
        pass  # it has no stream of its own

    @property
    def _words(self) -> Any:  # type: ignore[override]
        return streams.default_generator()._words

    @property
    def _lock(self) -> Any:  # type: ignore[override]
        return streams.default_generator()._lock


default_generator = DefaultGenerator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; negative seeds wrap to 64 bits."""
    streams.manual_seed(seed)
    return default_generator


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return streams.seed()


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return streams.initial_seed()


def get_rng_state() -> Any:
    """The state of the default generator: -> (5056,) uint8."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Put the default generator into a state that ``get_rng_state`` gave."""
    default_generator.set_state(new_state)


def source(generator: Any) -> streams.Generator:
    """The generator to draw from."""
    if generator is None:
        return streams.default_generator()
    if not isinstance(generator, streams.Generator):
        raise DtypeError(f"generator must be an allgrad.Generator, not {type(generator).__name__}")
    return generator


def floating_only(kind: np.dtype[Any], name: str) -> np.dtype[Any]:
    """``kind`` if it is a floating dtype; continuous numbers have no other."""
    if kind.kind in "iub":
        raise DtypeError(f"{name}: a continuous distribution needs a floating point dtype, found {kind.name}")
    return kind


def rand(
    *size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Any:  # fmt: skip
    """Uniform numbers in [0, 1) of shape ``size``."""
    on_cpu(device)
    kind = floating_only(np_dtype(dtype), "rand")
    return finish(source(generator).uniform(_size(size, named), kind), requires_grad, out)


def randn(
    *size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Any:  # fmt: skip
    """Standard normal numbers of shape ``size``."""
    on_cpu(device)
    kind = floating_only(np_dtype(dtype), "randn")
    return finish(source(generator).normal(_size(size, named), kind), requires_grad, out)


def randint(
    low: Any, high: Any = None, size: Any = None, *, generator: Any = None, out: Any = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Whole numbers in [low, high) of shape ``size``: ``randint(high, size)`` or ``randint(low, high, size)``."""
    on_cpu(device)
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    kind = np.dtype(np.int64) if dtype is None else np_dtype(dtype)
    return finish(source(generator).integers(low, high, shape_of((size,)), kind), requires_grad, out)


def randperm(
    n: int, *, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Any:  # fmt: skip
    """The numbers 0 to n - 1 in random order: -> (n,) int64."""
    on_cpu(device)
    kind = np.dtype(np.int64) if dtype is None else np_dtype(dtype)
    return finish(source(generator).permutation(n).astype(kind), requires_grad, out)


def rand_like(
    input: Any, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """Uniform numbers in [0, 1) in the shape and dtype of ``input``."""
    on_cpu(device)
    kind = floating_only(like_dtype(input, dtype), "rand_like")
    return finish(source(generator).uniform(input._a.shape, kind), requires_grad)


def randn_like(
    input: Any, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """Standard normal numbers in the shape and dtype of ``input``."""
    on_cpu(device)
    kind = floating_only(like_dtype(input, dtype), "randn_like")
    return finish(source(generator).normal(input._a.shape, kind), requires_grad)


def randint_like(
    input: Any, low: Any, high: Any = None, *, generator: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """Whole numbers in [low, high), or [0, low), in the shape and dtype of ``input``."""
    on_cpu(device)
    if high is None:
        low, high = 0, low
    kind = like_dtype(input, dtype)
    return finish(source(generator).integers(low, high, input._a.shape, kind), requires_grad)


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, out: Any = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Normal numbers with ``mean`` and ``std``: numbers with a ``size``, or one or two Tensors that give the shape."""
    on_cpu(device)
    if isinstance(mean, Variable) or isinstance(std, Variable):
        if size is not None:
            raise DtypeError("normal(): a size goes with numbers; Tensors bring their own")
        arrays = [x._a if isinstance(x, Variable) else x for x in (mean, std)]
        kind = next(x._a.dtype for x in (mean, std) if isinstance(x, Variable))
        if np.any(np.less(arrays[1], 0)):
            raise ShapeError(f"normal expects all elements of std >= 0.0, but found {np.min(arrays[1])}")
        shape = np.broadcast_shapes(np.shape(arrays[0]), np.shape(arrays[1]))
        noise = source(generator).normal(shape, floating_only(kind, "normal"))
        return finish((noise * arrays[1] + arrays[0]).astype(kind), requires_grad, out)
    if size is None:
        raise DtypeError("normal(): numbers for mean and std need a size: normal(0.0, 1.0, (2, 3))")
    kind = floating_only(np_dtype(dtype), "normal")
    return finish(source(generator).normal(shape_of((size,)), kind, float(mean), float(std)), requires_grad, out)


@op
def bernoulli_draw(p: Any, *, drawn: Any) -> Any:
    """``drawn``, zeros and ones that came from chances p; its derivative is zero."""
    return np.array(drawn, p.dtype)


bernoulli_draw.pull(p=lambda g: g * 0)


def bernoulli(input: Any, p: float | None = None, *, generator: Any = None, out: Any = None) -> Any:
    """One with the chance that the input (or the number ``p``) says, else zero, in the input's dtype."""
    input = as_tensor_like(input, "bernoulli(): argument 'input'")
    a = input._a
    if p is not None:
        return into(wrap(source(generator).bernoulli(float(p), a.shape, a.dtype)), out)
    floating_only(a.dtype, "bernoulli")
    return into(apply(bernoulli_draw, (input,), {"drawn": source(generator).bernoulli(a, np_dtype=a.dtype)}), out)


def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson numbers with the rates ``input``, in its dtype."""
    input = as_tensor_like(input, "poisson(): argument 'input'")
    floating_only(input._a.dtype, "poisson")
    return wrap(source(generator).poisson(input._a))


def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None
) -> Any:
    """Indices drawn by the weights ``input``: (classes,) -> (num_samples,), (rows, classes) -> (rows, num_samples)."""
    input = as_tensor_like(input, "multinomial(): argument 'input'")
    return into(wrap(source(generator).multinomial(input._a, int(num_samples), bool(replacement))), out)
