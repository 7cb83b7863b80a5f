"""Bugs planted in the replica sentinel; the named test must notice each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import test_sentinel
from allgrad.distributed import sentinel, sentinel_digest


def blind(patch: pytest.MonkeyPatch) -> None:
    """Every array has the same digest."""
    patch.setattr(sentinel_digest, "digest", lambda a: 0)


def only_the_first_numbers(patch: pytest.MonkeyPatch) -> None:
    """The digest reads the whole rows and forgets the rest."""
    real = sentinel_digest.digest
    patch.setattr(test_sentinel, "digest", lambda a: real(a.reshape(-1)[: a.size // 8 * 8]))


def state_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The optimizers are not looked at."""
    patch.setattr(sentinel, "optimizer_state", lambda named: {})


def buffers_after_the_broadcast(patch: pytest.MonkeyPatch) -> None:
    """Buffers are looked at when they are equal anyway."""
    patch.setattr(sentinel.Sentinel, "before_buffers", lambda self: None)


def running_statistics_compared(patch: pytest.MonkeyPatch) -> None:
    """What the forward changes on each rank is taken for damage."""

    def before(self: Any) -> None:
        self._untouched = {name: sentinel_digest.digest(b._a) for name, b in self.module.named_buffers()}

    patch.setattr(sentinel.Sentinel, "before_buffers", before)


def local_steps_not_seen(patch: pytest.MonkeyPatch) -> None:
    """Steps under no_sync are taken for damage."""
    patch.setattr(sentinel.Sentinel, "synchronizing", lambda self: None)


def silent_for_ever_after_local_steps(patch: pytest.MonkeyPatch) -> None:
    """Once local, the replicas are never compared again."""
    patch.setattr(
        sentinel.Sentinel, "local_steps", property(lambda self: True, lambda self, value: None), raising=False
    )


def only_rank_0_raises(patch: pytest.MonkeyPatch) -> None:
    """The others go on."""
    real = sentinel.Sentinel.round_ended

    def ended(self: Any, comm: Any, *args: Any) -> Any:
        found = real(self, comm, *args)
        return found if comm.rank == 0 else None

    patch.setattr(sentinel.Sentinel, "round_ended", ended)


def wrong_rank_named(patch: pytest.MonkeyPatch) -> None:
    """The majority is called odd."""
    real = sentinel._who
    patch.setattr(sentinel, "_who", lambda values: real({len(values) - 1 - r: v for r, v in values.items()}))


def absent_rank_compared(patch: pytest.MonkeyPatch) -> None:
    """A joined rank that does not step is taken for damaged."""
    patch.setattr(sentinel.Sentinel, "away", property(lambda self: False, lambda self, value: None), raising=False)


def too_late(patch: pytest.MonkeyPatch) -> None:
    """The first look is at step 50."""
    patch.setattr(sentinel.Sentinel, "due", lambda self, step: self.every is not None and step % self.every == 0)


def virtual(name: str, size: int = 3) -> Callable[[], None]:
    return lambda: test_sentinel.test_virtual_ranks(name, size)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (blind, virtual("parameter")),
    (only_the_first_numbers, lambda: test_sentinel.test_every_flipped_bit_changes_the_digest(7, "f4")),
    (state_forgotten, virtual("moment")),
    (buffers_after_the_broadcast, virtual("buffer of rank 0")),
    (running_statistics_compared, virtual("nothing")),
    (local_steps_not_seen, virtual("local steps")),
    (silent_for_ever_after_local_steps, virtual("averaged, then damaged")),
    (only_rank_0_raises, virtual("parameter")),
    (wrong_rank_named, virtual("parameter")),
    (absent_rank_compared, virtual("join without the optimizer")),
    (too_late, lambda: test_sentinel.test_a_wrong_program_is_found_at_the_second_step(None)),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named_test()  # it passes without the bug
    plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017 - whatever the named test fails with
        named_test()
