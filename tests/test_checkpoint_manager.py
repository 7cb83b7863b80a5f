"""What users of CheckpointManager may say, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad.checkpoint import CheckpointManager
from allgrad.comm import launch_world, run_virtual
from allgrad.errors import ArgumentError, CheckpointError
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import get_rng_state


def test_values_of_every_kind_come_back(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "epoch": 3, "best": 0.25, "bad": float("inf"), "name": "π", "none": None, "pair": (1, [2, {"a": True}]),
        "array": np.arange(6).reshape(2, 3), "tensor": torch.ones(2, dtype=torch.float64), "big": 2**200, "set": {1, 2},
        "empty": np.zeros((0, 4), np.float32), "number": np.float32(1.5),
    }  # fmt: skip
    manager = CheckpointManager(str(tmp_path), signals=False)
    manager.values.update(values)
    manager.step(loss=0.5)
    name = manager.save()
    other = CheckpointManager(str(tmp_path), signals=False)
    found = other.resume()
    assert (
        found is not None
        and found.metrics == {"loss": 0.5}
        and found.world_size == 1
        and found.step == other.steps == 1
    )
    assert other.last == name and list(other.values) == list(values)
    for key, value in values.items():
        here = other.values[key]
        assert type(here) is type(value)
        same = np.array_equal(np.asarray(here), np.asarray(value)) if hasattr(value, "shape") else here == value
        assert same, key


def test_a_named_one_and_names_that_are_none(tmp_path: Path) -> None:
    manager = CheckpointManager(str(tmp_path), signals=False)
    manager.values["x"] = 1
    first = manager.save(step=1)
    manager.values["x"] = 2
    manager.save(step=2)
    assert manager.resume(first) and manager.values == {"x": 1} and manager.steps == 1
    with pytest.raises(CheckpointError, match="holds no checkpoint called 'save-9'"):
        manager.resume("save-9")
    # Going back and on: the newest is the one that was saved last, not the one with the most steps.
    manager.values["x"] = 3
    manager.save()
    assert manager.resume() and manager.values == {"x": 3} and manager.steps == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.track(rng=torch.nn.Linear(1, 1)), "are taken"),
        (lambda m: m.track(x=3), "needs an object with state_dict"),
        (lambda m: m.track(a=torch.nn.Linear(1, 1)).track(a=torch.nn.Linear(1, 1)), "one of that name already"),
        (lambda m: m.resume(override=("everything",)), "override takes"),
        (lambda m: CheckpointManager("/nowhere", keep=0), "keep must be a whole number"),
        (lambda m: CheckpointManager("/nowhere", every=2.5), "every must be a whole number"),
    ],
)
def test_misuse_is_named(tmp_path: Path, call: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        call(CheckpointManager(str(tmp_path), signals=False))


def test_generators_and_averages_are_tracked(tmp_path: Path) -> None:
    def make() -> Any:
        model = torch.nn.Linear(3, 3)
        average = torch.optim.swa_utils.AveragedModel(model)
        source = torch.Generator().manual_seed(7)
        return average, source, CheckpointManager(str(tmp_path), signals=False).track(average=average, source=source)

    average, source, manager = make()
    source.random((), np.dtype(np.int64))
    manager.save(step=1)
    expected = source.random((), np.dtype(np.int64))
    other, source, manager = make()
    manager.resume()
    assert source.random((), np.dtype(np.int64)) == expected
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), other.parameters()))


def test_random_numbers_of_ranks_that_were_not_there(tmp_path: Path) -> None:
    def body(alike: bool, save: bool) -> bytes:
        manager = CheckpointManager(str(tmp_path / str(alike)), signals=False)
        if save:
            torch.manual_seed(5 if alike else launch_world().rank)
            manager.save(step=1)
        else:
            manager.resume()
        return np.asarray(get_rng_state()).tobytes()

    for alike in (False, True):
        before = run_virtual(body, 2, alike, True)
        after = run_virtual(body, 4, alike, False)
        assert after[:2] == before
        assert len(set(after)) == (1 if alike else 4)
        assert after == run_virtual(body, 4, alike, False)


def test_ranks_that_track_or_see_different_things(tmp_path: Path) -> None:
    def tracks() -> Any:
        manager = CheckpointManager(str(tmp_path), signals=False)
        if launch_world().rank:
            manager.track(model=torch.nn.Linear(1, 1))
        with pytest.raises(CheckpointError, match="do not save the same objects: rank 1 on virtual: tracks") as caught:
            manager.save(step=1)
        return str(caught.value)

    def sees() -> Any:
        own = tmp_path / str(launch_world().rank)
        own.mkdir()
        manager = CheckpointManager(str(own), signals=False)
        manager._folder.begin(1)
        manager._folder.commit("save-00000001-step-1", _manifest()) if launch_world().rank else None
        with pytest.raises(CheckpointError, match="holds other checkpoints on rank 1") as caught:
            manager.resume()
        return str(caught.value)

    assert len(set(run_virtual(tracks, 2))) == 1
    run_virtual(sees, 2)


def _manifest() -> Any:
    from allgrad.checkpoint.manifest import FileEntry, Manifest

    return Manifest(1, 1, 1, (FileEntry(8, "0" * 64, 0, "0" * 64, {}),), {}, {}, {}, {})


def test_buffers_that_differ_are_each_ranks_own(tmp_path: Path) -> None:
    def body(save: bool) -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        model = DistributedDataParallel(torch.nn.BatchNorm1d(2), broadcast_buffers=False)
        manager = CheckpointManager(str(tmp_path), signals=False).track(model=model)
        if save:
            model(torch.full((4, 2), float(rank)))
            manager.save(step=1)
        else:
            manager.resume()
        dist.destroy_process_group()
        return model.module.running_mean.tolist()

    saved = run_virtual(body, 3, True)
    assert len({str(s) for s in saved}) == 3
    assert run_virtual(body, 3, False) == saved


@pytest.mark.parametrize("counts", [[2, 4], [3, 1, 2], [0, 2, 3, 1]])
def test_saving_after_loops_of_different_lengths(tmp_path: Path, counts: list[int]) -> None:
    """The ranks that come to save() first stand in for the others' steps; what is saved is what all then have."""

    def program() -> list[np.ndarray[Any, Any]]:
        dist.init_process_group()
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        wrapped = DistributedDataParallel(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        with CheckpointManager(tmp_path, signals=False) as manager:
            manager.track(model=wrapped, optimizer=optimizer)
            for _ in range(counts[dist.get_rank()]):
                optimizer.zero_grad()
                wrapped(torch.ones(2, 3)).square().mean().backward()
                optimizer.step()
            manager.save(step=max(counts))
            after = [p.detach().numpy().copy() for p in model.parameters()]
            with torch.no_grad():
                model.weight.zero_()
            assert manager.resume() is not None
            again = [p.detach().numpy().copy() for p in model.parameters()]
            moments = [optimizer.state[p]["exp_avg"].numpy() for p in model.parameters()]
        dist.destroy_process_group()
        assert all(np.array_equal(a, b) for a, b in zip(after, again))
        return [*after, *moments]

    found = run_virtual(program, len(counts))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))
    steps = run_virtual(program_of_one(max(counts)), 1)[0]
    np.testing.assert_allclose(found[0][0], steps, rtol=1e-5)


def program_of_one(steps: int) -> Any:
    def program() -> np.ndarray[Any, Any]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().mean().backward()
            optimizer.step()
        return model.weight.detach().numpy().copy()

    return program
