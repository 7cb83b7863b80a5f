"""Optimizers that take the gradients from a reducer: a share of each bucket, or each bucket as soon as it is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError, DistributedError, GradientError, UnsupportedError
from allgrad.optim.elementwise import Elementwise
from allgrad.tensor import Tensor

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel

Array = np.ndarray[Any, Any]


class Taker(ABC):
    """Asked by the reducer of one model; at most one for each model."""

    halves = False  # whether this rank's span of each bucket is all that is needed of the means

    @abstractmethod
    def poll(self) -> None:
        """Backward goes on; buckets may be there."""

    @abstractmethod
    def take(self, valid: bool) -> None:
        """All buckets are there; if not ``valid``, all ranks drop the step.  ``.grad`` is None or the mean."""


class Taken(Tensor):
    """What ``.grad`` is once an optimizer has taken it: a Tensor that has no values, and says why."""

    @property
    def _a(self) -> Any:  # type: ignore[override]
        raise GradientError(self.__dict__["why"])

    def __repr__(self, **settings: Any) -> str:
        return f"<gradient that was taken: {self.__dict__['why']}>"


def taken(why: str) -> Any:
    """A ``Taken``; whatever reads its values raises GradientError(why)."""
    found = object.__new__(Taken)
    found._cell = [0]
    found.__dict__["why"] = why
    return found


def check_can_take(model: Any, kind: type[Any], what: str) -> None:
    """ArgumentError or UnsupportedError unless an optimizer of class ``kind`` can take ``model``'s gradients."""
    if not hasattr(model, "reducer"):
        raise ArgumentError(
            f"{what} takes the gradients of a DistributedDataParallel model, found {type(model).__name__}"
        )
    if not (isinstance(kind, type) and issubclass(kind, Elementwise)):
        name = getattr(kind, "__name__", str(kind))
        raise UnsupportedError(
            f"{what} works part by part, so the step of an element may depend on that element only: SGD, Adam, AdamW, "
            f"RMSprop, Adagrad, … can, {name} cannot, because it looks at whole parameters or at all of them; use {name} "
            "itself after backward()"
        )
    if getattr(model, "sharding", None) is not None:
        raise UnsupportedError(f"{what} cannot be combined with shards=V, whose gradients meet after backward")
    if model.reducer.hook is not None:
        raise UnsupportedError(
            f"{what} cannot be combined with a communication hook, which gives whole buckets of its own"
        )
    if model.reducer.taker is not None:
        raise ArgumentError("another optimizer takes the gradients of this model already; make one for all parameters")


def check_same_parameters(model: DistributedDataParallel, params: list[Any], what: str) -> None:
    """ArgumentError unless ``params`` are those that the model trains, laid out in rows."""
    reducer = model.reducer
    known, given = {id(p): i for i, p in enumerate(reducer.params)}, {id(p) for p in params}
    if any(id(p) not in known and p._rg for p in params):
        raise ArgumentError(
            f"{what}: a parameter given to it does not belong to the model, or was frozen when that was wrapped"
        )
    for name, p in zip(reducer.names, reducer.params):
        if id(p) not in given:
            raise ArgumentError(f"{what} must be given all trained parameters of the model; {name!r} is missing")
        if not p._a.flags.c_contiguous:
            raise ArgumentError(f"{what}: parameter {name!r} is not contiguous; set p.data = p.data.contiguous() first")


def check_unchanged(model: DistributedDataParallel, reducer: Any, what: str) -> None:
    """DistributedError if parameters were frozen, unfrozen or wrapped again since: others synchronize them now."""
    if reducer.given_up:
        raise DistributedError(
            f"parameters of the model were wrapped again after {what} was made; make it anew for the new model"
        )
    if model.reducer is not reducer:
        raise DistributedError(
            f"parameters of the model were frozen or unfrozen after {what} was made, which no longer gets their gradients; "
            "freeze first, then make it"
        )


def span_view(array: Array, start: int, stop: int) -> Array:
    """Elements of a contiguous array, as a flat view."""
    return array.reshape(-1)[start:stop]


def as_tensor(array: Array) -> Any:
    """A Tensor that an optimizer may hold."""
    found = wrap(array)
    found._rg = True
    return found
