"""A pass that was interrupted goes on where it stopped: with any sampler, any workers, any number of ranks."""

from __future__ import annotations

import io
from typing import Any

import pytest

import allgrad
from allgrad.errors import ArgumentError
from allgrad.utils import data

N = 23
DATASET = data.TensorDataset(allgrad.arange(N))


def saved(state: Any) -> Any:
    """As it comes back from a file."""
    file = io.BytesIO()
    allgrad.save(state, file)
    file.seek(0)
    return allgrad.load(file)


def numbers(batches: Any) -> list[list[int]]:
    return [batch[0].tolist() for batch in batches]


LOADERS: dict[str, Any] = {
    "sequential": lambda **k: data.DataLoader(DATASET, 4, **k),
    "shuffled": lambda **k: data.DataLoader(DATASET, 4, shuffle=True, **k),
    "own generator": lambda **k: data.DataLoader(
        DATASET, 4, shuffle=True, generator=allgrad.Generator().manual_seed(1), **k
    ),
    "subset": lambda **k: data.DataLoader(DATASET, 4, sampler=data.SubsetRandomSampler(range(1, N)), **k),
    "weighted": lambda **k: data.DataLoader(DATASET, 4, sampler=data.WeightedRandomSampler([1.0] * N, 20), **k),
    "distributed": lambda **k: data.DataLoader(DATASET, 4, sampler=data.DistributedSampler(DATASET, 2, 1), **k),
    "foreign batches": lambda **k: data.DataLoader(DATASET, batch_sampler=[[i, i + 1] for i in range(0, 20, 2)], **k),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 3, "all"])
@pytest.mark.parametrize("name", LOADERS)
def test_the_rest_of_a_pass_and_the_passes_after(name: str, taken: Any, workers: int) -> None:
    allgrad.manual_seed(5)
    loader = LOADERS[name](num_workers=workers)
    first = numbers(loader)
    n = len(first) if taken == "all" else taken
    second = iter(loader)
    head = numbers(next(second) for _ in range(n))
    state, drawn = saved(loader.state_dict()), allgrad.get_rng_state()
    tail = numbers(second)
    third = numbers(loader)
    assert n == 0 or head != first or name in ("sequential", "foreign batches")

    allgrad.manual_seed(99)
    other = LOADERS[name](num_workers=workers)
    other.load_state_dict(state)
    if taken != 0:  # before the first batch the order is not drawn yet: it comes from the generator as it was
        allgrad.set_rng_state(drawn)
        assert numbers(other) == tail
        assert numbers(other) == third
    else:
        allgrad.set_rng_state(drawn)
        assert numbers(other) == tail


def test_an_interrupted_rest_is_interrupted_again() -> None:
    allgrad.manual_seed(0)
    whole = numbers(LOADERS["shuffled"]())
    got: list[list[int]] = []
    allgrad.manual_seed(0)
    loader = LOADERS["shuffled"]()
    for _ in range(len(whole)):
        got += numbers([next(iter(loader))])
        state = saved(loader.state_dict())
        loader = LOADERS["shuffled"]()
        loader.load_state_dict(state)
    assert got == whole


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 3), (4, 2), (3, 1), (4, 8), (2, 2)])
@pytest.mark.parametrize("told", [False, True])
def test_at_another_world_size_every_sample_comes_once(before: int, after: int, told: bool) -> None:
    def world(size: int) -> list[Any]:
        samplers = [data.DistributedSampler(DATASET, size, r, seed=3, exact=True) for r in range(size)]
        return [data.DataLoader(DATASET, 2, sampler=s) for s in samplers]

    def begin(loaders: list[Any], epoch: int) -> list[Any]:
        for loader in loaders:
            if told:
                loader.sampler.set_epoch(epoch)
        return [iter(loader) for loader in loaders]

    old = world(before)
    for batches in begin(old, 0):
        list(batches)
    running = begin(old, 1)
    steps = 2
    seen = [i for _ in range(steps) for batches in running for i in next(batches)[0].tolist()]
    states = [saved(loader.state_dict()) for loader in old]
    assert all(state["sampler"] == states[0]["sampler"] for state in states)

    new = world(after)
    for loader in new:
        loader.load_state_dict(states[0])
    rest = [i for batches in begin(new, 1) for batch in batches for i in batch[0].tolist()]
    assert sorted(seen + rest) == list(range(N))
    # and the epoch after is the one that an uninterrupted run would have
    order = data.DistributedSampler(DATASET, 1, 0, seed=3)
    order.set_epoch(2)
    following = [[i for batch in batches for i in batch[0].tolist()] for batches in begin(new, 2)]
    assert sorted(i for share in following for i in share) == list(range(N))
    assert following[0] == list(order)[::after]


def test_equal_shares_at_another_world_size_repeat_only_to_fill_up() -> None:
    old = [data.DistributedSampler(range(N), 2, r) for r in range(2)]
    running = [iter(s) for s in old]
    seen = [next(s) for _ in range(4) for s in running]
    state = saved(old[0].state_dict())
    new = [data.DistributedSampler(range(N), 4, r) for r in range(4)]
    for s in new:
        s.load_state_dict(state)
    shares = [list(s) for s in new]
    assert {len(share) for share in shares} == {4}
    assert set(seen).isdisjoint(i for share in shares[:3] for i in share)
    assert set(seen) | {i for share in shares for i in share} == set(range(N))


def test_a_finished_epoch_leaves_an_empty_rest_then_the_next_epoch() -> None:
    sampler = data.DistributedSampler(range(10), 2, 0)
    running = iter(sampler)
    for _ in range(5):
        next(running)
    other = data.DistributedSampler(range(10), 2, 0)
    other.load_state_dict(sampler.state_dict())
    assert list(other) == []
    sampler.set_epoch(1)
    assert list(other) == list(sampler)


def test_a_new_epoch_forgets_the_place() -> None:
    sampler = data.DistributedSampler(range(10), 2, 0)
    sampler.set_epoch(3)
    running = iter(sampler)
    next(running)
    other = data.DistributedSampler(range(10), 2, 0)
    other.load_state_dict(sampler.state_dict())
    other.set_epoch(4)
    assert len(list(other)) == 5


def test_a_place_in_another_order_is_refused() -> None:
    state = data.DistributedSampler(range(10), 2, 0).state_dict()
    for other in (data.DistributedSampler(range(11), 2, 0), data.DistributedSampler(range(10), 2, 0, seed=1)):
        with pytest.raises(ArgumentError, match="belongs to a sampler"):
            other.load_state_dict(state)
