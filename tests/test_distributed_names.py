"""Stores, object messages, meshes and the other names of torch.distributed beside the collectives."""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm.virtual import run_virtual
from allgrad.distributed.elastic.multiprocessing.errors import record
from allgrad.errors import ArgumentError, DistStoreError
from mpirun import SOURCE, mpirun


def tcp() -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", 0, 1, True)


STORES: dict[str, Any] = {
    "hash": lambda path: dist.HashStore(),
    "file": lambda path: dist.FileStore(path / "store", 1),
    "tcp": lambda path: tcp(),
    "prefix": lambda path: dist.PrefixStore("a", dist.HashStore()),
    "prefix of tcp": lambda path: dist.PrefixStore("a", tcp()),
}


@pytest.mark.parametrize("kind", STORES)
def test_a_store(kind: str, tmp_path: Path) -> None:
    """The values that PyTorch's HashStore gives for the same calls."""
    store = STORES[kind](tmp_path)
    try:
        assert store.compare_set("a", "", "x") == b"x"
        assert store.compare_set("a", "y", "z") == b"x"
        assert store.compare_set("b", "q", "z") == b"q" and not store.check(["b"])
        assert store.add("n", 3) == 3 and store.get("n") == b"3" and store.add("n", -1) == 2
        store.append("a", b"\x00\xff")
        store.multi_set(["c", "d"], ["1", b"2"])
        assert store.multi_get(["a", "c", "d"]) == [b"x\x00\xff", b"1", b"2"]
        assert store.delete_key("c") and not store.delete_key("c")
        if kind in ("hash", "file", "tcp"):
            assert store.num_keys() == 3
        with pytest.raises(DistStoreError, match="missing"):
            store.wait(["a", "missing"], datetime.timedelta(seconds=0.05))
        threading.Timer(0.05, lambda: store.set("late", "here")).start()
        assert store.get("late") == b"here"
    finally:
        if kind == "tcp":
            store.close()


def test_prefixes_do_not_meet() -> None:
    below = dist.HashStore()
    first, second = dist.PrefixStore("1", below), dist.PrefixStore("2", below)
    first.set("k", "one")
    second.set("k", "two")
    assert (first.get("k"), second.get("k"), below.get("1/k")) == (b"one", b"two", b"one")


@pytest.mark.parametrize("kind", ["file", "tcp"])
def test_processes_count_together(kind: str, tmp_path: Path) -> None:
    """Three processes add 200 times each: no step is lost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = tmp_path / "count.py"
    program.write_text(
        "import sys\n"
        "import allgrad.distributed as dist\n"
        "rank = int(sys.argv[1])\n"
        f"store = (dist.FileStore({str(tmp_path / 'store')!r}, 3) if {kind == 'file'}\n"
        f"         else dist.TCPStore('127.0.0.1', {port}, 3, rank == 0))\n"
        "for _ in range(200): store.add('n', 1)\n"
        "store.add('ended', 1)\n"
        "while int(store.get('ended')) < 3: pass\n"
        "print(store.get('n').decode())\n"
        "store.add('left', 1)\n"
        "while rank == 0 and int(store.get('left')) < 3: pass\n"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, str(program), str(rank)], stdout=subprocess.PIPE, env={"PYTHONPATH": SOURCE}, text=True
        )
        for rank in range(3)
    ]
    try:
        assert [job.communicate(timeout=60)[0].strip() for job in jobs] == ["600"] * 3
    finally:
        for job in jobs:
            job.kill()


def test_a_tcp_store_survives_nonsense() -> None:
    store = tcp()
    try:
        with socket.create_connection(("127.0.0.1", store.port), timeout=5) as raw:
            raw.sendall(b"GET / HTTP/1.0\n")
            assert "error" in json.loads(raw.makefile().readline())
            raw.sendall(b'["__class__", ["a"], []]\n')
            assert "error" in json.loads(raw.makefile().readline())
        store.set("k", "v")
        assert store.get("k") == b"v"
    finally:
        store.close()


def test_no_server_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DistStoreError, match="is_master"):
        dist.TCPStore("127.0.0.1", port, 2, False, datetime.timedelta(seconds=0.2))


def test_a_foreign_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("[1]")
    with pytest.raises(DistStoreError, match="not a file of FileStore"):
        dist.FileStore(tmp_path / "f").get("k")


def messages() -> list[Any]:
    """Objects round the ring, coalesced collectives, a mesh of 2 x (n / 2)."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    found: list[Any] = []
    if size > 1:
        got: list[Any] = [None, None]
        right, left = (rank + 1) % size, (rank - 1) % size
        if rank % 2 == 0:
            dist.send_object_list([{"from": rank}, "x" * rank], dst=right)
            assert dist.recv_object_list(got, src=left) == left
        else:
            assert dist.recv_object_list(got, src=left) == left
            dist.send_object_list([{"from": rank}, "x" * rank], dst=right)
        found += got
    a, b = torch.full((2,), float(rank)), torch.full((3,), float(rank + 1))
    handle = dist.all_reduce_coalesced([a, b], async_op=True)
    assert handle.wait() and handle.is_completed()
    rows = [[torch.empty(1), torch.empty(2)] for _ in range(size)]
    dist.all_gather_coalesced(rows, [torch.full((1,), float(rank)), torch.full((2,), 10.0 + rank)])
    found += [a.tolist(), b.tolist(), [[t.tolist() for t in row] for row in rows]]
    if size % 2 == 0:
        mesh = dist.init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("node", "core"))
        total = torch.tensor(float(rank))
        dist.all_reduce(total, group=mesh.get_group("core"))
        found += [mesh.get_coordinate(), mesh["node"].get_local_rank(), mesh.size(1), total.item()]
    dist.destroy_process_group()
    return found


