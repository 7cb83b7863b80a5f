"""What an operation is: its value, and for each input a pullback, written once.

An op's ``forward`` takes NumPy arrays and returns an array (or a tuple of arrays).  A pullback takes the
gradient ``g`` of the output and returns the gradient of one input.  It is written with operators and other
ops only, so the same rule runs

- on arrays in an ordinary backward: no Tensor, nothing recorded;
- on Tensors under ``create_graph=True``: the backward is itself recorded, to any order.

Called with arrays an op runs ``forward``.  Called with a recorded value (a Tensor) it hands over to the
``_record`` protocol that the value carries, so this floor never imports the Tensor.

A pullback names what it needs, and only that is kept for backward:

    @op
    def mul(a, b):
        return a * b

    mul.pull(a=lambda g, b: g * b, b=lambda g, a: g * a)

Names it may use: ``g``; any input of the op (its value); ``out`` (the output); ``<input>_shape`` and
``<input>_dtype``, or ``shapes`` for those of all inputs (no array is kept for these); ``kept``, what the forward of an op
with ``keeps`` returned beside its value; keyword-only names are settings of the op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from allgrad.errors import NoGradientRuleError

TABLE: dict[str, Op] = {}
"""Every op by name; tests walk it and demand a sample for each."""


class Recorded:
    """Marks values that record what is done to them: Tensors."""

    _a: np.ndarray[Any, Any]

    def _record(self, op: Op, inputs: tuple[Any, ...], meta: dict[str, Any]) -> Any:
        raise NoGradientRuleError("a recorded value must bring its own _record")


# What a pullback may ask for, beside settings: (kind, input index).
Need = tuple[str, int]


class Names(NamedTuple):
    """The arguments of a function: positional ones, whether ``*args`` follow, keyword-only ones with their defaults."""

    positional: tuple[str, ...]
    variadic: bool
    keywords: tuple[str, ...]
    defaults: dict[str, Any]


def names_of(function: Callable[..., Any]) -> Names:
    """Read from the code object: hundreds of these run at import, where ``inspect.signature`` would cost 50 ms."""
    bound = 0
    while isinstance(function, partial):
        bound += len(function.args)
        function = function.func
    code: CodeType = function.__code__
    split, end = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames
    return Names(names[bound:split], bool(code.co_flags & 0x04), names[split:end], function.__kwdefaults__ or {})


class Pull:
    """One pullback with what it needs, found once from its signature."""

    __slots__ = ("call", "needs", "settings")

    def __init__(self, call: Callable[..., Any], op: Op) -> None:
        self.call = call
        self.needs: list[Need] = []
        positional, _, keywords, _ = names_of(call)
        if not positional or positional[0] not in ("g", "gs"):
            raise NoGradientRuleError(f"pullback of {op.name}: its first argument must be g")
        for name in keywords:
            if name != "wanted" and name not in op.settings:
                raise NoGradientRuleError(f"pullback of {op.name} names {name!r}, which is no setting of the op")
        self.needs += [op.need(name) for name in positional[1:]]
        self.settings = keywords


class Plan:
    """What a node of an op keeps and calls, for one pattern of inputs that want a gradient."""

    __slots__ = (
        "fused",
        "keep",
        "keeps_arrays",
        "keeps_input",
        "keeps_out",
        "plain",
        "several",
        "single",
        "steps",
        "wanted",
    )

    def __init__(self, op: Op, mask: int) -> None:
        self.wanted = tuple(bool(mask >> i & 1) for i in range(max(len(op.inputs), mask.bit_length())))
        pulls = [(i, op.pull_for(i)) for i, w in enumerate(self.wanted) if w] if op.fused is None else [(-1, op.fused)]
        keep: list[Need] = []
        for _, pull in pulls:
            keep += [need for need in pull.needs if need not in keep]
        self.keep = tuple(keep)
        self.keeps_arrays = any(kind in ("input", "out", "kept") for kind, _ in keep)
        self.keeps_out = ("out", 0) in keep
        self.keeps_input = frozenset(i for kind, i in keep if kind == "input")
        # Where no more than inputs and the one output are kept: the inputs' indices, -1 for the output.
        few = not op.multi and all(kind in ("input", "out") for kind, _ in keep)
        self.plain = tuple(i if kind == "input" else -1 for kind, i in keep) if few else None
        self.fused = op.fused is not None
        self.steps = tuple((i, p.call, tuple(keep.index(n) for n in p.needs), p.settings) for i, p in pulls)
        # The one pullback of the most frequent nodes; two ops are treated apart.
        alone = len(pulls) == 1 and op.fused is None and op.name not in ("pick", "slice")
        self.single = self.steps[0] if alone else None
        # Those of other nodes whose pullbacks name no setting, in order.
        several = len(pulls) > 1 and not any(p.settings for _, p in pulls)
        self.several = tuple(step[:3] for step in self.steps) if several else None


class Op:
    """One operation of the table: forward, pullbacks, and how it behaves as a view.

    ``view`` says that the result may alias the first input.  ``ufunc`` is the NumPy ufunc of the same value,
    if there is one; in-place calls that record nothing run it with ``out=``.
    ``write(target, *others, **settings)``, where set, does in the memory of ``target`` what the op does with its first
    input, for ops that change a part of it: in-place calls then copy nothing.
    An op with several outputs (``multi``) has one fused pullback over the tuple ``gs``; the forward of one that ``keeps``
    returns (value, what its pullbacks may name as ``kept``), a constant of which no gradient is asked.
    """

    def __init__(
        self, forward: Callable[..., Any], *, name: str, view: bool, ufunc: np.ufunc | None, multi: bool,
        keeps: bool = False,
    ) -> None:  # fmt: skip
        self.definition = forward
        # A ufunc is called as it is: one Python frame less in every operation.
        self.forward: Callable[..., Any] = forward if ufunc is None else ufunc
        self.name = self.__name__ = name
        self.__doc__ = forward.__doc__
        self.view = view
        self.ufunc = ufunc
        self.multi = multi
        self.keeps = keeps
        self.inputs, self.variadic, keywords, self.defaults = names_of(forward)
        self.settings = frozenset(keywords)
        self.pulls: dict[int, Pull] = {}
        self.fused: Pull | None = None
        self.write: Callable[..., None] | None = None
        self.differentiable = False
        self.reads: tuple[int, ...] | None = None  # which of several outputs backward reads; None: all
        self.fills = True  # backward sees zeros, not None, for an output (of several) that got no gradient
        self._plans: dict[int, Plan] = {}

    def __call__(self, *inputs: Any, **meta: Any) -> Any:
        for x in inputs:
            if isinstance(x, Recorded):
                return x._record(self, inputs, meta)
        return self.forward(*inputs, **meta)[0] if self.keeps else self.forward(*inputs, **meta)

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.inputs)})>"

    def pull(self, **by_input: Callable[..., Any]) -> None:
        """Set the pullback of each named input."""
        for name, call in by_input.items():
            self.pulls[self.inputs.index(name)] = Pull(call, self)
        self.differentiable = True

    def pull_all(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Set one pullback for all inputs: returns a sequence of gradients, None where not wanted.

        Its keyword-only argument ``wanted``, if it has one, is a tuple of bools, one per input.
        """
        self.fused = Pull(call, self)
        self.differentiable = True
        return call

    def need(self, name: str) -> Need:
        if name == "out":
            return ("out", 0)
        if name == "kept":
            return ("kept", 0)
        if name == "shapes":  # of all inputs, for ops that take any number of them
            return ("shapes", 0)
        if name in self.inputs:
            return ("input", self.inputs.index(name))
        stem, _, what = name.rpartition("_")
        if stem in self.inputs and what in ("shape", "dtype"):
            return (what, self.inputs.index(stem))
        raise NoGradientRuleError(f"pullback of {self.name} names {name!r}; known: g, out, {', '.join(self.inputs)}")

    def pull_for(self, i: int) -> Pull:
        found = self.pulls.get(i)
        if found is None:
            name = self.inputs[i] if i < len(self.inputs) else f"input {i}"
            raise NoGradientRuleError(f"the derivative of {self.name!r} with respect to {name!r} is not implemented")
        return found

    def plan(self, mask: int) -> Plan:
        """The plan for inputs whose bits are set in ``mask``; made once for each pattern."""
        found = self._plans.get(mask)
        if found is None:
            found = self._plans[mask] = Plan(self, mask)
        return found


def op(
    forward: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    view: bool = False,
    ufunc: np.ufunc | None = None,
    multi: bool = False,
    keeps: bool = False,
) -> Any:
    """Make an Op of a function on arrays and enter it in the table."""

    def make(f: Callable[..., Any]) -> Op:
        made = Op(f, name=name or f.__name__.strip("_"), view=view, ufunc=ufunc, multi=multi, keeps=keeps)
        if made.name in TABLE:
            raise NoGradientRuleError(f"two ops are named {made.name!r}")
        TABLE[made.name] = made
        return made

    return make if forward is None else make(forward)


def owner(a: np.ndarray[Any, Any]) -> Any:
    """The array that owns the memory of ``a``."""
    return a if a.base is None else a.base


def aliases(view: np.ndarray[Any, Any], base: np.ndarray[Any, Any]) -> bool:
    """Whether NumPy returned a view of ``base`` (or of what ``base`` views) rather than a copy."""
    found = view.base
    return found is not None and (found is base or found is base.base)


def normal_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes as a sorted tuple of non-negative ints; None means all."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, (int, np.integer)):
        axis = (int(axis),)
    return tuple(sorted(a % ndim if ndim else 0 for a in axis)) if ndim else ()
