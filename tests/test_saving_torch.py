"""PyTorch's files: plain data are read, and a pickle that would run code, or fill the memory, is refused."""

from __future__ import annotations

import importlib
import io
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn
from allgrad.errors import CheckpointError

MARKER = "a pickle ran this"
RAN: list[str] = []


def trap(*_: Any) -> Any:
    """What an attacker would have run."""
    RAN.append(MARKER)
    return {}


class Attack:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.how = (call, arguments)

    def __reduce__(self) -> Any:
        return self.how


def zipped(
    pickled: bytes, storages: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED, **more: bytes
) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, raw in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", raw)
        for name, raw in more.items():
            archive.writestr(f"archive/{name}", raw)
    file.seek(0)
    return file


def short(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def tensor_pickle(
    offset: int, size: bytes, stride: bytes, numel: bytes = b"K\x06", storage: bytes = b"ctorch\nFloatStorage\n"
) -> bytes:
    """A pickle of one Tensor, written by hand after the description of the format."""
    pid = b"(" + short("storage") + storage + short("0") + short("cpu") + numel + b"tQ"
    arguments = b"(" + pid + b"K" + bytes([offset]) + size + stride + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"t"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


SIX = {"0": np.arange(6, dtype=np.float32).tobytes()}


def test_a_tensor_written_by_hand() -> None:
    """PyTorch's layout without PyTorch: (3, 2) by strides (1, 3) is the transpose of (2, 3)."""
    found = allgrad.load(zipped(tensor_pickle(0, b"(K\x03K\x02t", b"(K\x01K\x03t"), SIX))
    assert found.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert allgrad.load(zipped(tensor_pickle(2, b"(K\x02t", b"(K\x02t"), SIX)).tolist() == [2.0, 4.0]


def test_a_huge_expanded_tensor_takes_no_memory() -> None:
    huge = b"\x8a\x05" + (10**9).to_bytes(5, "little")
    found = allgrad.load(zipped(tensor_pickle(0, b"(" + huge * 2 + b"t", b"(K\x00K\x00t"), SIX))
    assert found.shape == (10**9, 10**9) and found.stride() == (0, 0)


@pytest.mark.parametrize(
    ("pickled", "says"),
    [
        (tensor_pickle(1, b"(K\x06t", b"(K\x01t"), "reaches"),
        (tensor_pickle(0, b"(K\x02K\x02t", b"(K\x01K\x05t"), "reaches"),
        (tensor_pickle(0, b"(K\x02t", b"(J\xff\xff\xff\xfft"), "not possible"),
        (tensor_pickle(0, b"(K\x02K\x02t", b"(K\x01t"), "not possible"),
        (tensor_pickle(0, b"(K\x02t", b"(K\x01t", numel=b"K\x07"), "24 bytes, expected 28"),
        (tensor_pickle(0, b"(K\x02t", b"(K\x01t", numel=short("a")), "elements"),
        (tensor_pickle(0, b"(K\x02t", b"(K\x01t", storage=b"K\x01"), "no storage type"),
    ],
)
def test_tensors_outside_their_memory_are_refused(pickled: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        allgrad.load(zipped(pickled, SIX))


ATTACKS: list[Any] = [
    Attack(trap), Attack(eval, "__import__('os').abort()"), Attack(exec, "1"), Attack(getattr, "a", "upper"),
    Attack(importlib.import_module, "this"), Attack(open, "x", "w"), [1, {"a": Attack(trap)}], Path("x"), Attack,
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("attack", range(len(ATTACKS)))
def test_code_is_never_run(attack: int, protocol: int) -> None:
    RAN.clear()
    for settings in ({}, {"weights_only": True}, {"weights_only": False}):
        with pytest.raises(CheckpointError, match=r"Weights only load failed|opcode|not plain data"):
            allgrad.load(zipped(pickle.dumps(ATTACKS[attack], protocol)), **settings)
    assert not RAN


def test_the_trap_works() -> None:
    """pickle itself does run it."""
    RAN.clear()
    pickle.loads(pickle.dumps(Attack(trap)))
    assert RAN == [MARKER]


BY_HAND = {
    "state on a function": b"\x80\x02ctorch\nSize\n}" + short("__defaults__") + b"Nsb.",
    "state on a class": b"\x80\x02ccollections\nOrderedDict\n}" + short("x") + b"K\x01sb.",
    "state with a hook": b"\x80\x02ccollections\nOrderedDict\n)R}" + short("__class__") + b"K\x01sb.",
    "state on a counter": b"\x80\x02ccollections\nCounter\n)R}" + short("_metadata") + b"}sb.",
    "instance opcode": b"\x80\x02(" + short("1") + b"i__builtin__\neval\n.",
    "object opcode": b"\x80\x02(c__builtin__\neval\n" + short("1") + b"o.",
    "extension": b"\x80\x02\x82\x01.",
    "a call of a list": b"\x80\x02])R.",
    "a call of a dtype": b"\x80\x02ctorch\nfloat32\n)R.",
    "typed by a class": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n)}tR.",
    "a list from a number": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "a tuple from a text": b"\x80\x02c__builtin__\nlist\n" + short("abc") + b"\x85R.",
    "a dotted name": b"\x80\x04" + b"\x8c\x05torch\x8c\x10Size.__class__.x\x93.",
    "a long text": b"\x80\x02X\xff\xff\xff\x7f.",
    "a negative text": b"\x80\x02T\xff\xff\xff\xff.",
    "memo of nothing": b"\x80\x02h\x05.",
    "empty stack": b"\x80\x02.",
    "no end": b"\x80\x02K\x01",
    "no mark": b"\x80\x02K\x01t.",
    "a mark as a value": b"\x80\x02(.",
    "odd pairs": b"\x80\x02}(K\x01u.",
    "append to a dict": b"\x80\x02}K\x01a.",
    "unhashable key": b"\x80\x02}]K\x01s.",
    "deep key": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "deep set": b"\x80\x04\x8f(" + b")" + b"\x85" * 200_000 + b"\x90.",
    "deep dict by pairs": b"\x80\x02ccollections\nOrderedDict\n](]" + b")" + b"\x85" * 200_000 + b"aK\x01aa\x85R.",
    "copies of copies": b"\x80\x02](" + b"K\x01" * 4000 + b"eq\x00" + b"c__builtin__\nlist\nh\x00\x85R" * 1000 + b".",
    "far memo": b"\x80\x02K\x01r\xff\xff\xff\x7fj\xff\xff\xff\x7e.",
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_hostile_pickles_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError):
        allgrad.load(zipped(BY_HAND[name]))


def test_broken_and_foreign_zips() -> None:
    good = tensor_pickle(0, b"(K\x02t", b"(K\x01t")
    with pytest.raises(CheckpointError, match="compressed"):
        allgrad.load(zipped(b"\x80\x02N.", {"0": bytes(10**6)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.txt", "hello")
        file.seek(0)
        allgrad.load(file)
    with pytest.raises(CheckpointError, match="TorchScript"):
        allgrad.load(zipped(good, SIX, **{"constants.pkl": b""}))
    with pytest.raises(CheckpointError, match="big-endian"):
        allgrad.load(zipped(good, SIX, byteorder=b"big"))
    with pytest.raises(CheckpointError):
        allgrad.load(zipped(good, {}))
    with pytest.raises(CheckpointError, match=r"before version 1\.6"):
        allgrad.load(io.BytesIO(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."))
    raw = zipped(good, SIX).getvalue()
    for length in range(0, len(raw), 7):
        with pytest.raises(CheckpointError):
            allgrad.load(io.BytesIO(raw[:length]))


def test_random_damage_gives_a_value_or_our_error() -> None:
    draw = random.Random(0)
    raw = zipped(tensor_pickle(0, b"(K\x03K\x02t", b"(K\x01K\x03t"), SIX).getvalue()
    pickled = tensor_pickle(0, b"(K\x03K\x02t", b"(K\x01K\x03t")
    for _ in range(1500):
        broken = bytearray(pickled)
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        whole = bytearray(raw)
        whole[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        for file in (zipped(bytes(broken), SIX), io.BytesIO(bytes(whole))):
            try:
                allgrad.load(file)
            except CheckpointError:
                continue


# ---- with PyTorch


def test_pytorch_files_are_read() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    tied = torch.randn(3)
    value = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "p": torch.nn.Parameter(torch.randn(2)),
        "plain": [1, 2**70, -5, 1.5, None, True, "ä", b"ab", bytearray(b"x"), 1 + 2j, {1, 2}, (1, (2,))],
        "types": [torch.float32, torch.bool, torch.device("cpu"), torch.Size([1, 2])], "empty": torch.empty(0, 3),
        "t": torch.arange(6).reshape(2, 3).t(), "half": torch.ones(2).half(), "u16": torch.ones(2, dtype=torch.uint16),
        "grad": torch.ones(2, requires_grad=True), "a": tied, "b": tied[1:], OrderedDict: 0,
    }  # fmt: skip
    del value[OrderedDict]
    for protocol in (2, 4):
        file = io.BytesIO()
        torch.save(value, file, pickle_protocol=protocol)
        file.seek(0)
        found = allgrad.load(file)
        assert list(found) == list(value)
        assert found["plain"] == value["plain"]
        assert found["types"] == [allgrad.float32, allgrad.bool, allgrad.device("cpu"), allgrad.Size((1, 2))]
        for key in ("t", "half", "u16", "empty", "a", "b"):
            assert str(found[key].dtype) == str(value[key].dtype) and found[key].tolist() == value[key].tolist()
        assert found["grad"].requires_grad and isinstance(found["p"], nn.Parameter)
        found["a"][1] = 100
        assert found["b"][0] == 100
        ours = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        ours.load_state_dict(found["model"])
        assert all(ours.state_dict()[k].tolist() == v.tolist() for k, v in value["model"].items())
        ours_optimizer = allgrad.optim.Adam(ours.parameters())
        ours_optimizer.load_state_dict(found["optimizer"])
        step = ours_optimizer.state_dict()["state"][0]
        assert step["exp_avg"].tolist() == value["optimizer"]["state"][0]["exp_avg"].tolist()


def test_pytorch_modules_are_refused_with_advice() -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(torch.nn.Linear(2, 2), file)
    for settings in ({}, {"weights_only": False}):
        file.seek(0)
        with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
            allgrad.load(file, **settings)


def test_our_files_are_read_by_pytorch_users(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safe = pytest.importorskip("safetensors.torch")
    model = nn.Linear(3, 2)
    allgrad.save(model.state_dict(), tmp_path / "x.safetensors")
    theirs = torch.nn.Linear(3, 2)
    theirs.load_state_dict(safe.load_file(tmp_path / "x.safetensors"))
    assert theirs.weight.tolist() == model.weight.tolist()
    safe.save_file(theirs.state_dict(), tmp_path / "y.safetensors")
    assert nn.Linear(3, 2).load_state_dict(allgrad.load(tmp_path / "y.safetensors")).missing_keys == []
    pytest.importorskip("ml_dtypes")
    safe.save_file({"b": torch.ones(3).bfloat16()}, tmp_path / "z.safetensors")
    assert allgrad.load(tmp_path / "z.safetensors")["b"].dtype is allgrad.bfloat16
