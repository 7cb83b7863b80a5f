"""One pass with workers: tasks go out in turn, batches come back in the order of the tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from allgrad.utils.data.fetch import END, Answer, Failure, Plan, few
from allgrad.utils.data.workers import WorkerError

_numbers = itertools.count()  # passes; answers to a pass that was left early are known by their number


class WorkerPass:
    """An iterator of (indices, batch).  Keeps ``ahead`` tasks per worker under way."""

    def __init__(
        self, crew: Any, plan: Plan, indices: Iterator[Any], ahead: int, timeout_s: float | None, owned: bool, first: int = 0
    ) -> None:  # fmt: skip
        self._crew = crew
        self._plan = plan
        self._indices = indices
        self._timeout_s = timeout_s
        self._owned = owned  # the workers end with this pass
        self._number = next(_numbers)
        self._active = set(range(plan.num_workers))  # those whose stream has not ended
        self._turn = itertools.cycle((first + k) % plan.num_workers for k in range(plan.num_workers))
        self.random: list[Any] = [None] * plan.num_workers  # of each worker, after its last batch that was handed out
        self._tasks: dict[int, tuple[int, Any]] = {}  # out, in order: task -> worker and indices
        self._answers: dict[int, Any] = {}
        self._next_task = 0
        for _ in range(ahead * plan.num_workers):
            self._submit()

    def _submit(self) -> None:
        if not self._active:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        worker = next(w for w in self._turn if w in self._active)
        self._tasks[self._next_task] = worker, indices
        self._crew.submit(worker, (self._number, self._next_task), indices)
        self._next_task += 1

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self

    def __next__(self) -> tuple[Any, Any]:
        while self._tasks:
            task = next(iter(self._tasks))
            worker, indices = self._tasks[task]
            answer = self._wait_for(task)
            del self._tasks[task]
            if isinstance(answer, Answer):
                answer, self.random[worker] = answer
            if isinstance(answer, Failure):
                self.close()
                raise answer.error(f"DataLoader worker {worker} of rank {self._plan.rank}")
            if isinstance(answer, str) and answer == END and indices is None:
                self._active.discard(worker)
                self._submit()
                continue
            self._submit()
            return indices, answer
        self.close()
        raise StopIteration

    def _wait_for(self, task: int) -> Any:
        while task not in self._answers:
            found = self._crew.receive(self._timeout_s)
            if found is None:
                worker, indices = self._tasks[task]
                self._crew.broken = True
                self.close()
                raise WorkerError(
                    f"DataLoader timed out after {self._timeout_s} seconds: worker {worker} of rank {self._plan.rank} has not "
                    f"given the batch of {'its stream' if indices is None else f'sample indices {few(indices)}'}"
                )
            (number, which), answer = found
            if number == "dead":
                self.close()
                raise answer.error(f"DataLoader worker {which} of rank {self._plan.rank}")
            if number == self._number:
                self._answers[which] = answer
        return self._answers.pop(task)

    def close(self) -> None:
        """Let the workers of this pass end."""
        self._tasks.clear()
        if self._owned:
            self._owned = False
            self._crew.close()

    def __del__(self) -> None:
        if "_owned" in self.__dict__:
            self.close()
