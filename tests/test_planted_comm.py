"""Bugs planted into the layer between ranks, each caught by the test named beside it."""

from __future__ import annotations

from typing import Any

import pytest

import test_mismatch
import test_schedules
from allgrad.comm import agreement, mail, protocol, virtual
from allgrad.distributed import collectives, ddp, zero


def no_comparison(patch: pytest.MonkeyPatch) -> None:
    """Calls are not compared at all."""
    patch.setattr(virtual, "mismatch_message", lambda calls, sequence: None)


def scale_not_compared(patch: pytest.MonkeyPatch) -> None:
    """A mean and a sum look the same."""
    patch.setattr(protocol, "scaled", lambda op, scale: op)


def shape_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Only the number of elements counts."""
    patch.setattr(collectives, "shape_label", lambda a: "")


def label_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Two parameters of one size look the same."""
    real = agreement._text.__wrapped__
    patch.setattr(agreement, "_text", lambda name, facts, label: real(name, facts, ""))


def settings_not_compared(patch: pytest.MonkeyPatch) -> None:
    """DDP's settings may differ."""
    patch.setattr(ddp, "check_same_settings", lambda comm, settings, what: None)


def sharded_parameters_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Each rank may shard another list."""
    patch.setattr(zero, "check_same_model", lambda comm, specs, what: None)


def lowest_rank_is_right(patch: pytest.MonkeyPatch) -> None:
    """Not the majority: the wrong rank is blamed where the lowest is odd."""
    patch.setattr(agreement, "Counter", lambda found: {text: -found.index(text) for text in found})


def members_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Ranks may make a group of other members under the same call."""
    real = virtual.VirtualCommunicator.split
    patch.setattr(virtual.VirtualCommunicator, "split", lambda self, color, key=0, label="": real(self, color, key))


def message_dtype_ignored(patch: pytest.MonkeyPatch) -> None:
    """Bytes are bytes."""

    def deliver(sender: int, content: Any, work: Any, posted: Any, tag: int) -> None:
        work.done = posted.done = True
        posted.source = sender
        posted.result.view("u1")[...] = content.view("u1")

    patch.setattr(mail, "_deliver", deliver)


def sum_in_order_of_arrival(patch: pytest.MonkeyPatch) -> None:
    """Who comes first is added first."""
    real = virtual.VirtualCommunicator._arrive

    def arrive(self: Any, call: Any, thing: Any, finish: Any) -> Any:
        if call.name != "all_reduce":
            return real(self, call, thing, finish)
        meeting = self._group.meetings.setdefault(call.sequence, virtual.Meeting())
        order = [*meeting.brought, self.rank]

        def by_arrival(things: list[Any]) -> list[Any]:
            finish([things[r] for r in order])
            return things

        return real(self, call, thing, by_arrival)

    patch.setattr(virtual.VirtualCommunicator, "_arrive", arrive)


def mismatch(name: str, size: int = 3) -> Any:
    return lambda: test_mismatch.test_every_rank_says_what_is_wrong(name, size)


PLANTED = [
    (no_comparison, mismatch("broadcast, root")),
    (scale_not_compared, mismatch("all_reduce, sum against mean")),
    (shape_not_compared, mismatch("all_reduce, shape of the same count")),
    (label_not_compared, mismatch("two labelled all-reduces of one size in another order")),
    (settings_not_compared, mismatch("model: setting broadcast_buffers")),
    (sharded_parameters_not_compared, mismatch("model: sharded optimizer of another model")),
    (lowest_rank_is_right, lambda: blames_the_first()),
    (members_not_compared, mismatch("groups of other ranks")),
    (message_dtype_ignored, mismatch("a message of another dtype of the same size")),
    (sum_in_order_of_arrival, lambda: test_schedules.test_any_schedule_gives_the_same_bits(3, 0)),
]


def blames_the_first() -> None:
    """Rank 0 is the odd one of three."""
    found = agreement.disagreement(["b", "a", "a"])
    assert found is not None and found.startswith("rank 0 is in b") and "as on ranks 1, 2" in found


def test_the_majority_is_right() -> None:
    blames_the_first()


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test_schedules.usual.cache_clear()
    plant(monkeypatch)
    try:
        # whatever the named test fails with
        with pytest.raises((Exception, pytest.fail.Exception)):
            named_test()
    finally:
        test_schedules.usual.cache_clear()
