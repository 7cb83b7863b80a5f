"""Workers: the same batches in the same order, and a failing worker is an error that says where; never a hang."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import allgrad
from allgrad.errors import ArgumentError
from allgrad.utils import data
from allgrad.utils.data.workers import WorkerError


class Rows(data.Dataset[Any]):
    """Numbers; ``bad`` is what happens at sample 7."""

    def __init__(self, n: int = 20, bad: Any = None) -> None:
        self.n = n
        self.bad = bad

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        if i == 7 and self.bad is not None:
            self.bad()
        if i % 5 == 0:
            time.sleep(0.002)  # so that the workers overtake each other
        return i


def raising(error: Any) -> Any:
    def bad() -> None:
        raise error

    return bad


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("prefetch", [1, 4])
def test_the_order_is_that_of_one_process(workers: int, prefetch: int) -> None:
    loader = data.DataLoader(Rows(), 3, num_workers=workers, prefetch_factor=prefetch)
    assert [b.tolist() for b in loader] == [list(range(i, min(i + 3, 20))) for i in range(0, 20, 3)]


class Custom(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("ouch"), ValueError),
        (KeyError("ouch"), KeyError),
        (StopIteration("ouch"), RuntimeError),
        (SystemExit("ouch"), RuntimeError),
        (Custom(1, 2), RuntimeError),
    ],
)
def test_a_raising_thread_says_worker_rank_and_sample(error: BaseException, kind: type[BaseException]) -> None:
    before = threading.active_count()
    loader = data.DataLoader(Rows(bad=raising(error)), 3, num_workers=2)
    got = []
    with pytest.raises(
        kind, match=rf"Caught {type(error).__name__} in DataLoader worker 0 of rank 0 at sample index 7\."
    ) as info:
        for batch in loader:
            got.append(batch.tolist())  # noqa: PERF401
    assert "in bad" in str(info.value) and got == [[0, 1, 2], [3, 4, 5]]
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_other_places_of_an_error() -> None:
    with pytest.raises(ValueError, match=r"worker 0 .* worker_init_fn"):
        list(data.DataLoader(Rows(), num_workers=1, worker_init_fn=lambda _: raising(ValueError("no"))()))
    with pytest.raises(ValueError, match=r"batch of sample indices \[0, 1\]"):
        list(data.DataLoader(Rows(), 2, num_workers=1, collate_fn=lambda _: raising(ValueError("no"))()))


def test_a_slow_worker_runs_out_of_time() -> None:
    release = threading.Event()
    loader = data.DataLoader(Rows(bad=lambda: release.wait(20) and None), 3, num_workers=2, timeout=0.3)
    with pytest.raises(WorkerError, match=r"timed out after 0\.3 seconds: worker 0 of rank 0 .* \[6, 7, 8\]"):
        list(loader)
    release.set()


class Info(data.Dataset[Any]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        info = data.get_worker_info()
        assert info is not None and info.dataset is self and info.num_workers == 2
        return i, info.id, info.seed, allgrad.rand(1).item()


def test_workers_know_who_they_are_and_draw_their_own_numbers() -> None:
    assert data.get_worker_info() is None

    def run(**settings: Any) -> list[list[float]]:
        allgrad.manual_seed(1)
        loader = data.DataLoader(Info(), 1, num_workers=2, **settings)
        return [[float(x) for x in batch] for batch in loader]

    first = run()
    assert [row[1] for row in first] == [0, 1, 0, 1, 0, 1]
    assert first[1][2] == first[0][2] + 1 and len({row[3] for row in first}) == 6
    assert run() == first == run(persistent_workers=True)
    fresh = allgrad.Generator().manual_seed(int(data.sampler.draw_seed(allgrad.Generator().manual_seed(1))))
    assert first[0][3] == pytest.approx(allgrad.rand(1, generator=fresh).item(), abs=0)


class Stream(data.IterableDataset[Any]):
    def __iter__(self) -> Any:
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, 7, step))


@pytest.mark.parametrize("persistent", [False, True])
def test_streams_are_shared_out_by_worker(persistent: bool) -> None:
    loader = data.DataLoader(Stream(), 2, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        assert [b.tolist() for b in loader] == [[0, 2], [1, 3], [4, 6], [5]]


def test_persistent_workers_survive_a_pass_left_early() -> None:
    loader = data.DataLoader(Rows(), 3, num_workers=2, persistent_workers=True)
    next(iter(loader))
    threads = {t.ident for t in threading.enumerate() if "DataLoader" in t.name}
    assert [b.tolist()[0] for b in loader] == [0, 3, 6, 9, 12, 15, 18]
    assert threads == {t.ident for t in threading.enumerate() if "DataLoader" in t.name}


def test_forks_are_refused() -> None:
    with pytest.raises(ArgumentError, match="spawn"):
        data.DataLoader(Rows(), num_workers=1, multiprocessing_context="fork")


HEAD = """
import os, signal, sys
import allgrad
from allgrad.comm import launch_world
from allgrad.utils.data import DataLoader, Dataset, get_worker_info

class Rows(Dataset):
    def __init__(self, bad=None):
        self.bad = bad
        self.weight = allgrad.ones(2)
    def __len__(self):
        return 8
    def __getitem__(self, i):
        if i == 5 and self.bad == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if i == 5 and self.bad == "raise":
            raise ValueError("ouch")
        if i == 5 and self.bad == "unsendable":
            return lambda: 0
        assert get_worker_info() is not None and launch_world().size == 1 and "mpi4py.MPI" not in sys.modules
        return i, self.weight * i, os.getpid()

def loader(bad=None, **settings):
    keep = {"collate_fn": list} if bad == "unsendable" else {}
    return DataLoader(Rows(bad), 2, num_workers=2, multiprocessing_context="spawn", **keep, **settings)
"""


def script(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text(HEAD + "\nif __name__ == '__main__':\n" + textwrap.indent(textwrap.dedent(body), "    "))
    source = str(Path(allgrad.__file__).parents[1])
    # As under a launcher: a worker must not take this for a reason to start MPI.
    env = os.environ | {"PYTHONPATH": source, "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}
    return subprocess.run([sys.executable, str(path)], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_processes_give_the_batches_and_end(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        one = loader(persistent_workers=True)
        for _ in range(2):
            batches = list(one)
            assert [b[0].tolist() for b in batches] == [[0, 1], [2, 3], [4, 5], [6, 7]]
            assert batches[1][1].tolist() == [[2, 2], [3, 3]]
            pids = {int(p) for b in batches for p in b[2]}
            assert len(pids) == 2 and os.getpid() not in pids
        del one, batches
        import gc, time
        gc.collect()
        time.sleep(0.2)
        for pid in pids:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                continue
            raise SystemExit("a worker is left over")
        print("through")
        """,
    )
    assert done.returncode == 0 and done.stdout == "through\n", done.stderr


def test_processes_that_die_or_raise_are_named(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        for bad in ("raise", "kill", "unsendable"):
            try:
                list(loader(bad))
            except Exception as error:
                print(bad, type(error).__name__, str(error).replace(chr(10), " "))
        """,
    )
    assert done.returncode == 0, done.stderr
    raised, killed, unsendable = done.stdout.splitlines()
    assert raised.startswith("raise ValueError Caught ValueError in DataLoader worker 0 of rank 3 at sample index 5.")
    assert killed.startswith("kill WorkerError") and "worker 0 of rank 3 at sample indices [4, 5]" in killed
    assert "killed by signal 9" in killed
    assert "cannot be sent" in unsendable and "worker 0 of rank 3" in unsendable
