"""Crews of workers: threads of this process, or spawned processes.  Never forked ones: MPI does not survive a fork.

Each worker answers its tasks in order.  A task is (number, payload); answers come in any order among the workers.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from allgrad.comm.single import SingleCommunicator
from allgrad.context import ctx
from allgrad.errors import AllgradError, ArgumentError
from allgrad.nn.parameter import Parameter
from allgrad.tensor import Tensor
from allgrad.utils.data.fetch import Failure, Plan, Worker, few

_PASS = "pass"


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

    def new_pass(self, base_seed: int) -> None:
        """Let persistent workers start another pass."""
        for number, tasks in enumerate(self._tasks):
            tasks.put((_PASS, base_seed + number))

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
        if task == _PASS:
            worker.new_pass(payload)
        else:
            answers.put((task, worker.answer(payload)))


class ProcessCrew:
    """Workers that are spawned processes, each with a copy of the dataset."""

    broken = False  # a worker has died

    def __init__(self, plan: Plan, base_seed: int, context: Any) -> None:
        self._rank = plan.rank
        self._links: list[Connection] = []
        self._processes: list[Any] = []
        self._open: list[dict[Any, Any]] = [{} for _ in range(plan.num_workers)]  # tasks without an answer
        for number in range(plan.num_workers):
            here, there = context.Pipe()
            process = context.Process(
                target=_process,
                args=(plan, number, base_seed + number, there),
                name=f"DataLoader worker {number}",
                daemon=True,
            )
            self._links.append(here)
            try:
                process.start()
            except BaseException:  # a dataset that cannot go to another process
                self.close()
                raise
            finally:
                there.close()  # so that the end of the worker is the end of the pipe
            self._processes.append(process)

    def submit(self, worker: int, task: Any, payload: Any) -> None:
        """Give a task to a worker."""
        self._open[worker][task] = payload
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # receive() says who has died
            self._links[worker].send((task, payload))

    def receive(self, timeout_s: float | None) -> tuple[Any, Any] | None:
        """The next answer, None if there is none in time.  From a worker that has died: (("dead", worker), Failure)."""
        ready: list[Any] = wait(self._links, timeout_s)
        for link in ready:
            worker = self._links.index(link)
            try:
                task, answer = link.recv()
            except (EOFError, ConnectionResetError):
                return self._death(worker)
            self._open[worker].pop(task, None)
            return task, answer
        return None

    def _death(self, worker: int) -> tuple[Any, Any]:
        process = self._processes[worker]
        process.join(5)
        code = process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        payload = next(iter(self._open[worker].values()), None)
        at = "its stream" if payload is None else f"sample indices {few(payload)}"
        hint = "; does the program start its work below if __name__ == '__main__'?" if code == 1 else ""
        self.broken = True
        return ("dead", worker), Failure(WorkerError, at, f"reason: the process {process.pid} {how}{hint}")

    def new_pass(self, base_seed: int) -> None:
        """Let persistent workers start another pass."""
        for worker in range(len(self._links)):
            self.submit(worker, _PASS, base_seed + worker)
            self._open[worker].pop(_PASS)

    def close(self) -> None:
        """End the processes: an end of the pipe is their sign; those that do not see it are stopped."""
        for link in self._links:
            link.close()
        deadline = time.monotonic() + 1
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join(5)


def _process(plan: Plan, number: int, seed: int, link: Connection) -> None:
    ctx.launched = SingleCommunicator()  # the launcher's variables are inherited; a worker must not start MPI by them
    # Tasks are taken off the pipe all the time: both sides writing into full pipes would wait for each other.
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link, tasks), daemon=True).start()
    worker = Worker(plan, number)
    worker.start(seed)
    while (item := tasks.get()) is not None:
        task, payload = item
        if task == _PASS:
            worker.new_pass(payload)
            continue
        answer = worker.answer(payload)
        try:
            link.send((task, answer))
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # a batch that cannot go to another process
            link.send(
                (task, Failure(RuntimeError, f"samples {payload}", f"reason: its batch cannot be sent: {error!r}"))
            )


def _listen(link: Connection, tasks: Any) -> None:
    try:
        while True:
            tasks.put(link.recv())
    except (EOFError, OSError):
        tasks.put(None)


def process_context(asked: Any) -> Any:
    """The multiprocessing context for a name or a context; ArgumentError for fork."""
    method = asked if isinstance(asked, str) else asked.get_start_method()
    if method not in ("spawn", "forkserver"):
        raise ArgumentError(
            f"multiprocessing_context={method!r}: MPI does not survive a fork; use multiprocessing_context='spawn', or "
            "leave it out for threads"
        )
    return multiprocessing.get_context(method)


def _tensor_parts(t: Any) -> Any:
    return _tensor_again, (np.ascontiguousarray(t._a), t.requires_grad, isinstance(t, Parameter))


def _tensor_again(array: Any, requires_grad: bool, parameter: bool) -> Any:
    from allgrad.autograd.record import wrap

    if parameter:
        return Parameter(wrap(array), requires_grad)
    found = wrap(array)
    return found.requires_grad_() if requires_grad else found


ForkingPickler.register(Tensor, _tensor_parts)
ForkingPickler.register(Parameter, _tensor_parts)
