"""Silent corruption: a core or a memory chip that computes wrongly says nothing, so another rank computes again.

Every so many steps each rank gives one micro-batch to the next rank, which computes its gradient on its own replica, with
the same random numbers.  The bits must be equal.  Where they are not, a third rank decides who is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd import grad
from allgrad.checkpoint.together import exchange, host_of
from allgrad.distributed.ddp import DistributedDataParallel
from allgrad.distributed.group import group_of
from allgrad.distributed.objects import decode, encode
from allgrad.errors import ArgumentError, ReplicaError
from allgrad.random import default_generator


class ReplayCheck:
    """``check = ReplayCheck(model, loss, every=500)``, then ``check(inputs, targets)`` in each step.  Collective.

    ``loss(module, *batch)`` gives the scalar that is differentiated; the batch is Tensors and plain values.  Neither
    gradients nor buffers nor random numbers of the training are touched.  ReplicaError on all ranks, naming the rank that
    computes wrongly and the first parameter.  The ranks must be on CPUs of one kind: others round otherwise.
    """

    def __init__(self, model: Any, loss: Callable[..., Any], every: int = 500, group: Any = None) -> None:
        if type(every) is not int or every < 1:
            raise ArgumentError(f"every must be a whole number of at least 1, found {every!r}")
        self.module = model.module if isinstance(model, DistributedDataParallel) else model
        self.loss, self.every = loss, every
        self.comm = group_of(group).comm
        self.steps = 0
        self.checks = 0

    def __call__(self, *batch: Any) -> None:
        self.steps += 1
        if self.steps % self.every or self.comm.size == 1:
            return
        self.checks += 1
        rank, size = self.comm.rank, self.comm.size
        before = self._state()
        try:
            mine = encode([list(batch), before])
            everybody = self.comm.all_gather_bytes(mine, label="micro-batches to be replayed")
            own, other = self._digests(mine), self._digests(everybody[(rank - 1) % size])
            found = exchange(self.comm, [own, other], "gradients of replayed micro-batches")
            odd = [r for r in range(size) if found[r][0] != found[(r + 1) % size][1]]
            if odd:
                self._decide(odd[0], everybody[odd[0]], found[odd[0]][0], found[(odd[0] + 1) % size][1])
        finally:
            self._restore(before)

    def _decide(self, r: int, batch: bytes, by_owner: list[str], by_next: list[str]) -> None:
        """Everybody computes the batch of rank ``r`` once more; the odd one out is named."""
        size = self.comm.size
        again = exchange(self.comm, self._digests(batch), "the third opinion")
        votes = [*again, by_owner, by_next]
        usual = max(votes, key=votes.count)
        pair = (r, (r + 1) % size)
        wrong = {k for k in range(size) if again[k] != usual}
        wrong |= {k for k, digests in zip(pair, (by_owner, by_next)) if digests != usual}
        if 2 * votes.count(usual) <= len(votes) or not wrong:
            wrong = set(pair)
        names = [name for name, _ in self._params()]
        first = next((n for n, a, b in zip(names, by_owner, by_next) if a != b), "?")
        who = " or ".join(host_of(self.comm, k) for k in sorted(wrong))
        raise ReplicaError(
            f"step {self.steps}: the gradient of a micro-batch of rank {r} has other bits when rank {pair[1]} computes it, first "
            f"in {first!r}; {who} computes wrongly (or has other parameters, or a CPU of another kind). Do not trust the steps "
            "since the last check that went well; take that node out and resume from a checkpoint before them"
        )

    def _digests(self, raw: bytes) -> list[str]:
        """SHA-256 of each parameter's gradient for a micro-batch."""
        batch, state = decode(raw)
        self._restore(state)
        params = [p for _, p in self._params()]
        grads = grad(self.loss(self.module, *batch), params, allow_unused=True)
        return [
            "" if g is None else hashlib.sha256(np.ascontiguousarray(g._a).tobytes()).hexdigest()[:16] for g in grads
        ]

    def _params(self) -> list[tuple[str, Any]]:
        return [(name, p) for name, p in self.module.named_parameters() if p.requires_grad]

    def _state(self) -> dict[str, Any]:
        buffers = {name: b._a.copy() for name, b in self.module.named_buffers()}
        return {"random": default_generator().get_state(), "buffers": buffers}

    def _restore(self, state: dict[str, Any]) -> None:
        default_generator().set_state(state["random"])
        for name, b in self.module.named_buffers():
            np.copyto(b._a, state["buffers"][name])
            b._cell[0] += 1
