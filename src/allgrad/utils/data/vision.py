"""MNIST and CIFAR from the files that their authors publish, in a local folder.  Nothing is downloaded.

Formats: http://yann.lecun.com/exdb/mnist (IDX) and https://www.cs.toronto.edu/~kriz/cifar.html (binary version).
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError, CheckpointError
from allgrad.utils.data.dataset import Dataset

Array = np.ndarray[Any, Any]
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_LONGEST = 2**30  # bytes; no file of these is near it, but a few kilobytes of gzip can claim to be


class DatasetFileError(CheckpointError):
    """A file of a dataset is missing parts or is none."""


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, also gzipped: its own shape and dtype, native byte order.

    DatasetFileError for a file that is cut off, too long or no IDX file.
    """
    raw = _content(Path(path))
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _IDX_TYPES:
        raise DatasetFileError(f"{path} is no IDX file: it starts with {raw[:4].hex(' ')}, expected 00 00 and a type")
    kind, ndim = np.dtype(_IDX_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * ndim
    if ndim > 8 or len(raw) < start:
        raise DatasetFileError(
            f"{path} is damaged: an IDX header of {ndim} dimensions does not fit into {len(raw)} bytes"
        )
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", ndim, 4))
    expected = start + math.prod(shape) * kind.itemsize
    if len(raw) != expected:
        raise DatasetFileError(
            f"{path} has {len(raw)} bytes, expected {expected} for shape {shape} of {kind.newbyteorder('=')}: the download is "
            "not complete, or the file is another one"
        )
    return np.frombuffer(raw, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is gzipped, whatever it is called."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return file.read()
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                raw = unpacked.read(_LONGEST + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DatasetFileError(f"{path} is a damaged gzip file ({error}); fetch it again") from error
    if len(raw) > _LONGEST:
        raise DatasetFileError(f"{path} unpacks to more than {_LONGEST} bytes; it is no file of this dataset")
    return raw


def _found(root: Path, folders: tuple[str, ...], name: str) -> Path:
    """Where a file lies: in ``root`` or one of its folders, packed or not."""
    tried = [root / folder / (name + end) for folder in folders for end in ("", ".gz")]
    for path in tried:
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} or {name}.gz not found in {' or '.join(sorted({str(p.parent) for p in tried}))}")


class _Images(Dataset[Any]):
    """Images and labels.  Without ``transform`` a sample's image is a uint8 Tensor: (channels, height, width).

    A transform gets the image as torchvision's would from ``np.asarray``: (height, width) or (height, width, 3), uint8.
    """

    classes: tuple[str, ...] = ()
    data: Any
    targets: Any

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Array], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = Path(root)
        self.train = train
        self.transform, self.target_transform = transform, target_transform
        try:
            self._read()
        except FileNotFoundError as error:
            if not download:
                raise
            raise ArgumentError(f"allgrad does not download: put the files there yourself ({error})") from error

    def _read(self) -> None:
        raise ArgumentError(f"{type(self).__name__} must define how its files are read")

    def _image(self, i: int) -> Array:
        raise ArgumentError(f"{type(self).__name__} must define what an image is")

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = self._image(index), int(self.targets[index])
        shown = wrap(_channels_first(image)) if self.transform is None else self.transform(image)
        return shown, target if self.target_transform is None else self.target_transform(target)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class numbers by name."""
        return {name: i for i, name in enumerate(self.classes)}


def _channels_first(image: Array) -> Array:
    return np.ascontiguousarray(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))


class MNIST(_Images):
    """Handwritten digits: 60,000 and 10,000 images of 28 by 28 from the four IDX files, gzipped or not.

    The files lie in ``root``, ``root/raw`` or ``root/MNIST/raw``.  ``data`` is uint8 (n, 28, 28), ``targets`` int64 (n,).
    """

    classes = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip

    def _read(self) -> None:
        name = type(self).__name__
        part = "train" if self.train else "t10k"
        folders = ("", "raw", f"{name}/raw")
        at = _found(self.root, folders, f"{part}-images-idx3-ubyte")
        images, labels = read_idx(at), read_idx(_found(self.root, folders, f"{part}-labels-idx1-ubyte"))
        if images.dtype != np.uint8 or images.ndim != 3 or labels.dtype != np.uint8 or labels.ndim != 1:
            raise DatasetFileError(
                f"{at.parent}: images are {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}, expected "
                "uint8 (n, height, width) and uint8 (n,)"
            )
        if len(images) != len(labels):
            raise DatasetFileError(
                f"{at.parent} has {len(images)} images and {len(labels)} labels of {part}: they must match"
            )
        if len(labels) and labels.max() >= len(self.classes):
            raise DatasetFileError(f"{at.parent}: a label is {labels.max()}, expected 0 to {len(self.classes) - 1}")
        self.data, self.targets = wrap(images), wrap(labels.astype(np.int64))

    def _image(self, i: int) -> Array:
        found: Array = self.data._a[i]
        return found


class FashionMNIST(MNIST):
    """Clothes in MNIST's format."""

    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class CIFAR10(_Images):
    """Colour images of 32 by 32 in ten classes, from the *binary version*'s files ``data_batch_1.bin`` and so on.

    They lie in ``root`` or ``root/cifar-10-batches-bin``.  ``data`` is a uint8 array (n, 32, 32, 3), ``targets`` a list.
    The *python version* is refused: its files are pickles, which can run code.
    """

    classes: tuple[str, ...] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    _folder, _pickles = "cifar-10-batches-bin", "cifar-10-batches-py"
    _label_bytes = 1  # before each image; the last one is the class
    _parts: tuple[tuple[str, ...], tuple[str, ...]] = (
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
    )

    def _read(self) -> None:
        try:
            paths = [_found(self.root, ("", self._folder), name) for name in self._parts[0 if self.train else 1]]
        except FileNotFoundError as error:
            if (self.root / self._pickles).is_dir():
                raise DatasetFileError(
                    f"{self.root / self._pickles} is the python version of CIFAR, whose pickles can run code; fetch the binary "
                    f"version and unpack it to {self.root / self._folder}"
                ) from error
            raise
        labels, images = zip(*(self._part(path) for path in paths))
        self.data, self.targets = np.concatenate(images), np.concatenate(labels).tolist()

    def _part(self, path: Path) -> tuple[Array, Array]:
        raw = _content(path)
        row = self._label_bytes + _PIXELS
        if not raw or len(raw) % row:
            raise DatasetFileError(
                f"{path} has {len(raw)} bytes, expected a multiple of {row} ({self._label_bytes} of labels and {_PIXELS} of "
                "pixels an image): the download is not complete, or the file is another one"
            )
        rows = np.frombuffer(raw, np.uint8).reshape(-1, row)
        labels = rows[:, self._label_bytes - 1]
        if labels.max() >= self._n_classes():
            raise DatasetFileError(f"{path}: a label is {labels.max()}, expected 0 to {self._n_classes() - 1}")
        pixels = rows[:, self._label_bytes :].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        return labels, np.ascontiguousarray(pixels)

    def _n_classes(self) -> int:
        return 10

    def _image(self, i: int) -> Array:
        found: Array = self.data[i]
        return found


class CIFAR100(CIFAR10):
    """Colour images of 32 by 32 in a hundred classes, from ``train.bin`` and ``test.bin`` of the *binary version*."""

    classes: tuple[str, ...] = ()
    _folder, _pickles = "cifar-100-binary", "cifar-100-python"
    _label_bytes = 2
    _parts = (("train.bin",), ("test.bin",))

    def _read(self) -> None:
        super()._read()
        names = self.root / self._folder / "fine_label_names.txt"
        if names.is_file():
            self.classes = tuple(names.read_text().split())

    def _n_classes(self) -> int:
        return 100
