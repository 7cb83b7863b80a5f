"""A crew of workers that are spawned processes.  Never forked ones: MPI does not survive a fork.

Imported only when a loader asks for it: ``multiprocessing`` would slow down the import of everything else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.comm.single import SingleCommunicator
from allgrad.context import ctx
from allgrad.errors import ArgumentError
from allgrad.nn.parameter import Parameter
from allgrad.tensor import Tensor
from allgrad.utils.data.fetch import Failure, Plan, Worker, few
from allgrad.utils.data.workers import NEW_PASS, WorkerError


class ProcessCrew:
    """Workers that are spawned processes, each with a copy of the dataset."""

    broken = False  # a worker has died

    def __init__(self, plan: Plan, base_seed: int, context: Any) -> None:
        self._rank = plan.rank
        self._links: list[Connection] = []
        self._processes: list[Any] = []
        # Keeps the links alive until it has run: a pass that is garbage, in a cycle with its loader, would close them after
        # they have closed themselves, and by then the number may be that of somebody else's file.
        self._end = weakref.finalize(self, _end, self._links, self._processes)
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

    def new_pass(self, base_seed: int, states: Sequence[Any] | None = None) -> None:
        """Let persistent workers start another pass; ``states`` of their random numbers if it is taken up."""
        for worker in range(len(self._links)):
            self.submit(worker, NEW_PASS, (base_seed + worker, states and states[worker]))
            self._open[worker].pop(NEW_PASS)

    def close(self) -> None:
        """End the processes; a second call does nothing."""
        self._end()


def _end(links: list[Connection], processes: list[Any]) -> None:
    """An end of the pipe is the processes' sign; those that do not see it are stopped."""
    for link in links:
        link.close()
    deadline = time.monotonic() + 1
    for process in processes:
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
        if task == NEW_PASS:
            worker.new_pass(*payload)
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
    if parameter:
        return Parameter(wrap(array), requires_grad)
    found = wrap(array)
    return found.requires_grad_() if requires_grad else found


ForkingPickler.register(Tensor, _tensor_parts)
ForkingPickler.register(Parameter, _tensor_parts)
