"""The mean of parameters over a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.distributed.group import GroupMember, group_of
from allgrad.errors import MismatchError, UnsupportedError

__all__ = ["average_parameters", "average_parameters_or_parameter_groups", "get_params_to_average"]


def average_parameters(params: Iterable[Any], process_group: Any = None) -> None:
    """Replace each parameter by its mean over the group, the same bits on each rank; one message per dtype."""
    if process_group is GroupMember.NON_GROUP_MEMBER:
        return
    comm = group_of(process_group).comm
    kinds: dict[str, list[Any]] = {}
    for p in params:
        kinds.setdefault(p._a.dtype.name, []).append(p)
    for dtype, alike in sorted(kinds.items()):
        flat = np.concatenate([p._a.reshape(-1) for p in alike])
        comm.all_reduce(flat, scale=1.0 / comm.size, label=f"mean of the parameters, {dtype}")
        start = 0
        for p in alike:
            stop = start + p._a.size
            np.copyto(p._a, flat[start:stop].reshape(p._a.shape))
            p._cell[0] += 1
            start = stop


def get_params_to_average(params: Iterable[Any]) -> list[Any]:
    """Those of ``params``, a model's parameters or an optimizer's groups, that have a gradient on this rank."""
    return [p for p in _flat(params) if p._grad is not None]


def average_parameters_or_parameter_groups(params: Iterable[Any], process_group: Any = None) -> None:
    """Average those parameters that have a gradient on any rank of the group; if none has one, all that want one."""
    if process_group is GroupMember.NON_GROUP_MEMBER:
        return
    comm = group_of(process_group).comm
    every = _flat(params)
    marks = bytes(p._grad is not None for p in every)
    said = comm.all_gather_bytes(marks, label="which parameters are averaged")
    if len({len(row) for row in said}) > 1:
        raise MismatchError(
            f"model averaging was given {', '.join(f'{len(row)} parameters on rank {r}' for r, row in enumerate(said))}; "
            "give the same list on every rank"
        )
    chosen = [p for i, p in enumerate(every) if any(row[i] for row in said)]
    average_parameters(chosen or [p for p in every if p._rg], process_group)


def _flat(params: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for thing in params:
        if isinstance(thing, Variable):
            found.append(thing)
        elif isinstance(thing, dict):
            found.extend(thing["params"])
        else:
            raise UnsupportedError(
                f"Parameter input of type {type(thing)} is not supported; give Tensors or param_groups"
            )
    return found
