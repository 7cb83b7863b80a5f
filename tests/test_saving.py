"""``save`` and ``load``: every value comes back as it was, sharing included, and a damaged file never does."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import numpy as safe_numpy

import allgrad
from allgrad import nn
from allgrad.errors import ArgumentError, CheckpointError, DtypeError


def written(value: Any) -> bytes:
    file = io.BytesIO()
    allgrad.save(value, file)
    return file.getvalue()


def again(value: Any, **settings: Any) -> Any:
    return allgrad.load(io.BytesIO(written(value)), **settings)


def same(a: Any, b: Any) -> bool:
    """Equal in value, type, dtype and bits, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, allgrad.Tensor):
        return a.requires_grad == b.requires_grad and same(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or (a != a and b != b))


ARRAYS = hnp.arrays(
    st.sampled_from([np.bool_, np.uint8, np.int8, np.int16, np.uint32, np.int64, np.float16, np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False) | ARRAYS | ARRAYS.map(allgrad.from_numpy)
    | st.sampled_from([allgrad.float32, allgrad.bool, allgrad.device("cpu"), allgrad.Size((2, 3)), np.float32(1.5), 1 << 6000])
)  # fmt: skip
KEYS = st.text(max_size=4) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=2))
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
        | st.sets(st.integers() | st.text(max_size=2), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None)
@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    assert same(again(value), value)


def test_the_checker_of_round_trips_can_fail() -> None:
    assert not same([1], (1,)) and not same({"a": 0.0}, {"a": -1.0}) and not same(allgrad.ones(2), allgrad.ones(1, 2))
    assert not same(np.float32(1), np.float64(1)) and not same({"a": 1, "b": 2}, {"b": 2, "a": 1})


def test_names_that_lie_in_wait() -> None:
    value = {
        "__metadata__": allgrad.ones(1), "§": 1, "a.b": allgrad.ones(2), "a": {"b": allgrad.ones(3)},
        "a#1": {"§": "tensor", "key": "a.b"}, "": allgrad.ones(4), "x": Counter("aab"),
    }  # fmt: skip
    assert same(again(value), value)
    assert same(again({"__metadata__": allgrad.zeros(2)}), {"__metadata__": allgrad.zeros(2)})


def test_big_endian_and_strided_arrays_keep_their_values() -> None:
    big = np.arange(6, dtype=">i4").reshape(2, 3)
    assert again(big).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert again(allgrad.from_numpy(np.arange(6.0).reshape(2, 3)).t()).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert again(allgrad.ones(1).expand(1000)).tolist() == [1.0] * 1000


def test_tensors_that_share_memory_share_it_again() -> None:
    weight = allgrad.ones(3, 3)
    found = again({"a": weight, "b": [weight, weight.detach()], "other": allgrad.ones(3, 3)})
    found["a"][0, 0] = 7
    assert found["b"][0][0, 0] == 7 and found["b"][1][0, 0] == 7 and found["other"][0, 0] == 1
    assert found["b"][0] is found["a"]
    assert len(safe_numpy.load(written({"a": weight, "b": weight}))) == 1


def test_the_same_memory_with_and_without_gradient() -> None:
    leaf = allgrad.ones(2, requires_grad=True)
    for value in ({"plain": leaf.detach(), "leaf": leaf}, {"leaf": leaf, "plain": leaf.detach()}):
        found = again(value)
        assert found["leaf"].requires_grad and not found["plain"].requires_grad
    assert isinstance(again([nn.Parameter(allgrad.ones(1))])[0], nn.Parameter)


