"""Modules as functions of their parameters: ``functional_call`` and ``stack_module_state``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import ArgumentError, DtypeError
from allgrad.ops.op import TABLE


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other parameters and buffers, by name; the module is left as it was.

    ``tie_weights``: one Tensor under several names is replaced under all of them.  ``strict``: the names must be
    exactly those of the module.
    """
    given = _merged(parameter_and_buffer_dicts)
    places = _places(module)
    if strict:
        missing = [name for name in places if name not in given]
        extra = [name for name in given if name not in places]
        if missing or extra:
            raise ArgumentError(f"functional_call: missing names {missing}, unexpected names {extra}")
    swaps = [(places[name], t) for name, t in given.items() if name in places]
    if tie_weights:
        swaps += _tied(places, given)
    before = [(holder, key, holder[key]) for (holder, key), _ in swaps]
    call = () if args is None else args if isinstance(args, tuple) else (args,)
    try:
        for (holder, key), t in swaps:
            holder[key] = t
        return module(*call, **(kwargs or {}))
    finally:
        for holder, key, t in before:
            holder[key] = t


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, Sequence) or not all(isinstance(d, dict) for d in dicts):
        raise DtypeError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts).__name__}"
        )
    merged: dict[str, Any] = {}
    for d in dicts:
        twice = merged.keys() & d.keys()
        if twice:
            raise ArgumentError(
                f"{sorted(twice)} appear in multiple dictionaries; behavior of functional call is ambiguous"
            )
        merged.update(d)
    return merged


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """The dictionary and key behind every name of a parameter or buffer."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for holder in (part._parameters, part._buffers):
            for key, t in holder.items():
                if t is not None:
                    found[f"{prefix}.{key}" if prefix else key] = (holder, key)
    return found


def _tied(places: dict[str, Any], given: dict[str, Any]) -> list[Any]:
    """Further places of the Tensors that are replaced."""
    new_for = {}
    for name, t in given.items():
        if name in places:
            holder, key = places[name]
            new_for[id(holder[key])] = t
    return [
        (place, new_for[id(place[0][place[1]])])
        for name, place in places.items()
        if name not in given and id(place[0][place[1]]) in new_for
    ]


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of models of one kind, stacked: each of shape (models, ...)."""
    if not models:
        raise ArgumentError("stack_module_state: Expected at least one model, got 0.")
    if any(type(m) is not type(models[0]) for m in models):
        raise ArgumentError("stack_module_state: Expected all models to be of the same class.")
    if len({m.training for m in models}) > 1:
        raise ArgumentError("stack_module_state: Expected all models to have the same training/eval mode.")
    params = {
        name: _leaf([dict(m.named_parameters())[name] for m in models]) for name, _ in models[0].named_parameters()
    }
    buffers = {name: _leaf([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
    return params, buffers


def _leaf(ts: list[Variable]) -> Any:
    stacked = TABLE["stack"](*(t.detach() for t in ts), dim=0)  # type: ignore[attr-defined]
    return stacked.requires_grad_(all(t.requires_grad for t in ts))  # type: ignore[attr-defined]