def expected(rank: int, size: int) -> list[Any]:
    left, total = (rank - 1) % size, size * (size - 1) / 2
    found: list[Any] = [{"from": left}, "x" * left] if size > 1 else []
    found += [[total] * 2, [total + size] * 3, [[[float(r)], [10.0 + r] * 2] for r in range(size)]]
    if size % 2 == 0:
        row, column = divmod(rank, size // 2)
        found += [[row, column], row, size // 2, float(sum(range(row * size // 2, (row + 1) * size // 2)))]
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_object_messages_and_meshes(size: int) -> None:
    assert run_virtual(messages, size) == [expected(r, size) for r in range(size)]


def test_object_messages_and_meshes_over_mpi() -> None:
    here = str(Path(__file__).parent)
    program = (
        f"import sys; sys.path.insert(0, {here!r}); import test_distributed_names as t; import os; found = t.messages()\n"
        "from allgrad.comm.launchenv import detect; e = detect(); assert found == t.expected(e.rank, e.size), found; print('same')"
    )
    result = mpirun(4, "-c", program)
    assert result.code == 0 and result.out.count("same") == 4, result


def test_a_mesh_that_does_not_fit() -> None:
    def body() -> None:
        dist.init_process_group()
        with pytest.raises(ArgumentError, match="has 3 ranks, the world 2"):
            dist.init_device_mesh("cpu", (3,))
        with pytest.raises(ArgumentError, match="CPU"):
            dist.init_device_mesh("cuda", (2,))
        dist.destroy_process_group()

    run_virtual(body, 2)


def test_levels_and_backends() -> None:
    assert dist.Backend("GLOO") == dist.Backend.GLOO == "gloo"
    assert dist.get_default_backend_for_device(torch.device("cpu")) == "gloo"
    with pytest.raises(ArgumentError, match="runs on the CPU"):
        dist.get_default_backend_for_device("cuda:0")
    assert dist.is_backend_available("gloo") and not dist.is_backend_available("nccl")

    def body() -> None:
        dist.init_process_group("gloo")
        assert dist.get_debug_level() is dist.DebugLevel.DETAIL
        dist.set_debug_level(dist.DebugLevel.OFF)
        assert dist.get_debug_level() is dist.DebugLevel.OFF
        dist.destroy_process_group()

    run_virtual(body, 2)


def test_record_leaves_a_function_as_it_is() -> None:
    @record
    def main(x: int) -> int:
        return x + 1

    assert main(1) == 2
