"""After an uneven loop: the ranks that ran out of batches first become what the others have become.

They take over parameters, gradients and buffers of the model, the state and the settings (the learning rate too) of every
optimizer that holds its parameters, and the counters of these optimizers' schedules and of the loss scalers.  So
replicas are bitwise equal, and what is called per batch does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.comm import Communicator
from allgrad.distributed.objects import decode, encode
from allgrad.distributed.taking import Taken
from allgrad.errors import AllgradError, DistributedError
from allgrad.optim.registry import followers_of, optimizers_of

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel


def catch_up(
    comm: Communicator, source: int, models: Sequence[DistributedDataParallel], late: bool, strict: bool
) -> None:
    """The state of ``models`` on rank ``source`` to the ranks that are ``late``.  Collective.

    DistributedError on every rank if something of it cannot be sent or does not fit.  A rank that is not ``strict``, whose
    program has thrown the model away or is at its end, does without an optimizer that it does not have.
    """
    followers = _followers(models)
    complaint = b""
    payload = None
    if comm.rank == source:
        try:
            payload = encode([_told(models), [[type(f).__name__, f.state_dict()] for f in followers]])
        except AllgradError as error:
            complaint = f"rank {source} cannot send the state: {error}".encode()
    if late and strict:
        complaint = complaint or _unfit(models)
    _judge(comm, complaint)
    raw = comm.broadcast_bytes(payload, source, "models and optimizers after an uneven loop")
    if late:
        told, states = decode(raw)
        try:
            for model, (tensors, grads) in zip(models, told):
                _take(model, tensors, grads)
            theirs, mine = [name for name, _ in states], [type(f).__name__ for f in followers]
            if theirs != mine and not strict:
                states = []
            elif theirs != mine:
                raise DistributedError(f"it has {mine or 'no optimizer'}, rank {source} has {theirs or 'none'}")
            for follower, (_, state) in zip(followers, states):
                follower.load_state_dict(state)
        except AllgradError as error:
            complaint = f"rank {comm.rank} cannot take over the state: {error}".encode()
    _judge(comm, complaint)
    for model in models:
        model.sentinel.away = False
        model.sentinel.local_steps = False


def _judge(comm: Communicator, complaint: bytes) -> None:
    said = [text.decode() for text in comm.all_gather_bytes(complaint, label="can the late ranks catch up")]
    if any(said):
        raise DistributedError(
            "after an uneven number of batches the replicas cannot be made equal: "
            + "; ".join(text for text in said if text)
            + ". Load a checkpoint on all ranks, or use model.join(optimizer=optimizer) round the loop"
        )


def _followers(models: Sequence[DistributedDataParallel]) -> list[Any]:
    """The optimizers, schedules and scalers of the models, in the order in which they were made."""
    optimizers = optimizers_of(p for model in models for p in model.module.parameters())
    return [*optimizers, *followers_of(optimizers)]


def _unfit(models: Sequence[DistributedDataParallel]) -> bytes:
    """Why this rank cannot take over an optimizer's state; empty if it can."""
    for optimizer in _followers(models):
        if hasattr(optimizer, "consolidate_state_dict"):
            return f"{type(optimizer).__name__} keeps its state in shares, which only join() steps on a rank without data".encode()
    return b""


def _tensors(model: DistributedDataParallel) -> list[Variable]:
    return [*model.module.parameters(), *model.module.buffers()]


def _told(models: Sequence[DistributedDataParallel]) -> list[Any]:
    return [[_tensors(m), [_gradient(p) for p in m.module.parameters()]] for m in models]


def _gradient(p: Any) -> Any:
    """The gradient as an array; None where there is none, or an optimizer has used it up."""
    return None if p._grad is None or isinstance(p._grad, Taken) else p._grad._a


def _take(model: DistributedDataParallel, tensors: list[Any], grads: list[Any]) -> None:
    """Write in place, so that optimizers and views stay what they are."""
    for mine, theirs in zip(_tensors(model), tensors):
        np.copyto(mine._a, theirs._a)
        mine._cell[0] += 1
    for p, grad in zip(model.module.parameters(), grads):
        p._grad = None if grad is None else wrap(grad)
