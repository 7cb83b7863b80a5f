"""``Elementwise``: the base of optimizers whose update of an element depends on that element alone.

A subclass names its state and gives, for one step, a kernel and its numbers (``_rule``).  Everything else, which
parameters go together, weight decay, ``maximize``, half precision, is done here for all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from allgrad.errors import ArgumentError, UnsupportedError
from allgrad.optim.layout import Batch, Names, Slot, lay_out, overlapping
from allgrad.optim.optimizer import Optimizer
from allgrad.optim.passes import Run, Scratch

Array = np.ndarray[Any, Any]
Kernel = Callable[[Array, Array, tuple[Array, ...], tuple[Array, ...], list[Array]], None]

ONE = np.array(1, np.float32)
CHANGED = ("optimizer step",)  # what backward says changed a value that it saved


class Rule(NamedTuple):
    """What one step does to a run: ``kernel(values, grads, moments, temporaries, numbers)``."""

    kernel: Kernel
    numbers: tuple[float, ...]
    decay: float = 0.0  # g + decay * p takes the place of g
    shrink: float = 1.0  # p is multiplied by it first


class Plan:
    """How the parameters of one group are updated, kept from step to step while nothing changes."""

    def __init__(self, group: dict[str, Any], names: tuple[Names, Names]) -> None:
        params = group["params"]
        self.share = group.get("foreach") is not False
        self.names = names
        self.apart = overlapping(params)
        self.batches: list[Batch] = lay_out(params, share=self.share, apart=self.apart)
        slots = {id(s.param): s for b in self.batches for s in b.slots}
        self.slots: list[Slot] = [slots[id(p)] for p in params]
        self.present: list[bool] = []
        self.runs: list[Run] = []

    def fits(self, group: dict[str, Any], names: tuple[Names, Names]) -> bool:
        """Whether the group still holds the parameters that were laid out, with the same kind of state and memory."""
        params = group["params"]
        if len(params) != len(self.slots) or (group.get("foreach") is not False) is not self.share:
            return False
        if names != self.names or not all([p is s.param for p, s in zip(params, self.slots)]):
            return False
        moved = [s for s in self.slots if s.param._a is not s.array]
        if not moved:
            return True
        if not all([s.follow() for s in moved]) or overlapping(params) != self.apart:
            return False
        self.present = []  # runs hold views of the old memory
        return True


class Elementwise(Optimizer):
    """``_temporaries``: how many scratch arrays the kernel needs; ``_scalars``: state with one number per parameter."""

    _temporaries = 1
    _scalars: Names = ("step",)

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self._forget()

    def _moments(self, group: dict[str, Any]) -> Names:
        """Names of the state entries that are shaped as their parameter."""
        raise UnsupportedError(f"{type(self).__name__} lacks the rule of its step")

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        """First values of state entries that do not start at zero."""
        return {}

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        """The kernel and numbers of this step; moves on the ``scalars``, one (slots,) each; ``first``: no update before."""
        raise UnsupportedError(f"{type(self).__name__} lacks the rule of its step")

    def _step(self) -> None:
        for index, group in enumerate(self.param_groups):
            plan = self._plan(index, group, [p._grad is not None for p in group["params"]])
            for run in plan.runs:
                self._update(group, run)

    def _plan(self, index: int, group: dict[str, Any], present: list[bool]) -> Plan:
        names = (self._scalars, self._moments(group))
        plan = self._plans.get(index)
        if plan is None or not plan.fits(group, names):
            plan = self._plans[index] = Plan(group, names)
        if plan.present != present or self._touched(plan):
            self._arrange(plan, present, self._first(group))
        return plan

    def _touched(self, plan: Plan) -> bool:
        """Whether state entries were replaced or the per parameter numbers written to by someone else."""
        return plan.names != ((), ()) and any([run.touched(self.state) for run in plan.runs])

    def _arrange(self, plan: Plan, present: list[bool], first: dict[str, float]) -> None:
        """Cut the batches into runs: neighbours that have a gradient and equal per parameter numbers."""
        scratch = self._scratch
        scalars, moments = plan.names
        wanted = {id(slot) for slot, here in zip(plan.slots, present) if here}
        runs: list[Run] = []
        for batch in plan.batches:
            row: list[Slot] = []
            for slot in batch.slots:
                if id(slot) in wanted:
                    _check(slot)
                    if scalars or moments:
                        entry = self.state[slot.param]
                        if slot.detached(entry):
                            batch.attach(slot, entry, scalars, moments, first)
                    if row and not _alike(batch, row[-1], slot):
                        runs.append(Run(batch, row, moments, self._temporaries, scratch))
                        row = []
                    row.append(slot)
                elif row:
                    runs.append(Run(batch, row, moments, self._temporaries, scratch))
                    row = []
            if row:
                runs.append(Run(batch, row, moments, self._temporaries, scratch))
        plan.runs, plan.present = runs, present

    def _update(self, group: dict[str, Any], run: Run) -> None:
        rule = self._rule(group, run.rows, run.first)
        run.stepped()
        kernel, settings, decay, shrink = rule
        numbers = self._scratch.constants(run.dtype, (decay, shrink, *settings))
        by_decay, by_shrink, *numbers = numbers
        negate, in_place = bool(group.get("maximize")), run.in_place
        given = run.params[0]._grad._a.ravel() if in_place else None
        for values, own, moments, temporaries, stored, span in run.pieces:
            for memory, wide in stored:
                np.copyto(wide, memory, casting="unsafe")
            if given is None:
                run.gather()
                g = run.gather_grads()
            else:
                g = given[span]
                if g.dtype != own.dtype:
                    np.copyto(own, g, casting="unsafe")
                    g = own
            if negate:
                g = np.negative(g, own)
            if decay:
                np.multiply(values, by_decay, temporaries[0])
                g = np.add(g, temporaries[0], own)
            if shrink != 1.0:
                np.multiply(values, by_shrink, values)
            kernel(values, g, moments, temporaries, numbers)
            for memory, wide in stored:
                np.copyto(memory, wide, casting="unsafe")
        run.scatter()
        for p in run.params:
            version = p._cell
            version[0] += 1
            version[1:] = CHANGED

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k not in ("_plans", "_scratch")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        """Drop what was derived from groups and state."""
        self._plans: dict[int, Plan] = {}
        self._scratch = Scratch()


def count(steps: Array) -> float:
    """Count one more update, and return the number of it."""
    np.add(steps, ONE, steps)
    return float(steps.item(0))


def _alike(batch: Batch, a: Slot, b: Slot) -> bool:
    return bool((batch.scalars[:, a.place] == batch.scalars[:, b.place]).all())


def _check(slot: Slot) -> None:
    """A parameter that is to be changed must be a floating one in memory that may be written."""
    a = slot.array
    if a.dtype.kind in "iub":
        raise ArgumentError(f"a parameter of dtype {a.dtype} cannot be optimized: only floating ones can")
    if not a.flags.writeable:
        raise ArgumentError(
            f"a parameter of shape {list(a.shape)} lies in read-only memory, or several of its elements share one "
            "place; optimize a copy: p = p.detach().clone().requires_grad_()"
        )
