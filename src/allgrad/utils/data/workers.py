"""A crew of workers that are threads.  ``processes`` has the crew of spawned ones.

Each worker answers its tasks in order.  A task is (number, payload); answers come in any order among the workers.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any

from allgrad.context import ctx
from allgrad.errors import AllgradError
from allgrad.utils.data.fetch import Plan, Worker

NEW_PASS = "pass"  # in place of a task's number


class WorkerError(AllgradError, RuntimeError):
    """A worker died, or did not answer in time."""


class ThreadCrew:
    """Workers that are threads: they share the dataset, and NumPy, reading and decoding run beside each other."""

    broken = False

    def __init__(self, plan: Plan, base_seed: int) -> None:
        self._answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._tasks: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(plan.num_workers)]
        launched = ctx.launched
        for number, tasks in enumerate(self._tasks):
            arguments = (plan, number, base_seed + number, tasks, self._answers, launched)
            threading.Thread(target=_thread, args=arguments, name=f"DataLoader worker {number}", daemon=True).start()

    def submit(self, worker: int, task: Any, payload: Any) -> None:
        """Give a task to a worker."""
        self._tasks[worker].put((task, payload))

    def receive(self, timeout_s: float | None) -> tuple[Any, Any] | None:
        """The next answer, None if there is none in time."""
        try:
            return self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def new_pass(self, base_seed: int, states: Sequence[Any] | None = None) -> None:
        """Let persistent workers start another pass; ``states`` of their random numbers if it is taken up."""
        for number, tasks in enumerate(self._tasks):
            tasks.put((NEW_PASS, (base_seed + number, states and states[number])))

    def close(self) -> None:
        """Let the threads end when they are through with what they do."""
        for tasks in self._tasks:
            tasks.put(None)


def _thread(plan: Plan, number: int, seed: int, tasks: Any, answers: Any, launched: Any) -> None:
    ctx.launched = launched  # the virtual rank that the loader belongs to
    worker = Worker(plan, number)
    worker.start(seed)
    while (item := tasks.get()) is not None:
        task, payload = item
        if task == NEW_PASS:
            worker.new_pass(*payload)
        else:
            answers.put((task, worker.answer(payload)))
