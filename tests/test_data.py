"""Datasets, samplers and collation: PyTorch's order for PyTorch's seeds, and batches of nested samples."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import Tensor
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.utils import data

Pair = namedtuple("Pair", ["x", "y"])


class Squares(data.Dataset[Any]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i, float(i * i)


def both(build: Any, passes: int = 2) -> tuple[Any, Any]:
    """Orders of several passes by allgrad and by PyTorch, after the same seed, and the next number of the generator."""
    torch = pytest.importorskip("torch")
    found = []
    for library, room in ((allgrad, data), (torch, torch.utils.data)):
        library.manual_seed(7)
        made = build(library, room)
        orders = [[list(map(int, b)) if isinstance(b, list) else plain(b) for b in made] for _ in range(passes)]
        found.append((orders, float(library.rand(1))))
    return found[0], found[1]


def plain(x: Any) -> Any:
    return x.tolist() if hasattr(x, "tolist") else x


@pytest.mark.parametrize(
    "build",
    [
        lambda t, d: d.RandomSampler(range(11)),
        lambda t, d: d.RandomSampler(range(11), num_samples=25),
        lambda t, d: d.RandomSampler(range(11), replacement=True, num_samples=40),
        lambda t, d: d.RandomSampler(range(11), generator=t.Generator().manual_seed(3)),
        lambda t, d: d.SubsetRandomSampler([4, 8, 15, 16, 23, 42]),
        lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 2.0], 9),
        lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 2.0], 3, replacement=False),
        lambda t, d: d.BatchSampler(d.SequentialSampler(range(10)), 4, False),
        lambda t, d: d.BatchSampler(d.RandomSampler(range(10)), 4, True),
        lambda t, d: d.DistributedSampler(range(11), 3, 1),
        lambda t, d: d.DistributedSampler(range(11), 3, 2, shuffle=False),
        lambda t, d: d.DistributedSampler(range(11), 4, 3, drop_last=True, shuffle=False),
        lambda t, d: d.DistributedSampler(range(2), 5, 4, shuffle=False),
        lambda t, d: d.random_split(range(10), [0.33, 0.33, 0.34])[1],
        lambda t, d: d.random_split(range(10), [3, 7], generator=t.Generator().manual_seed(5))[1],
        lambda t, d: d.random_split(range(5), [1])[0],
    ],
)
def test_order_is_pytorchs(build: Any) -> None:
    # Without set_epoch PyTorch repeats its first order for ever; here the epoch advances by itself: one pass.
    one = isinstance(build(allgrad, data), data.DistributedSampler)
    ours, theirs = both(build, 1 if one else 2)
    assert ours == theirs


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("own", [False, True])
def test_the_loader_draws_as_pytorchs(workers: int, own: bool) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for library, room in ((allgrad, data), (torch, torch.utils.data)):
        library.manual_seed(3)
        generator = library.Generator().manual_seed(1) if own else None
        dataset = room.TensorDataset(library.arange(10), library.arange(10.0) ** 2)
        settings = {"num_workers": workers} if library is allgrad else {}
        loader = room.DataLoader(dataset, 4, shuffle=True, generator=generator, **settings)
        passes = [[[x.tolist(), y.tolist()] for x, y in loader] for _ in range(3)]
        results.append((passes, library.rand(1).tolist()))
    assert results[0] == results[1]


def test_set_epoch_gives_pytorchs_orders() -> None:
    def build(library: Any, room: Any) -> Any:
        sampler = room.DistributedSampler(range(13), 3, 1, seed=4)
        for epoch in (0, 1, 5):
            sampler.set_epoch(epoch)
            yield list(sampler)

    ours, theirs = both(build, 1)
    assert ours == theirs


SAMPLES: list[list[Any]] = [
    [1, 2], [1.5, 2.0], [True, False], ["a", "b"], [b"a", b"b"], [(1, 2.0), (3, 4.0)], [[1], [2]],
    [{"a": 1, "b": [2.0]}, {"a": 3, "b": [4.0]}], [Pair(1, 2), Pair(3, 4)], [np.float32(1), np.float32(2)],
    [np.arange(3), np.arange(3)], [np.ones((2, 1), np.float32)] * 2, [OrderedDict(z=1), OrderedDict(z=2)],
]  # fmt: skip


@pytest.mark.parametrize("samples", SAMPLES)
def test_collate_is_pytorchs(samples: list[Any]) -> None:
    torch = pytest.importorskip("torch")

    def shown(x: Any) -> Any:
        if isinstance(x, (Tensor, torch.Tensor)):
            return str(x.dtype), tuple(x.shape), x.tolist()
        if isinstance(x, dict):
            return type(x), {k: shown(v) for k, v in x.items()}
        return (type(x), [shown(v) for v in x]) if isinstance(x, (list, tuple)) else x

    assert shown(data.default_collate(samples)) == shown(torch.utils.data.default_collate(samples))
    assert shown(data.default_convert(samples[0])) == shown(torch.utils.data.default_convert(samples[0]))


def test_collate_refuses() -> None:
    for batch in ([object()], [np.array(["a"])], [None]):
        with pytest.raises(DtypeError, match="batch must contain"):
            data.default_collate(batch)
    with pytest.raises(ShapeError, match="equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(ShapeError, match="equal size"):
        data.default_collate([allgrad.ones(2), allgrad.ones(3)])


def test_rows_at_once_are_the_same_batches() -> None:
    dataset = data.TensorDataset(allgrad.arange(20).reshape(10, 2), allgrad.arange(10.0))
    slow = data.DataLoader(dataset, 3, collate_fn=lambda batch: data.default_collate(batch))
    for subset in (dataset, data.Subset(dataset, [3, 1, 7, 7, 0])):
        slow = data.DataLoader(subset, 3, collate_fn=lambda batch: data.default_collate(batch))
        for a, b in zip(data.DataLoader(subset, 3), slow):
            assert type(a) is type(b) is list
            for x, y in zip(a, b):
                assert x.tolist() == y.tolist() and x.dtype is y.dtype and x.shape == y.shape


def test_a_batch_does_not_share_memory_with_the_dataset() -> None:
    dataset = data.TensorDataset(allgrad.arange(4.0))
    next(iter(data.DataLoader(dataset, 2)))[0][0] = 9
    assert dataset.tensors[0].tolist() == [0, 1, 2, 3]


def test_datasets_are_put_together() -> None:
    three, two = Squares(3), Squares(2)
    joined = three + two
    assert len(joined) == 5 and [joined[i] for i in (2, 3, -1, -5)] == [(2, 4.0), (0, 0.0), (1, 1.0), (0, 0.0)]
    with pytest.raises(IndexError):
        joined[5]
    stacked = data.StackDataset(a=three, b=[7, 8, 9])
    assert len(stacked) == 3 and stacked[1] == {"a": (1, 1.0), "b": 8}
    assert data.StackDataset(three, three)[2] == ((2, 4.0), (2, 4.0))
    assert data.Subset(three, [2, 0])[0] == (2, 4.0)
    with pytest.raises(ShapeError):
        data.TensorDataset(allgrad.ones(2), allgrad.ones(3))
    with pytest.raises(ShapeError):
        data.StackDataset(three, two)


class Count(data.IterableDataset[Any]):
    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __iter__(self) -> Any:
        return iter(self.numbers)


def test_streams() -> None:
    chained = Count(1, 2) + Count(3)
    assert list(chained) == [1, 2, 3]
    assert [b.tolist() for b in data.DataLoader(Count(1, 2, 3), 2)] == [[1, 2], [3]]
    assert [b.tolist() for b in data.DataLoader(Count(1, 2, 3), 2, drop_last=True)] == [[1, 2]]
    assert list(data.DataLoader(Count(1, 2, 3), batch_size=None)) == [1, 2, 3]
    for settings in ({"shuffle": True}, {"sampler": [0]}):
        with pytest.raises(ArgumentError, match="IterableDataset"):
            data.DataLoader(Count(1), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]], "batch_size": 2}, {"batch_size": 0},
        {"batch_sampler": [[0]], "drop_last": True}, {"batch_size": None, "drop_last": True}, {"num_workers": -1},
        {"timeout": -1}, {"prefetch_factor": 2}, {"persistent_workers": True}, {"multiprocessing_context": "spawn"},
        {"num_workers": 1, "prefetch_factor": 0},
    ],
)  # fmt: skip
def test_settings_that_exclude_each_other(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        data.DataLoader(Squares(3), **settings)


def test_batch_samplers_and_lengths() -> None:
    loader = data.DataLoader(Squares(5), batch_sampler=[[0, 2], [4]])
    assert [x.tolist() for x, _ in loader] == [[0, 2], [4]] and len(loader) == 2
    assert len(data.DataLoader(Squares(5), 2)) == 3 and len(data.DataLoader(Squares(5), 2, drop_last=True)) == 2
    assert [x for x, _ in data.DataLoader(Squares(3), batch_size=None)] == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_exact_shares_have_every_sample_once(size: int) -> None:
    for shuffle in (False, True):
        shares = [list(data.DistributedSampler(range(10), size, r, shuffle=shuffle, exact=True)) for r in range(size)]
        assert sorted(i for share in shares for i in share) == list(range(10))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        lengths = [len(data.DistributedSampler(range(10), size, r, exact=True)) for r in range(size)]
        assert lengths == [len(s) for s in shares]


def test_the_epoch_advances_by_itself_and_as_told() -> None:
    alone = data.DistributedSampler(range(20), 2, 0)
    told = data.DistributedSampler(range(20), 2, 0)
    orders = []
    for epoch in range(3):
        told.set_epoch(epoch)
        orders.append(list(told))
        assert list(alone) == orders[-1]
    assert orders[0] != orders[1] != orders[2]


def test_pytorchs_module_paths() -> None:
    import allgrad.utils.data.dataloader
    import allgrad.utils.data.dataset
    import allgrad.utils.data.sampler
    from allgrad.utils.data.distributed import DistributedSampler

    assert DistributedSampler is data.DistributedSampler
    assert allgrad.utils.data.sampler.Sampler[int] and allgrad.utils.data.dataloader.DataLoader is data.DataLoader
    with pytest.raises(ArgumentError, match="Invalid rank"):
        data.DistributedSampler(range(4), 2, 2)
