"""Damage of every kind is found and named, the checkpoint before is used, and a failing disk costs none that was safe."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
from allgrad.checkpoint import CheckpointManager, CheckpointWarning
from allgrad.checkpoint.folder import Folder
from allgrad.checkpoint.sections import Stored
from allgrad.comm import launch_world, run_virtual
from allgrad.errors import CheckpointError, CheckpointMismatchError, DtypeError
from checkpoint_disks import FailingDisk, MemoryDisk


def model_of(value: float) -> Any:
    """A small model whose every parameter is ``value``."""
    model = torch.nn.Linear(4, 3)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return model


def save(folder: Any, value: float, step: int, disk: Any = None, keep: int = 3) -> None:
    """One checkpoint."""
    manager = CheckpointManager(str(folder), keep=keep, disk=disk, signals=False)
    manager.track(model=model_of(value)).save(step=step)
    manager.close()


def value_in(folder: Any, disk: Any = None) -> tuple[float, int]:
    """Load the newest: (value of the parameters, step)."""
    model = model_of(-1.0)
    manager = CheckpointManager(str(folder), disk=disk, signals=False).track(model=model)
    found = manager.resume("auto")
    weight = model.weight.detach().numpy()
    assert (weight == weight[0, 0]).all()
    return float(weight[0, 0]), found.step if found else -1


def newest(folder: Path) -> Path:
    return max(p for p in folder.iterdir() if p.is_dir())


def judged(folder: Folder, name: str) -> str:
    """What is wrong with the checkpoint ``name``; "" if nothing is found."""
    for found in folder.found():
        if found.complaint:
            return found.complaint
        if found.name == name and found.manifest is not None:
            return next(
                (c for s in Stored(folder.disk, folder.of(name), found.manifest).shards if (c := s.complaint())), ""
            )
    return "missing"


def two_ranks_in_memory() -> tuple[MemoryDisk, str]:
    """A checkpoint of two ranks, in memory."""
    disk = MemoryDisk()

    def body() -> str:
        torch.manual_seed(launch_world().rank)
        manager = CheckpointManager("/run", disk=disk, signals=False)
        return manager.track(model=model_of(1.0)).save(step=5)

    return disk, run_virtual(body, 2)[0]


@pytest.fixture(scope="module")
def in_memory() -> tuple[MemoryDisk, str]:
    return two_ranks_in_memory()


def test_every_flipped_bit_is_found(in_memory: tuple[MemoryDisk, str]) -> None:
    disk, name = in_memory
    folder = Folder("/run", disk)
    assert judged(folder, name) == ""
    draw = random.Random(5)
    for path, content in disk.files.items():
        every = path.endswith(("manifest.json", "latest"))  # in the large files one drawn bit of each byte
        for at in range(len(content)):
            for bit in range(8) if every and at < 400 else [draw.randrange(8)]:
                content[at] ^= 1 << bit
                complaint = judged(folder, name)
                content[at] ^= 1 << bit
                assert complaint, f"bit {bit} of byte {at} of {path}"
    assert judged(folder, name) == ""


def test_every_truncation_is_found(in_memory: tuple[MemoryDisk, str]) -> None:
    disk, name = in_memory
    folder = Folder("/run", disk)
    for path, content in list(disk.files.items()):
        for length in {*range(0, len(content), 37), len(content) - 1}:
            disk.files[path] = content[:length]
            assert judged(folder, name), (path, length)
        disk.files[path] = content + b"\0"
        assert judged(folder, name), path
        disk.files[path] = content


def test_damage_names_the_tensor_and_the_one_before_is_used(tmp_path: Path) -> None:
    save(tmp_path, 1.0, 1)
    save(tmp_path, 2.0, 2)
    shard = newest(tmp_path) / "rank-00000.safetensors"
    raw = bytearray(shard.read_bytes())
    at = raw.index(np.float32(2.0).tobytes() * 12)
    raw[at] ^= 1
    shard.write_bytes(raw)
    with pytest.warns(
        CheckpointWarning, match=r"save-00000002-step-2|shared/model/weight.*save-00000001-step-1 is used"
    ):
        assert value_in(tmp_path) == (1.0, 1)


def test_all_ranks_warn_alike_and_use_the_same(tmp_path: Path) -> None:
    def body(step: int) -> Any:
        manager = CheckpointManager(str(tmp_path), signals=False).track(model=torch.nn.Linear(3, 3))
        if step:
            return manager.save(step=step)
        found = manager.resume("auto")
        return found.step if found else None

    run_virtual(body, 3, 1)
    run_virtual(body, 3, 2)
    (newest(tmp_path) / "rank-00002.safetensors").unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run_virtual(body, 3, 0) == [1, 1, 1]
    texts = {str(w.message) for w in caught}
    assert len(caught) == 3 and len(texts) == 1
    assert "rank-00002.safetensors cannot be read: No such file" in texts.pop()


@pytest.mark.parametrize(
    "what", ["swap shards", "swap folders", "link", "pipe", "no manifest", "gone", "foreign manifest"]
)
def test_tampering_is_found(tmp_path: Path, what: str) -> None:
    def body(value: float) -> Any:
        torch.manual_seed(launch_world().rank)
        return CheckpointManager(str(tmp_path), signals=False).track(model=model_of(value)).save(step=int(value))

    for value in (1.0, 2.0):
        run_virtual(body, 2, value)
    old, new = sorted(p for p in tmp_path.iterdir() if p.is_dir())
    if what == "swap shards":
        a, b = (new / f"rank-0000{r}.safetensors" for r in (0, 1))
        a.rename(new / "x")
        b.rename(a)
        (new / "x").rename(b)
    elif what == "swap folders":
        new.rename(tmp_path / "x")
        old.rename(new)
        (tmp_path / "x").rename(old)
    elif what == "link":  # the content is right, but it lies elsewhere
        shard = new / "rank-00001.safetensors"
        shard.rename(tmp_path / "elsewhere")
        shard.symlink_to(tmp_path / "elsewhere")
    elif what == "pipe":
        (new / "rank-00001.safetensors").unlink()
        os.mkfifo(new / "rank-00001.safetensors")
    elif what == "no manifest":
        (new / "manifest.json").unlink()
    elif what == "gone":
        shutil.rmtree(new)
    else:
        shutil.copy(old / "manifest.json", new / "manifest.json")

    def load() -> Any:
        model = model_of(0.0)
        CheckpointManager(str(tmp_path), signals=False).track(model=model).resume("auto")
        return float(model.weight[0, 0])

    if what == "swap folders":
        with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"):
            run_virtual(load, 2)
        return
    with pytest.warns(CheckpointWarning, match="save-00000001-step-1 is used"):
        assert run_virtual(load, 2) == [1.0, 1.0]


def test_manifest_bounds(tmp_path: Path) -> None:
    """A manifest whose digest is right but whose lengths are impossible: a typed error, and nothing is allocated."""
    save(tmp_path, 1.0, 1)
    path = newest(tmp_path) / "manifest.json"
    first, rest = path.read_bytes().split(b"\n", 1)
    for change in (
        lambda m: m["files"][0].update(length=2**50),
        lambda m: m["files"][0].update(name="../../x"),
        lambda m: m["files"][0].update(header=2**40),
        lambda m: m["files"][0]["tensors"]["shared/model/weight"].__setitem__(1, [2**40, 2**40]),
        lambda m: m["files"][0]["tensors"]["shared/model/weight"].__setitem__(2, -4),
        lambda m: m.update(format=2),
        lambda m: m.pop("files"),
        lambda m: m.update(world_size=7),
        lambda m: m.update(sections={"model": "elsewhere"}),
    ):
        body = json.loads(rest)
        change(body)
        text = json.dumps(body).encode()
        path.write_bytes(first[:-64] + hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        (tmp_path / "latest").unlink(missing_ok=True)
        with pytest.raises(CheckpointError, match="no checkpoint in"):
            value_in(tmp_path)


def test_nothing_there_is_a_fresh_start_but_only_damage_is_an_error(tmp_path: Path) -> None:
    assert value_in(tmp_path / "a" / "b") == (-1.0, -1)
    save(tmp_path, 1.0, 1)
    (newest(tmp_path) / "rank-00000.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="0 bytes, the manifest says"):
        value_in(tmp_path)


def test_keep_and_unfinished_saves(tmp_path: Path) -> None:
    (tmp_path / "save-00000001-step-9").mkdir()  # a crash before the manifest
    (tmp_path / "save-00000001-step-9" / "rank-00000.safetensors").write_bytes(b"half")
    for step in (1, 2, 3, 4):
        save(tmp_path, float(step), step, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "save-00000004-step-3", "save-00000005-step-4"]
    assert json.loads((tmp_path / "latest").read_text())["checkpoint"] == "save-00000005-step-4"


@pytest.mark.parametrize("who", ["first", "last", "all"])
@pytest.mark.parametrize(("code", "short"), [(errno.ENOSPC, True), (errno.EIO, False)])
def test_every_failing_operation(tmp_path: Path, who: str, code: int, short: bool) -> None:
    """The k-th operation fails, for each k: the same error on all ranks, the last good one loads, the next save works."""
    size = 2

    def body(k: int) -> Any:
        rank = launch_world().rank
        bad = who == "all" or rank == (0 if who == "first" else size - 1)
        disk = FailingDisk(k, code, short) if bad else FailingDisk(-1)
        manager = CheckpointManager(str(tmp_path / str(k)), keep=1, signals=False)
        manager.track(model=model_of(1.0)).save(step=1)
        manager._folder.disk = disk
        try:
            manager._objects["model"] = model_of(2.0)
            name = manager.save(step=2)
        except CheckpointError as error:
            name = f"failed: {error}"
        manager._folder.disk = FailingDisk(-1)
        model = model_of(0.0)
        fresh = CheckpointManager(str(tmp_path / str(k)), keep=1, signals=False).track(model=model)
        fresh.resume("auto")
        loaded = float(model.weight[0, 0])
        fresh._objects["model"] = model_of(3.0)
        fresh.save(step=3)
        return name, loaded, disk.failed

    seen = set()
    for k in range(60):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results = run_virtual(body, size, k)
        names, loaded, failed = zip(*results)
        assert len(set(names)) == 1 and len(set(loaded)) == 1
        what = next((f for f in failed if f), "")
        seen.add(what)
        if not what:
            break
        assert names[0].startswith("failed: the checkpoint of step 2 could not be saved") or caught, (k, what, names)
        assert loaded[0] in (1.0, 2.0)
        if not names[0].startswith("failed"):
            assert loaded[0] == 2.0
        assert sorted(p.name[-6:] for p in (tmp_path / str(k)).iterdir()) == ["latest", "step-3"]
    expected = {"", "create", "write", "sync"} | (
        {"rename", "remove", "remove_folder", "sync_folder"} if who != "last" else set()
    )
    assert expected <= seen


def test_what_differs_is_named(tmp_path: Path) -> None:
    manager = CheckpointManager(str(tmp_path), signals=False)
    model = torch.nn.Linear(4, 3)
    manager.track(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)).save(step=1)

    def resume(wide: int, lr: float, override: Any = ()) -> Any:
        model = torch.nn.Linear(4, wide)
        other = CheckpointManager(str(tmp_path), signals=False)
        other.track(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=lr))
        return other.resume("auto", override=override)

    with pytest.raises(
        CheckpointMismatchError, match=r"model model.weight: saved float32 \[3, 4\], now float32 \[5, 4\]"
    ):
        resume(5, 0.1)
    with pytest.raises(CheckpointMismatchError, match=r"optimizer optimizer lr: saved 0\.1, now 0\.2"):
        resume(3, 0.2)
    assert resume(3, 0.2, override=("optimizer",)).step == 1
    with pytest.raises(CheckpointError, match="does not fit what is tracked"):
        resume(5, 0.1, override=True)


def test_code_is_refused(tmp_path: Path) -> None:
    manager = CheckpointManager(str(tmp_path), signals=False)
    manager.values["model"] = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="Linear, which a checkpoint cannot hold") as caught:
        manager.save(step=1)
    assert isinstance(caught.value.__cause__, DtypeError)
    assert not list(tmp_path.iterdir())


def test_made_up_checkpoints_give_typed_errors(in_memory: tuple[MemoryDisk, str]) -> None:
    """Manifests and headers with right digests and wrong content: whoever writes them gets a CheckpointError, no more."""
    source, name = in_memory
    draw = random.Random(11)
    folder = f"/run/{name}"
    good = json.loads(bytes(source.files[f"{folder}/manifest.json"]).split(b"\n", 1)[1])
    shard_path = f"{folder}/rank-00000.safetensors"
    refused = 0
    for _ in range(400):
        disk = MemoryDisk()
        disk.folders, disk.files = set(source.folders), {p: bytearray(c) for p, c in source.files.items()}
        del disk.files["/run/latest"]
        body = json.loads(json.dumps(good))
        if draw.random() < 0.5:
            _mutate(body, draw)
        else:
            raw = disk.files[shard_path]
            size = int.from_bytes(raw[:8], "little")
            header = json.loads(bytes(raw[8 : 8 + size]))
            trees = json.loads(header["__metadata__"]["allgrad.checkpoint.trees"])
            _mutate(trees, draw)
            header["__metadata__"]["allgrad.checkpoint.trees"] = json.dumps(trees)
            text = json.dumps(header).encode()
            content = len(text).to_bytes(8, "little") + text + bytes(raw[8 + size :])
            disk.files[shard_path] = bytearray(content)
            body["files"][0].update(
                length=len(content), header=len(text), sha256=hashlib.sha256(content).hexdigest(),
                header_sha256=hashlib.sha256(text).hexdigest(),
            )  # fmt: skip
        rest = json.dumps(body).encode()
        first = f"allgrad checkpoint, SHA-256 of the rest: {hashlib.sha256(rest).hexdigest()}\n"
        disk.files[f"{folder}/manifest.json"] = bytearray(first.encode() + rest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            try:
                value_in("/run", disk)
            except CheckpointError:
                refused += 1
    assert refused > 200


def _mutate(tree: Any, draw: random.Random) -> None:
    """Replace, remove or swap something somewhere in a JSON tree."""
    places = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(tree)
    node, key = draw.choice(places)
    if isinstance(node, dict) and draw.random() < 0.2:
        del node[key]
        return
    other, there = draw.choice(places)
    node[key] = draw.choice(
        [None, True, -1, 2**70, 1.5, "", "x", "../x", [], {}, [[]], {"§": "object", "v": "AAAA"}, {"§": "tensor", "key": "no"},
         json.loads(json.dumps(other[there]))]
    )  # fmt: skip
