"""``ZeroRedundancyOptimizer``: each rank keeps the optimizer state of its share of the parameters, and steps those.

With N ranks the state takes 1/N of the memory and the step 1/N of the time; then every rank gets the others' new values
in one all-gather.  The parameters are bit for bit those of the plain optimizer.

Rajbhandari et al.: ZeRO: memory optimizations toward training trillion parameter models, 2019 (stage 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import Variable, wrap
from allgrad.distributed.agreement import check_same_model
from allgrad.distributed.algorithms.join import Join, Joinable, JoinHook
from allgrad.distributed.buckets import Spec
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.distributed.objects import gather_object
from allgrad.errors import ArgumentError, DistributedError, UnsupportedError
from allgrad.optim.optimizer import Optimizer

__all__ = ["ZeroRedundancyOptimizer"]


class _Steps(JoinHook):
    """A rank without data steps its share all the same: the others wait for its values."""

    def __init__(self, optimizer: ZeroRedundancyOptimizer) -> None:
        self.optimizer = optimizer

    def main_hook(self) -> None:
        self.optimizer.step()


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """``optimizer_class`` over this rank's share of ``params``; ``defaults`` are its settings.

    No Tensor is split: the largest go first to the rank that has least.  ``optim`` is this rank's own optimizer.
    """

    def __init__(
        self, params: Any, optimizer_class: type[Optimizer], process_group: Any = None,
        parameters_as_bucket_view: bool = False, overlap_with_ddp: bool = False, **defaults: Any,
    ) -> None:  # fmt: skip
        if overlap_with_ddp:
            raise UnsupportedError("overlap_with_ddp is not there; the step runs after backward, with the same results")
        self.process_group: ProcessGroup = group_of(process_group)
        self.owners: list[list[int]] = []  # by group and parameter: the rank that keeps its state
        self.optim: Optimizer | None = None
        self._whole: dict[str, Any] | None = None
        super().__init__(params, defaults)
        comm = self.process_group.comm
        shown = [
            Spec(f"{g}.{i}", tuple(p.shape), p._a.dtype.name)
            for g, group in enumerate(self.param_groups)
            for i, p in enumerate(group["params"])
        ]
        check_same_model(comm, shown, "optimizer parameter")
        shares = [{**group, "params": self._mine(g)} for g, group in enumerate(self.param_groups)]
        self.optim = optimizer_class(shares, **defaults)
        for group, share in zip(self.param_groups, self.optim.param_groups):
            group.update({k: v for k, v in share.items() if k != "params"})
        self.defaults = self.optim.defaults
        self._comm = comm

    def _mine(self, g: int) -> list[Any]:
        rank = self.process_group.comm.rank
        return [p for p, owner in zip(self.param_groups[g]["params"], self.owners[g]) if owner == rank]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, and deal them out; the same on every rank."""
        super().add_param_group(param_group)
        load = [0] * self.process_group.comm.size
        for group, owners in zip(self.param_groups, self.owners):
            for p, owner in zip(group["params"], owners):
                load[owner] += p._a.nbytes
        params = self.param_groups[-1]["params"]
        homes = [0] * len(params)
        for k in sorted(range(len(params)), key=lambda k: (-params[k]._a.nbytes, k)):
            homes[k] = min(range(len(load)), key=lambda r: (load[r], r))
            load[homes[k]] += params[k]._a.nbytes
        self.owners.append(homes)
        if self.optim is not None:
            group = self.param_groups[-1]
            self.optim.add_param_group({**group, "params": self._mine(len(self.owners) - 1)})
            group.update({k: v for k, v in self.optim.param_groups[-1].items() if k != "params"})

    def step(self, closure: Callable[[], Any] | None = None, **settings: Any) -> Any:
        """Step this rank's share, then take over the new values of the others.  Collective."""
        Join.notify_join_context(self)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if self.optim is None:
            raise DistributedError("the optimizer is not made yet")
        self._settings_to(self.optim.param_groups)
        self.optim.step(**settings)
        for group, share in zip(self.param_groups, self.optim.param_groups):
            group.update({k: v for k, v in share.items() if k != "params"})
        self._whole = None
        self._share()
        return loss

    def _settings_to(self, shares: list[dict[str, Any]]) -> None:
        for group, share in zip(self.param_groups, shares):
            share.update({k: v for k, v in group.items() if k != "params"})

    def _share(self) -> None:
        """Every rank's new values to every rank: one all-gather for each dtype, padded to the largest share."""
        comm = self._comm
        if comm.size == 1:
            return
        owned: dict[str, list[list[Any]]] = {}
        for group, owners in zip(self.param_groups, self.owners):
            for p, owner in zip(group["params"], owners):
                owned.setdefault(p._a.dtype.name, [[] for _ in range(comm.size)])[owner].append(p)
        for dtype, shares in owned.items():
            length = max(sum(p._a.size for p in share) for share in shares)
            flat = np.zeros(length, shares_dtype(shares))
            mine = [p._a.reshape(-1) for p in shares[comm.rank]]
            if mine:
                np.concatenate(mine, out=flat[: sum(a.size for a in mine)])
            for rank, values in enumerate(comm.all_gather(flat, f"ZeroRedundancyOptimizer, {dtype}")):
                start = 0
                for p in shares[rank]:
                    if rank != comm.rank:
                        np.copyto(p._a, values[start : start + p._a.size].reshape(p._a.shape))
                        p._cell[0] += 1
                    start += p._a.size

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Gather the states of all ranks on rank ``to``, whose ``state_dict()`` is then whole.  Collective."""
        comm = self._comm
        if self.optim is None:
            raise DistributedError("the optimizer is not made yet")
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        mine = [
            [number[id(p)], {k: v._a if isinstance(v, Variable) else v for k, v in entry.items()}]
            for p, entry in self.optim.state.items()
        ]
        rows: list[Any] | None = [None] * comm.size if comm.rank == to else None
        gather_object(mine, rows, group=self.process_group, group_dst=to)
        if rows is None:
            self._whole = None
            return
        found = {i: entry for row in rows for i, entry in row}
        state = {
            i: {k: wrap(np.array(v)) if isinstance(v, np.ndarray) else v for k, v in found[i].items()} for i in sorted(found)
        }  # fmt: skip
        self._whole = {**super().state_dict(), "state": state}

    def state_dict(self) -> dict[str, Any]:
        """The whole state in the plain optimizer's layout, on the rank that ``consolidate_state_dict`` named."""
        if self._whole is None:
            raise DistributedError(
                f"Optimizer state has not been consolidated on this rank ({self._comm.rank}). Call "
                "consolidate_state_dict(to=rank) on all ranks beforehand if you meant to save the global state."
            )
        return self._whole

    def local_state_dict(self) -> dict[str, Any]:
        """This rank's share of the state, in the plain optimizer's numbering: what a checkpoint keeps of each rank."""
        if self.optim is None:
            raise DistributedError("the optimizer is not made yet")
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        return {**super().state_dict(), "state": {number[id(p)]: entry for p, entry in self.optim.state.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a whole state, also one of the plain optimizer or of another number of ranks: each rank keeps its share."""
        if self.optim is None:
            raise DistributedError("the optimizer is not made yet")
        if len(state_dict["param_groups"]) != len(self.param_groups):
            raise ArgumentError(
                f"loaded state dict has {len(state_dict['param_groups'])} parameter groups, expected {len(self.param_groups)}"
            )
        mine: dict[int, Any] = {}
        groups = []
        for saved, homes in zip(state_dict["param_groups"], self.owners):
            kept = [i for i, owner in zip(saved["params"], homes) if owner == self._comm.rank]
            mine.update({i: state_dict["state"][i] for i in kept if i in state_dict["state"]})
            groups.append({**saved, "params": kept})
        self.optim.load_state_dict({"state": mine, "param_groups": groups})
        for group, share in zip(self.param_groups, self.optim.param_groups):
            group.update({k: v for k, v in share.items() if k != "params"})
        self._whole = None

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What this rank does for the optimizer when it is out of batches."""
        return _Steps(self)

    @property
    def join_process_group(self) -> ProcessGroup:
        """The group over which the state is dealt out."""
        return self.process_group


def shares_dtype(shares: list[list[Any]]) -> np.dtype[Any]:
    """The one dtype of the Tensors."""
    found: np.dtype[Any] = next(p._a.dtype for share in shares for p in share)
    return found