def test_a_state_dict_has_its_own_names_in_the_file() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(2, 3), norm=nn.BatchNorm1d(3)))
    stored = safe_numpy.load(written(model.state_dict()))
    assert set(stored) == set(model.state_dict())
    assert (stored["fc.weight"] == model.fc.weight.detach().numpy()).all()
    assert set(safe_numpy.load(written({"model": model.state_dict(), "epoch": 3}))) == {f"model.{k}" for k in stored}
    found = again(model.state_dict())
    assert type(found) is OrderedDict and found._metadata == model.state_dict()._metadata
    other = nn.Sequential(OrderedDict(fc=nn.Linear(2, 3), norm=nn.BatchNorm1d(3)))
    other.load_state_dict(found)
    assert all(same(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_optimizer_state_comes_back() -> None:
    model = nn.Linear(2, 1)
    optimizer = allgrad.optim.Adam(model.parameters(), lr=0.1)
    model(allgrad.ones(4, 2)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    found = again(state)
    assert same(found["param_groups"], state["param_groups"]) and list(found["state"]) == [0, 1]
    optimizer.load_state_dict(found)
    assert same(optimizer.state_dict()["state"][0]["exp_avg"], state["state"][0]["exp_avg"])


def test_files_of_safetensors_and_for_it(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3, dtype=np.float32), "b": np.array([[True], [False]]), "empty": np.zeros((0, 2), np.int8)}
    safe_numpy.save_file(arrays, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    found = allgrad.load(tmp_path / "theirs.safetensors")
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in arrays.items()}
    assert all(isinstance(v, allgrad.Tensor) for v in found.values())
    allgrad.save({k: allgrad.from_numpy(v) for k, v in arrays.items()}, tmp_path / "ours.ckpt")
    back = safe_numpy.load_file(tmp_path / "ours.ckpt")
    assert all(same(back[k], arrays[k]) for k in arrays)


# ---- damage


SMALL = {"w": allgrad.tensor([1.5, -2.0]), "n": 3, "flag": allgrad.tensor([True])}


def test_every_flipped_bit_is_found() -> None:
    raw = written(SMALL)
    for at in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[at // 8] ^= 1 << at % 8
        with pytest.raises(CheckpointError):
            allgrad.load(io.BytesIO(bytes(broken)))


def test_every_truncation_and_addition_is_found() -> None:
    raw = written(SMALL)
    for length in range(len(raw)):
        with pytest.raises(CheckpointError):
            allgrad.load(io.BytesIO(raw[:length]))
    for more in (b"\0", b" ", raw):
        with pytest.raises(CheckpointError):
            allgrad.load(io.BytesIO(raw + more))


def header_file(header: Any, data: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(len(text).to_bytes(8, "little") + text + data)


def entry(start: int, stop: int, shape: Any, dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        ({"a": entry(0, 4, [4]), "b": entry(0, 4, [4])}, b"1234", "starts at byte 0, expected 4"),
        ({"a": entry(1, 4, [3])}, b"1234", "starts at byte 1"),
        ({"a": entry(0, 4, [5])}, b"1234", "does not fit"),
        ({"a": entry(0, 3, [3])}, b"1234", "4 bytes of data, expected 3"),
        ({"a": entry(0, 0, [0, 2**62])}, b"", "does not fit"),
        ({"a": entry(0, 0, [0] * 70)}, b"", "does not fit"),
        ({"a": entry(0, 4, [-1, -4])}, b"1234", "does not fit"),
        ({"a": entry(0, 4, [True, 4])}, b"1234", "does not fit"),
        ({"a": entry(0, 4, [4], "Q9")}, b"1234", "malformed"),
        ({"a": {"dtype": "U8"}}, b"", "malformed"),
        ({"a": 3}, b"", "malformed"),
        ({"__metadata__": {"x": 1}}, b"", "metadata"),
        ([], b"", "does not start"),
        (b'{"a":' + b"[" * 100_000, b"", "cannot be read"),
        (b'{"a":1,"a":2}', b"", "twice"),
        (b"{" + b"\xff" * 8, b"", "cannot be read"),
        (b'{"a":' + b"9" * 5000 + b"}", b"", "cannot be read"),
    ],
)
def test_malformed_headers_are_refused(header: Any, data: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        allgrad.load(header_file(header, data))


def test_a_header_longer_than_the_file_is_not_allocated() -> None:
    with pytest.raises(CheckpointError, match="cut off"):
        allgrad.load(io.BytesIO((2**62).to_bytes(8, "little") + b"{}"))


@pytest.mark.parametrize(
    "tree",
    [
        {"§": "what"}, {"§": "tensor"}, {"§": "tensor", "key": "missing"}, {"§": "tuple", "v": 3}, {"§": []},
        {"§": "set", "v": [[1]]}, {"§": "dtype", "v": "object"}, {"§": "device", "v": "cuda"}, {"§": "bytes", "v": "?"},
        {"§": "dict", "v": [1]}, {"§": "float", "v": [1]}, {"§": "tensor", "key": "n", "grad": True},
    ],
)  # fmt: skip
def test_trees_that_save_cannot_have_written(tree: Any) -> None:
    from allgrad.serialization.tree import Unpacker

    with pytest.raises(CheckpointError):
        Unpacker({"n": np.arange(3)}).value(tree)


def test_too_deep_is_an_error_on_saving_and_the_deepest_comes_back() -> None:
    value: Any = 1
    for _ in range(100):
        value = (OrderedDict(a=1), value)[1:] if _ % 2 else OrderedDict(x=value)
    assert same(again(value), value)
    with pytest.raises(DtypeError, match="deep"):
        again([[value]])
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(DtypeError, match="within itself"):
        again(cycle)


# ---- files


def test_an_old_file_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.ckpt"
    allgrad.save({"n": 1}, path)
    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                allgrad.save({"n": 2}, path)
        assert allgrad.load(path) == {"n": 1} and os.listdir(tmp_path) == ["x.ckpt"]


def test_links_modes_and_pipes(tmp_path: Path) -> None:
    real = tmp_path / "real.ckpt"
    allgrad.save(1, real)
    real.chmod(0o640)
    (tmp_path / "link.ckpt").symlink_to(real)
    allgrad.save(2, tmp_path / "link.ckpt")
    assert (tmp_path / "link.ckpt").is_symlink() and allgrad.load(real) == 2
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    allgrad.save(3, tmp_path / "pipe")
    reader.join(10)
    assert allgrad.load(io.BytesIO(got[0])) == 3 and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_threads_that_save_to_one_path_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    threads = [threading.Thread(target=allgrad.save, args=({"n": n}, path)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert allgrad.load(path)["n"] in range(4) and os.listdir(tmp_path) == ["x.ckpt"]


def test_mapped_files_are_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    allgrad.save({"flag": allgrad.tensor([True]), "w": allgrad.arange(4.0)}, path)
    found = allgrad.load(path, mmap=True)
    found["w"][0] = 9
    assert found["w"].tolist() == [9, 1, 2, 3] and allgrad.load(path)["w"].tolist() == [0, 1, 2, 3]
    assert not found["w"].numpy().flags.owndata and found["flag"].tolist() == [True]


def test_what_load_and_save_refuse(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="CPU only"):
        again(1, map_location="cuda:0")
    assert again(1, map_location=lambda storage, place: storage) == 1
    with pytest.raises(ArgumentError, match="found int"):
        allgrad.load(3)
    with pytest.raises(ArgumentError, match="found int"):
        allgrad.save(3, 3)
    with pytest.raises(FileNotFoundError):
        allgrad.load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="rb"):
        allgrad.load(io.StringIO("x"))
    with pytest.raises(DtypeError, match=r"a\.0 is a .*lambda|a\.0 is a builtins\.function"):
        again({"a": [lambda: 1]})
    with pytest.raises(DtypeError):
        again({"a": [np.zeros(1, np.complex64), threading.Lock()]})


# ---- whole modules


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.register_buffer("passing", allgrad.ones(1), persistent=False)
        self.note = "kept"


def test_a_whole_module_needs_the_users_word() -> None:
    net = Net()
    raw = written({"net": net, "args": 1})
    with pytest.raises(CheckpointError, match=r"net is a pickled .*Net.*weights_only=False"):
        allgrad.load(io.BytesIO(raw))
    found = allgrad.load(io.BytesIO(raw), weights_only=False)["net"]
    assert found.first.weight is found.second.weight and found.note == "kept"
    assert isinstance(found.first.weight, nn.Parameter) and found.first.weight.requires_grad
    assert same(found.state_dict()["first.bias"], net.state_dict()["first.bias"])
    x = allgrad.ones(1, 2)
    assert same(found.second(found.first(x)).detach(), net.second(net.first(x)).detach())
    assert found.passing.tolist() == [1.0] and "passing" not in found.state_dict()


class Gone:
    pass


def test_a_class_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = written(Gone())
    monkeypatch.delattr(f"{__name__}.Gone")
    with pytest.raises(CheckpointError, match="Gone"):
        allgrad.load(io.BytesIO(raw), weights_only=False)
