"""MNIST and CIFAR: files written here byte by byte after their authors' descriptions, whole and damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad.errors import ArgumentError
from allgrad.utils import data
from allgrad.utils.data.vision import DatasetFileError, read_idx

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).reshape(3, 28, 28).astype(np.uint8)
LABELS = [7, 0, 9]


def idx(kind: int, shape: tuple[int, ...], body: bytes) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(8, (3, 28, 28), IMAGES.tobytes()))
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(8, (3,), bytes(LABELS))))
    return tmp_path


def test_mnist(mnist: Path) -> None:
    for root in (mnist, mnist / "MNIST", mnist / "MNIST" / "raw", str(mnist)):
        found = data.MNIST(root, train=True)
        assert len(found) == 3 and found.targets.tolist() == LABELS
        assert found.data.dtype is allgrad.uint8 and found.data.shape == (3, 28, 28)
        image, label = found[2]
        assert image.shape == (1, 28, 28) and label == 9 and (image.numpy()[0] == IMAGES[2]).all()
    seen: list[Any] = []
    found = data.MNIST(mnist, True, lambda a: seen.append(a) or 1, lambda t: -t)
    assert found[0] == (1, -7) and type(seen[0]) is np.ndarray and seen[0].shape == (28, 28)
    batches = list(data.DataLoader(data.MNIST(mnist), 2, num_workers=2))
    assert batches[0][0].shape == (2, 1, 28, 28) and batches[1][1].tolist() == [9]
    assert data.MNIST.classes[3] == "3 - three" and found.class_to_idx["9 - nine"] == 9


def test_mnist_that_is_not_there(mnist: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte"):
        data.MNIST(mnist, train=False)
    with pytest.raises(ArgumentError, match="does not download"):
        data.MNIST(mnist, train=False, download=True)


@pytest.mark.parametrize(
    ("kind", "numpy_kind"), [(8, ">u1"), (9, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_idx_types(tmp_path: Path, kind: int, numpy_kind: str) -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]], numpy_kind)
    (tmp_path / "x").write_bytes(idx(kind, (2, 3), values.tobytes()))
    found = read_idx(tmp_path / "x")
    assert found.tolist() == values.tolist() and found.dtype == np.dtype(numpy_kind).newbyteorder("=")


GOOD = idx(8, (2, 3), b"abcdef")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no IDX file"), (b"\0\0\x07\x01", "no IDX file"), (b"<html>not found</html>", "no IDX file"),
        (GOOD[:9], "does not fit"), (GOOD[:-1], "17 bytes, expected 18"), (GOOD + b"x", "19 bytes, expected 18"),
        (idx(8, (2**32 - 1, 2**32 - 1), b""), "expected"), (b"\0\0\x08\xff" + bytes(2000), "255 dimensions"),
        (gzip.compress(GOOD)[:-3], "damaged gzip"), (gzip.compress(GOOD)[:12] + b"\xff\xff\xff\xff", "damaged gzip"),
    ],
)  # fmt: skip
def test_damaged_idx_files(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(DatasetFileError, match=says):
        read_idx(tmp_path / "x")


def test_mnist_files_that_do_not_belong_together(mnist: Path) -> None:
    labels = mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    for raw, says in (
        (idx(8, (2,), bytes(2)), "3 images and 2 labels"),
        (idx(8, (3,), bytes([1, 2, 10])), "a label is 10"),
        (idx(0x0C, (3,), bytes(12)), "expected"),
        (idx(8, (3, 1), bytes(3)), "expected"),
    ):
        labels.write_bytes(raw)
        with pytest.raises(DatasetFileError, match=says):
            data.MNIST(mnist)


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)


def rows(*labels: bytes) -> bytes:
    return b"".join(label + PIXELS[i % 2].tobytes() for i, label in enumerate(labels))


def test_cifar(tmp_path: Path) -> None:
    ten = tmp_path / "cifar-10-batches-bin"
    ten.mkdir()
    for i in range(1, 6):
        (ten / f"data_batch_{i}.bin").write_bytes(rows(bytes([i]), b"\x09"))
    (ten / "test_batch.bin").write_bytes(rows(b"\x03"))
    found = data.CIFAR10(tmp_path)
    assert len(found) == 10 and found.targets == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9] and found.data.shape == (10, 32, 32, 3)
    image, label = found[3]
    assert label == 9 and (image.numpy() == PIXELS[1]).all() and image.shape == (3, 32, 32)
    shown, _ = data.CIFAR10(tmp_path, train=False, transform=lambda a: a)[0]
    assert (shown == PIXELS[0].transpose(1, 2, 0)).all() and found.class_to_idx["cat"] == 3
    hundred = tmp_path / "cifar-100-binary"
    hundred.mkdir()
    (hundred / "test.bin").write_bytes(rows(b"\x13\x63", b"\x01\x05"))
    assert data.CIFAR100(tmp_path, train=False).targets == [99, 5]
    (ten / "data_batch_2.bin").write_bytes(rows(b"\x01")[:-1])
    with pytest.raises(DatasetFileError, match=r"data_batch_2\.bin has 3072 bytes, expected a multiple of 3073"):
        data.CIFAR10(tmp_path)
    (ten / "test_batch.bin").write_bytes(rows(b"\x0a"))
    with pytest.raises(DatasetFileError, match="a label is 10"):
        data.CIFAR10(tmp_path, train=False)


def test_the_pickled_cifar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DatasetFileError, match="pickles can run code"):
        data.CIFAR10(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train\.bin"):
        data.CIFAR100(tmp_path)
