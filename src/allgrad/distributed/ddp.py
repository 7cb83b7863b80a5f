"""``DistributedDataParallel``: one replica per rank, gradients averaged while backward runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from allgrad.context import ctx
from allgrad.distributed.agreement import check_same_model, check_same_settings
from allgrad.distributed.algorithms.join import Join, Joinable, JoinHook
from allgrad.distributed.bucket_step import StepsInBackward
from allgrad.distributed.buckets import Spec
from allgrad.distributed.group import ProcessGroup, default_group, entered
from allgrad.distributed.hooks import Hook
from allgrad.distributed.join_ddp import DDPJoinHook, first_active
from allgrad.distributed.lateness import Lateness
from allgrad.distributed.lateness import wanted as lateness_wanted
from allgrad.distributed.lateness_report import LateReport, late_report
from allgrad.distributed.leases import leases_of
from allgrad.distributed.loss_weights import Weigher
from allgrad.distributed.outputs import begins_round
from allgrad.distributed.reducer import Reducer
from allgrad.distributed.sentinel import EVERY, Sentinel
from allgrad.distributed.shards import Sharding
from allgrad.distributed.shards_steps import ShardSteps
from allgrad.distributed.step_word import Gate
from allgrad.distributed.weights import Weights
from allgrad.errors import ArgumentError, DistributedError, DtypeError, UnsupportedError
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import is_lazy

MIB = 1024 * 1024
_TIES = {  # what ties a wrapped model to the other ranks; a copy gets its own
    "process_group", "reducer", "sentinel", "late", "sharding", "_all_params", "_wanting", "_settings", "_weigher", "_lease",
    "_slot", "_join", "meet_buffers",
}  # fmt: skip


class DistributedDataParallel(Module, Joinable, ShardSteps, StepsInBackward):
    """Wraps a module so that after ``backward()`` every rank holds the mean gradient over all ranks.

    Parameters and buffers start as those of rank 0.  All ranks must hold the same model: names, shapes and dtypes are
    compared first, and a difference is an error on every rank.  The replicas stay bitwise equal, at any number of ranks
    and any ``bucket_cap_mb``.  ``state_dict()`` has the wrapped module's own keys; with or without ``module.`` they load.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0, broadcast_buffers: bool = True,
        init_sync: bool = True, process_group: Any = None, bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False, check_reduction: bool = False, gradient_as_bucket_view: bool = True,
        static_graph: bool = False, delay_all_reduce_named_params: Any = None, param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None, device_mesh: Any = None, skip_all_reduce_unused_params: bool = False, *,
        nonfinite_limit: int | None = 10, replica_check: int | None = EVERY, shards: int | None = None,
        exact_mean: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if device_ids is not None and any(str(d) not in ("cpu",) for d in device_ids):
            raise ArgumentError(f"device_ids={device_ids!r}: allgrad runs on the CPU; leave device_ids out")
        for name, value in (("mixed_precision", mixed_precision), ("device_mesh", device_mesh)):
            if value is not None:
                raise UnsupportedError(
                    f"DistributedDataParallel has no {name}; cast the module with .to(dtype) instead"
                )
        if bucket_cap_mb is not None and float(bucket_cap_mb) <= 0:
            raise ArgumentError(f"bucket_cap_mb must be positive, found {bucket_cap_mb}")
        self.module = module
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.static_graph = static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self._given: dict[str, Any] = {
            "init_sync": init_sync, "bucket_cap_mb": bucket_cap_mb, "nonfinite_limit": nonfinite_limit,
            "replica_check": replica_check, "shards": shards, "exact_mean": exact_mean,
        }  # fmt: skip
        self._enter(process_group, **self._given)

    def _enter(
        self, process_group: Any, *, init_sync: bool, bucket_cap_mb: float | None, nonfinite_limit: int | None,
        replica_check: int | None, shards: int | None, exact_mean: bool,
    ) -> None:  # fmt: skip
        """Become the same as on the other ranks, and have gradients averaged from now on.  Collective."""
        module = self.module
        named, buffers = self._not_ignored(module.named_parameters()), self._not_ignored(module.named_buffers())
        self._all_params = named
        params = [(n, p) for n, p in named if p.requires_grad]
        if not params:
            raise ArgumentError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient."
            )
        lazy = [n for n, p in params if is_lazy(p)]
        if lazy:
            raise ArgumentError(f"parameter {lazy[0]!r} has no shape yet; run one batch through the module first")
        cap = 25.0 if bucket_cap_mb is None else float(bucket_cap_mb)
        self.process_group: ProcessGroup = entered(process_group, "DistributedDataParallel")
        comm = self.process_group.comm
        if init_sync:
            for found, what in ((named, "parameter"), (buffers, "buffer"), (params, "trained parameter")):
                check_same_model(comm, [Spec(n, tuple(t.shape), t._a.dtype.name) for n, t in found], what)
            settings = {
                "bucket_cap_mb": cap,
                "broadcast_buffers": self.broadcast_buffers,
                "nonfinite_limit": nonfinite_limit,
                "replica_check": replica_check,
                "shards": shards,
                "exact_mean": exact_mean,
            }
            check_same_settings(comm, settings, "DistributedDataParallel")
            self._broadcast([t for _, t in (*named, *buffers)])
        first = min(cap, 1.0) if bucket_cap_mb is None else cap
        self._lease = leases_of(comm).enter(self) if comm.size > 1 else None
        if self._lease is not None:
            comm = self._lease.stream  # two models in one program must not wait for each other's messages
        self._settings: dict[str, Any] = {
            "cap_bytes": int(cap * MIB), "first_cap_bytes": int(first * MIB), "nonfinite_limit": nonfinite_limit
        }  # fmt: skip
        self.sentinel = Sentinel(self._all_params, module, replica_check)
        self.late: Lateness | None = Lateness(self) if lateness_wanted() else None
        self._weigher = Weigher() if exact_mean else None
        self._plan(comm)
        self._slot: int | None = None  # this model's number in the step words
        if shards is not None and exact_mean:
            raise ArgumentError(
                "exact_mean=True is not for shards=V: give each shard's weight to model.shard(k, weight=n)"
            )
        if shards is not None:
            self.sharding = Sharding(self, shards)
        elif self.process_group.comm.size > 1:
            if self.process_group.gate is None:
                self.process_group.gate = Gate(self.process_group.comm)
            self._slot = self.process_group.gate.enter(self)
            if self._lease is not None:
                self._lease.gate, self._lease.slot = self.process_group.gate, self._slot
        self._pass_gate()

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module: Module, params_and_buffers_to_ignore: Any) -> None:
        """Before wrapping: the parameters and buffers of ``module`` with these names stay each rank's own."""
        module._ddp_params_and_buffers_to_ignore = params_and_buffers_to_ignore

    def _not_ignored(self, named: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        ignored = set(getattr(self.module, "_ddp_params_and_buffers_to_ignore", ()))
        return [(name, t) for name, t in named if name not in ignored]

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: all but what ties the model to the other ranks.  Default process group only."""
        if self.__dict__.get("process_group") not in (None, default_group()):
            raise DistributedError(
                "DDP Pickling/Unpickling are only supported when using DDP with the default process group; "
                "copy model.module, and wrap the copy over the group"
            )
        return {k: v for k, v in self.__dict__.items() if k not in _TIES}

    def __getattr__(self, name: str) -> Any:
        """A copy joins the default group when it first needs to: when it trains, not when it evaluates."""
        if name in _TIES and "_given" in self.__dict__ and "process_group" not in self.__dict__:
            self._enter(None, **self._given)
            return self.__dict__[name]
        return super().__getattr__(name)

    def _plan(self, comm: Any) -> None:
        """Make the reducer for the parameters that want a gradient now."""
        self._wanting = [bool(p._rg) for _, p in self._all_params]
        self.reducer = Reducer([(n, p) for n, p in self._all_params if p._rg], comm, **self._settings)
        self.reducer.sentinel, self.reducer.weigher = self.sentinel, self._weigher
        self.reducer.views = self.gradient_as_bucket_view
        if self._lease is not None:
            self._lease.reducer = self.reducer
        if self.late is not None:
            self.late.attach(self.reducer)

    def measure_lateness(self) -> None:
        """From now on time work and waiting of this rank, for ``late_report``; on every rank."""
        if self.late is None:
            self.late = Lateness(self)
            self.late.attach(self.reducer)

    def lateness(self) -> LateReport:
        """Which rank is late, and in which module; see ``distributed.late_report``.  Collective."""
        return late_report(self)

    def _pass_gate(self) -> None:
        """Steps begin with a word to the other ranks, except under join(), which has words of its own."""
        words = self._slot is not None and self._join is None
        self.reducer.gate = self.process_group.gate if words else None
        self.reducer.slot = self._slot or 0

    def _replan(self) -> None:
        """Parameters were frozen or unfrozen: agree with the other ranks on the new list, then plan anew."""
        comm, gate = self.reducer.comm, self.reducer.gate
        if gate is not None:
            gate.broken = True
        wanted = [Spec(n, tuple(p.shape), p._a.dtype.name) for n, p in self._all_params if p._rg]
        check_same_model(comm, wanted, "trained parameter")
        if gate is not None:
            gate.broken = False
        before = self.reducer
        memory = before.close()
        if self._lease is not None:
            leases_of(self.process_group.comm).left += memory
        self._plan(comm)
        now = self.reducer
        now.enabled, now.weights, now.hook, now.hook_state = (
            before.enabled,
            before.weights,
            before.hook,
            before.hook_state,
        )
        now.sent_bytes, now.plain_bytes = before.sent_bytes, before.plain_bytes
        now.votes.skipped, now.votes.in_a_row = before.votes.skipped, before.votes.in_a_row

    def _broadcast(self, tensors: list[Any], source: int = 0) -> None:
        comm = self.process_group.comm
        if comm.size == 1:
            return
        for t in tensors:
            flat = np.ascontiguousarray(t._a).reshape(-1)
            comm.broadcast(flat, source, "DistributedDataParallel")
            if comm.rank != source:
                np.copyto(t._a, flat.reshape(t._a.shape))
                t._cell[0] += 1

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's forward; buffers (running statistics) come from rank 0 first while training."""
        if "process_group" not in self.__dict__:  # a copy
            if not (self.training and ctx.grad_enabled):
                return self.module(*inputs, **kwargs)
            self._enter(None, **self._given)
        if self.sharding is not None:
            self.sharding.check_forward()
        if self.training and ctx.grad_enabled and self.require_backward_grad_sync:
            self.reducer.prepare()
            if self._wanting != [p._rg for _, p in self._all_params]:
                self._replan()
            self._pass_gate()
            mean_of_all = self._join is None or self._join.settings.get("divide_by_initial_world_size", True)
            if not mean_of_all and self.reducer.weights is None and self._weigher is None:
                self.reducer.weights = Weights()
                self.reducer.weights.add(1, self.reducer.params)
            Join.notify_join_context(self, weighted=self.reducer.weights is not None or self._weigher is not None)
            self.meet_buffers(first_active(self._join))
            return begins_round(self._weighed(*inputs, **kwargs), self.reducer)
        return self._weighed(*inputs, **kwargs)

    def _weighed(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's forward; under ``exact_mean`` a backward through it takes the weight of its loss."""
        if self._weigher is None or not ctx.grad_enabled:
            return self.module(*inputs, **kwargs)
        self._weigher.before_forward()
        output = self.module(*inputs, **kwargs)
        self._weigher.after_forward(output, self.reducer)
        return output

    def meet_buffers(self, source: int = 0, asked: bool = False) -> None:
        """Buffers become those of rank ``source``, unless ``broadcast_buffers=False``.

        Not ``asked``: with step words, of the first rank that has data.
        """
        if self.broadcast_buffers:
            self.sentinel.before_buffers()
            buffers = [b for _, b in self._not_ignored(self.module.named_buffers())]
            if buffers and self.reducer.gate is not None and not asked:
                source = self.reducer.gate.buffers(self)
            if source:
                self._broadcast(buffers, source)
            else:
                self._broadcast(buffers)
            self.sentinel.after_buffers()

    def skip(self, weighted: bool = False) -> None:
        """Instead of a forward and backward: this rank has no use for its batch, the others go on.

        It counts as zero gradients among the mean, or as no samples where the others use ``sync(weight=n)``: then say
        ``weighted=True``.  The gradients are the others' afterwards; call ``optimizer.step()`` as they do.
        """
        self._refuse_with_shards("skip()")
        self._pass_gate()
        weighted = weighted or self._weigher is not None
        Join.notify_join_context(self, weighted=weighted)
        self.meet_buffers(first_active(self._join))
        if weighted:
            self.reducer.weights = Weights()
            self.reducer.weights.add(0, self.reducer.params)
        self.reducer.stand_in()

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False,
        optimizer: Any = None,
    ) -> Join:  # fmt: skip
        """``with model.join(optimizer=optimizer):`` round a loop in which ranks may have different numbers of batches.

        A rank that is out counts as zero gradients, or with ``divide_by_initial_world_size=False`` not at all.  Given the
        optimizer, it steps with the others, so that all its state stays equal too; without, the final parameters are
        copied to it at the end.
        """
        self._refuse_with_shards("join()")
        return Join(
            [self], enable, throw_on_early_termination,
            divide_by_initial_world_size=divide_by_initial_world_size, optimizer=optimizer,
        )  # fmt: skip

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What this rank does for the model when it is out of batches."""
        return DDPJoinHook(self, kwargs.get("divide_by_initial_world_size", True), kwargs.get("optimizer"))

    @property
    def require_backward_grad_sync(self) -> bool:
        """Whether the next backward is synchronized; programs set it instead of ``no_sync()``."""
        return self.reducer.enabled

    @require_backward_grad_sync.setter
    def require_backward_grad_sync(self, value: bool) -> None:
        self.reducer.enabled = bool(value)

    @property
    def join_process_group(self) -> ProcessGroup:
        """The group over which gradients are averaged."""
        return self.process_group

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Within: backward only accumulates; the next backward outside averages what was accumulated."""
        self._refuse_with_shards("no_sync()")
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextlib.contextmanager
    def sync(self, when: bool = True, weight: float | None = None) -> Iterator[None]:
        """``no_sync()`` unless ``when``: ``with model.sync(when=last_micro_batch): loss.backward()``.

        ``weight``: how many samples or tokens the loss of this micro-batch is the mean of.  The gradient is then that of the
        mean over all samples of all ranks and micro-batches, however they are spread; 0 is allowed.  On every rank or none.
        """
        self._refuse_with_shards("sync()")
        reducer = self.reducer
        if weight is not None and self._weigher is not None:
            raise ArgumentError(
                "sync(weight=) with exact_mean=True: either the loss carries its weight, or you give it"
            )
        if weight is not None:
            reducer.weights = reducer.weights or Weights()
            reducer.weights.add(weight, reducer.params)
        try:
            with contextlib.nullcontext() if when else self.no_sync():
                yield
        finally:
            if self.reducer.weights is not None:
                self.reducer.weights.restore(self.reducer.params)

    def register_comm_hook(self, state: Any, hook: Hook) -> None:
        """Let ``hook(state, bucket)`` make each bucket the same on all ranks; it returns a future of the flat result.

        It gets this rank's gradients and divides by the number of ranks itself.  Once per model, before training.
        """
        self._refuse_with_shards("register_comm_hook()")
        if not callable(hook):
            raise DtypeError(f"Communication hook must be callable, found {type(hook).__name__}")
        if self.reducer.hook is not None:
            raise ArgumentError("register_comm_hook can only be called once.")
        if self.reducer.taker is not None:
            raise UnsupportedError(f"a communication hook cannot be combined with {type(self.reducer.taker).__name__}")
        self.reducer.hook, self.reducer.hook_state = hook, state

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of gradients that this rank gave to the communication so far, and what it would have given without hook."""
        return self.reducer.sent_bytes, self.reducer.plain_bytes

    @property
    def skipped_steps(self) -> int:
        """How many steps all ranks have skipped because a gradient was NaN or infinite on one of them."""
        return self.reducer.votes.skipped

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped module's state, under its own keys."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state saved with or without the ``module.`` prefix."""
        own = any(name.startswith("module.") for name in self.module.state_dict())
        plain = state_dict
        if not own and state_dict and all(k.startswith("module.") for k in state_dict):
            plain = {k.removeprefix("module."): v for k, v in state_dict.items()}
        return self.module.load_state_dict(plain, strict, assign)
